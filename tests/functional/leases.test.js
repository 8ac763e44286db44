// Leases that are never forgotten, and answers that are owed: edges that were paused, logins that came to nothing, and a
// Redis that stands still, over real processes.
import assert from 'node:assert/strict';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {until} from './lib/until.js';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A cluster without controls: what is told here concerns edges and Redis.
const edgesAlone = (scope, options) => Cluster.start(scope, {controls: 0, ...options});

// How many connections listen for the user's commands.
async function listeners(client, userId) {
  return (await client.pubsub('NUMSUB', `agent:${userId}:commands`))[1];
}

clusterClaim('an edge that was paused while its agents moved away and left has no leases and no subscriptions when it wakes', async (scope) => {
  const cluster = await edgesAlone(scope, {edgeFlags: {'heartbeat-interval': 500, 'heartbeat-timeout': 60_000}});
  const client = await cluster.redis.client();
  const [paused] = cluster.edges;
  const users = Array.from({length: 20}, (_, i) => `user_${i}`);
  const first = await Promise.all(users.map((user) => cluster.agent(user, {edge: 0})));
  paused.process.pause();
  // A heartbeat waits at the edge: once it wakes, it refreshes.
  for (const agent of first) agent.heartbeat();
  const second = await Promise.all(users.map((user) => cluster.agent(user, {edge: 1})));
  for (const agent of second) agent.destroy();
  await until('the leases are released', async () =>
    (await Promise.all(users.map((user) => client.exists(`agent:${user}:server`)))).every((there) => there === 0));
  paused.process.resume();
  for (const agent of first) assert.equal((await agent.closed()).code, 4001);
  await until('nobody listens', async () =>
    (await Promise.all(users.map((user) => listeners(client, user)))).every((count) => count === 0));
  await sleep(1500);  // Refreshes are gathered for a second.
  for (const user of users) {
    assert.equal(await client.exists(`agent:${user}:server`), 0, `a lease of ${user} without a session`);
    assert.equal(await listeners(client, user), 0, `a subscription for ${user} without a session`);
  }
});

clusterClaim('a login that was abandoned while Redis stood still ends no session, neither here nor elsewhere', async (scope) => {
  const cluster = await edgesAlone(scope);
  const client = await cluster.redis.client();
  const backend = await cluster.oldBackend();
  const agent = await cluster.agent('user', {edge: 0});
  assert.equal((await backend.sendToolCall('user', {tool: 'echo', params: {n: 1}})).result.n, 1);
  cluster.redis.pause();
  const abandoned = await Promise.all([0, 1].map((edge) => cluster.dial('user', {edge})));
  await until('both logins wait for Redis', () => abandoned.every((one) => one.opened));
  await sleep(200);  // Until the secrets are checked.
  for (const one of abandoned) one.destroy();
  await sleep(2500);  // Longer than the edges wait for an answer.
  cluster.redis.resume();
  await until('the edges are connected again', async () =>
    (await Promise.all(cluster.edges.map((edge) => edge.health()))).every(({status}) => status === 'healthy'));
  assert.equal((await backend.sendToolCall('user', {tool: 'echo', params: {n: 2}}, 5000)).result.n, 2);
  await sleep(500);
  assert.equal(agent.closeFrame, undefined);
  assert.equal(await client.get('agent:user:server'), cluster.edges[0].serverId);
  assert.equal(await listeners(client, 'user'), 1);
});

for (const [how, begin, end] of [
  ['stands still for 3 s', (redis) => redis.pause(), (redis) => redis.resume()],
  ['takes no writes for 3 s', async (_, client) => client.call('CLIENT', 'PAUSE', 3000, 'WRITE'), () => {}],
]) {
  clusterClaim(`answers that agents give while Redis ${how} reach their backends`, async (scope) => {
    const cluster = await edgesAlone(scope, {edges: 1});
    const client = await cluster.redis.client();
    const backend = await cluster.oldBackend();
    const agent = await cluster.agent('user', {answer: () => undefined});
    const calls = Array.from({length: 20}, (_, i) => backend.sendToolCall('user', {tool: 'slow', params: {i}, requestId: `r${i}`}));
    await until('the calls have arrived', () => agent.calls.length === calls.length);
    await begin(cluster.redis, client);
    for (const {requestId, params} of agent.calls) agent.respond(requestId, {success: true, result: params.i});
    await sleep(3000);
    await end(cluster.redis);
    for (const [i, call] of calls.entries()) assert.equal((await call).result, i);
    assert.equal(await cluster.edges[0].metric('toolwire_edge_old_answers_lost_total'), 0);
    await until('nothing is owed', async () => (await cluster.edges[0].metric('toolwire_edge_old_answer_bytes')) === 0);
  });
}

clusterClaim('an edge that was paused does not run commands for which nobody waits any more', async (scope) => {
  const cluster = await edgesAlone(scope, {edges: 1, edgeFlags: {'old-call-timeout': 1500, 'heartbeat-timeout': 90_000}});
  const client = await cluster.redis.client();
  const backend = await cluster.oldBackend();
  const agent = await cluster.agent('user');
  const [edge] = cluster.edges;
  edge.process.pause();
  await client.publish('agent:user:commands', JSON.stringify({type: 'tool_call', requestId: 'old', tool: 'transfer_money', params: {}}));
  await sleep(2500);
  edge.process.resume();
  await until('the command was read', async () => (await edge.metric('toolwire_edge_old_commands_total')) === 1);
  assert.equal((await backend.sendToolCall('user', {tool: 'echo', params: {n: 1}}, 5000)).result.n, 1);
  assert.deepEqual(agent.calls.map(({tool}) => tool), ['echo']);
  assert.equal(await edge.metric('toolwire_edge_old_commands_late_total'), 1);
  const [row] = await cluster.rowsOnceThere(1, "request_id = 'old'");
  assert.equal(row.error, 'CALL_TIMEOUT');
});

clusterClaim('a Redis that was emptied leaves exactly one edge with each user: old commands run once, the older session ends', async (scope) => {
  const cluster = await edgesAlone(scope);
  const client = await cluster.redis.client();
  const backend = await cluster.oldBackend();
  for (let round = 0; round < 10; ++round) {
    const user = `user_${round}`;
    const older = await cluster.agent(user, {edge: 0});
    await client.flushall();
    const newer = await cluster.agent(user, {edge: 1});
    const {result} = await backend.sendToolCall(user, {tool: 'echo', params: {round}, timeout: 5000});
    assert.equal(result.round, round);
    assert.equal((await older.closed()).code, 4001);
    assert.deepEqual([older.calls.length, newer.calls.length], [0, 1]);
  }
});

for (const flag of ['no-old-status-keys', 'no-old-channels']) {
  clusterClaim(`with --${flag} Redis has the key that names the edge, and none of the status`, async (scope) => {
    const cluster = await edgesAlone(scope, {edges: 1, edgeFlags: {[flag]: true, 'heartbeat-interval': 1000}});
    const client = await cluster.redis.client();
    const agent = await cluster.agent('user');
    agent.heartbeat();
    await sleep(1500);  // Refreshes are gathered for a second.
    assert.equal(await client.get('agent:user:server'), cluster.edges[0].serverId);
    assert.equal(await client.exists('agent:user:status'), 0);
    assert.equal(await listeners(client, 'user'), flag === 'no-old-channels' ? 0 : 1);
  });
}

clusterClaim('keys of edges of a wrong type keep no edge from serving, and no control from finding it', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 1, controls: 1});
  const client = await cluster.redis.client();
  for (const key of ['edge:edge-9', 'toolwire:edges', 'toolwire:old-channels']) {
    await client.del(key);
    await client.rpush(key, 'x');
  }
  await cluster.addEdge({serverId: 'edge-9'});
  await cluster.agent('user', {edge: 1});
  await cluster.linked();
});
