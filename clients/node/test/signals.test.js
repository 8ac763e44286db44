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

claim('a signal that throws as a call or watch ends: that one ends as ever, and no other call breaks', async (scope) => {
  const fake = await startFake(scope, {answer});
  const client = clientWith(scope, {address: fake.address});
  const warnings = warningsOf(scope);
  const thrower = () => { throw new Error('broken'); };
  const stays = () => Object.assign(new Foreign(), {removeEventListener: thrower});
  // One turn: all are in one message, and so are their answers.
  const calls = Array.from({length: 9}, (_, n) => client.callTool('user_1', 'echo', {n}, n % 3 === 1 ? {signal: stays()} : {}));
  for (const [n, {result}] of (await Promise.all(calls)).entries()) assert.deepEqual(result, {n});

  const signal = stays();
  const slow = rejection(client.callTool('user_1', 'slow', {}, {signal}));
  await until('it is sent', () => fake.calls.length === 10);
  signal.abort();
  assert.deepEqual([(await slow).constructor, (await slow).delivery], [CallCancelledError, 'SENT']);
  signal.abort();

  const mute = stays();
  const cannotSay = rejection(client.callTool('user_1', 'slow', {}, {signal: mute}));
  await until('it is sent', () => fake.calls.length === 11);
  Object.defineProperty(mute, 'reason', {get: thrower});
  mute.abort();
  assert.equal((await cannotSay).constructor, CallCancelledError);

  for (const end of [(watch) => watch.return(), (_watch, ofWatch) => ofWatch.abort()]) {
    const ofWatch = stays();
    const watch = client.watchAgents({signal: ofWatch});
    assert.equal((await watch.next()).value.kind, 'snapshot');
    const next = watch.next();
    await end(watch, ofWatch);
    assert.equal((await next).done, true);
  }
  await until('no watch is left', () => fake.watches.size === 0);
  assert.equal((await client.callTool('user_1', 'echo', {n: 1})).result.n, 1);
  assert.equal(fake.streamsBegun, 1, 'the stream of calls never broke');
  await client.close({drainMs: Infinity});
  await new Promise(setImmediate);
  assert.deepEqual(warnings, ['ToolwireWarning']);
});

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
