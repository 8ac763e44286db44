// What breaks in production, broken on purpose under traffic. Every test ends with calls that succeed by themselves and
// with the sum: each call has one outcome, was delivered at most once, and has left one audit row.
//
// TOOLWIRE_CHAOS_SECONDS is how long outages last: 3 by default, 20 to be sure.
import assert from 'node:assert/strict';
import {setTimeout as sleep} from 'node:timers/promises';
import {code} from './lib/caller.js';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {FieldAgent} from './lib/field_agent.js';
import {loginQuery} from './lib/toolwire.js';
import {Traffic} from './lib/traffic.js';
import {until} from './lib/until.js';

const OUTAGE_MS = 1000 * Number(process.env.TOOLWIRE_CHAOS_SECONDS ?? 3);
const RECOVERY_MS = 120_000;
const USERS = Array.from({length: 6}, (_, i) => `user_${i}`);

const chaos = (name, body) => clusterClaim(name, body, {timeout: 400_000 + 4 * OUTAGE_MS});

// Echoes; stays silent on `slow`.
const answer = ({tool, params}) => (tool === 'slow' ? undefined : {success: true, result: params});

// An agent of the field that dials the edges in turn, beginning with this one. Edges that were forgotten are not tried.
async function fieldAgent(cluster, userId, {edge = 0, ...options} = {}) {
  const query = loginQuery(userId, await cluster.secret(userId));
  return cluster.scope.own(new FieldAgent(
    (attempt) => cluster.edges[(edge + attempt) % cluster.edges.length].url(query), {answer, ...options}));
}

// A cluster with half of the users' agents on each edge, and traffic to them that runs.
async function underTraffic(scope, options) {
  const cluster = await Cluster.start(scope, options);
  const agents = await Promise.all(USERS.map((userId, i) => fieldAgent(cluster, userId, {edge: i % 2})));
  for (const agent of agents) await agent.connected();
  const traffic = await Traffic.start(cluster, USERS);
  await traffic.recovered(Date.now(), 'before');
  return {cluster, agents, traffic};
}

// `count` calls to the users that stay in flight, and their outcomes.
async function inFlight(callers, users, agents, count, name) {
  const calls = Array.from({length: count}, (_, i) => ({
    requestId: `${name}_${i}`, caller: callers[i % callers.length], userId: users[Math.floor(i / callers.length) % users.length],
  }));
  const outcomes = calls.map(({caller, userId, requestId}) => caller.call(userId, 'slow', {}, {requestId, timeoutMs: 600_000}));
  const arrived = () => agents.flatMap((agent) => agent.calls).filter(({requestId}) => requestId.startsWith(`${name}_`)).length;
  await until(`${count} calls are in flight`, () => arrived() === count);
  return outcomes;
}

// The rows of calls made outside the traffic, by request id: one each.
async function rowsOf(cluster, name, count) {
  const rows = await cluster.rowsOnceThere(count, `request_id LIKE '${name}\\_%'`, RECOVERY_MS);
  assert.equal(new Set(rows.map(({request_id}) => request_id)).size, count);
  assert.equal(rows.length, count, `rows of ${name}`);
  return rows;
}

// An outage that lasts OUTAGE_MS, and as long as `noticed` takes.
async function outage(begin, noticed, end) {
  const until = Date.now() + OUTAGE_MS;
  await begin();
  try {
    await noticed();
    await sleep(Math.max(0, until - Date.now()));
  } finally {
    await end();
  }
  return Date.now();
}

async function healthSays(edges, wanted) {
  for (const edge of edges) {
    await until(`${edge.serverId} says ${JSON.stringify(wanted)}`, async () => {
      const health = await edge.health();
      return Object.entries(wanted).every(([key, value]) => health[key] === value);
    }, RECOVERY_MS);
  }
}

// --- processes ---

chaos('an edge is killed with 200 calls in flight: each ends with a definite outcome, its agents are callable at another edge at once', async (scope) => {
  const {cluster, agents, traffic} = await underTraffic(scope, {});
  const [killed] = cluster.edges;
  const victims = USERS.filter((_, i) => i % 2 === 0);
  const theirs = agents.filter((_, i) => i % 2 === 0);
  const callers = cluster.callers();
  const outcomes = await inFlight([...callers, ...callers.map((caller) => caller.dispatch())], victims, theirs, 200, 'flight');
  const backend = await cluster.oldBackend();
  const old = Array.from({length: 20}, (_, i) =>
    backend.sendToolCall(victims[i % 3], {tool: 'slow', requestId: `old_${i}`, timeout: 5000}).catch((error) => error));
  await until('they are in flight', () =>
    theirs.flatMap((agent) => agent.calls).filter(({requestId}) => requestId.startsWith('old_')).length === 20);

  await killed.process.kill();
  const since = Date.now();
  cluster.forget(killed);
  for (const outcome of await Promise.all(outcomes)) {
    assert.deepEqual([outcome.code, outcome.reason, outcome.delivery], [code.ABORTED, 'AGENT_LOST', 'SENT']);
  }
  console.log(`edge killed: 200 calls had their outcome after ${Date.now() - since} ms`);
  for (const [i, agent] of theirs.entries()) {
    await until('the agent is connected again', () => agent.sessions.length > 1 && agent.current);
    for (const outcome of await Promise.all(callers.map((caller) => caller.call(victims[i], 'echo')))) {
      assert.equal(outcome.code, 0, `first call after the reconnect: ${outcome.reason} ${outcome.message}`);
    }
  }
  console.log(`edge killed: all its agents were called at the other edge after ${Date.now() - since} ms`);
  await traffic.recovered(since, 'edge killed');
  const rows = await rowsOf(cluster, 'flight', 200);
  assert.ok(rows.every(({success, error}) => !success && error === 'AGENT_LOST'));
  assert.ok((await rowsOf(cluster, 'old', 20)).every(({success}) => !success));
  await traffic.sum(agents, 'edge killed');
  await Promise.all(old);
});

chaos('an edge is killed and started again under its name: everything is found again', async (scope) => {
  const {cluster, agents, traffic} = await underTraffic(scope, {});
  const [killed] = cluster.edges;
  await killed.process.kill();
  const since = Date.now();
  cluster.forget(killed);
  const again = await cluster.addEdge({serverId: killed.serverId});
  await cluster.linked();
  await traffic.recovered(since, 'edge started again');
  const agent = await fieldAgent(cluster, 'newcomer', {edge: cluster.edges.indexOf(again)});
  await agent.connected();
  for (const caller of cluster.callers()) assert.equal((await caller.call('newcomer', 'echo')).code, 0);
  await traffic.sum([...agents, agent], 'edge started again');
});

chaos('a control is killed with 100 calls in flight: the other control goes on, and the calls get their audit rows', async (scope) => {
  const {cluster, agents, traffic} = await underTraffic(scope, {});
  const [killed] = cluster.controls;
  const [doomed, safe] = cluster.callers();
  const broken = await inFlight([doomed, doomed.dispatch()], USERS, agents, 100, 'doomed')
    .then((calls) => calls.map((call) => call.catch((error) => error)));
  const unharmed = await inFlight([safe], USERS, agents, 20, 'safe');
  await killed.process.kill();
  const since = Date.now();
  cluster.forget(killed);
  for (const outcome of await Promise.all(broken)) {
    assert.ok(outcome instanceof Error || outcome.code === code.UNAVAILABLE, JSON.stringify(outcome));
  }
  for (const agent of agents) {
    for (const {requestId} of agent.calls) {
      if (requestId.startsWith('safe_')) agent.current.respond(requestId, {success: true, result: 1});
    }
  }
  for (const outcome of await Promise.all(unharmed)) assert.equal(outcome.code, 0, outcome.message);
  await traffic.recovered(since, 'control killed');
  const rows = await rowsOf(cluster, 'doomed', 100);
  console.log(`control killed: the rows of its calls were there after ${Date.now() - since} ms`);
  assert.ok(rows.every(({success, error}) => !success && error === 'CONTROL_LOST'), JSON.stringify(rows[0]));
  assert.ok((await rowsOf(cluster, 'safe', 20)).every(({success}) => success));
  for (const agent of agents) assert.equal(agent.sessions.length, 1, 'agents notice nothing');
  const again = await cluster.addControl();
  await cluster.linked();
  assert.equal((await cluster.caller({control: cluster.controls.indexOf(again)}).call(USERS[0], 'echo')).code, 0);
  await traffic.sum(agents, 'control killed');
});

chaos('an edge stands still longer than its links are kept, and goes on: nothing of what happened meanwhile is undone', async (scope) => {
  const {cluster, agents, traffic} = await underTraffic(scope, {});
  const [paused, other] = cluster.edges;
  const [mover] = agents;  // Gives up its socket meanwhile, and goes to the other edge.
  const since = await outage(
    () => paused.process.pause(),
    async () => {
      for (const control of cluster.controls) {
        await until('the control has given it up', async () => (await control.metric('toolwire_control_edges_linked')) === 1, RECOVERY_MS);
      }
      mover.session.destroy();
      await until('the agent is at the other edge', () => mover.current?.frames[0].serverId === other.serverId, RECOVERY_MS);
      for (const caller of cluster.callers()) {
        assert.equal((await caller.call(USERS[0], 'echo')).code, 0, 'at once');
        const outcome = await caller.call(USERS[2], 'echo', {}, {timeoutMs: 2000, requestId: undefined});
        assert.ok(outcome.reason, 'calls to agents of the one that stands still fail with a reason');
      }
    },
    () => paused.process.resume());
  await cluster.linked();
  await traffic.recovered(since, 'edge paused');
  const redis = await cluster.redis.client();
  assert.equal(await redis.get(`agent:${USERS[0]}:server`), other.serverId);
  assert.equal(await redis.get(`agent:${USERS[2]}:server`), paused.serverId);
  await until('the database says connected', async () => (await cluster.statusOf(USERS[0])) === 'connected');
  assert.equal(mover.sessions.length, 2, 'the new session stayed');
  for (const agent of agents.slice(1)) assert.equal(agent.sessions.length, 1, 'the others kept theirs');
  await traffic.sum(agents, 'edge paused');
});

// --- Redis ---

// gRPC calls that ended meanwhile were all answered.
function assertGrpcWentOn(traffic, from, to) {
  const ended = [...traffic.calls.values()].filter(({way, endedAt}) => way === 'grpc' && endedAt > from && endedAt <= to);
  assert.ok(ended.length > 0, 'there were calls');
  const failed = ended.filter(({kind}) => kind !== 'answered');
  assert.deepEqual(failed, [], 'calls to known agents go on');
}
const closeCodes = (agent) => agent.sessions.slice(0, -1).map((session) => session.closeFrame.code);

for (const [how, begin, end] of [
  ['stopped and started again empty', 'stop', 'start'],
  ['paused', 'pause', 'resume'],
]) {
  chaos(`Redis is ${how}: calls to known agents go on, health says so, agents that come wait, and all is as before`, async (scope) => {
    const {cluster, agents, traffic} = await underTraffic(scope, {});
    const {redis} = cluster;
    await cluster.secret('newcomer');
    let newcomer;
    const from = Date.now();
    const since = await outage(
      () => redis[begin](),
      async () => {
        newcomer = await fieldAgent(cluster, 'newcomer');
        await healthSays(cluster.edges, {status: 'degraded', registry: 'away', store: 'connected'});
      },
      () => redis[end]());
    assertGrpcWentOn(traffic, from, since);
    await traffic.recovered(since, `Redis ${how}`);
    await newcomer.connected();
    assert.ok(closeCodes(newcomer).every((one) => one === 1013), `newcomer: ${closeCodes(newcomer)}`);
    for (const caller of cluster.callers()) assert.equal((await caller.call('newcomer', 'echo')).code, 0);
    await healthSays(cluster.edges, {status: 'healthy'});
    const client = await redis.client();
    for (const [i, userId] of USERS.entries()) {
      await until('every lease is there again', async () =>
        (await client.get(`agent:${userId}:server`)) === cluster.edges[i % 2].serverId);
      assert.equal(await client.get(`agent:${userId}:status`), 'connected');
    }
    for (const agent of agents) assert.equal(agent.sessions.length, 1, 'no agent was disconnected');
    await traffic.sum([...agents, newcomer], `Redis ${how}`);
  });
}

chaos('Redis is restarted empty without a pause, three times: leases and subscriptions come back by themselves', async (scope) => {
  const {cluster, agents, traffic} = await underTraffic(scope, {});
  for (let round = 0; round < 3; ++round) {
    const from = Date.now();
    await cluster.redis.stop();
    await cluster.redis.start();
    const since = Date.now();
    await traffic.recovered(since, `Redis restarted ${round + 1}`);
    assertGrpcWentOn(traffic, from, Date.now());
  }
  for (const agent of agents) assert.equal(agent.sessions.length, 1, 'no agent was disconnected');
  // After it was emptied, the newest connection still wins.
  const mover = await fieldAgent(cluster, USERS[0], {edge: 1});
  await mover.connected();
  await until('the old one is notified', () => agents[0].sessions[0].closeFrame?.code === 4001);
  agents[0].destroy();
  for (const caller of cluster.callers()) assert.equal((await caller.call(USERS[0], 'echo')).code, 0);
  await traffic.sum([...agents, mover], 'Redis restarted');
});

chaos('an edge dies while Redis is unavailable: its agents come back at the other edge as soon as Redis does', async (scope) => {
  const {cluster, agents, traffic} = await underTraffic(scope, {});
  const [killed] = cluster.edges;
  const since = await outage(
    () => cluster.redis.stop(),
    async () => {
      await killed.process.kill();
      cluster.forget(killed);
    },
    () => cluster.redis.start());
  await traffic.recovered(since, 'edge killed without Redis');
  await traffic.sum(agents, 'edge killed without Redis');
});

// --- PostgreSQL ---

for (const [how, begin, end] of [['stopped and started again', 'stop', 'start'], ['frozen', 'freeze', 'thaw']]) {
  chaos(`PostgreSQL is ${how}: calls go on, logins get 1013 and never 1008, rows are written once when it is available again`, async (scope) => {
    const {cluster, agents, traffic} = await underTraffic(scope, {ownPostgres: true});
    const {postgres} = cluster;
    await cluster.secret('newcomer');
    let newcomer;
    const from = Date.now();
    const since = await outage(
      () => postgres[begin](),
      async () => {
        newcomer = await fieldAgent(cluster, 'newcomer');
        await healthSays(cluster.edges.slice(0, 1), {status: 'degraded', registry: 'connected', store: 'away'});
        await until('the newcomer was rejected', () => newcomer.sessions[0].closeFrame, RECOVERY_MS);
      },
      () => postgres[end]());
    assertGrpcWentOn(traffic, from, since);
    await traffic.recovered(since, `PostgreSQL ${how}`);
    await newcomer.connected();
    assert.ok(closeCodes(newcomer).every((one) => one === 1013), `newcomer: ${closeCodes(newcomer)}`);
    for (const caller of cluster.callers()) assert.equal((await caller.call('newcomer', 'echo')).code, 0);
    await healthSays(cluster.edges, {status: 'healthy'});
    for (const agent of agents) assert.equal(agent.sessions.length, 1, 'no agent was disconnected');
    await until('the status is right', async () => (await cluster.statusOf('newcomer')) === 'connected');
    await traffic.sum([...agents, newcomer], `PostgreSQL ${how}`);
  });
}

chaos('an edge and a control are killed while PostgreSQL is unavailable: the rows of their calls are written once it is available again', async (scope) => {
  const {cluster, agents, traffic} = await underTraffic(scope, {ownPostgres: true});
  const [edge] = cluster.edges;
  const [control] = cluster.controls;
  const since = await outage(
    () => cluster.postgres.stop(),
    async () => {
      const callers = cluster.callers();
      const calls = await inFlight([callers[0]], USERS, agents, 50, 'both');
      const ends = calls.map((call) => call.catch(() => {}));
      await control.process.kill();
      await edge.process.kill();
      cluster.forget(control);
      cluster.forget(edge);
      await Promise.all(ends);
    },
    () => cluster.postgres.start());
  await traffic.recovered(since, 'both killed without PostgreSQL');
  const rows = await rowsOf(cluster, 'both', 50);
  console.log(`both killed without PostgreSQL: the rows of their calls were there after ${Date.now() - since} ms`);
  assert.ok(rows.every(({success, error}) => !success && error === 'CONTROL_LOST'));
  await traffic.sum(agents, 'both killed without PostgreSQL');
});

// --- everything ---

chaos('every process is replaced in turn, as in a rollout: calls fail only with a reason, and the sum is right', async (scope) => {
  const {cluster, agents, traffic} = await underTraffic(scope, {});
  const since = Date.now();
  for (const old of [...cluster.edges]) {
    await cluster.addEdge();
    await cluster.linked();
    cluster.forget(old);
    await old.process.stop();
  }
  for (const old of [...cluster.controls]) {
    await cluster.addControl();
    await cluster.linked();
    cluster.forget(old);
    await old.process.stop();
  }
  await traffic.recovered(Date.now(), 'rollout');
  console.log(`rollout: took ${Date.now() - since} ms`);
  await traffic.sum(agents, 'rollout');
});
