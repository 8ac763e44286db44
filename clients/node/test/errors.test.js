// Every outcome that is not an answer: its class and what it says.
import assert from 'node:assert/strict';
import * as toolwire from '../dist/index.mjs';
import {Delivery, Reason, startFake} from './fake_control.js';
import {claim, claimInBoth, clientOf, clientWith, freePort, rejection, silent, startControl, until} from './lib.js';

function assertFailed(error, Class, reason, delivery, httpStatus, safeToRetry) {
  assert.ok(error instanceof toolwire.ToolwireError && error instanceof Error, String(error.stack));
  assert.equal(error.constructor, Class, String(error.stack));
  assert.equal(error.name, Class.name);
  assert.deepEqual([error.reason, error.delivery, error.httpStatus, error.safeToRetry], [reason, delivery, httpStatus, safeToRetry]);
}

claimInBoth('no agent: AgentNotConnectedError, at once, safe to retry', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const error = await rejection(clientOf(scope, tw).callTool('nobody', 'echo'));
  assertFailed(error, toolwire.AgentNotConnectedError, 'AGENT_NOT_CONNECTED', 'NOT_SENT', 503, true);
  assert.equal(error.code, 'UNAVAILABLE');
  assert.equal(error.retryAfterMs, 1000);
  assert.ok(error.requestId);
});

claim('the edge is unavailable: EdgeUnavailableError', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  await tw.edge.kill();
  await until('control has noticed', async () => (await tw.metric('toolwire_control_edges_linked').catch(() => 0)) !== 1);
  const client = clientOf(scope, tw);
  assertFailed(await rejection(client.callTool('user_1', 'echo')), toolwire.EdgeUnavailableError, 'EDGE_UNAVAILABLE', 'NOT_SENT', 503, true);
});

claim("the agent's limit: AgentBusyError", async (scope) => {
  const tw = await scope.toolwire({flags: {'agent-calls-max': 2}});
  const agent = await tw.agent('user_1', silent);
  const client = clientOf(scope, tw);
  const waiting = [1, 2].map(() => rejection(client.callTool('user_1', 'slow')));
  await agent.called(2);
  const error = await rejection(client.callTool('user_1', 'slow'));
  assertFailed(error, toolwire.AgentBusyError, 'AGENT_BUSY', 'NOT_SENT', 429, true);
  assert.equal(error.retryAfterMs, 100);
  await client.close({drainMs: 0});
  await Promise.all(waiting);
});

claimInBoth('no answer in time: CallTimeoutError, SENT', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await tw.agent('user_1', silent);
  const error = await rejection(clientOf(scope, tw).callTool('user_1', 'slow', {}, {timeoutMs: 100}));
  assertFailed(error, toolwire.CallTimeoutError, 'CALL_TIMEOUT', 'SENT', 504, false);
});

claim('a call that waits here until its time is over: CallTimeoutError, NOT_SENT', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const client = clientOf(scope, tw, {callsInFlightMax: 1});
  const first = rejection(client.callTool('user_1', 'slow'));
  await agent.called();
  const error = await rejection(client.callTool('user_1', 'slow', {}, {timeoutMs: 150}));
  assertFailed(error, toolwire.CallTimeoutError, 'CALL_TIMEOUT', 'NOT_SENT', 504, true);
  assert.equal(agent.calls.length, 1);
  await client.close({drainMs: 0});
  await first;
});

claim('a control that says nothing any more: CallTimeoutError, SENT, a second after the deadline', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const client = clientOf(scope, tw);
  const call = rejection(client.callTool('user_1', 'slow', {}, {timeoutMs: 300}));
  await agent.called();
  tw.control.pause();
  assertFailed(await call, toolwire.CallTimeoutError, 'CALL_TIMEOUT', 'SENT', 504, false);
  tw.control.resume();
});

claim('the agent goes after the call had left: AgentLostError', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const call = rejection(clientOf(scope, tw).callTool('user_1', 'slow'));
  await agent.called();
  agent.destroy();
  assertFailed(await call, toolwire.AgentLostError, 'AGENT_LOST', 'SENT', 502, false);
});

claim('wrong requests: InvalidRequestError names the field', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const client = clientOf(scope, tw);
  const circle = {};
  circle.circle = circle;
  const wrong = [
    ['user_id', ['', 'echo']], ['tool', ['user_1', '']], ['tool', ['user_1', 'x'.repeat(257)]],
    ['params_json', ['user_1', 'echo', '[1]']], ['params_json', ['user_1', 'echo', '{"a":']],
    ['params_json', ['user_1', 'echo', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]],
    ['request_id', ['user_1', 'echo', {}, {requestId: 'x'.repeat(257)}]],
    ['user_id', [undefined, 'echo']], ['tool', ['user_1', 5]], ['params', ['user_1', 'echo', circle]],
    ['timeout', ['user_1', 'echo', {}, {timeoutMs: 0}]], ['timeout', ['user_1', 'echo', {}, {timeoutMs: NaN}]],
    ['wait_for_agent', ['user_1', 'echo', {}, {waitForAgentMs: -1}]],
  ];
  for (const [field, args] of wrong) {
    const error = await rejection(client.callTool(...args));
    assertFailed(error, toolwire.InvalidRequestError, 'INVALID_REQUEST', 'NOT_SENT', 400, false);
    assert.equal(error.field, field, error.message);
  }
  assert.equal((await client.callTool('user_1', 'echo')).success, true);
});

claim('a request id in flight: DuplicateRequestError', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const client = clientOf(scope, tw);
  const first = client.callTool('user_1', 'slow', {}, {requestId: 'same'});
  await agent.called();
  const error = await rejection(client.callTool('user_1', 'slow', {}, {requestId: 'same'}));
  assertFailed(error, toolwire.DuplicateRequestError, 'DUPLICATE_REQUEST', 'NOT_SENT', 409, false);
  agent.respond('same', {success: true});
  assert.equal((await first).success, true);
});

claim("calls over the stream's limit at the server wait here, and none is refused", async (scope) => {
  const tw = await scope.toolwire({flags: {'stream-calls-max': 1}});
  const agent = await tw.agent('user_1', silent);
  const client = clientOf(scope, tw);
  const [first, second] = [1, 2].map((n) => client.callTool('user_1', 'slow', {n}));
  await agent.called();
  agent.answer = ({params}) => ({success: true, result: params});
  agent.respond(agent.calls[0].requestId, {success: true, result: {n: 1}});
  assert.deepEqual([(await first).result, (await second).result], [{n: 1}, {n: 2}]);
});

claim('too many calls, by the word of the server, and in the queue here: CallerBusyError', async (scope) => {
  const failure = {code: 8, message: 'busy', detail: {reason: Reason.CALLER_BUSY, delivery: Delivery.NOT_SENT}};
  const fake = await startFake(scope, {answer: (calls) => calls.map(({id}) => ({id, failure}))});
  const busy = clientWith(scope, {address: fake.address});
  assertFailed(await rejection(busy.callTool('user_1', 'slow')), toolwire.CallerBusyError, 'CALLER_BUSY', 'NOT_SENT', 429, true);

  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const small = clientOf(scope, tw, {callsInFlightMax: 1, callsQueuedMax: 1});
  const [one, two, three] = [1, 2, 3].map(() => rejection(small.callTool('user_1', 'slow')));
  assertFailed(await two, toolwire.CallerBusyError, 'CALLER_BUSY', 'NOT_SENT', 429, true);
  await three;
  await agent.called();
  await small.close({drainMs: 0});
  await one;
});

claim('nobody listens: ControlUnavailableError after controlWaitMs, and says why', async (scope) => {
  const address = `127.0.0.1:${await freePort()}`;
  const client = clientOf(scope, [], {address, controlWaitMs: 300});
  const error = await rejection(client.callTool('user_1', 'echo'));
  assertFailed(error, toolwire.ControlUnavailableError, 'CONTROL_UNAVAILABLE', 'NOT_SENT', 503, true);
  assert.ok(error.message.includes(address) && error.message.includes('ECONNREFUSED'), error.message);
  assertFailed(await rejection(client.getAgent('user_1')), toolwire.ControlUnavailableError, 'CONTROL_UNAVAILABLE', 'NOT_SENT', 503, true);
});

claim('the connection breaks after the call had left: ConnectionLostError', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agent = await tw.agent('user_1', silent);
  const call = rejection(clientOf(scope, tw).callTool('user_1', 'slow', {}, {requestId: 'mine'}));
  await agent.called();
  await tw.control.kill();
  const error = await call;
  assertFailed(error, toolwire.ConnectionLostError, 'CONNECTION_LOST', 'SENT', 502, false);
  assert.equal(error.requestId, 'mine');
});

claim('a control that takes no more streams: calls wait for another, within their time', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'streams-max': 1}});
  await tw.agent('user_1');
  const first = clientOf(scope, tw);
  assert.equal((await first.callTool('user_1', 'echo')).success, true);
  const second = clientOf(scope, tw, {controlWaitMs: 30_000});
  const call = second.callTool('user_1', 'echo');
  await first.close();
  assert.equal((await call).success, true, 'it was not repeated, for it never left');
  const other = await startControl(scope, tw, 0);
  await until('the other control knows the agent', async () => {
    const client = clientOf(scope, other);
    return (await client.getAgent('user_1')).connected;
  });
  const both = clientOf(scope, [tw, other]);
  const answers = await Promise.all(Array.from({length: 10}, () => both.callTool('user_1', 'echo')));
  assert.ok(answers.every(({success}) => success));
});
