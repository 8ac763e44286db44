// The extension of the agents' protocol: `hello`, `hello_ack`, and `tool_cancel` for agents that can cancel.
import assert from 'node:assert/strict';
import {once} from 'node:events';
import {readFile} from 'node:fs/promises';
import path from 'node:path';
import {WebSocketServer} from 'ws';
import {code, resultOf} from './lib/caller.js';
import {clusterClaim, sharedCluster} from './lib/cluster.js';
import {REPOSITORY} from './lib/process.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

const silent = {answer: () => undefined};

// Says what the agent can, and waits for what came of it.
async function hello(agent, capabilities = ['cancel']) {
  const before = agent.of('hello_ack').length;
  agent.send({type: 'hello', capabilities});
  await until('hello is answered', () => agent.of('hello_ack').length > before);
  return agent;
}
// The request ids that the agent was asked to cancel, once there are `count`.
const cancelled = async (agent, count = 1) => {
  await until(`the agent has received ${count} cancels`, () => agent.of('tool_cancel').length >= count);
  return agent.of('tool_cancel').map(({requestId}) => requestId);
};
// A second agent that never said hello and gets the same calls as the first.
async function pair(tw) {
  return {able: await hello(await tw.agent('user_able', silent)), plain: await tw.agent('user_plain', silent)};
}
const sawOnlyTheBaseProtocol = async (agent) => {
  await agent.roundTrip();
  assert.deepEqual(new Set(agent.frames.map(({type}) => type)), new Set(['connected', 'tool_call', 'heartbeat_ack']));
};

claim('hello is answered with what both sides can, whatever else it names', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await hello(await tw.agent('user_1'), ['progress', 'cancel', 'x'.repeat(64)]);
  assert.equal(agent.texts.at(-1), '{"type":"hello_ack","capabilities":["cancel"]}');
  await hello(agent, []);
  assert.equal(agent.texts.at(-1), '{"type":"hello_ack","capabilities":[]}');
  agent.send({type: 'hello'});
  await until('it is answered', () => agent.of('hello_ack').length === 3);
  agent.send({type: 'hello', capabilities: 'cancel'});
  agent.send({type: 'hello', capabilities: Array(65).fill('a')});
  await agent.roundTrip();
  assert.equal(agent.of('hello_ack').length, 3);
  assert.equal(await tw.metric('toolwire_edge_bad_frames_total'), 2);
});

claim('an agent that names `limits` reads those of its edge in `hello_ack`, others see nothing of them', async (scope) => {
  const tw = await scope.toolwire({flags: {'payload-bytes-max': 4096, 'json-depth-max': 8}});
  const agent = await hello(await tw.agent('user_1'), ['limits']);
  assert.equal(agent.texts.at(-1), '{"type":"hello_ack","capabilities":["limits"],"resultBytesMax":4096,"jsonDepthMax":8}');
  await hello(agent, ['cancel']);
  assert.equal(agent.texts.at(-1), '{"type":"hello_ack","capabilities":["cancel"]}');
});

claimInBoth('a call past what its agent said in hello is refused alone and at once, and is not sent', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  agent.send({type: 'hello', paramsBytesMax: 100, jsonDepthMax: 2});
  await agent.roundTrip();
  const caller = tw.caller();
  const neighbour = caller.call('user_1', 'neighbour');
  await agent.called();
  for (const [params, message] of [
    [{a: 'x'.repeat(100)}, /longer than the 100 bytes that the agent takes/], [{a: [[1]]}, /deeper than the 2 levels that the agent takes/],
  ]) {
    const outcome = await caller.call('user_1', 'refused', params, {timeoutMs: 300_000});
    assert.deepEqual([outcome.reason, outcome.delivery, outcome.field], ['INVALID_REQUEST', 'NOT_SENT', 'params_json']);
    assert.match(outcome.message, message);
  }
  const {requestId} = agent.calls[0];
  agent.respond(requestId, {success: true, result: 1});
  assert.equal(resultOf(await neighbour), 1);
  assert.equal(agent.calls.length, 1);
});

claim('an agent that has too much to do says so: AGENT_BUSY, not sent', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await hello(await tw.agent('user_1', silent), ['busy']);
  agent.answer = ({requestId}) => void agent.send({type: 'tool_busy', requestId});
  const caller = tw.caller();
  for (let i = 0; i < 3; ++i) {
    const outcome = await caller.call('user_1', 'any', {}, {requestId: 'again', timeoutMs: 300_000});
    assert.deepEqual([outcome.reason, outcome.delivery], ['AGENT_BUSY', 'NOT_SENT']);
  }
});

claimInBoth('a unary call that its caller cancels: tool_cancel for an agent that can, nothing for others', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agents = await pair(tw);
  const caller = tw.caller();
  for (const [name, agent] of Object.entries(agents)) {
    const call = caller.start({userId: `user_${name}`, tool: 'slow', paramsJson: Buffer.from('{}'), requestId: `unary ${name}`});
    await agent.called();
    call.cancel();
    assert.equal((await call.outcome).code, code.CANCELLED);
  }
  assert.deepEqual(await cancelled(agents.able), ['unary able']);
  await tw.idle();
  await sawOnlyTheBaseProtocol(agents.plain);
  assert.equal(await tw.metric('toolwire_edge_tool_cancels_total'), 1);
});

claimInBoth('calls of a stream: cancelled one by one, and all when the stream breaks', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const {able, plain} = await pair(tw);
  const stream = tw.caller().dispatch();
  stream.send({
    calls: [1, 2, 3].flatMap((n) => ['able', 'plain'].map((name) => (
      {id: n + (name === 'able' ? 0 : 10), userId: `user_${name}`, tool: 'slow', requestId: `call ${n}`}))),
  });
  await able.called(3);
  await plain.called(3);
  stream.cancel(2, 12);
  assert.equal((await stream.answer(2)).reason, 'CALLER_CANCELLED');
  assert.equal((await stream.answer(12)).reason, 'CALLER_CANCELLED');
  assert.deepEqual(await cancelled(able), ['call 2']);
  stream.break();
  assert.deepEqual((await cancelled(able, 3)).sort(), ['call 1', 'call 2', 'call 3']);
  await tw.idle();
  await sawOnlyTheBaseProtocol(plain);
  assert.equal(able.of('tool_cancel').length, 3);
});

claimInBoth('a call whose deadline passes: the agent is notified once, its late answer is harmless and the audit row stays one', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const {able, plain} = await pair(tw);
  const caller = tw.caller();
  for (const agent of [able, plain]) {
    const name = agent === able ? 'able' : 'plain';
    const outcome = caller.call(`user_${name}`, 'slow', {}, {timeoutMs: 1000, requestId: 'late'});
    await agent.called();
    const {reason, delivery} = await outcome;
    assert.deepEqual([reason, delivery], ['CALL_TIMEOUT', 'SENT']);
  }
  assert.deepEqual(await cancelled(able), ['late']);
  for (const agent of [able, plain]) agent.respond('late', {success: true, result: 'nobody waits'});
  await able.roundTrip();
  await sawOnlyTheBaseProtocol(plain);
  able.answer = () => ({success: true, result: 'fresh'});
  assert.equal(resultOf(await caller.call('user_able', 'quick', {}, {requestId: 'late'})), 'fresh');
  assert.equal(await tw.metric('toolwire_edge_stray_answers_total'), 2);
  assert.equal(able.of('tool_cancel').length, 1);
  await tw.auditRows(3);
  await tw.stop();
  const rows = await tw.audit();
  assert.deepEqual(rows.map(({error}) => error).filter(Boolean), ['CALL_TIMEOUT', 'CALL_TIMEOUT']);
  assert.equal(rows.length, 3);
});

claim('a call that is answered, and one whose session is replaced, are not cancelled', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await hello(await tw.agent('user_1'));
  const caller = tw.caller();
  assert.equal((await caller.call('user_1', 'echo')).code, 0);
  agent.answer = () => undefined;
  const lost = caller.call('user_1', 'slow');
  await agent.called(2);
  await tw.agent('user_1', silent);
  assert.equal((await agent.closed()).code, 4001);
  assert.equal((await lost).reason, 'AGENT_LOST');
  assert.equal(agent.of('tool_cancel').length, 0);
});

claim('hello is for one session: the next one starts without', async (scope) => {
  const tw = await scope.toolwire();
  await (await hello(await tw.agent('user_1', silent))).close();
  const agent = await tw.agent('user_1', silent);
  const call = tw.caller().call('user_1', 'slow', {}, {timeoutMs: 1000});
  await agent.called();
  assert.equal((await call).reason, 'CALL_TIMEOUT');
  await sawOnlyTheBaseProtocol(agent);
});

claim('`toolwire agent` names every capability that the codec knows', async (scope) => {
  const codec = await readFile(path.join(REPOSITORY, 'common/wire/wire_codec.h'), 'utf8');
  const known = [...codec.matchAll(/\{kCapability\w+, "(\w+)"\}/g)].map(([, name]) => name);
  assert.ok(known.includes('cancel'));
  const frames = [];
  const server = scope.backend(new WebSocketServer({host: '127.0.0.1', port: 0}));
  server.stop = async () => server.close();
  await once(server, 'listening');
  server.on('connection', (socket) => {
    socket.on('message', (text) => frames.push(JSON.parse(text)));
    socket.send(JSON.stringify({type: 'connected', userId: 'user_1', serverId: 'edge-1', timestamp: 0}));
  });
  const url = `ws://127.0.0.1:${server.address().port}`;
  scope.process('toolwire', ['agent', '--url', url, '--user', 'user_1'],
    {env: {TOOLWIRE_SECRET: 'secret', TOOLWIRE_CA: undefined}});
  const hello = await until('it sends hello', () => frames.find(({type}) => type === 'hello'));
  assert.deepEqual(hello.capabilities, known);
});

claimInBoth('`toolwire agent` stops what it was doing, gives no answer, and goes on', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = scope.process('toolwire', ['agent', '--url', tw.url(), '--user', 'user_1', '--log-format', 'json'],
    {env: {TOOLWIRE_SECRET: await tw.secret('user_1')}});
  await until('it is connected', () => agent.logged('agent connected').length > 0);
  const caller = tw.caller();
  const stream = caller.dispatch();
  // As many as it runs at once: only if they end is there room for the next.
  const ids = Array.from({length: 1024}, (_, id) => id);
  stream.send({calls: ids.map((id) => ({id, userId: 'user_1', tool: 'sleep', params: {ms: 3_600_000}, requestId: `sleep ${id}`}))});
  await until('one more is too many', async () => {
    return (await caller.call('user_1', 'sleep', {ms: 0})).reason === 'AGENT_BUSY';
  });
  stream.cancel(...ids);
  await until('all have ended', () => agent.logged('tool call cancelled').length === ids.length);
  assert.deepEqual(resultOf(await caller.call('user_1', 'sleep', {ms: 1})), {slept_ms: 1});
  const [first] = agent.logged('tool call cancelled');
  assert.deepEqual([first.tool, first.requestId], ['sleep', 'sleep 0']);
  assert.equal((await caller.call('user_1', 'sleep', {ms: 3_600_000}, {timeoutMs: 1000})).reason, 'CALL_TIMEOUT');
  await until('it knows', () => agent.logged('tool call cancelled').length === ids.length + 1);
  assert.equal(await tw.metric('toolwire_edge_stray_answers_total'), 0);
});

claim('many agents in one process: each call is cancelled at its own agent', async (scope) => {
  const tw = await scope.toolwire();
  const file = await tw.secrets('user_', 20);
  const load = scope.process('toolwire', [
    'agent', '--url', tw.url(), '--count', '20', '--credentials', file, '--threads', '2', '--log-format', 'json', '--log-level', 'debug']);
  await until('all are connected', () => load.logged('all agents connected').length === 1);
  const stream = tw.caller().dispatch();
  const users = Array.from({length: 20}, (_, i) => `user_${i}`);
  stream.send({calls: users.map((userId, id) => ({id, userId, tool: 'sleep', params: {ms: id < 10 ? 3_600_000 : 500}, requestId: 'same'}))});
  for (const userId of users) assert.equal((await stream.call(userId, 'echo')).code, 0);  // The sleeps have left before.
  stream.cancel(...[...users.keys()].slice(0, 10));
  for (let id = 10; id < 20; ++id) assert.deepEqual(resultOf(await stream.answer(id)), {slept_ms: 500});
  await until('ten are cancelled', () => load.logged('tool call cancelled').length === 10);
});

clusterClaim('a call through the old channels that times out is cancelled for agents that can', async (scope) => {
  const cluster = await sharedCluster(scope, {edges: 1, controls: 1, edgeFlags: {'old-call-timeout': 200}});
  const backend = await cluster.oldBackend();
  const able = await hello(await cluster.agent('able', silent));
  const plain = await cluster.agent('plain', silent);
  for (const [userId, agent] of Object.entries({able, plain})) {
    const response = await backend.sendToolCall(userId, {tool: 'slow', requestId: `old ${userId}`});
    assert.equal(response.success, false);
    assert.equal(agent.calls.length, 1);
  }
  assert.deepEqual(await cancelled(able), ['old able']);
  await sawOnlyTheBaseProtocol(plain);
});
