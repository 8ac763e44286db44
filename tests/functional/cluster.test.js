// Several edges and controls as one: whoever asks, wherever the agent is, and however it moves.
import assert from 'node:assert/strict';
import {code, resultOf} from './lib/caller.js';
import {Cluster, clusterClaim, quoted, sharedCluster} from './lib/cluster.js';
import {FieldAgent} from './lib/field_agent.js';
import {loginQuery} from './lib/toolwire.js';
import {until} from './lib/until.js';

const silent = {answer: () => undefined};
const says = (what) => ({answer: () => ({success: true, result: what})});
const assertFailed = (outcome, ...expected) => assert.deepEqual([outcome.code, outcome.reason, outcome.delivery], expected);

// A test on the cluster that those which break nothing share; users are the test's own.
const shared = (name, body) => clusterClaim(name, async (scope) => body(await sharedCluster(scope), scope));

// --- finding agents ---

shared('a call through either control reaches an agent on either edge', async (cluster, scope) => {
  for (const edge of [0, 1]) await cluster.agent(`either_${edge}`, {edge, scope, ...says(`edge ${edge}`)});
  for (const caller of cluster.callers()) {
    const stream = caller.dispatch();
    for (const edge of [0, 1]) {
      assert.equal(resultOf(await caller.call(`either_${edge}`, 'who')), `edge ${edge}`);
      assert.equal(resultOf(await stream.call(`either_${edge}`, 'who')), `edge ${edge}`);
    }
  }
});

shared('a user without an agent is answered AGENT_NOT_CONNECTED by every control, not after the deadline; also one never seen', async (cluster, scope) => {
  const left = await cluster.agent('unknown_left', {scope});
  await cluster.known('unknown_left', cluster.edges[0].serverId);
  await left.close();
  for (const caller of cluster.callers()) {
    await until('the control knows that it left', async () => !(await caller.ask('GetAgent', {userId: 'unknown_left'})).connected);
    for (const userId of ['unknown_left', 'unknown_never', 'unknown_never']) {
      const outcome = await caller.call(userId, 'echo', {}, {timeoutMs: 600_000});
      assertFailed(outcome, code.UNAVAILABLE, 'AGENT_NOT_CONNECTED', 'NOT_SENT');
    }
    const outcome = await caller.dispatch().call('unknown_never', 'echo', {}, {timeoutMs: 600_000});
    assertFailed(outcome, code.UNAVAILABLE, 'AGENT_NOT_CONNECTED', 'NOT_SENT');
  }
});

shared('the first call to an agent succeeds on every control as soon as the agent is connected', async (cluster, scope) => {
  const callers = cluster.callers();
  for (let i = 0; i < 20; ++i) {
    await cluster.agent(`fresh_${i}`, {edge: i % 2, scope});
    for (const outcome of await Promise.all(callers.map((caller) => caller.call(`fresh_${i}`, 'echo', {i})))) {
      assert.equal(outcome.code, 0, outcome.message);
    }
  }
});

// --- moving ---

shared('an agent that moves to another edge: the old socket is closed with 4001, and every call after that goes to the new one', async (cluster, scope) => {
  const callers = cluster.callers();
  let old = await cluster.agent('mover', {edge: 0, scope, ...says(-1)});
  for (const caller of callers) assert.equal(resultOf(await caller.call('mover', 'who')), -1);
  for (let move = 0; move < 10; ++move) {
    const next = await cluster.agent('mover', {edge: 1 - (move % 2), scope, ...says(move)});
    // The new session is in use before the old one is closed; a call that reaches that one is answered by it, or lost
    // with it.
    for (const caller of callers) {
      const outcome = await caller.call('mover', 'who');
      if (outcome.response) assert.ok([move - 1, move].includes(resultOf(outcome)));
      else assertFailed(outcome, code.ABORTED, 'AGENT_LOST', 'SENT');
    }
    assert.equal((await old.closed()).code, 4001);
    for (const caller of callers) assert.equal(resultOf(await caller.call('mover', 'who')), move);
    old = next;
  }
});

clusterClaim('a call between two sessions of its agent waits for the next one: while the edge that has claimed the lease does not know it yet', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 1});
  await cluster.addEdge({flags: {'redis-url': await cluster.redis.slowed(200)}});
  await cluster.linked();
  const callers = cluster.callers();
  for (let move = 0; move < 5; ++move) {
    const old = await cluster.agent('between', {edge: 0, ...says('old')});
    await cluster.known('between', cluster.edges[0].serverId);
    const next = await cluster.dial('between', {edge: 1, ...says('next')});
    assert.equal((await old.closed()).code, 4001);
    for (const outcome of await Promise.all(callers.map((caller) => caller.call('between', 'who')))) {
      assert.equal(resultOf(outcome), 'next');
    }
    await next.close();
  }
  for (const control of cluster.controls) {
    assert.ok((await control.metric('toolwire_control_calls_waited_for_session_total')) > 0);
    assert.equal(await control.metric('toolwire_control_calls_waiting_for_session'), 0);
  }
});

clusterClaim('one user id from 60 sockets at once on three edges, again and again: one session stays, the lease names it, it gets the calls', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 3});
  const redis = await cluster.redis.client();
  const callers = cluster.callers();
  await cluster.secret('hammered');
  for (let round = 0; round < 5; ++round) {
    const agents = await Promise.all(Array.from({length: 60}, (_, i) =>
      cluster.dial('hammered', {edge: i % 3, ...says(`${round}.${i}`)})));
    await until('59 of 60 are closed', () => agents.filter((agent) => agent.closeFrame).length >= 59);
    const stayed = agents.findIndex((agent) => !agent.closeFrame);
    assert.ok(stayed >= 0, 'one stays');
    for (const agent of agents) {
      if (agent.closeFrame) assert.equal(agent.closeFrame.code, 4001, agent.closeFrame.reason);
    }
    const {serverId} = await agents[stayed].connected();
    await until('the lease names its edge', async () => (await redis.get('agent:hammered:server')) === serverId);
    for (const caller of callers) {
      for (let i = 0; i < 10; ++i) assert.equal(resultOf(await caller.call('hammered', 'who')), `${round}.${stayed}`);
    }
    await cluster.known('hammered', serverId);
    let sessions = 0;
    for (const edge of cluster.edges) sessions += await edge.metric('toolwire_edge_sessions');
    assert.equal(sessions, 1);
    await until('the database says connected', async () => (await cluster.statusOf('hammered')) === 'connected');
    assert.equal(agents.filter((agent) => agent.closeFrame).length, 59);
  }
});

clusterClaim('a slow clean-up at the old edge removes nothing of the new one: not the lease, not the status', async (scope) => {
  const cluster = await Cluster.start(scope);
  const redis = await cluster.redis.client();
  const [a, b] = cluster.edges;
  for (let round = 0; round < 3; ++round) {
    const old = await cluster.agent('user_1', {edge: 0});
    a.process.pause();
    old.destroy();  // Edge A learns of it when it wakes: after the agent has come back at B.
    const next = await cluster.agent('user_1', {edge: 1, ...says('at B')});
    a.process.resume();
    await until('A has cleaned up', async () => (await a.metric('toolwire_edge_sessions')) === 0);
    // A later change at A is through everywhere: so would be those of the clean-up.
    const later = await cluster.agent(`later_${round}`, {edge: 0});
    await later.close();
    await until('it is through', async () =>
      (await redis.exists(`agent:later_${round}:server`)) === 0 && (await cluster.statusOf(`later_${round}`)) === 'disconnected');
    assert.equal(await redis.get('agent:user_1:server'), b.serverId);
    assert.equal(await redis.get('agent:user_1:status'), 'connected');
    await until('the database says connected', async () => (await cluster.statusOf('user_1')) === 'connected');
    await cluster.linked();
    for (const caller of cluster.callers()) assert.equal(resultOf(await caller.call('user_1', 'who')), 'at B');
    const backend = await cluster.oldBackend();
    assert.equal((await backend.sendToolCall('user_1', {tool: 'who'})).result, 'at B');
    assert.equal(next.closeFrame, undefined);
    await next.close();
    await until('it is gone', async () => (await redis.exists('agent:user_1:server')) === 0);
  }
});

clusterClaim('answers that come after a reconnect to another edge reach whoever waits, on both paths', async (scope) => {
  const cluster = await Cluster.start(scope);
  const backend = await cluster.oldBackend();
  for (const how of ['replaced', 'lost']) {
    const old = await cluster.agent('user_1', {edge: 0, ...silent});
    const waiting = cluster.callers().map((caller, i) => caller.call('user_1', 'slow', {}, {requestId: `grpc_${how}_${i}`}));
    waiting.push(backend.sendToolCall('user_1', {tool: 'slow', requestId: `redis_${how}`}));
    await old.called(3);
    if (how === 'lost') old.destroy();
    const next = await cluster.agent('user_1', {edge: 1, ...silent});
    for (const {requestId} of old.calls) next.respond(requestId, {success: true, result: requestId});
    const [first, second, third] = await Promise.all(waiting);
    assert.equal(first.code, 0, `${how}: ${first.message}`);
    assert.equal(second.code, 0, `${how}: ${second.message}`);
    assert.deepEqual([resultOf(first), resultOf(second), third.result], [`grpc_${how}_0`, `grpc_${how}_1`, `redis_${how}`]);
    assert.equal(backend.responses.get(`redis_${how}`).length, 1);
    assert.deepEqual(next.calls, [], 'nothing is sent a second time');
  }
  const rows = await cluster.rowsOnceThere(6);
  assert.equal(rows.length, 6);
  assert.ok(rows.every(({success}) => success), JSON.stringify(rows.map(({request_id, error}) => [request_id, error])));
});

clusterClaim('an answer that comes through another edge before the first one knows that its agent has left is in the audit row', async (scope) => {
  const cluster = await Cluster.start(scope);
  const backend = await cluster.oldBackend();
  const old = await cluster.agent('user_1', {edge: 0, ...silent});
  const waiting = backend.sendToolCall('user_1', {tool: 'slow', requestId: 'early'});
  await old.called(1);
  cluster.edges[0].process.pause();
  old.destroy();
  const next = await cluster.agent('user_1', {edge: 1, ...silent});
  next.respond('early', {success: true, result: {n: 1}});
  await until('it is on its way', async () => (await cluster.edges[1].metric('toolwire_edge_old_strays_sent_total')) === 1);
  cluster.edges[0].process.resume();
  assert.deepEqual((await waiting).result, {n: 1});
  const [row] = await cluster.rowsOnceThere(1);
  assert.equal(row.success, true, row.error);
  assert.deepEqual(row.result, {n: 1});
});

clusterClaim('an answer of another user\'s agent to a call of the old channels is not published, whatever edge it comes through', async (scope) => {
  const cluster = await Cluster.start(scope);
  const backend = await cluster.oldBackend();
  const heard = [];
  const witness = await cluster.redis.client();
  witness.on('pmessage', (_, channel, text) => heard.push([channel, JSON.parse(text)]));
  await witness.psubscribe('response:*');
  const agent = await cluster.agent('user_b', {edge: 0, ...silent});
  const waiting = backend.sendToolCall('user_b', {tool: 'slow', requestId: 'rid'});
  await agent.called(1);
  const forge = async (edge) => {
    const attacker = await cluster.agent(`user_a_${edge}`, {edge, ...silent});
    for (const result of ['forged', 'f'.repeat(1 << 20)]) {
      for (const requestId of ['rid', 'nobody']) attacker.respond(requestId, {success: true, result});
    }
    await until('the edge has them', async () =>
      (await cluster.edges[edge].metric('toolwire_edge_old_strays_sent_total')) === 4);
  };
  await forge(0);
  await forge(1);
  // And while the call waits for its agent to come back.
  agent.destroy();
  const next = await cluster.agent('user_b', {edge: 1, ...silent});
  const third = await cluster.agent('user_c', {edge: 1, ...silent});
  third.respond('rid', {success: true, result: 'forged'});
  await third.roundTrip();
  next.respond('rid', {success: true, result: 'good'});
  assert.equal((await waiting).result, 'good');
  // Late ones, when the call is over; the call after them shows that they have been handled.
  third.respond('rid', {success: true, result: 'forged'});
  await third.roundTrip();
  const again = backend.sendToolCall('user_b', {tool: 'slow', requestId: 'again'});
  await next.called(1);
  next.respond('again', {success: true, result: 'good, too'});
  assert.equal((await again).result, 'good, too');
  assert.deepEqual(heard, [
    ['response:rid', {userId: 'user_b', success: true, result: 'good'}],
    ['response:again', {userId: 'user_b', success: true, result: 'good, too'}],
  ]);
});

clusterClaim('late answers of 1 MiB and more that come through another edge reach the old backend', async (scope) => {
  const cluster = await Cluster.start(scope);
  const backend = await cluster.oldBackend();
  const old = await cluster.agent('user_1', {edge: 0, ...silent});
  const sizes = [1, 4, 12].map((mib) => mib << 20);
  const waiting = sizes.map((size) => backend.sendToolCall('user_1', {tool: 'slow', requestId: `late_${size}`}));
  await old.called(sizes.length);
  old.destroy();
  const next = await cluster.agent('user_1', {edge: 1, ...silent});
  for (const size of sizes) next.respond(`late_${size}`, {success: true, result: 'x'.repeat(size)});
  const responses = await Promise.all(waiting);
  assert.deepEqual(responses.map(({result}) => result.length), sizes);
  for (const size of sizes) assert.equal(backend.responses.get(`late_${size}`).length, 1);
  const rows = await cluster.rowsOnceThere(sizes.length);
  assert.ok(rows.every(({success}) => success));
});

clusterClaim('answers to calls of an edge that has stopped reach the old backend through the next one', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 1, controls: 1, edgeFlags: {'drain-timeout': 0}});
  const backend = await cluster.oldBackend();
  const old = await cluster.agent('user_1', {...silent});
  const calls = ['rid', 'large'].map((requestId) => backend.sendToolCall('user_1', {tool: 'slow', requestId}));
  await old.called(2);
  const [stopped] = cluster.edges;
  await stopped.process.stop();
  cluster.forget(stopped);
  await cluster.addEdge();
  const forger = await cluster.agent('user_2', {...silent});
  forger.respond('rid', {success: true, result: 'forged'});
  await forger.roundTrip();
  const next = await cluster.agent('user_1', {...silent});
  next.respond('rid', {success: true, result: 'good'});
  next.respond('large', {success: true, result: 'x'.repeat(1 << 20)});
  const [small, large] = await Promise.all(calls);
  assert.deepEqual([small.result, large.result.length], ['good', 1 << 20]);
  next.respond('rid', {success: true, result: 'again'});
  await next.roundTrip();
  assert.equal((await backend.sendToolCall('user_1', {tool: 'slow', requestId: 'none', timeout: 300}).catch((error) => error)).message, 'Tool call timed out');
  assert.equal(backend.responses.get('rid').length, 1);
});

// --- edges and controls that come and go ---

clusterClaim('an edge that joins later is found by every control, and its agents are callable', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 1});
  await cluster.agent('user_1');
  await cluster.addEdge();
  await cluster.agent('user_2', {edge: 1});
  await cluster.linked();
  for (const caller of cluster.callers()) {
    for (const userId of ['user_1', 'user_2']) assert.equal((await caller.call(userId, 'echo')).code, 0);
  }
});

clusterClaim('before the first edge is there, calls fail at once; afterwards they succeed', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 0, controls: 2});
  for (const caller of cluster.callers()) {
    const outcome = await caller.call('user_1', 'echo', {}, {timeoutMs: 600_000});
    assert.equal(outcome.code, code.UNAVAILABLE);
    assert.equal(outcome.delivery, 'NOT_SENT');
  }
  await cluster.addEdge();
  await cluster.agent('user_1');
  for (const caller of cluster.callers()) {
    await until('the call succeeds', async () => (await caller.call('user_1', 'echo')).code === 0);
  }
});

clusterClaim('an edge that is stopped disappears; its agents come back at another edge and are callable there', async (scope) => {
  const cluster = await Cluster.start(scope);
  const redis = await cluster.redis.client();
  const [stopped, stays] = cluster.edges;
  const agents = [];
  for (let i = 0; i < 10; ++i) {
    const query = loginQuery(`user_${i}`, await cluster.secret(`user_${i}`));
    agents.push(scope.own(new FieldAgent((attempt) => (attempt === 0 ? stopped : stays).url(query))));
  }
  for (const agent of agents) await agent.connected();
  await stopped.process.stop();
  cluster.forget(stopped);
  assert.equal(await redis.exists(`edge:${stopped.serverId}`), 0);
  await cluster.linked();
  const callers = cluster.callers();
  for (const [i, agent] of agents.entries()) {
    await until('it is connected again', () => agent.current && agent.sessions.length > 1);
    for (const caller of callers) assert.equal((await caller.call(`user_${i}`, 'echo')).code, 0);
    assert.equal(agent.sessions[0].closeFrame.code, 1001);
    assert.equal(await redis.get(`agent:user_${i}:server`), stays.serverId);
  }
  for (const caller of callers) assert.equal((await caller.ask('ListAgents', {})).totalConnected, '10');
});

clusterClaim('a control that is stopped is not missed, and one that is started knows everything', async (scope) => {
  const cluster = await Cluster.start(scope);
  for (let i = 0; i < 10; ++i) await cluster.agent(`user_${i}`, {edge: i % 2});
  const [stopped] = cluster.controls;
  await stopped.process.stop();
  cluster.forget(stopped);
  for (let i = 0; i < 10; ++i) assert.equal((await cluster.caller().call(`user_${i}`, 'echo')).code, 0);
  await cluster.addControl();
  await cluster.linked();
  const caller = cluster.caller({control: 1});
  // Right after the links are up the edges tell who is there.
  await until('the new control knows all agents', async () => (await caller.ask('ListAgents', {})).totalConnected === '10');
  for (let i = 0; i < 10; ++i) assert.equal((await caller.call(`user_${i}`, 'echo')).code, 0);
});

// --- many calls ---

shared('old backends and gRPC callers share one agent: every call gets its own answer, once, and one audit row', async (cluster, scope) => {
  const agent = await cluster.agent('mixed', {
    edge: 1, scope,
    answer: ({requestId, params}, self) => {
      setTimeout(() => self.respond(requestId, {success: true, result: params}), Math.random() * 20);
    },
  });
  const backends = [await cluster.oldBackend(), await cluster.oldBackend()];
  const callers = cluster.callers();
  const streams = callers.map((caller) => caller.dispatch());
  const ways = [
    ...backends.map((backend) => (requestId) => backend.sendToolCall('mixed', {tool: 'echo', params: {requestId}, requestId})),
    ...callers.map((caller) => (requestId) => caller.call('mixed', 'echo', {requestId}, {requestId}).then(resultOf)),
    ...streams.map((stream) => (requestId) => stream.call('mixed', 'echo', {requestId}, {requestId}).then(resultOf)),
  ];
  const ids = Array.from({length: 900}, (_, i) => `mixed_${i}`);
  const answers = await Promise.all(ids.map((id, i) => ways[i % ways.length](id)));
  for (const [i, id] of ids.entries()) {
    const answer = answers[i];
    assert.equal(i % ways.length < backends.length ? answer.result.requestId : answer.requestId, id);
  }
  for (const {responses} of backends) for (const [id, some] of responses) assert.equal(some.length, 1, id);
  for (const {answers: given} of streams) for (const some of given.values()) assert.equal(some.length, 1);
  assert.equal(new Set(agent.calls.map(({requestId}) => requestId)).size, 900);
  assert.equal(agent.calls.length, 900, 'delivered once');
  const rows = await cluster.rowsOnceThere(900, `user_id = 'mixed'`);
  assert.deepEqual(new Set(rows.map(({request_id}) => request_id)), new Set(ids));
  assert.equal(rows.length, 900);
  assert.ok(rows.every(({success}) => success));
});

shared('4,000 gRPC calls to connected agents: no Redis command belongs to a call', async (cluster, scope) => {
  const users = ['monitored_0', 'monitored_1'];
  for (const [edge, userId] of users.entries()) await cluster.agent(userId, {edge, scope});
  const streams = cluster.callers().map((caller) => caller.dispatch());
  for (const stream of streams) for (const userId of users) assert.equal((await stream.call(userId, 'echo')).code, 0);
  const commands = [];
  await cluster.redis.monitor((words) => commands.push(words));
  const redis = await cluster.redis.client();
  await redis.echo('begin');
  for (let round = 0; round < 10; ++round) {
    const outcomes = await Promise.all(Array.from({length: 400}, (_, i) =>
      streams[i % 2].call(users[(i >> 1) % 2], 'echo', {i}, {requestId: `monitored_${round}_${i}`})));
    assert.ok(outcomes.every((outcome) => outcome.code === 0));
  }
  await redis.echo('end');
  await until('everything was seen', () => commands.some((command) => command[0] === 'echo' && command[1] === 'end'));
  const seen = commands.filter(([name]) => name !== 'echo');
  const text = seen.map((command) => command.join(' ')).join('\n');
  assert.doesNotMatch(text, /monitored_/, 'nothing about these users');
  // What is left comes with the time that passes, such as the edges' signs of life, and not with calls.
  assert.ok(seen.length < 400, `${seen.length} commands, such as\n${text.slice(0, 2000)}`);
  console.log(`4,000 calls: ${seen.length} Redis commands: ${[...new Set(seen.map(([name]) => name))].join(', ')}`);
});

// --- listing and watching ---

clusterClaim('ListAgents pages through the agents of all edges in order, through either control', async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.secrets('user_', 60);
  const connecting = Array.from({length: 60}, (_, i) => cluster.agent(`user_${i}`, {edge: i % 2}));
  await Promise.all(connecting);
  const expected = Array.from({length: 60}, (_, i) => [`user_${i}`, cluster.edges[i % 2].serverId]).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const caller of cluster.callers()) {
    await until('all are known', async () => (await caller.ask('ListAgents', {})).totalConnected === '60');
    for (const pageSize of [7, 60, 1000]) {
      const listed = [];
      let pageToken = '';
      do {
        const page = await caller.ask('ListAgents', {pageSize, pageToken});
        assert.ok(page.agents.length <= pageSize);
        listed.push(...page.agents);
        pageToken = page.nextPageToken;
      } while (pageToken);
      assert.deepEqual(listed.map(({userId, serverId}) => [userId, serverId]), expected);
    }
  }
});

shared('WatchAgents reports connecting, moving and leaving across edges, through either control', async (cluster, scope) => {
  await cluster.agent('watched_before', {edge: 1, scope});
  await cluster.known('watched_before', cluster.edges[1].serverId);
  const watches = cluster.callers().map((caller) => scope.own(caller.watch(['watched_before', 'watched'])));
  for (const watch of watches) {
    assert.deepEqual((await watch.snapshot()).map(({kind, agent}) => [kind, agent.userId]), [['CONNECTED', 'watched_before']]);
  }
  await cluster.agent('watched', {edge: 0, scope});
  const connected = await Promise.all(watches.map((watch) => watch.saw('CONNECTED', 'watched')));
  const moved = await cluster.agent('watched', {edge: 1, scope});
  const moves = await Promise.all(watches.map((watch) => watch.saw('MOVED', 'watched')));
  await moved.close();
  for (const [i, watch] of watches.entries()) {
    await watch.saw('DISCONNECTED', 'watched');
    assert.equal(connected[i].agent.serverId, cluster.edges[0].serverId);
    assert.equal(moves[i].agent.serverId, cluster.edges[1].serverId);
    assert.ok(BigInt(moves[i].agent.epoch) > BigInt(connected[i].agent.epoch));
    const kinds = watch.events.filter(({agent}) => agent?.userId === 'watched').map(({kind}) => kind);
    assert.deepEqual(kinds, ['CONNECTED', 'MOVED', 'DISCONNECTED']);
  }
});

// --- databases as they are found ---

const OLD_TABLES = `
  CREATE TABLE agent_credentials (
    user_id text PRIMARY KEY, shared_secret text UNIQUE NOT NULL,
    platform text CHECK (platform IN ('win32', 'linux', 'darwin')),
    status text DEFAULT 'pending' CHECK (status IN ('pending', 'connected', 'disconnected')),
    created_at timestamptz DEFAULT now(), last_seen timestamptz, metadata jsonb);
  CREATE TABLE tool_execution_logs (
    id bigserial PRIMARY KEY, user_id text, request_id text, tool_name text, params jsonb, result jsonb, success bool,
    error text, execution_time_ms int, created_at timestamptz DEFAULT now());
  INSERT INTO agent_credentials (user_id, shared_secret, platform, status, metadata)
    VALUES ('old_user', repeat('ab', 32), 'win32', 'connected', '{"hostname": "pc"}');
  INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success, execution_time_ms)
    SELECT 'old_user', 'old_' || i, 'read_file', '{}', '{"n": 1}', true, i FROM generate_series(1, 1000) i;`;

clusterClaim('a database of the replaced server is taken over with its data, and the replaced server could go on using it', async (scope) => {
  const cluster = await Cluster.start(scope, {prepare: OLD_TABLES, edges: 2, controls: 1});
  const old = `request_id LIKE 'old_%'`;
  const digest = async () => (await cluster.sql(`SELECT md5(string_agg(concat_ws(',', id, user_id, request_id, tool_name, params,
    result, success, error, execution_time_ms, created_at), ';' ORDER BY id)) AS sum FROM tool_execution_logs WHERE ${old}`))[0].sum;
  const before = await digest();
  const agent = scope.own(new FieldAgent(() => cluster.edges[0].url(loginQuery('old_user', 'ab'.repeat(32)))));
  await agent.connected();
  await cluster.caller().call('old_user', 'echo', {n: 1}, {requestId: 'new_1'});
  const backend = await cluster.oldBackend();
  await backend.sendToolCall('old_user', {tool: 'echo', requestId: 'new_2'});
  const rows = await cluster.rowsOnceThere(2, `request_id LIKE 'new_%'`);
  assert.ok(rows.every(({id}) => Number(id) > 1000));
  assert.equal(await digest(), before, 'the old rows are as they were');
  const [credential] = await cluster.sql(`SELECT shared_secret, platform, metadata FROM agent_credentials`);
  assert.deepEqual(credential, {shared_secret: 'ab'.repeat(32), platform: 'win32', metadata: {hostname: 'pc'}});
  // What the replaced server does with them.
  await cluster.sql(`INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success, error, execution_time_ms)
    VALUES ('old_user', 'old_after', 'read_file', '{}', null, false, 'ENOENT', 5)`);
  await cluster.sql(`INSERT INTO agent_credentials (user_id, shared_secret, platform) VALUES ('old_new', ${quoted('cd'.repeat(32))}, 'linux')`);
  const added = scope.own(new FieldAgent(() => cluster.edges[1].url(loginQuery('old_new', 'cd'.repeat(32)))));
  await added.connected();
  assert.equal((await cluster.caller().call('old_new', 'echo')).code, 0);
});

// --- size ---

const AGENTS_PER_EDGE = Number(process.env.TOOLWIRE_CLUSTER_AGENTS ?? 3000);

clusterClaim(`three edges with ${AGENTS_PER_EDGE} agents each: all are listed, and calls to a sample of each succeed through both controls`, async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 3});
  for (const [i, edge] of cluster.edges.entries()) {
    scope.process('toolwire', [
      'agent', '--url', edge.url(), '--credentials', await cluster.secrets(`e${i}_`, AGENTS_PER_EDGE), '--count', AGENTS_PER_EDGE,
      '--user-prefix', `e${i}_`, '--connect-per-second', 1000, '--log-format', 'json',
    ].map(String));
  }
  for (const edge of cluster.edges) {
    await until('all agents are there', async () => (await edge.metric('toolwire_edge_sessions')) === AGENTS_PER_EDGE);
  }
  for (const caller of cluster.callers()) {
    await until('all are known', async () =>
      Number((await caller.ask('ListAgents', {})).totalConnected) === 3 * AGENTS_PER_EDGE);
    const stream = caller.dispatch();
    const sample = Array.from({length: 300}, (_, i) => `e${i % 3}_${(i * 7919) % AGENTS_PER_EDGE}`);
    const outcomes = await Promise.all(sample.map((userId, i) => stream.call(userId, 'echo', {i})));
    for (const [i, outcome] of outcomes.entries()) assert.deepEqual(resultOf(outcome), {i}, sample[i]);
  }
  await until('the database knows them all', async () =>
    (await cluster.sql(`SELECT count(*)::int AS count FROM agent_credentials WHERE status = 'connected'`))[0].count === 3 * AGENTS_PER_EDGE,
    120_000);
}, {timeout: 400_000});
