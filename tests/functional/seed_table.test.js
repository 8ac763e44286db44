// The server that Toolwire replaces, row by row of its own description: over Redis and PostgreSQL, with the agents and
// backends it had.
import assert from 'node:assert/strict';
import {createHash, randomBytes} from 'node:crypto';
import {resultOf} from './lib/caller.js';
import {Cluster, clusterClaim, quoted, sharedCluster} from './lib/cluster.js';
import {freePort} from './lib/ports.js';
import {output} from './lib/process.js';
import {SeedAgent} from './lib/seed_agent.js';
import {agentsUrl, loginQuery, metric} from './lib/toolwire.js';
import {until} from './lib/until.js';

const silent = {answer: () => undefined};

// A test on the cluster that all of them share; users are the test's own.
const row = (name, body) => clusterClaim(name, async (scope) => {
  const cluster = await sharedCluster(scope);
  await body(cluster, scope);
});
const lastSeen = async (cluster, userId) => {
  const [{last_seen: at}] = await cluster.sql(`SELECT last_seen FROM agent_credentials WHERE user_id = ${quoted(userId)}`);
  return at && new Date(at).getTime();
};
const subscribers = async (client, userId) => Number((await client.pubsub('NUMSUB', `agent:${userId}:commands`))[1]);

// --- connection flow ---

row('flow 1: an agent connects with ws://server?userId=…&secret=…', async (cluster, scope) => {
  const userId = 'flow 1 ü&=/';
  const secret = await cluster.secret(userId);
  const agent = scope.own(new SeedAgent(
    cluster.edges[0].url(`?userId=${encodeURIComponent(userId)}&secret=${secret}`)));
  assert.equal((await agent.connected()).userId, userId);
});

row('flow 2: credentials are validated against the database, at every connection', async (cluster, scope) => {
  const secret = await cluster.secret('flow_2');
  const dial = (given) => scope.own(new SeedAgent(cluster.edges[0].url(loginQuery('flow_2', given))));
  await dial(secret).connected();
  const next = randomBytes(32).toString('hex');
  const set = (value) => cluster.sql(`UPDATE agent_credentials SET shared_secret = '${value}' WHERE user_id = 'flow_2'`);
  await set(next);
  assert.deepEqual(await dial(secret).closed(), {code: 1008, reason: 'Invalid credentials'});
  await dial(next).connected();
  await set(`sha256:${createHash('sha256').update(secret).digest('hex')}`);
  assert.deepEqual(await dial(next).closed(), {code: 1008, reason: 'Invalid credentials'});
  await dial(secret).connected();
  await cluster.sql(`DELETE FROM agent_credentials WHERE user_id = 'flow_2'`);
  assert.deepEqual(await dial(secret).closed(), {code: 1008, reason: 'Invalid credentials'});
});

row('flow 2: missing credentials are closed with 1008 `Missing credentials` after the upgrade', async (cluster, scope) => {
  for (const query of ['', '?userId=someone', '?secret=some']) {
    const agent = scope.own(new SeedAgent(cluster.edges[1].url(query)));
    assert.deepEqual(await agent.closed(), {code: 1008, reason: 'Missing credentials'});
    assert.ok(agent.opened);
  }
});

row('flow 3, registerAgentConnection(): agent:{userId}:server is the server\'s id with a time to live of 120 s', async (cluster, scope) => {
  const redis = await cluster.redis.client();
  for (const edge of [0, 1]) {
    await cluster.agent(`flow_3_${edge}`, {edge, scope});
    const key = `agent:flow_3_${edge}:server`;
    assert.equal(await redis.get(key), cluster.edges[edge].serverId);
    const ttl = await redis.ttl(key);
    assert.ok(ttl > 60 && ttl <= 120, `${ttl} s`);
  }
});

row('flow 4, subscribeToAgentCommands(): the server is subscribed to agent:{userId}:commands when the agent is connected', async (cluster, scope) => {
  const redis = await cluster.redis.client();
  await cluster.agent('flow_4', {...silent, scope});
  assert.equal(await subscribers(redis, 'flow_4'), 1);
});

row('flow 5, updateAgentStatus(): the database says connected, and when the agent was last seen', async (cluster, scope) => {
  await cluster.secret('flow_5');
  assert.equal(await cluster.statusOf('flow_5'), 'pending');
  const before = Date.now();
  await cluster.agent('flow_5', {scope});
  await until('the database says connected', async () => (await cluster.statusOf('flow_5')) === 'connected');
  assert.ok(Math.abs((await lastSeen(cluster, 'flow_5')) - before) < 60_000);
});

row('flow 6: the confirmation is {type, userId, timestamp, serverId}', async (cluster, scope) => {
  const agent = await cluster.agent('flow_6', {edge: 1, scope});
  const {timestamp, ...rest} = await agent.connected();
  assert.deepEqual(rest, {type: 'connected', userId: 'flow_6', serverId: cluster.edges[1].serverId});
  assert.ok(Math.abs(timestamp - Date.now()) < 60_000, 'in milliseconds');
  assert.equal(agent.frames[0].type, 'connected', 'and comes first');
});

row('flow 7: a heartbeat is acknowledged with {type, timestamp}', async (cluster, scope) => {
  const agent = await cluster.agent('flow_7', {scope});
  agent.send({type: 'heartbeat', timestamp: 1234567890});
  const {timestamp, ...rest} = await until('it is acknowledged', () => agent.of('heartbeat_ack')[0]);
  assert.deepEqual(rest, {type: 'heartbeat_ack'});
  assert.ok(Math.abs(timestamp - Date.now()) < 60_000);
});

row('flow 8, refreshAgentConnection(): a heartbeat refreshes the time to live in Redis', async (cluster, scope) => {
  const redis = await cluster.redis.client();
  const agent = await cluster.agent('flow_8', {scope});
  for (const name of ['server', 'status']) await redis.expire(`agent:flow_8:${name}`, 40);
  await agent.roundTrip();
  await until('the time to live is 120 s again', async () => {
    const ttls = [await redis.ttl('agent:flow_8:server'), await redis.ttl('agent:flow_8:status')];
    return ttls.every((ttl) => ttl > 60 && ttl <= 120);
  }, 60_000);
  assert.equal(await redis.get('agent:flow_8:server'), cluster.edges[0].serverId);
});

clusterClaim('flow 9, stale connections are closed: after HEARTBEAT_TIMEOUT without a heartbeat, and only then', async (scope) => {
  const cluster = await Cluster.start(scope, {
    edges: 1, controls: 1, env: {HEARTBEAT_INTERVAL: '500', HEARTBEAT_TIMEOUT: '3000'},
  });
  const lively = await cluster.agent('lively');
  const stale = await cluster.agent('stale');
  const beats = setInterval(() => lively.heartbeat(), 500);
  try {
    assert.equal((await stale.closed()).code, 4002);
  } finally {
    clearInterval(beats);
  }
  assert.equal(lively.closeFrame, undefined);
  assert.equal((await cluster.caller().call('stale', 'echo')).reason, 'AGENT_NOT_CONNECTED');
  assert.equal((await cluster.caller().call('lively', 'echo')).code, 0);
  const redis = await cluster.redis.client();
  await until('the registry has forgotten it', async () => (await redis.exists('agent:stale:server')) === 0);
  await until('the database too', async () => (await cluster.statusOf('stale')) === 'disconnected');
});

row('flow 9: heartbeats are expected every 30 s and missed after 90 s, unless told otherwise', async () => {
  const help = await output('toolwire-edge', ['--help']);
  assert.match(help, /=30000 \(Env:HEARTBEAT_INTERVAL\)/);
  assert.match(help, /=90000 \(Env:HEARTBEAT_TIMEOUT\)/);
});

row('flow 10, unregisterAgentConnection(), unsubscribeFromAgentCommands(): after a disconnect Redis, pub/sub and database are clean', async (cluster, scope) => {
  const redis = await cluster.redis.client();
  for (const leave of ['close', 'destroy']) {
    const userId = `flow_10_${leave}`;
    const agent = await cluster.agent(userId, {scope});
    await until('the database says connected', async () => (await cluster.statusOf(userId)) === 'connected');
    await agent[leave]();
    await until('its keys are gone', async () => (await redis.keys(`agent:${userId}:*`)).length === 0);
    await until('nobody is subscribed', async () => (await subscribers(redis, userId)) === 0);
    await until('the database says disconnected', async () => (await cluster.statusOf(userId)) === 'disconnected');
  }
});

// --- Redis: keys, channels, functions ---

row('key agent:{userId}:status: the connection\'s status', async (cluster, scope) => {
  const redis = await cluster.redis.client();
  await cluster.agent('key_status', {scope});
  assert.equal(await redis.get('agent:key_status:status'), 'connected');
});

row('getAgentServer(): the old way and GetAgent name the same server, for a connected agent and for none', async (cluster, scope) => {
  const backend = await cluster.oldBackend();
  for (const edge of [0, 1]) {
    const userId = `get_server_${edge}`;
    await cluster.agent(userId, {edge, scope});
    assert.equal(await backend.getAgentServer(userId), cluster.edges[edge].serverId);
    await cluster.known(userId, cluster.edges[edge].serverId);
  }
  assert.equal(await backend.getAgentServer('get_server_none'), null);
  assert.equal((await cluster.caller().ask('GetAgent', {userId: 'get_server_none'})).connected, false);
});

row('publishToolCall(), channel agent:{userId}:commands: what is published reaches the agent as tool_call', async (cluster, scope) => {
  const agent = await cluster.agent('publish_call', {...silent, scope});
  const redis = await cluster.redis.client();
  const params = {path: '/home/user/file.txt', deep: [1, {a: null}], text: 'ü€😀'};
  const heard = await redis.publish(
    'agent:publish_call:commands', JSON.stringify({type: 'tool_call', requestId: 'req_publish', tool: 'read_file', params}));
  assert.equal(heard, 1);
  assert.deepEqual(await agent.called(), {type: 'tool_call', requestId: 'req_publish', tool: 'read_file', params});
});

row('publishToolResponse(), channel response:{requestId}: {userId, success, result, error, executionTime}', async (cluster, scope) => {
  const backend = await cluster.oldBackend();
  await cluster.agent('publish_response', {
    scope,
    answer: ({tool}) => ({
      good: {success: true, result: {content: 'ü', size: 1}, error: null, executionTime: 123},
      bad: {success: false, result: null, error: 'ENOENT: no such file', executionTime: 7},
    })[tool],
  });
  assert.deepEqual(await backend.sendToolCall('publish_response', {tool: 'good'}), {
    userId: 'publish_response', success: true, result: {content: 'ü', size: 1}, error: null, executionTime: 123,
  });
  assert.deepEqual(await backend.sendToolCall('publish_response', {tool: 'bad'}), {
    userId: 'publish_response', success: false, result: null, error: 'ENOENT: no such file', executionTime: 7,
  });
});

row('publishToolResponse(): a response has result, error and executionTime only if the agent\'s answer had them', async (cluster, scope) => {
  const backend = await cluster.oldBackend();
  await cluster.agent('publish_fields', {scope, answer: ({params}) => params});
  for (const answer of [
    {success: true},
    {success: true, result: 1},
    {success: true, result: null, error: null, executionTime: null},
    {success: false, error: ''},
    {success: false, error: 'ENOENT', executionTime: 12.5},
    {success: false, result: {partial: true}, executionTime: -1},
  ]) {
    assert.deepEqual(await backend.sendToolCall('publish_fields', {tool: 'fields', params: answer}), {userId: 'publish_fields', ...answer});
  }
});

row('getServerAgentCount(): /health counts the agents of one server, and ListAgents those of all', async (cluster, scope) => {
  await cluster.agent('count_a', {edge: 0, scope});
  await cluster.agent('count_b', {edge: 1, scope});
  const counts = [];
  for (const edge of cluster.edges) counts.push((await edge.health()).connections);
  assert.ok(counts.every((count) => count >= 1));
  const sum = counts.reduce((a, b) => a + b);
  for (const caller of cluster.callers()) {
    await until('every control counts the same', async () => Number((await caller.ask('ListAgents', {})).totalConnected) === sum);
  }
});

row('getAllConnectedAgents(): ListAgents has every agent of every server, and none that left', async (cluster, scope) => {
  const left = await cluster.agent('all_left', {scope});
  await cluster.agent('all_a', {edge: 0, scope});
  await cluster.agent('all_b', {edge: 1, scope});
  await left.close();
  for (const caller of cluster.callers()) {
    await until('the list is right', async () => {
      const {agents} = await caller.ask('ListAgents', {pageSize: 1000});
      const listed = agents.filter(({userId}) => userId.startsWith('all_')).map(({userId, serverId}) => [userId, serverId]);
      assert.deepEqual(listed, [['all_a', cluster.edges[0].serverId], ['all_b', cluster.edges[1].serverId]]);
      return true;
    });
  }
});

row('Redis client: when its connections break they are made again, and everything goes on', async (cluster, scope) => {
  const agent = await cluster.agent('reconnect', {edge: 1, scope});
  const redis = await cluster.redis.client();
  for (const type of ['normal', 'pubsub']) await redis.client('KILL', 'TYPE', type, 'SKIPME', 'yes');
  const backend = await cluster.oldBackend();
  await until('calls come through again', async () =>
    (await backend.sendToolCall('reconnect', {tool: 'echo', params: {n: 1}, timeout: 1000})).success);
  assert.equal(agent.closeFrame, undefined, 'the agent stayed');
  assert.equal((await cluster.caller().call('reconnect', 'echo')).code, 0);
  for (const edge of cluster.edges) {
    await until('health says so', async () => (await edge.health()).status === 'healthy');
  }
});

// --- the old backend and the old agent, unmodified ---

row('a backend that only knows the old channels and an agent that only knows the five messages work unmodified', async (cluster, scope) => {
  const backend = await cluster.oldBackend();
  const big = 'x'.repeat(1 << 20);
  const agent = await cluster.agent('unmodified', {
    edge: 1, scope,
    answer: ({tool, params}) => ({
      echo: {success: true, result: params},
      big: {success: true, result: big},
      failing: {success: false, error: 'no such tool'},
      nothing: {success: true},
      late: undefined,
    })[tool],
  });
  assert.equal(await backend.isAgentConnected('unmodified'), true);
  assert.equal(await backend.isAgentConnected('unmodified_other'), false);
  await assert.rejects(backend.sendToolCall('unmodified_other', {tool: 'echo'}), /Agent not connected/);
  const outcomes = await Promise.all(Array.from({length: 200}, (_, i) =>
    backend.sendToolCall('unmodified', {tool: 'echo', params: {i, text: 'ü'}})));
  for (const [i, {userId, success, result}] of outcomes.entries()) {
    assert.deepEqual({userId, success, result}, {userId: 'unmodified', success: true, result: {i, text: 'ü'}});
  }
  assert.equal((await backend.sendToolCall('unmodified', {tool: 'big'})).result, big);
  const failed = await backend.sendToolCall('unmodified', {tool: 'failing'});
  assert.deepEqual([failed.success, failed.error], [false, 'no such tool']);
  assert.equal((await backend.sendToolCall('unmodified', {tool: 'nothing'})).success, true);
  await assert.rejects(backend.sendToolCall('unmodified', {tool: 'late', timeout: 200}), /timed out/);
  const known = new Set(['connected', 'heartbeat_ack', 'tool_call']);
  assert.ok(agent.frames.every(({type}) => known.has(type)), 'it gets no other messages');
});

row('a command whose requestId is in flight is not delivered again, and gets one response', async (cluster, scope) => {
  const backend = await cluster.oldBackend();
  const agent = await cluster.agent('twice', {...silent, scope});
  const message = {type: 'tool_call', requestId: 'req_twice', tool: 'slow', params: {}};
  const first = backend.publish('twice', message);
  await agent.called();
  const redis = await cluster.redis.client();
  await redis.publish('agent:twice:commands', JSON.stringify(message));
  await redis.publish('agent:twice:commands', JSON.stringify({...message, requestId: 'req_after'}));
  await agent.called(2);
  assert.deepEqual(agent.calls.map(({requestId}) => requestId), ['req_twice', 'req_after']);
  agent.respond('req_twice', {success: true, result: 1});
  assert.equal((await first).result, 1);
  assert.equal(backend.responses.get('req_twice').length, 1);
});

row('a command that cannot be a call is answered with success false, if its requestId can be read', async (cluster, scope) => {
  const backend = await cluster.oldBackend();
  const agent = await cluster.agent('wrong', {scope});
  for (const [requestId, fields] of Object.entries({
    req_no_tool: {params: {}}, req_params: {tool: 'echo', params: [1]}, req_tool: {tool: 7, params: {}},
  })) {
    const response = await backend.publish('wrong', {type: 'tool_call', requestId, ...fields}, 20_000);
    assert.equal(response.success, false, requestId);
    assert.ok(response.error.length > 0);
  }
  assert.equal((await backend.sendToolCall('wrong', {tool: 'echo'})).success, true);
  assert.equal(agent.calls.length, 1);
});

row('a command that is too deep or broken behind its requestId is answered with what is wrong', async (cluster, scope) => {
  const backend = await cluster.oldBackend();
  const agent = await cluster.agent('broken', {scope});
  const deep = `{"a":${'['.repeat(600)}${']'.repeat(600)}}`;
  for (const [requestId, rest, error] of [
    ['req_deep', `"tool":"echo","params":${deep}}`, /params are nested too deep/],
    ['req_nan', '"tool":"echo","params":{"a":NaN}}', /params are not valid JSON/],
    ['req_cut', '"tool":"ec', /not valid JSON/],
    ['req_more', '"tool":"echo","params":{}}}', /not valid JSON/],
  ]) {
    const text = `{"type":"tool_call","requestId":"${requestId}",${rest}`;
    const response = await backend.publish('broken', {requestId}, 60_000, text);
    assert.equal(response.success, false, requestId);
    assert.match(response.error, error, requestId);
  }
  for (const [requestId, text] of [
    ['req_sorted', '{"params":{"a":NaN,"requestId":"x"},"requestId":"req_sorted","tool":"echo","type":"tool_call"}'],
    ['req_escape', '{"tool":"\\x","params":{},"requestId":"req_escape"}'],
    ['req_repr', "{'type': 'tool_call', 'tool': 'echo', 'params': {}, 'requestId': 'req_repr'}"],
  ]) {
    const response = await backend.publish('broken', {requestId}, 60_000, text);
    assert.match(response.error, /not valid JSON/, requestId);
  }
  assert.equal(agent.calls.length, 0);
});

row('an answer that cannot be read is published as a failure that names the field', async (cluster, scope) => {
  const backend = await cluster.oldBackend();
  await cluster.agent('unreadable', {
    scope,
    answer: ({requestId, tool}, self) => self.sendText(`{"type":"tool_response","requestId":"${requestId}"${tool}`),
  });
  for (const [rest, error] of [
    ['}', /success is not a boolean/],
    [',"success":true,"executionTime":"12"}', /executionTime is neither a number nor null/],
    [',"success":true,"result":[1', /result is not valid JSON/],
  ]) {
    const response = await backend.sendToolCall('unreadable', {tool: rest});
    assert.equal(response.success, false, rest);
    assert.match(response.error, error, rest);
  }
});

// --- database ---

row('logToolExecution(): one row per call, with params, result and timing, whichever way it came', async (cluster, scope) => {
  const backend = await cluster.oldBackend();
  await cluster.agent('log_execution', {
    scope,
    answer: ({tool, params}) =>
      tool === 'ok' ? {success: true, result: {got: params}, executionTime: 12} : {success: false, error: 'ENOENT', executionTime: 3},
  });
  const caller = cluster.caller({control: 1});
  await caller.call('log_execution', 'ok', {n: 1}, {requestId: 'log_grpc_ok'});
  await caller.call('log_execution', 'failing', {}, {requestId: 'log_grpc_failing'});
  await backend.sendToolCall('log_execution', {tool: 'ok', params: {n: 1}, requestId: 'log_redis_ok'});
  await backend.sendToolCall('log_execution', {tool: 'failing', requestId: 'log_redis_failing'});
  const rows = await cluster.rowsOnceThere(4, `user_id = 'log_execution'`);
  assert.equal(rows.length, 4);
  for (const way of ['grpc', 'redis']) {
    const find = (id) => rows.find(({request_id}) => request_id === id);
    const ok = find(`log_${way}_ok`);
    assert.deepEqual(
      [ok.tool_name, ok.params, ok.result, ok.success, ok.error || null, ok.execution_time_ms],
      ['ok', {n: 1}, {got: {n: 1}}, true, null, 12]);
    const failing = find(`log_${way}_failing`);
    assert.deepEqual([failing.tool_name, failing.success, failing.error, failing.execution_time_ms], ['failing', false, 'ENOENT', 3]);
    assert.ok(Math.abs(new Date(ok.created_at) - Date.now()) < 600_000);
  }
});

row('database client: at most 20 connections, also when 300 agents come at once', async (cluster, scope) => {
  await cluster.secrets('pool_', 300);
  const agents = await Promise.all(Array.from({length: 300}, (_, i) => cluster.dial(`pool_${i}`, {edge: i % 2, scope})));
  let most = 0;
  await until('all are connected', async () => {
    const [{count}] = await cluster.sql(`SELECT count(*)::int AS count FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`);
    most = Math.max(most, count);
    return agents.every((agent) => agent.of('connected').length === 1);
  });
  assert.ok(most >= 1 && most <= 20, `${most} connections of all processes`);
});

row('database client: statements that take over 1 s are logged, without their values', async (cluster, scope) => {
  const secret = await cluster.secret('slow_statement');
  const held = cluster.sql('BEGIN; LOCK TABLE agent_credentials IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.5); COMMIT');
  await until('the table is locked', async () =>
    (await cluster.sql(`SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
      AND relation = 'agent_credentials'::regclass`)).length > 0);
  await cluster.agent('slow_statement', {scope});
  await held;
  const [line] = await until('it is logged', () => {
    const found = cluster.edges[0].process.lines.filter((one) => /slow/i.test(one));
    return found.length > 0 && found;
  });
  assert.ok(!line.includes(secret) && !line.includes('slow_statement'), line);
});

// --- WebSocket protocol ---

row('protocol: tool_call is {type, requestId, tool, params} and tool_response is taken with and without its optional fields', async (cluster, scope) => {
  const agent = await cluster.agent('protocol', {...silent, scope});
  const caller = cluster.caller();
  const calls = [
    {requestId: 'req_full', success: true, result: {a: 1}, error: null, executionTime: 123},
    {requestId: 'req_bare', success: true},
    {requestId: 'req_failed', success: false, error: 'no'},
  ].map(({requestId, ...response}) => ({requestId, response, outcome: caller.call('protocol', 'read_file', {path: '/x'}, {requestId})}));
  await agent.called(3);
  for (const {requestId} of calls) {
    const frame = agent.calls.find((call) => call.requestId === requestId);
    assert.deepEqual(frame, {type: 'tool_call', requestId, tool: 'read_file', params: {path: '/x'}});
  }
  for (const {requestId, response} of calls) agent.send({type: 'tool_response', requestId, ...response});
  const [full, bare, failed] = await Promise.all(calls.map(({outcome}) => outcome));
  assert.deepEqual(resultOf(full), {a: 1});
  assert.equal(full.response.executionTimeMs, '123');
  assert.equal(bare.response.success, true);
  assert.deepEqual([failed.response.success, failed.response.error], [false, 'no']);
});

row('graceful error handling: frames that make no sense harm nobody', async (cluster, scope) => {
  const agent = await cluster.agent('nonsense', {scope});
  agent.sendText('not JSON');
  agent.send({type: 'unheard_of', x: 1});
  agent.respond('req_nobody_asked', {success: true});
  await agent.roundTrip();
  assert.equal((await cluster.caller().call('nonsense', 'echo')).code, 0);
});

// --- one connection per user ---

row('one connection per userId: a second one closes the first, on the same server and on another one', async (cluster, scope) => {
  const redis = await cluster.redis.client();
  let old = await cluster.agent('single', {edge: 0, scope});
  for (const edge of [0, 1, 1, 0]) {
    const next = await cluster.agent('single', {edge, scope, answer: () => ({success: true, result: edge})});
    assert.equal((await old.closed()).code, 4001);
    assert.equal(await redis.get('agent:single:server'), cluster.edges[edge].serverId);
    for (const caller of cluster.callers()) assert.equal(resultOf(await caller.call('single', 'who')), edge);
    assert.equal(next.closeFrame, undefined);
    old = next;
  }
});

// --- monitoring ---

row('/health: status, serverId, connections, uptime', async (cluster, scope) => {
  await cluster.agent('health', {edge: 0, scope});
  for (const edge of cluster.edges) {
    const {status, headers, body} = await edge.http('/health');
    assert.equal(status, 200);
    assert.match(headers['content-type'], /^application\/json/);
    const {connections, uptime, ...rest} = JSON.parse(body);
    assert.deepEqual(rest, {status: 'healthy', serverId: edge.serverId}, 'and nothing else');
    assert.equal(typeof connections, 'number');
    assert.ok(uptime >= 0 && uptime < 3600, 'in seconds');
  }
  assert.ok((await cluster.edges[0].health()).connections >= 1);
});

row('/metrics: serverId, connections, connectedUsers, uptime, memory', async (cluster, scope) => {
  await cluster.agent('metrics "1"', {edge: 1, scope});
  const {status, headers, body} = await cluster.edges[1].http('/metrics');
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^application\/json/);
  const {serverId, connections, connectedUsers, uptime, memory} = JSON.parse(body);
  assert.equal(serverId, cluster.edges[1].serverId);
  assert.equal(connections, connectedUsers.length);
  assert.ok(connectedUsers.includes('metrics "1"'));
  assert.ok(uptime >= 0);
  for (const name of ['rss', 'heapTotal', 'heapUsed']) assert.equal(typeof memory[name], 'number', name);
});

row('logging: connections, results of authentication and disconnections are logged, by user', async (cluster, scope) => {
  const lines = (text) => cluster.edges[0].process.logs.filter((line) => JSON.stringify(line).includes(text));
  const agent = await cluster.agent('logged_in', {scope});
  await until('the connection is logged', () => lines('logged_in').some(({event}) => event === 'agent connected'));
  await agent.close();
  await until('the disconnection is logged', () => lines('logged_in').some(({event}) => event === 'agent disconnected'));
  const wrong = scope.own(new SeedAgent(cluster.edges[0].url(loginQuery('logged_in', 'f'.repeat(64)))));
  assert.equal((await wrong.closed()).code, 1008);
  await until('the refusal is logged', () => lines('logged_in').some(({event}) => /refused|rejected|failed|invalid/i.test(event)));
});

row('logging: heartbeats and calls, too many for lines of their own, are counted for each server', async (cluster, scope) => {
  const [edge] = cluster.edges;
  const names = ['toolwire_edge_heartbeats_total', 'toolwire_edge_calls_delivered_total'];
  const before = await Promise.all(names.map((name) => edge.metric(name)));
  const agent = await cluster.agent('counted', {scope});
  await agent.roundTrip();
  await cluster.caller().call('counted', 'echo');
  assert.deepEqual(await Promise.all(names.map((name) => edge.metric(name))), before.map((count) => count + 1));
});

// --- security ---

row('security: a shared secret is never logged, the right one as little as wrong ones', async (cluster, scope) => {
  const secret = await cluster.secret('secretive');
  await cluster.agent('secretive', {scope});
  const wrong = randomBytes(32).toString('hex');
  const attempts = [
    [loginQuery('secretive', wrong)], [`?secret=${wrong}`], [`?userId=secretive&secret=${wrong}&secret=${secret}`],
    ['?userId=secretive', {headers: {Authorization: `Bearer ${wrong}`}}],
  ];
  for (const [query, options] of attempts) {
    const agent = scope.own(new SeedAgent(cluster.edges[0].url(query), options));
    assert.equal((await agent.closed()).code, 1008);
    assert.ok(!agent.closeFrame.reason.includes(wrong));
  }
  const files = cluster.edges.concat(cluster.controls).flatMap(({process}) => process.lines).join('\n');
  assert.ok(!files.includes(secret) && !files.includes(wrong), 'not in any log');
  assert.ok(files.includes('secretive'), 'though the user is');
  const [stored] = await cluster.sql(`SELECT count(*)::int AS count FROM tool_execution_logs
    WHERE tool_execution_logs::text LIKE '%${secret}%'`);
  assert.equal(stored.count, 0);
});

row('security: every tool call is in the audit trail, also those that reached nobody', async (cluster) => {
  const outcomes = await Promise.all(cluster.callers().map((caller, i) =>
    caller.call('audit_nobody', 'echo', {}, {requestId: `audit_${i}`})));
  for (const outcome of outcomes) assert.equal(outcome.reason, 'AGENT_NOT_CONNECTED');
  const rows = await cluster.rowsOnceThere(2, `user_id = 'audit_nobody'`);
  assert.deepEqual(rows.map(({success, error}) => [success, error]), Array(2).fill([false, 'AGENT_NOT_CONNECTED']));
});

row('logging: each server logs its metrics every 60 s', async (cluster) => {
  for (const edge of cluster.edges) {
    const line = await until('it is logged', () => edge.process.logged('metrics')[0]);
    assert.equal(typeof line.connections, 'number');
  }
});

// --- horizontal scaling and configuration ---

clusterClaim('scaling: three servers by PORT and SERVER_ID; agents connect to any, calls find them, the state is shared', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 0, controls: 1});
  const ids = ['ws-server-1', 'ws-server-2', 'ws-server-3'];
  const ports = [];
  for (const id of ids) {
    const PORT = await freePort();
    const edge = scope.process('toolwire-edge', [
      '--relay-port=0', '--log-format=json', `--data-dir=${cluster.dataDir}`,
    ], {env: {PORT: String(PORT), SERVER_ID: id, METRICS_PORT: '0', ...cluster.redis.env, DATABASE_URL: cluster.databaseUrl}});
    const ready = await edge.ready();
    assert.equal(ready.agents, PORT);
    assert.equal(ready.serverId, id);
    ports.push(PORT);
  }
  await until('all are found', async () => (await cluster.controls[0].metric('toolwire_control_edges_linked')) === 3);
  const backend = await cluster.oldBackend();
  const caller = cluster.caller();
  const agents = [];
  for (const [i, port] of ports.entries()) {
    const userId = `user_${i}`;
    const agent = scope.own(new SeedAgent(agentsUrl(port, loginQuery(userId, await cluster.secret(userId)))));
    agents.push(agent);
    assert.equal((await agent.connected()).serverId, ids[i]);
    assert.equal(await backend.getAgentServer(userId), ids[i]);
    assert.deepEqual((await backend.sendToolCall(userId, {tool: 'echo', params: {i}})).result, {i});
    assert.deepEqual(resultOf(await caller.call(userId, 'echo', {i})), {i});
  }
  assert.equal((await cluster.rowsOnceThere(6)).length, 6);
  for (const agent of agents) agent.destroy();
});

clusterClaim('environment: PORT, SERVER_ID, DATABASE_URL, REDIS_URL, HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT, METRICS_PORT', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 0, controls: 1});
  const [PORT, METRICS_PORT] = [await freePort(), await freePort()];
  const edge = scope.process('toolwire-edge', ['--relay-port=0', '--log-format=json', `--data-dir=${cluster.dataDir}`], {
    env: {
      PORT: String(PORT), SERVER_ID: 'ws-server-env', DATABASE_URL: cluster.databaseUrl, ...cluster.redis.env,
      HEARTBEAT_INTERVAL: '400', HEARTBEAT_TIMEOUT: '2000', METRICS_PORT: String(METRICS_PORT),
    },
  });
  const ready = await edge.ready();
  assert.deepEqual([ready.agents, ready.metrics, ready.serverId], [PORT, METRICS_PORT, 'ws-server-env']);
  const agent = scope.own(new SeedAgent(agentsUrl(PORT, loginQuery('env', await cluster.secret('env')))));
  assert.equal((await agent.connected()).serverId, 'ws-server-env');
  const redis = await cluster.redis.client();
  assert.equal(await redis.get('agent:env:server'), 'ws-server-env');
  assert.equal(await metric(METRICS_PORT, 'toolwire_edge_sessions'), 1);
  assert.equal((await agent.closed()).code, 4002, 'closed by the heartbeat timeout');
});

// --- graceful shutdown ---

for (const signal of ['SIGTERM', 'SIGINT']) {
  clusterClaim(`shutdown 1-7 on ${signal}: closed doors, sockets, registry, status, connections, exit 0; the audit is complete`, async (scope) => {
    const cluster = await Cluster.start(scope, {edges: 2, controls: 1});
    const edge = cluster.edges[0];
    const agents = [];
    for (let i = 0; i < 20; ++i) agents.push(await cluster.agent(`user_${i}`));
    const other = await cluster.agent('other', {edge: 1});
    const backend = await cluster.oldBackend();
    await Promise.all(agents.map((_, i) => backend.sendToolCall(`user_${i}`, {tool: 'echo'})));
    const redis = await cluster.redis.client();
    const idsOf = async () => (await redis.client('LIST')).split('\n').filter(Boolean).length;
    const before = await idsOf();

    await edge.process.stop(signal);  // 7. Exit status 0.
    cluster.forget(edge);
    await assert.rejects(edge.http('/health'), '1. It accepts nobody any more');
    for (const agent of agents) assert.equal((await agent.closed()).code, 1001, '2. WebSockets are closed');
    assert.equal((await redis.keys('agent:user_*')).length, 0, '3. Unregistered from Redis');
    for (let i = 0; i < 20; ++i) assert.equal(await subscribers(redis, `user_${i}`), 0);
    assert.equal(await redis.exists(`edge:${edge.serverId}`), 0);
    const statuses = await cluster.sql(`SELECT DISTINCT status FROM agent_credentials WHERE user_id LIKE 'user_%'`);
    assert.deepEqual(statuses, [{status: 'disconnected'}], '4. The database knows');
    await until('5. its Redis connections are closed', async () => (await idsOf()) < before);
    assert.equal((await cluster.rowsOnceThere(20)).length, 20, '6. The audit was written before the database was left');
    assert.equal(other.closeFrame, undefined, 'others stay');
    assert.equal((await cluster.caller().call('other', 'echo')).code, 0);
    assert.equal((await cluster.caller().call('user_1', 'echo')).reason, 'AGENT_NOT_CONNECTED');
  });
}

clusterClaim('shutdown: when the last process ends, no connection to Redis or PostgreSQL is left', async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.agent('user_1');
  await cluster.stop();
  const redis = await cluster.redis.client();
  const connections = (await redis.client('LIST')).split('\n').filter(Boolean).length;
  assert.equal(connections, 1, 'the one that asks');
  await until('PostgreSQL has none', async () => (await cluster.sql(`SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()`))[0].count === 0);
});
