// A rolling upgrade: edges of a version before and of this one on one Redis. TOOLWIRE_BEFORE_BIN_DIR names a directory
// with the toolwire-edge of a version that has leases without a record of their own (before 44006bd).
import assert from 'node:assert/strict';
import path from 'node:path';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {FieldAgent} from './lib/field_agent.js';
import {newSeed, randomOf} from './lib/storm.js';
import {loginQuery} from './lib/toolwire.js';
import {Traffic} from './lib/traffic.js';
import {until} from './lib/until.js';

const BEFORE = process.env.TOOLWIRE_BEFORE_BIN_DIR;
const OPTIONS = BEFORE ? {} : {skip: 'TOOLWIRE_BEFORE_BIN_DIR names no version before'};
const USERS = Array.from({length: 8}, (_, i) => `user_${i}`);

async function bothBuilds(scope, edgeFlags) {
  const cluster = await Cluster.start(scope, {edges: 1, controls: 1, edgeFlags});
  await cluster.addEdge({serverId: 'before', binary: path.resolve(BEFORE, 'toolwire-edge')});
  return cluster;
}

clusterClaim('newest wins between an edge of the version before and one of this: each login ends the session at the other, and commands run at the newest', async (scope) => {
  const cluster = await bothBuilds(scope);
  const client = await cluster.redis.client();
  const backend = await cluster.oldBackend();
  let older = await cluster.agent('user', {edge: 0});
  for (let round = 1; round <= 12; ++round) {
    const edge = round % 2;
    const newer = await cluster.agent('user', {edge});
    assert.equal((await older.closed()).code, 4001, `round ${round}`);
    assert.equal(await client.get('agent:user:server'), cluster.edges[edge].serverId);
    const {result} = await backend.sendToolCall('user', {tool: 'echo', params: {round}, timeout: 5000});
    assert.equal(result.round, round);
    assert.deepEqual([older.calls.length, newer.calls.length], [round > 1 ? 1 : 0, 1]);
    older = newer;
  }
  await older.close();
  await until('the lease is released', async () => (await client.exists('agent:user:server')) === 0);
}, OPTIONS);

clusterClaim('while agents hop between an edge of the version before and one of this, no command runs twice, and each user is left with one session', async (scope) => {
  const cluster = await bothBuilds(scope, {'heartbeat-interval': 1000, 'heartbeat-timeout': 60_000});
  const client = await cluster.redis.client();
  const random = randomOf(newSeed());
  const agents = await Promise.all(USERS.map(async (userId) => {
    const query = loginQuery(userId, await cluster.secret(userId));
    return scope.own(new FieldAgent(() => cluster.edges[Math.floor(random() * 2)].url(query)));
  }));
  for (const agent of agents) await agent.connected();
  const traffic = await Traffic.start(cluster, USERS, {callers: 0});
  for (const end = Date.now() + 10_000; Date.now() < end;) {
    for (const agent of agents) {
      if (random() < 0.4) agent.session.destroy();
    }
    await new Promise((resolve) => setTimeout(resolve, 1500 * random()));
  }
  await traffic.recovered(Date.now(), 'hops', ['redis']);
  await traffic.sum(agents, 'hops');
  await until('each user has one session, one lease and one subscription', async () => {
    const users = (await Promise.all(cluster.edges.map(async (edge) =>
      JSON.parse((await edge.http('/metrics')).body).connectedUsers.map((user) => [user, edge.serverId])))).flat();
    assert.deepEqual(users.map(([user]) => user).sort(), USERS);
    for (const [user, serverId] of users) {
      assert.equal(await client.get(`agent:${user}:server`), serverId);
      assert.equal((await client.pubsub('NUMSUB', `agent:${user}:commands`))[1], 1);
    }
    return true;
  }, 30_000);
}, OPTIONS);
