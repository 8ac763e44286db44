// What a link between control and edge promises while its connections are slow, stand still and break: through a gate.
import assert from 'node:assert/strict';
import {setTimeout as sleep} from 'node:timers/promises';
import {resultOf} from './lib/caller.js';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {callsOverCuts} from './lib/cuts.js';
import {claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

const silent = {answer: () => undefined};
const SLOW = 4_000_000;  // Bytes per second: 16 MiB take 4 s.
const LARGE = (16 << 20) - 1024;
const padding = (bytes) => 'x'.repeat(bytes);

// Control and edge with a gate between them.
const start = (scope, options = {}) => scope.toolwire({topology: 'split', gate: {seed: 1}, ...options});
const unlinked = (tw) => tw.control.logged('edge unlinked').map(({why}) => why);
const toolsSeen = (agent) => agent.calls.map(({tool}) => tool);
// How a call failed, in two words.
const failure = ({reason, delivery}) => `${reason} ${delivery}`;
const answered = (outcome, what) => assert.equal(outcome.code, 0, `${what}: ${failure(outcome)} ${outcome.message}`);
// How many bytes have passed the gate one way, over all connections that are there.
const passed = ({gate}, way) => [...gate.connections].reduce((sum, {ways}) => sum + ways[way].passed, 0);
const passedMore = async (tw, way, bytes) => {
  const before = passed(tw, way);
  await until(`${bytes} bytes pass`, () => passed(tw, way) >= before + bytes);
};
// Everything of this direction that was sent before has come: a call has gone there and back.
async function roundTrip(tw, stream, userId) {
  answered(await stream.call(userId, 'after', {}, {timeoutMs: 240_000}), 'the call after');
}

// --- large messages ---
// A control beside that of `tw`, through the same gate, with this limit for payloads; that of its edge is 16 MiB.
async function smallControl(scope, tw, payloadBytesMax) {
  const small = await scope.toolwire({
    topology: 'control', edge: tw.gate.address, dataDir: tw.dataDir, flags: {'payload-bytes-max': payloadBytesMax},
  });
  await small.linked();
  return small;
}

claim('64 large results that wait for a control which stands still are all answered', async (scope) => {
  const tw = await start(scope);
  const small = await smallControl(scope, tw, 1 << 20);
  const agent = await tw.agent('user_1', silent);
  const caller = small.caller();
  const calls = Array.from({length: 64}, (_, i) => caller.call('user_1', 'large', {}, {requestId: `large_${i}`, timeoutMs: 120_000}));
  await agent.called(64);
  small.control.pause();
  const result = padding(1_000_000);
  for (let i = 0; i < 64; ++i) agent.respond(`large_${i}`, {success: true, result});
  await agent.roundTrip();  // The edge has them all.
  small.control.resume();
  for (const [i, outcome] of (await Promise.all(calls)).entries()) answered(outcome, `result ${i}`);
  assert.deepEqual(unlinked(small), []);
});

claim('a result that is larger than the control takes fails alone, and others go on', async (scope) => {
  const tw = await start(scope);
  const small = await smallControl(scope, tw, 65_536);
  const agent = await tw.agent('user_1', silent);
  const other = await tw.agent('user_2', silent);
  const stream = small.caller().dispatch();
  const running = stream.call('user_2', 'slow', {}, {requestId: 'running', timeoutMs: 240_000});
  await other.called();
  const large = stream.call('user_1', 'large', {}, {requestId: 'large', timeoutMs: 240_000});
  await agent.called();
  agent.respond('large', {success: true, result: padding(4 << 20)});  // More than it takes of all together.
  assert.equal(failure(await large), 'AGENT_LOST SENT');
  other.respond('running', {success: true, result: 1});
  answered(await running, 'the other call');
  assert.deepEqual(unlinked(small), []);
  assert.equal(await tw.metric('toolwire_edge_limit_hits_total', {limit: 'link_waiting_bytes'}), 1);
});

for (const [what, params, bytes] of [['params', {padding: padding(LARGE - 20)}, 1], ['a result', {}, LARGE]]) {
  claim(`${what} of 16 MiB passes a link of 4 MB/s, and others' calls are answered`, async (scope) => {
    const tw = await start(scope);
    await tw.agent('user_1', {answer: () => ({success: true, result: padding(bytes)})});
    const other = await tw.agent('user_2', silent);
    const running = tw.caller().call('user_2', 'slow', {}, {requestId: 'running', timeoutMs: 100_000});
    await other.called();
    await tw.gate.tell({command: 'throttle', bytesPerSecond: SLOW});
    answered(await tw.caller().call('user_1', 'large', params, {timeoutMs: 100_000}), 'the large call');
    other.respond('running', {success: true, result: 1});
    answered(await running, 'the running call');
    assert.deepEqual(unlinked(tw), []);
  });
}

// --- age ---
claim('a call that reaches the edge after its deadline is not run', async (scope) => {
  const tw = await start(scope);
  const agent = await tw.agent('user_1');
  const stream = tw.caller().dispatch();
  await roundTrip(tw, stream, 'user_1');
  await tw.gate.tell({command: 'stall', way: 'toEdge'});
  const late = await stream.call('user_1', 'late', {}, {timeoutMs: 200});
  assert.equal(late.reason, 'CALL_TIMEOUT');
  await tw.gate.tell({command: 'clear'});
  await roundTrip(tw, stream, 'user_1');
  assert.deepEqual(toolsSeen(agent), ['after', 'after']);
});

claim('a call that its caller cancelled while it was on its way is not run', async (scope) => {
  const tw = await start(scope);
  const agent = await tw.agent('user_1');
  const stream = tw.caller().dispatch();
  await roundTrip(tw, stream, 'user_1');
  await tw.gate.tell({command: 'throttle', way: 'toEdge', bytesPerSecond: SLOW});
  stream.send({calls: [{id: 1, userId: 'user_1', tool: 'large', params: {padding: padding(8 << 20)}, timeoutMs: 240_000}]});
  await passedMore(tw, 'toEdge', 500_000);
  stream.cancel(1);
  assert.equal((await stream.answer(1)).reason, 'CALLER_CANCELLED');
  await tw.gate.tell({command: 'clear'});
  await roundTrip(tw, stream, 'user_1');
  assert.deepEqual(toolsSeen(agent), ['after', 'after']);
});

claim('a call that its control gave up with the link is not run when the edge reads on', async (scope) => {
  const tw = await start(scope);
  const agent = await tw.agent('user_1');
  const stream = tw.caller().dispatch();
  await roundTrip(tw, stream, 'user_1');
  tw.edge.pause();
  const given = stream.call('user_1', 'given up', {}, {timeoutMs: 240_000});
  await passedMore(tw, 'toEdge', 20);
  await tw.gate.tell({command: 'cut', by: 'fin'});
  assert.equal((await given).reason, 'AGENT_LOST');
  tw.edge.resume();
  await tw.linked();
  await until('the agent can be called', async () => (await stream.call('user_1', 'after')).code === 0);
  await agent.roundTrip();
  assert.ok(!toolsSeen(agent).includes('given up'), toolsSeen(agent).join());
});

// --- connections that break ---
// Breaks all connections; on the next ones nothing passes until `clear`.
async function breakLink(tw) {
  await tw.gate.tell({command: 'stall'});
  await tw.gate.tell({command: 'cut'});
}

claim('answers that are due while a connection is broken arrive on the next one', async (scope) => {
  const tw = await start(scope);
  const agent = await tw.agent('user_1', silent);
  const stream = tw.caller().dispatch();
  const calls = Array.from({length: 20}, (_, i) => stream.call('user_1', 'slow', {}, {requestId: `slow_${i}`, timeoutMs: 240_000}));
  await agent.called(20);
  await breakLink(tw);
  for (let i = 0; i < 20; ++i) agent.respond(`slow_${i}`, {success: true, result: i});
  await agent.roundTrip();
  await tw.gate.tell({command: 'clear'});
  for (const [i, outcome] of (await Promise.all(calls)).entries()) answered(outcome, `answer ${i}`);
});

claim('calls that are made while a connection is broken are run once, on the next one', async (scope) => {
  const tw = await start(scope);
  const agent = await tw.agent('user_1');
  const stream = tw.caller().dispatch();
  await roundTrip(tw, stream, 'user_1');
  await breakLink(tw);
  const calls = Array.from({length: 20}, (_, i) => stream.call('user_1', `during_${i}`, {}, {timeoutMs: 240_000}));
  const failed = Promise.any(calls.map(async (call) => assert.notEqual((await call).code, 0)));
  const allThere = until('control has them', async () => (await tw.metric('toolwire_control_calls_in_flight')) === 20);
  await Promise.race([failed, allThere]);
  await tw.gate.tell({command: 'clear'});
  for (const [i, outcome] of (await Promise.all(calls)).entries()) answered(outcome, `call ${i}`);
  assert.equal(new Set(toolsSeen(agent)).size, 21);
  assert.equal(agent.calls.length, 21);
});

claim('connections that are cut at random bytes lose no answer, run nothing twice and nothing that is NOT_SENT', async (scope) => {
  const tw = await start(scope);
  const {wrong, what} = await callsOverCuts(tw, {cuts: 30, afterBytesMax: 2000, openingBytes: 8});
  assert.deepEqual(wrong, {}, what);
});

claim('a control that stands still while it dials again keeps its link', async (scope) => {
  const tw = await start(scope);
  const agent = await tw.agent('user_1');
  for (let i = 0; i < 10; ++i) {
    await tw.gate.tell({command: 'cut', by: 'rst'});
    await sleep(20 * Math.random());
    tw.control.pause();
    await sleep(60);
    tw.control.resume();
    await sleep(300);
  }
  await sleep(3000);  // Longer than a link waits for its connection.
  await agent.roundTrip();
  assert.equal((await tw.caller().call('user_1', 'echo')).code, 0);
  assert.deepEqual(unlinked(tw), []);
});

claim('watchers hear nothing of a connection that breaks and is back', async (scope) => {
  const tw = await start(scope);
  await tw.agent('user_1');
  const caller = tw.caller();
  const watch = caller.watch(['user_1']);
  await watch.snapshot();
  for (let i = 0; i < 5; ++i) {
    await tw.gate.tell({command: 'cut', by: i % 2 ? 'fin' : 'rst'});
    await until('the agent can be called', async () => (await caller.call('user_1', 'echo')).code === 0);
  }
  await tw.agent('user_1');  // An event behind all others.
  await watch.saw('MOVED', 'user_1');
  assert.deepEqual(watch.events.map(({kind}) => kind).filter((kind) => kind === 'DISCONNECTED'), []);
  watch.stop();
});

// --- an edge that stops ---
claim('a result that is on its way when its edge stops arrives within the drain time', async (scope) => {
  const tw = await start(scope, {flags: {'drain-timeout': 30_000}});
  await tw.agent('user_1', {answer: () => ({success: true, result: padding(LARGE)})});
  await tw.gate.tell({command: 'throttle', way: 'toControl', bytesPerSecond: SLOW});
  const call = tw.caller().call('user_1', 'large', {}, {timeoutMs: 100_000});
  await passedMore(tw, 'toControl', 1_000_000);
  tw.edge.signal('SIGTERM');
  answered(await call, 'the large call');
  assert.deepEqual(await tw.edge.exited(), {code: 0, signal: null});
});

claim('calls that an edge refuses while it stops are NOT_SENT to the last', async (scope) => {
  const tw = await start(scope, {flags: {'drain-timeout': 30_000}});
  await tw.agent('user_1', {answer: () => ({success: true, result: padding(LARGE)})});
  const other = await tw.agent('user_2', silent);
  await tw.gate.tell({command: 'throttle', way: 'toControl', bytesPerSecond: SLOW});
  const caller = tw.caller();
  const large = caller.call('user_1', 'large', {}, {timeoutMs: 100_000});
  await passedMore(tw, 'toControl', 1_000_000);
  tw.edge.signal('SIGTERM');
  await until('it is stopping', () => tw.edge.logged('stopping').length > 0);
  const stream = caller.dispatch();
  const calls = [];
  while (!tw.edge.ended) {
    calls.push(stream.call('user_2', 'late', {}, {timeoutMs: 20_000}));
    await sleep(20);
  }
  await large;
  const failures = {};
  for (const outcome of await Promise.all(calls)) failures[failure(outcome)] = (failures[failure(outcome)] ?? 0) + 1;
  assert.equal(other.calls.length, 0);
  assert.deepEqual(Object.keys(failures).filter((one) => !one.endsWith(' NOT_SENT')), [], JSON.stringify(failures));
});

// --- what has not been sent ---
const PIECES = {padding: padding(8 << 20)};
async function piecesHaveLeft(scope, fields) {
  const tw = await start(scope);
  const agent = await tw.agent('user_1');
  const stream = tw.caller().dispatch();
  await tw.gate.tell({command: 'throttle', way: 'toEdge', bytesPerSecond: 1_000_000});
  stream.send({calls: [{id: 1, userId: 'user_1', tool: 'large', params: PIECES, ...fields}]});
  await passedMore(tw, 'toEdge', 300_000);
  return {tw, agent, stream};
}

claim('a call of which only pieces have left is NOT_SENT when its caller cancels', async (scope) => {
  const {agent, stream} = await piecesHaveLeft(scope, {timeoutMs: 240_000});
  stream.cancel(1);
  assert.equal(failure(await stream.answer(1)), 'CALLER_CANCELLED NOT_SENT');
  assert.deepEqual(toolsSeen(agent), []);
});

claim('a call of which only pieces have left is NOT_SENT when its deadline passes', async (scope) => {
  const {agent, stream} = await piecesHaveLeft(scope, {timeoutMs: 1500});
  assert.equal(failure(await stream.answer(1)), 'CALL_TIMEOUT NOT_SENT');
  assert.deepEqual(toolsSeen(agent), []);
});

claim('a call of which only pieces have left is NOT_SENT when the link is lost', async (scope) => {
  const {tw, agent, stream} = await piecesHaveLeft(scope, {timeoutMs: 20_000});
  await tw.gate.tell({command: 'refuse'});
  await tw.gate.tell({command: 'cut'});
  assert.match(failure(await stream.answer(1)), / NOT_SENT$/);
  assert.deepEqual(toolsSeen(agent), []);
});

// --- dialling ---
claim('an edge whose connections break right after the hello is dialled less and less often', async (scope) => {
  const tw = await start(scope);
  const dials = () => tw.gate.events.filter(({event}) => event === 'connected').length;
  const before = dials();
  const cutting = setInterval(() => {
    for (const connection of tw.gate.connections) {
      if (connection.ways.toControl.passed > 8 && performance.now() - connection.began > 20) connection.cut('rst');
    }
  }, 5);
  await sleep(5000);
  clearInterval(cutting);
  const dialled = dials() - before;
  assert.ok(dialled <= 15, `${dialled} dials in 5 s`);
  await tw.linked();
});

clusterClaim('an edge that announces itself again is dialled at once', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 1, controls: 1, gates: {seed: 1}});
  const [control] = cluster.controls;
  let [edge] = cluster.edges;
  const waits = [];
  for (let i = 0; i < 3; ++i) {
    await edge.gate.tell({command: 'refuse'});
    await edge.process.kill();
    cluster.forget(edge);
    await sleep(4000 + 300 * i);  // So that control waits long between its dials.
    const {gate} = edge;
    const linked = control.process.logged('edge linked').length;
    await gate.tell({command: 'clear'});
    const {gates} = cluster;
    cluster.gates = undefined;
    edge = await cluster.addEdge({serverId: edge.serverId, flags: {'relay-address': gate.address, 'relay-port': edge.ports.relay}});
    cluster.gates = gates;
    edge.gate = gate;
    const began = performance.now();
    await until('it is linked', () => control.process.logged('edge linked').length > linked);
    waits.push(Math.round(performance.now() - began));
  }
  assert.ok(Math.max(...waits) < 400, `linked after ${waits.join(', ')} ms`);
});
