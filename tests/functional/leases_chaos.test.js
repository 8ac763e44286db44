// Random minutes: edges paused and killed; Redis cut, paused, flushed, full, evicting, failed over to its replica; agents
// that hop from edge to edge; old and new callers. TOOLWIRE_LEASE_MINUTES is how long, half a minute by default;
// TOOLWIRE_SEED makes the same plan again. Prints its figures as one line of JSON.
import assert from 'node:assert/strict';
import {setTimeout as sleep} from 'node:timers/promises';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {FieldAgent} from './lib/field_agent.js';
import {RedisPair} from './lib/redis_pair.js';
import {newSeed, randomOf} from './lib/storm.js';
import {loginQuery} from './lib/toolwire.js';
import {Traffic} from './lib/traffic.js';
import {until} from './lib/until.js';

const MINUTES = Number(process.env.TOOLWIRE_LEASE_MINUTES ?? 0.5);
const USERS = Array.from({length: 12}, (_, i) => `user_${i}`);
const EDGES = 3;
// A lease lives so long without a session, if its edge was killed.
const LEASE_TTL_MS = 10_000;
// Faults in which Redis itself drops messages, or the one connection on which they were heard: what is lost then is
// counted apart.
const DROPPING = ['flush', 'evict', 'failOver', 'cutRedis'];

// Of the old callers' calls that an agent answered and whose caller heard nothing in time: those whose answer came
// later, those that Redis dropped, and those that Toolwire owes.
function unheard(traffic, rows, faults) {
  const sum = {late: 0, dropped: 0, lost: []};
  for (const {requestId, way, kind, begunAt, endedAt} of traffic.calls.values()) {
    if (way !== 'redis' || kind !== 'unknown' || !rows.get(requestId)?.[0].success) continue;
    const during = faults.filter(({from, to}) => from <= endedAt && begunAt <= to).map(({name}) => name);
    if (traffic.responses.has(requestId)) sum.late += 1;
    else if (during.some((name) => DROPPING.includes(name))) sum.dropped += 1;
    else sum.lost.push({requestId, begunAt, endedAt, during});
  }
  return sum;
}

clusterClaim(`in ${MINUTES} random minutes no call runs twice, no answer that is owed is lost, and afterwards each lease and subscription has its session`, async (scope) => {
  const seed = Number(process.env.TOOLWIRE_SEED ?? newSeed());
  const random = randomOf(seed);
  const below = (n) => Math.floor(random() * n);
  const cluster = await Cluster.start(scope, {
    edges: EDGES, redis: await RedisPair.start(scope), edgeFlags: {'lease-ttl': LEASE_TTL_MS, 'heartbeat-interval': 1000, 'heartbeat-timeout': 60_000},
  });
  const client = await cluster.redis.client();
  const answer = ({params}) => ({success: true, result: params});
  const agents = await Promise.all(USERS.map(async (userId) => {
    const query = loginQuery(userId, await cluster.secret(userId));
    return cluster.scope.own(new FieldAgent(() => cluster.edges[below(cluster.edges.length)].url(query), {answer}));
  }));
  for (const agent of agents) await agent.connected();
  const traffic = await Traffic.start(cluster, USERS);
  await traffic.recovered(Date.now(), 'before');

  const pauseOf = (ms) => ms + below(ms);
  const faults = {
    hop: async () => {
      for (const agent of agents) {
        if (random() < 0.3) agent.session.destroy();
      }
    },
    pauseEdge: async () => {
      const edge = cluster.edges[below(EDGES)];
      edge.process.pause();
      await sleep(pauseOf(2000));
      edge.process.resume();
    },
    killEdge: async () => {
      const edge = cluster.edges[below(EDGES)];
      cluster.forget(edge);
      await edge.process.kill();
      await cluster.addEdge();
    },
    pauseRedis: async () => {
      cluster.redis.pause();
      await sleep(pauseOf(1500));
      cluster.redis.resume();
    },
    pauseWrites: () => client.call('CLIENT', 'PAUSE', pauseOf(1500), 'WRITE'),
    cutRedis: async () => {
      await client.call('CLIENT', 'KILL', 'TYPE', ['normal', 'pubsub'][below(2)], 'SKIPME', 'yes');
    },
    flush: () => client.flushall(),
    fill: async () => {
      await client.config('SET', 'maxmemory', 1);
      await sleep(pauseOf(1500));
      await client.config('SET', 'maxmemory', 0);
    },
    evict: async () => {
      await client.config('SET', 'maxmemory-policy', 'allkeys-random');
      const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))[1]);
      await client.config('SET', 'maxmemory', used - 1000 - below(4000));
      await sleep(pauseOf(200));
      await client.config('SET', 'maxmemory', 0);
      await client.config('SET', 'maxmemory-policy', 'noeviction');
    },
    failOver: () => cluster.redis.failOver({sparing: random() < 0.5}),
  };
  const done = [];
  const names = Object.keys(faults);
  for (const end = Date.now() + MINUTES * 60_000; Date.now() < end;) {
    const name = names[below(names.length)];
    console.log(`seed ${seed}: ${name}`);
    const from = Date.now();
    await faults[name]();
    done.push({name, from, to: Date.now()});
    await sleep(below(1500));
  }

  const calm = Date.now();
  await traffic.recovered(calm, 'random minutes');
  for (const agent of agents) await agent.connected();
  const rows = await traffic.sum(agents, 'random minutes');
  const sum = unheard(traffic, rows, done);
  const owed = await Promise.all(cluster.edges.map((edge) => edge.metric('toolwire_edge_old_answers_lost_total')));
  console.log(`figures: ${JSON.stringify({
    seed, minutes: MINUTES, faults: Object.fromEntries(names.map((one) => [one, done.filter(({name}) => name === one).length])),
    calls: traffic.calls.size, doubled: 0, lost: sum.lost.length, owed_and_given_up: owed.reduce((a, b) => a + b, 0),
    late: sum.late, dropped_by_redis: sum.dropped,
  })}`);
  assert.deepEqual(sum.lost, [], 'answers owed and lost');
  assert.deepEqual(owed, owed.map(() => 0), 'answers that edges gave up');
  await until('each lease and each subscription has its session', async () => {
    const users = new Map();
    for (const edge of cluster.edges) {
      for (const user of JSON.parse((await edge.http('/metrics')).body).connectedUsers) {
        users.set(user, [...(users.get(user) ?? []), edge.serverId]);
      }
    }
    const leases = await client.keys('agent:*:server');
    const subscriptions = await client.pubsub('CHANNELS', 'agent:*:commands');
    for (const user of USERS) assert.equal(users.get(user)?.length, 1, `sessions of ${user}: ${users.get(user)}`);
    for (const key of leases) {
      const user = key.slice('agent:'.length, -':server'.length);
      assert.equal(await client.get(key), users.get(user)?.[0], `the lease of ${user}`);
    }
    assert.equal(leases.length, USERS.length);
    assert.equal(subscriptions.length, USERS.length);
    for (const user of USERS) {
      assert.equal((await client.pubsub('NUMSUB', `agent:${user}:commands`))[1], 1, `who listens for ${user}`);
    }
    console.log(`figures: leases ${leases.length}, subscriptions ${subscriptions.length}, each with its session`);
    return true;
  }, 4 * LEASE_TTL_MS);
}, {timeout: 600_000 + MINUTES * 60_000});
