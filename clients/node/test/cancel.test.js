// AbortSignal, and waiting for an agent.
import assert from 'node:assert/strict';
import {getEventListeners} from 'node:events';
import {CallCancelledError} from '../dist/index.mjs';
import {Delivery, Reason, present, startFake} from './fake_control.js';
import {claim, claimInBoth, clientOf, clientWith, rejection, silent, until} from './lib.js';

const fields = (error) => [error.constructor, error.code, error.reason, error.delivery, error.httpStatus, error.safeToRetry];
const CANCELLED = (delivery) => [CallCancelledError, 'CANCELLED', 'CALLER_CANCELLED', delivery, 499, false];

claim('a signal that is aborted already: the call is never sent', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  const client = clientOf(scope, tw);
  const error = await rejection(client.callTool('user_1', 'echo', {}, {signal: AbortSignal.abort('changed my mind')}));
  assert.deepEqual(fields(error), CANCELLED('NOT_SENT'));
  assert.equal(error.cause, 'changed my mind');
  assert.equal((await client.callTool('user_1', 'echo')).success, true);
  assert.equal(agent.calls.length, 1);
});

claim('aborted in the same turn, before it was written: never sent', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  const client = clientOf(scope, tw);
  await client.callTool('user_1', 'echo');
  const controller = new AbortController();
  const call = rejection(client.callTool('user_1', 'echo', {}, {signal: controller.signal}));
  controller.abort();
  assert.deepEqual(fields(await call), CANCELLED('NOT_SENT'));
  await client.callTool('user_1', 'echo');
  assert.equal(agent.calls.length, 2);
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
});

claimInBoth('aborted after it was sent: SENT, as the server says; nothing is left behind', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  const client = clientOf(scope, tw);
  const controller = new AbortController();
  const calls = Array.from({length: 50}, () => rejection(client.callTool('user_1', 'slow', {}, {signal: controller.signal})));
  await agent.called(50);
  assert.equal(getEventListeners(controller.signal, 'abort').length, 50);
  controller.abort();
  for (const error of await Promise.all(calls)) assert.deepEqual(fields(error), CANCELLED('SENT'));
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  await tw.idle();
});

claim('an answer that came first is the outcome; listeners are removed', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const client = clientOf(scope, tw);
  const controller = new AbortController();
  const {signal} = controller;
  assert.equal((await client.callTool('user_1', 'echo', {}, {signal})).success, true);
  await rejection(client.callTool('nobody', 'echo', {}, {signal}));
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  controller.abort();
  assert.equal((await client.callTool('user_1', 'echo')).success, true);
});

claim('aborted while control says nothing: SENT, within two seconds', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const controller = new AbortController();
  const call = rejection(clientOf(scope, tw).callTool('user_1', 'slow', {}, {signal: controller.signal}));
  await agent.called();
  tw.control.pause();
  controller.abort();
  assert.deepEqual(fields(await call), CANCELLED('SENT'));
  tw.control.resume();
});

// --- waitForAgentMs ---

claimInBoth('many calls wait for their agents, over one watch, and are made when these connect', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const client = clientOf(scope, tw);
  const wait = {waitForAgentMs: 60_000};
  const early = Array.from({length: 20}, (_, n) => client.callTool('user_1', 'echo', {n}, wait));
  await until('the watch is open', async () => (await tw.metric('toolwire_control_streams')) === 2);
  const late = Array.from({length: 20}, (_, n) => client.callTool('user_2', 'echo', {n}, wait));
  const [one, two] = [await tw.agent('user_1'), await tw.agent('user_2')];
  for (const calls of [early, late]) {
    for (const [n, {result}] of (await Promise.all(calls)).entries()) assert.deepEqual(result, {n});
  }
  assert.deepEqual([one.calls.length, two.calls.length], [20, 20]);
  await until('the watch is gone', async () => (await tw.metric('toolwire_control_streams')) === 1);
});

claim('an agent that does not come: AgentNotConnectedError when waitForAgentMs or the timeout is over', async (scope) => {
  const tw = await scope.toolwire();
  const client = clientOf(scope, tw);
  for (const options of [{waitForAgentMs: 200}, {waitForAgentMs: 60_000, timeoutMs: 200}]) {
    const began = performance.now();
    const error = await rejection(client.callTool('user_1', 'echo', {}, options));
    assert.deepEqual([error.reason, error.delivery], ['AGENT_NOT_CONNECTED', 'NOT_SENT']);
    assert.ok(performance.now() - began >= 195);
  }
  await until('the watch is gone', async () => (await tw.metric('toolwire_control_streams')) === 1);
});

claim('a call that waits for its agent can be aborted; close ends it', async (scope) => {
  const tw = await scope.toolwire();
  const client = clientOf(scope, tw);
  const controller = new AbortController();
  const aborted = rejection(client.callTool('user_1', 'echo', {}, {waitForAgentMs: 60_000, signal: controller.signal}));
  const closed = rejection(client.callTool('user_1', 'echo', {}, {waitForAgentMs: 60_000}));
  await until('the watch is open', async () => (await tw.metric('toolwire_control_streams')) === 2);
  controller.abort();
  assert.deepEqual(fields(await aborted), CANCELLED('NOT_SENT'));
  await client.close({drainMs: 0});
  assert.equal((await closed).delivery, 'NOT_SENT');

  const other = clientOf(scope, tw);
  const last = new AbortController();
  const only = rejection(other.callTool('user_1', 'echo', {}, {waitForAgentMs: 60_000, signal: last.signal}));
  await until('the watch is open', async () => (await tw.metric('toolwire_control_streams')) === 2);
  last.abort();
  await only;
  await until('nobody watches', async () => (await tw.metric('toolwire_control_streams')) === 1);
});

claim('a call whose agent comes and goes again, which pauses then, ends with close or its abort, and leaves no timer', async (scope) => {
  const gone = ({id}) => ({id, failure: {code: 14, message: 'gone', detail: {reason: Reason.AGENT_NOT_CONNECTED, delivery: Delivery.NOT_SENT}}});
  const fake = await startFake(scope, {answer: (calls) => calls.map(gone), follow: (add, stream) => stream.write({events: add.map((userId) => present(userId))})});
  const timers = () => process.getActiveResourcesInfo().filter((one) => one === 'Timeout').length;
  for (const way of ['abort', 'close']) {
    const client = clientWith(scope, {address: fake.address});
    const controller = new AbortController();
    const before = timers();
    const asked = fake.calls.length;
    const calls = Array.from({length: 100}, () =>
      rejection(client.callTool('user_1', 'echo', {}, {waitForAgentMs: 60_000, signal: controller.signal})));
    // The sixth time each call pauses for as long as any does; it has a timer once it knows that it was not sent.
    await until('they pause for long', () => fake.calls.length >= asked + 600 && timers() >= before + 100);
    if (way === 'abort') controller.abort();
    else await client.close({drainMs: 0});
    const reason = way === 'abort' ? 'CALLER_CANCELLED' : 'CLIENT_CLOSED';
    for (const error of await Promise.all(calls)) assert.deepEqual([error.reason, error.delivery], [reason, 'NOT_SENT']);
    await client.close({drainMs: 0});
    assert.ok(timers() < before + 50, `${timers()} timers after ${way}, ${before} before`);
  }
});

claim('a call that waits for its agent ends with close as all others do', async (scope) => {
  const fake = await startFake(scope, {answer: (calls) => calls.map(({id}) =>
    ({id, failure: {code: 14, message: 'gone', detail: {reason: Reason.AGENT_NOT_CONNECTED, delivery: Delivery.NOT_SENT}}}))});
  const client = clientWith(scope, {address: fake.address});
  const call = rejection(client.callTool('user_1', 'echo', {}, {waitForAgentMs: 60_000}));
  await until('it waits', () => fake.follows.size === 1);
  await client.close({drainMs: 0});
  assert.deepEqual(fields(await call).slice(2, 4), ['CLIENT_CLOSED', 'NOT_SENT']);
});

claim('an agent that said hello is notified of the cancel', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  agent.send({type: 'hello', capabilities: ['cancel']});
  await until('hello is acknowledged', () => agent.of('hello_ack')[0]);
  const controller = new AbortController();
  const call = rejection(clientOf(scope, tw).callTool('user_1', 'slow', {}, {signal: controller.signal, requestId: 'mine'}));
  await agent.called();
  controller.abort();
  assert.deepEqual(fields(await call), CANCELLED('SENT'));
  await until('the agent gets tool_cancel', () => agent.of('tool_cancel').some(({requestId}) => requestId === 'mine'));
});
