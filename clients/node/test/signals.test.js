// Signals of calls and watches: those of polyfills as well, and none keeps a listener.
import assert from 'node:assert/strict';
import {getEventListeners} from 'node:events';
import {CallCancelledError} from '../dist/index.mjs';
import {Delivery, Reason, startFake} from './fake_control.js';
import {claim, clientWith, rejection, until} from './lib.js';

// A signal as polyfills make it: no EventTarget of Node.js, no options of listeners, no reason.
class Foreign {
  aborted = false;
  listeners = new Set();
  addEventListener(type, listener) {
    if (type === 'abort') this.listeners.add(listener);
  }
  removeEventListener(type, listener) {
    if (type === 'abort') this.listeners.delete(listener);
  }
  abort() {
    this.aborted = true;
    for (const listener of [...this.listeners]) listener.call(this, {type: 'abort'});
  }
}
const native = () => {
  const controller = new AbortController();
  return {signal: controller.signal, abort: () => controller.abort(), count: () => getEventListeners(controller.signal, 'abort').length};
};
const foreign = () => {
  const signal = new Foreign();
  return {signal, abort: () => signal.abort(), count: () => signal.listeners.size};
};

const cancelled = (id) => ({id, failure: {code: 1, message: 'cancelled', detail: {reason: Reason.CALLER_CANCELLED, delivery: Delivery.SENT}}});
const answer = (calls, _stream, cancels) => [
  ...calls.filter(({call}) => call.tool === 'echo').map(({id, call}) => ({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}})),
  ...cancels.map(cancelled)];

function warningsOf(scope) {
  const warnings = [];
  const warned = ({name}) => warnings.push(name);
  process.on('warning', warned);
  scope.own({close: () => process.off('warning', warned)});
  return warnings;
}

for (const [kind, make] of Object.entries({'Node.js': native, 'a polyfill': foreign})) {
  claim(`signals of ${kind}: they cancel calls, before and after these were sent, and keep no listener`, async (scope) => {
    const fake = await startFake(scope, {answer});
    const client = clientWith(scope, {address: fake.address});
    const early = make();
    early.abort();
    const never = await rejection(client.callTool('user_1', 'echo', {}, {signal: early.signal}));
    assert.deepEqual([never.constructor, never.delivery, never.cause.name], [CallCancelledError, 'NOT_SENT', 'AbortError']);
    assert.equal(early.count(), 0);
    assert.deepEqual(fake.calls, []);

    const {signal, abort, count} = make();
    assert.equal((await client.callTool('user_1', 'echo', {}, {signal})).success, true);
    assert.equal(count(), 0);
    await assert.rejects(client.callTool('user_1', 'echo', {}, {signal, requestId: 42}));
    assert.equal(count(), 0);
    const calls = Array.from({length: 20}, () => rejection(client.callTool('user_1', 'slow', {}, {signal})));
    await until('they are sent', () => fake.calls.length === 21);
    assert.equal(count(), 20);
    abort();
    for (const error of await Promise.all(calls)) {
      assert.deepEqual([error.constructor, error.delivery, error.cause.name], [CallCancelledError, 'SENT', 'AbortError']);
    }
    assert.equal(count(), 0);
  });

  claim(`signals of ${kind}: they end watches, and keep no listener`, async (scope) => {
    const fake = await startFake(scope);
    const client = clientWith(scope, {address: fake.address});
    const warnings = warningsOf(scope);
    const {signal, abort, count} = make();
    const never = client.watchAgents({signal});
    assert.equal(count(), 0, 'a watch that nobody has asked for anything');
    const watches = Array.from({length: 12}, () => client.watchAgents({signal}));
    for (const one of watches) assert.equal((await one.next()).value.kind, 'snapshot');
    assert.equal(count(), 12);
    const [left] = watches.splice(0, 1);
    await left.return();
    assert.equal(count(), 11);
    const waiting = watches.map((one) => one.next());
    abort();
    for (const one of waiting) assert.equal((await one).done, true);
    assert.equal(count(), 0);
    await until('the streams are gone', () => fake.watches.size === 0);
    assert.equal((await never.next()).done, true);
    assert.equal(fake.watchesBegun, 1, 'all share one stream');
    await new Promise(setImmediate);
    assert.deepEqual(warnings, []);
  });
}

claim('what is no signal is a TypeError, and no call stays behind', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  const broken = Object.assign(new Foreign(), {addEventListener() { throw new Error('broken'); }});
  for (const signal of [new AbortController(), {}, 5, 'abort', {aborted: false}, () => {}, {aborted: 0, addEventListener() {}, removeEventListener() {}}]) {
    assert.equal((await rejection(client.callTool('user_1', 'echo', {}, {signal}))).constructor, TypeError);
    assert.throws(() => client.watchAgents({signal}), TypeError);
  }
  assert.equal((await rejection(client.callTool('user_1', 'echo', {}, {signal: broken}))).message, 'broken');
  await assert.rejects(client.watchAgents({signal: broken}).next(), /broken/);
  assert.deepEqual([fake.calls.length, fake.watchesBegun], [0, 0]);
  await client.close({drainMs: Infinity});
});
