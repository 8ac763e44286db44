// The proxy between control and edge does what it is told, by itself, in a cluster of the tests, and in scripts/cluster.
import assert from 'node:assert/strict';
import {once} from 'node:events';
import {chmod} from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import {judge} from '../bench/links/soak_judge.js';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {Gate, QUEUE_BYTES} from './lib/gate.js';
import {REPOSITORY, binary, output} from './lib/process.js';
import {planOf} from './lib/storm.js';
import {claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

// One end of a connection: what came, and how it ended.
class End {
  constructor(socket) {
    this.socket = socket;
    this.bytes = 0;
    socket.on('data', (bytes) => (this.bytes += bytes.length));
    socket.on('end', () => (this.how ??= 'fin'));
    socket.on('error', ({code}) => {
      this.how ??= code;
      this.broken = true;
    });
  }
  ended() {
    return until('it ends', () => this.how);
  }
  // Ended by a reset: Node.js may show one that came right after bytes as an end, until something is written.
  reset() {
    return until('it is reset', () => this.broken || (this.socket.write('x'), false));
  }
}

// A gate with a listener behind it.
async function start(scope) {
  const server = net.createServer({allowHalfOpen: true});
  const edges = [];
  server.on('connection', (socket) => edges.push(scope.own(socket) && new End(socket)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.own(server);
  const gate = scope.own(await Gate.start({to: {port: server.address().port}, seed: 1}));
  const dial = async () => {
    const socket = scope.own(net.connect({port: gate.port, host: '127.0.0.1', allowHalfOpen: true}));
    await once(socket, 'connect');
    return new End(socket);
  };
  // Both ends of a connection.
  const pair = async () => {
    const known = edges.length;
    const control = await dial();
    return {control, edge: await until('the gate dials', () => edges[known])};
  };
  return {gate, edges, dial, pair};
}

claim('a gate passes bytes and ends on, each way', async (scope) => {
  const {control, edge} = await (await start(scope)).pair();
  control.socket.end(Buffer.alloc(3_000_000));
  assert.equal(await edge.ended(), 'fin');
  assert.equal(edge.bytes, 3_000_000);
  edge.socket.end('answer');
  assert.equal(await control.ended(), 'fin');
  assert.equal(control.bytes, 6);
});

claim('a gate passes resets on', async (scope) => {
  const {control, edge} = await (await start(scope)).pair();
  control.socket.resetAndDestroy();
  await edge.reset();
});

for (const by of ['fin', 'rst']) {
  claim(`a gate cuts a connection at the byte it is told, by ${by}`, async (scope) => {
    const {gate, pair} = await start(scope);
    const {control, edge} = await pair();
    control.socket.write(Buffer.alloc(1000));
    await until('they pass', () => edge.bytes === 1000);
    await gate.tell({command: 'cut', way: 'toEdge', after: 123_457, by});
    edge.socket.write(Buffer.alloc(1000));  // The other way passes.
    await until('they pass', () => control.bytes === 1000);
    control.socket.write(Buffer.alloc(1_000_000));
    await edge.ended();
    assert.equal(edge.bytes, 124_457);
    await control.ended();
    if (by === 'rst') await edge.reset();
    else assert.deepEqual([edge.how, edge.broken], ['fin', undefined]);

    await gate.tell({command: 'cut', way: 'toControl', after: 3, by, next: true});
    const next = await pair();
    next.edge.socket.write('hello');
    await next.control.ended();
    assert.equal(next.control.bytes, 3);
  });
}

claim('a gate throttles a way, and holds little of what waits', async (scope) => {
  const {gate, pair} = await start(scope);
  const {control, edge} = await pair();
  await gate.tell({command: 'throttle', way: 'toEdge', bytesPerSecond: 2_000_000});
  const began = performance.now();
  control.socket.write(Buffer.alloc(1_000_000));
  let most = 0;
  await until('all has passed', async () => {
    const {connections: [{holds}]} = await gate.tell({command: 'state'});
    most = Math.max(most, holds.toEdge.own);
    return edge.bytes === 1_000_000;
  });
  const ms = performance.now() - began;
  assert.ok(ms >= 450, `1 MB at 2 MB/s came in ${ms} ms`);
  assert.ok(most < 3 * QUEUE_BYTES, `${most} bytes were held`);
});

claim('what a gate delays comes later and in order', async (scope) => {
  const {gate, pair} = await start(scope);
  const {control, edge} = await pair();
  await gate.tell({command: 'delay', way: 'toEdge', delayMs: 100, jitterMs: 50});
  let text = '';
  edge.socket.on('data', (bytes) => (text += bytes));
  const began = performance.now();
  for (let i = 0; i < 10; ++i) {
    control.socket.write(`${i}`);
    await new Promise(setImmediate);
  }
  await until('all has come', () => text.length === 10);
  assert.equal(text, '0123456789');
  assert.ok(performance.now() - began >= 99);
});

claim('through a gate that stalls nothing passes, not even an end, until it goes on', async (scope) => {
  const {gate, pair} = await start(scope);
  const {control, edge} = await pair();
  await gate.tell({command: 'stall', way: 'toEdge'});
  control.socket.end('late');
  edge.socket.write('the other way');
  await until('the other way passes', () => control.bytes === 13);
  assert.deepEqual([edge.bytes, edge.how], [0, undefined]);
  await gate.tell({command: 'clear'});
  assert.equal(await edge.ended(), 'fin');
  assert.equal(edge.bytes, 4);
});

claim('a gate that refuses leaves connections, and listens again', async (scope) => {
  const {gate, dial, pair} = await start(scope);
  const {control, edge} = await pair();
  await gate.tell({command: 'refuse'});
  await assert.rejects(dial(), {code: 'ECONNREFUSED'});
  control.socket.write('x');
  await until('bytes pass', () => edge.bytes === 1);
  await gate.tell({command: 'clear'});
  await pair();
});

claim('a gate that is a black hole accepts, and never dials for what it has accepted', async (scope) => {
  const {gate, dial, edges, pair} = await start(scope);
  await gate.tell({command: 'blackHole'});
  const swallowed = await dial();
  swallowed.socket.write('x');
  await until('the gate has it', async () => (await gate.tell({command: 'state'})).swallowed === 1);
  await gate.tell({command: 'clear'});
  await pair();
  assert.deepEqual([edges.length, swallowed.how], [1, undefined]);
});

claim('the faults of a storm are those of its seed', () => {
  assert.deepEqual(planOf(7, 60), planOf(7, 60));
  assert.notDeepEqual(planOf(7, 60), planOf(8, 60));
  return Promise.resolve();
});

claim('the soak of links finds each kind of broken promise, and no more', async () => {
  const call = (requestId, outcome) => ({requestId, begunAt: 0, deadlineAt: 20_000, paramsBytes: 200, outcome});
  const answered = {success: true, at: 10};
  const lost = {reason: 'AGENT_LOST', delivery: 'SENT', at: 3000};
  const late = {reason: 'CALL_TIMEOUT', delivery: 'SENT', at: 20_250};
  const calls = [
    call('good', answered), call('silent'), call('twice', answered), call('told twice', answered),
    call('not sent', {reason: 'EDGE_UNAVAILABLE', delivery: 'NOT_SENT', at: 5}), call('late', late), call('a bit late', late),
    call('answered', lost), call('answered later', lost), call('long answered', late), call('just answered', late),
  ];
  const seen = (requestId, seenAt, answeredAt) => ({requestId, seenAt, answeredAt});
  const agents = [{lags: [{at: 20_900, ms: 700}], calls: [
    seen('good', 1, 2), seen('twice', 1, 2), seen('twice', 3, 4), seen('told twice', 1, 2), seen('not sent', 1, 2),
    seen('late', 21_500, 21_501), seen('a bit late', 20_900, 20_901), seen('answered', 1, 2999), seen('answered later', 1, 3001),
    seen('long answered', 1, 2), seen('just answered', 1, 19_000),
  ]}];
  const {found} = judge({callers: [{calls, repeated: ['told twice'], lags: []}], agents, graceMs: 5000});
  const names = Object.fromEntries(Object.entries(found).map(([kind, some]) => [kind, some.map(({requestId}) => requestId)]));
  assert.deepEqual(names, {
    lost: ['silent'], doubled: ['twice', 'told twice'], notSentButSeen: ['not sent'], runAfterDeadline: ['late'],
    sentThoughAnswered: ['answered', 'long answered'],
  });
});

clusterClaim('in a cluster with gates, controls reach edges through them alone', async (scope) => {
  const cluster = await Cluster.start(scope, {gates: {seed: 1}});
  const [{gate}] = cluster.edges;
  assert.equal(gate.connections.size, 2);
  await cluster.agent('user_1', {edge: 0});
  await cluster.known('user_1', 'edge-1');
  for (const caller of cluster.callers()) assert.equal((await caller.call('user_1', 'echo')).code, 0);
  await gate.tell({command: 'refuse'});
  await gate.tell({command: 'cut'});
  for (const control of cluster.controls) {
    await until('the link is gone', async () => (await control.metric('toolwire_control_edges_linked')) === 1);
  }
  await gate.tell({command: 'clear'});
  await cluster.linked();
});

clusterClaim('scripts/cluster puts gates before edges and passes commands on to them', async (scope) => {
  const parent = await scope.directory();
  await chmod(parent, 0o711);  // PostgreSQL's own user must pass.
  const directory = path.join(parent, 'cluster');
  const env = {TOOLWIRE_CLUSTER_DIR: directory, TOOLWIRE_BIN_DIR: path.dirname(binary('toolwire-edge'))};
  const cluster = (...args) => output(path.join(REPOSITORY, 'scripts/cluster'), args, {env});
  scope.own({stop: () => cluster('down')});
  const shown = await cluster('up', '--gate', '--seed', '5', '--edges', '2', '--controls', '1');
  assert.match(shown, /^edge-1 +gate +\S+\/edge-1\.gate, seed 6$/m);
  assert.match(await cluster('status'), /^gate-2: running/m);
  const states = async (...args) => (await cluster('gate', ...args)).trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual((await states('state')).map(({connections}) => connections.length), [1, 1]);
  const [throttled, ...others] = await states('edge-2', 'throttle', 'way=toEdge', 'bytesPerSecond=4000000');
  assert.equal(others.length, 0);
  assert.deepEqual([throttled.toEdge.bytesPerSecond, throttled.toControl.bytesPerSecond], [4_000_000, null]);
  assert.equal((await states('edge-1', 'state'))[0].toEdge.bytesPerSecond, null);
});
