// The deadline of a stop: whatever is silent, a process that gets SIGTERM does what it can and ends in order.
import assert from 'node:assert/strict';
import net from 'node:net';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

const DRAIN_MS = 1000;
const GRACE_MS = 8000;  // Beyond the drain time, as --help says.
const SLOW_MS = 5000;  // What a busy machine may add.
const silent = {answer: () => undefined};
const flags = {'drain-timeout': DRAIN_MS};

// SIGTERM to all at once; each ends with status 0 within what it promises.
async function stopInTime(processes) {
  const begun = Date.now();
  for (const one of new Set(processes)) one.signal('SIGTERM');
  await Promise.all(processes.map(async (one) => {
    assert.deepEqual(await one.exited(), {code: 0, signal: null}, `${one.command}\n${one.tail(10)}`);
    const took = Date.now() - begun;
    assert.ok(took < DRAIN_MS + GRACE_MS + SLOW_MS, `${one.command} took ${took} ms\n${one.tail(10)}`);
  }));
}

const processesOf = ({edges, controls}) => [...edges, ...controls].map(({process}) => process);

clusterClaim('while PostgreSQL is silent a stop closes agents, settles calls, ends in time and loses no row', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 1, controls: 1, ownPostgres: true, flags});
  const agent = await cluster.agent('user_1', silent);
  await cluster.secret('user_2');
  const caller = cluster.caller();
  cluster.postgres.freeze();
  const call = caller.call('user_1', 'slow');
  await agent.called();
  // These wait for the store, on both processes.
  const asked = caller.admin('ListCredentials').catch((error) => error);
  const login = await cluster.dial('user_2');
  await stopInTime(processesOf(cluster));
  assert.equal((await call).delivery, 'SENT');
  assert.equal((await agent.closed()).code, 1001);
  await login.closed();
  await asked;
  cluster.postgres.thaw();
  await cluster.addControl();  // On the same data directory.
  await cluster.rowsOnceThere(1, "tool_name = 'slow'");
});

clusterClaim('while Redis is silent a stop closes agents and ends in time', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 1, controls: 1, flags});
  const agent = await cluster.agent('user_1');
  cluster.redis.pause();
  scope.own({close: () => cluster.redis.resume()});
  await stopInTime(processesOf(cluster));
  assert.equal((await agent.closed()).code, 1001);
  cluster.redis.resume();
});

claimInBoth('agents and callers that do not read, and sockets that send nothing, do not keep a stop from ending in time', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags});
  const [unread, reader] = [await tw.agent('user_1', silent), await tw.agent('user_2')];
  for (let i = 0; i < 20; ++i) scope.own(net.connect(tw.ports.agents, '127.0.0.1')).on('error', () => {}).resume();
  await until('they are accepted', async () => (await tw.metric('toolwire_edge_sockets')) === 22);
  unread.pause();
  const stream = tw.caller().dispatch();
  const text = 'x'.repeat(1 << 20);
  for (let i = 0; i < 20; ++i) stream.call('user_1', 'never', {text}).catch(() => {});
  for (let i = 0; i < 20; ++i) stream.call('user_2', 'echo', {text}).catch(() => {});
  stream.pause();
  await reader.called(20);
  await stopInTime(tw.processes);
  assert.equal((await reader.closed()).code, 1001);
});
