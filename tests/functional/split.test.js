// Two processes: what becomes of calls when the edge, control or the link between them goes.
import assert from 'node:assert/strict';
import net from 'node:net';
import {code, resultOf} from './lib/caller.js';
import {claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

const split = {topology: 'split'};
const silent = {answer: () => undefined};
const assertFailed = (outcome, ...expected) => assert.deepEqual([outcome.code, outcome.reason, outcome.delivery], expected);

// Starts an edge again where the one before was, with the store it had.
async function edgeAgain(scope, tw) {
  const edge = scope.process('toolwire-edge', [
    `--port=${tw.ports.agents}`, `--relay-port=${tw.ports.relay}`, '--metrics-port=0', '--log-format=json', `--data-dir=${tw.dataDir}`]);
  const ready = await edge.ready();
  tw.ports.metrics[0] = ready.metrics;
  return edge;
}

claim('the edge is killed with a call sent: ABORTED, AGENT_LOST, SENT; with none: EDGE_UNAVAILABLE, NOT_SENT', async (scope) => {
  const tw = await scope.toolwire(split);
  const agent = await tw.agent('user_1', silent);
  const caller = tw.caller();
  const sent = caller.call('user_1', 'slow', {}, {timeoutMs: 600_000});
  await agent.called();
  await tw.edge.kill();
  assertFailed(await sent, code.ABORTED, 'AGENT_LOST', 'SENT');
  const outcome = await caller.call('user_1', 'echo', {}, {timeoutMs: 600_000});
  assertFailed(outcome, code.UNAVAILABLE, 'EDGE_UNAVAILABLE', 'NOT_SENT');
  assert.ok(outcome.retryAfter, 'says when to try again');
  assert.equal((await caller.ask('ListAgents', {})).totalConnected, '0');
});

claim('after an edge was killed and started again, its agents and calls come back, and the next call succeeds', async (scope) => {
  const tw = await scope.toolwire(split);
  await tw.agent('user_1');
  const caller = tw.caller();
  await tw.edge.kill();
  await until('control has noticed', async () => (await caller.call('user_1', 'echo')).reason === 'EDGE_UNAVAILABLE');
  await edgeAgain(scope, tw);
  await tw.linked();
  assertFailed(await caller.call('user_1', 'echo'), code.UNAVAILABLE, 'AGENT_NOT_CONNECTED', 'NOT_SENT');
  await tw.agent('user_1');
  assert.deepEqual(resultOf(await caller.call('user_1', 'echo', {n: 1})), {n: 1});
});

claim('an answer kept over the edge\'s restart reaches the caller who still waits', async (scope) => {
  const tw = await scope.toolwire(split);
  const agent = await tw.agent('user_1', silent);
  const call = tw.caller().call('user_1', 'slow', {}, {requestId: 'kept'});
  await agent.called();
  await tw.edge.kill();
  await edgeAgain(scope, tw);
  // Control waits 2 s for such answers. A slow machine may need longer, and then the call is rightly lost.
  const next = await tw.agent('user_1', silent);
  await tw.linked();
  next.respond('kept', {success: true, result: 'late but there'});
  const outcome = await call;
  if (outcome.code === 0) assert.equal(resultOf(outcome), 'late but there');
  else assertFailed(outcome, code.ABORTED, 'AGENT_LOST', 'SENT');
});

claim('control starts before its edge: calls are EDGE_UNAVAILABLE, NOT_SENT, until the edge is there', async (scope) => {
  const free = net.createServer();
  const port = await new Promise((resolve) => free.listen(0, '127.0.0.1', () => resolve(free.address().port)));
  await new Promise((resolve) => free.close(resolve));
  const tw = await scope.toolwire({topology: 'control', edge: `127.0.0.1:${port}`});
  const caller = tw.caller();
  assertFailed(await caller.call('user_1', 'echo'), code.UNAVAILABLE, 'EDGE_UNAVAILABLE', 'NOT_SENT');
  tw.ports = {...tw.ports, agents: 0, relay: port, metrics: [0, ...tw.ports.metrics]};
  const edge = await edgeAgain(scope, tw);
  tw.ports.agents = (await edge.ready()).agents;
  await tw.linked();
  await tw.agent('user_1');
  assert.equal((await caller.call('user_1', 'echo')).code, 0);
});

claim('control goes and comes back: agents stay connected, and are known to the new control', async (scope) => {
  const tw = await scope.toolwire(split);
  const agent = await tw.agent('user_1', silent);
  const broken = tw.caller().call('user_1', 'slow');
  await agent.called();
  await tw.control.kill();
  assert.equal((await broken).code, code.UNAVAILABLE);
  await until('the edge has forgotten the call', async () => {
    tw.ports.metrics.length = 1;
    return (await tw.metric('toolwire_edge_calls_in_flight')) === 0 && (await tw.metric('toolwire_edge_links')) === 0;
  });
  tw.control = scope.process('toolwire-control', [
    `--edge=127.0.0.1:${tw.ports.relay}`, '--grpc-port=0', '--metrics-port=0', '--log-format=json', `--data-dir=${tw.dataDir}`]);
  const ready = await tw.control.ready();
  tw.ports.callers = ready.callers;
  tw.ports.metrics.push(ready.metrics);
  await tw.linked();
  const caller = tw.caller();
  await until('the agent is known', async () => (await caller.ask('GetAgent', {userId: 'user_1'})).connected);
  agent.answer = () => ({success: true, result: 'same agent'});
  assert.equal(resultOf(await caller.call('user_1', 'who')), 'same agent');
  assert.equal(agent.closeFrame, undefined);
});

claim('a large answer through the agent\'s next session goes to the control whose call it is, and to no other', async (scope) => {
  const tw = await scope.toolwire(split);
  const other = await scope.toolwire({topology: 'control', edge: `127.0.0.1:${tw.ports.relay}`, dataDir: tw.dataDir});
  await other.linked();
  const agent = await tw.agent('user_1', silent);
  const call = tw.caller().call('user_1', 'slow', {}, {requestId: 'large', timeoutMs: 240_000});
  await agent.called();
  agent.destroy();
  const next = await tw.agent('user_1', silent);
  const result = 'x'.repeat(4 << 20);
  next.respond('large', {success: true, result});
  assert.equal(resultOf(await call), result);
  assert.equal(await tw.metric('toolwire_control_stray_answers_fetched_total'), 1);
  assert.equal(await tw.metric('toolwire_edge_stray_answers_fetched_total'), 1);
  assert.equal(await tw.metric('toolwire_control_stray_answers_matched_total'), 1);
  assert.equal(await other.metric('toolwire_control_stray_answers_dropped_total'), 1);
});

claim('two controls serve the same edge: each gets the answers to its own calls', async (scope) => {
  const tw = await scope.toolwire(split);
  const other = await scope.toolwire({topology: 'control', edge: `127.0.0.1:${tw.ports.relay}`, dataDir: tw.dataDir});
  await other.linked();
  const agent = await tw.agent('user_1', {answer: ({params}) => ({success: true, result: params})});
  const streams = [tw.caller().dispatch(), other.caller().dispatch()];
  const calls = Array.from({length: 200}, (_, i) => streams[i % 2].call('user_1', 'echo', {i}));
  for (const [i, call] of calls.entries()) assert.deepEqual(resultOf(await call), {i});
  assert.equal(agent.calls.length, 200);
  // The same request id, once through each: the edge lets only one of them pass.
  agent.answer = () => undefined;
  const first = streams[0].call('user_1', 'slow', {}, {requestId: 'same'});
  await agent.called(201);
  const second = await streams[1].call('user_1', 'slow', {}, {requestId: 'same'});
  assertFailed(second, code.ALREADY_EXISTS, 'DUPLICATE_REQUEST', 'NOT_SENT');
  agent.respond('same', {success: true, result: 1});
  assert.equal(resultOf(await first), 1);
});
