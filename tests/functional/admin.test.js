// AgentAdmin: credentials, live sessions and the audit log, for operators.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {setTimeout as sleep} from 'node:timers/promises';
import {code} from './lib/caller.js';
import {Cluster, clusterClaim, sharedCluster} from './lib/cluster.js';
import {output, run} from './lib/process.js';
import {claim, claimInBoth, linesOf, loginQuery} from './lib/toolwire.js';
import {until} from './lib/until.js';
import {SeedAgent} from './lib/seed_agent.js';

const seconds = (ms) => ({seconds: String(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1e6});
const toMs = ({seconds, nanos}) => Number(seconds) * 1000 + nanos / 1e6;

// --- credentials -----------------------------------------------------------------------------------------------------

claimInBoth('a credential is created, listed, rotated and revoked, and its agent connects or is refused accordingly', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'log-level': 'debug'}});
  const caller = tw.caller();
  const dial = (secret) => tw.dial(tw.loginQuery('user_1', secret));
  const refused = async (secret) => assert.equal((await dial(secret).closed()).code, 1008);

  const {secret, ...created} = await caller.admin('CreateCredential', {userId: 'user_1', platform: 'darwin'});
  assert.equal(created.userId, 'user_1');
  assert.match(secret, /^[0-9a-f]{64}$/);
  const agent = dial(secret);
  await agent.connected();
  assert.equal((await caller.admin('CreateCredential', {userId: 'user_1'})).code, code.ALREADY_EXISTS);

  const rotated = await caller.admin('RotateCredential', {userId: 'user_1'});
  assert.deepEqual([rotated.everywhere, rotated.edgesNotHeard], [true, []]);
  assert.equal((await agent.closed()).code, 1008);
  await refused(secret);
  const second = dial(rotated.secret);
  await second.connected();

  const kept = await caller.admin('RotateCredential', {userId: 'user_1', keepSession: true});
  await refused(rotated.secret);
  await second.roundTrip();
  assert.equal((await caller.call('user_1', 'echo', {a: 1})).code, 0, 'the session goes on');

  const everywhere = {everywhere: true, edgesNotHeard: []};
  assert.deepEqual(await caller.admin('RevokeCredential', {userId: 'user_1'}), {sessionClosed: true, ...everywhere});
  assert.equal((await second.closed()).code, 1008);
  await refused(kept.secret);
  assert.equal((await caller.call('user_1', 'echo')).reason, 'AGENT_NOT_CONNECTED');
  assert.deepEqual(await caller.admin('RevokeCredential', {userId: 'user_1'}), {sessionClosed: false, ...everywhere}, 'harmless');
  assert.equal((await caller.admin('RotateCredential', {userId: 'user_1'})).code, code.NOT_FOUND);
  const [revoked] = (await caller.admin('ListCredentials')).credentials;
  assert.deepEqual([revoked.userId, revoked.platform, revoked.status, revoked.revoked], ['user_1', 'darwin', 'disconnected', true]);

  const anew = await caller.admin('CreateCredential', {userId: 'user_1'});
  const third = dial(anew.secret);
  await third.connected();
  await until('the new agent is known', async () => (await caller.call('user_1', 'echo')).code === 0);
  assert.equal((await caller.admin('RotateCredential', {userId: 'nobody'})).code, code.NOT_FOUND);
  assert.equal((await caller.admin('RevokeCredential', {userId: 'nobody'})).code, code.NOT_FOUND);

  await tw.stop();
  for (const one of [secret, rotated.secret, kept.secret, anew.secret]) {
    assert.ok(!tw.logText.includes(one.slice(0, 16)), 'the log holds a secret');
  }
});

claim('credentials are listed in pages, without secrets, with the times of their sessions', async (scope) => {
  const tw = await scope.toolwire();
  const caller = tw.caller();
  for (const userId of ['b', 'a', 'é', 'c', 'B']) await caller.admin('CreateCredential', {userId});
  await tw.secrets('more', 3);
  const pages = await caller.adminPages('ListCredentials', {pageSize: 3});
  assert.deepEqual(pages.map(({credentials}) => credentials.map(({userId}) => userId)),
    [['B', 'a', 'b'], ['c', 'more0', 'more1'], ['more2', 'é']]);
  const [one] = pages[0].credentials;
  assert.deepEqual(Object.keys(one).sort(), ['createdAt', 'lastSeen', 'platform', 'revoked', 'status', 'userId']);
  assert.ok(Math.abs(toMs(one.createdAt) - Date.now()) < 600_000);
  assert.deepEqual([one.lastSeen, one.platform, one.status, one.revoked], [null, 'linux', 'pending', false]);
});

claim('what is wrong with a request is reported by the name of the field', async (scope) => {
  const tw = await scope.toolwire();
  const caller = tw.caller();
  const refuses = async (method, request, field) => {
    const answer = await caller.admin(method, request);
    assert.equal(answer.code, code.INVALID_ARGUMENT, `${method} ${JSON.stringify(request)}`);
    assert.ok(answer.message.startsWith(field), answer.message);
  };
  for (const method of ['CreateCredential', 'RotateCredential', 'RevokeCredential', 'DisconnectAgent']) {
    for (const userId of ['', 'x'.repeat(257), 'é'.repeat(129), 'a\0b']) await refuses(method, {userId}, 'user_id');
  }
  // Credentials of the replaced server may have such ids, so that what exists can still be revoked: database.test.js.
  for (const userId of ['a\nb', 'a\x7f']) await refuses('CreateCredential', {userId}, 'user_id');
  await refuses('CreateCredential', {userId: 'user_1', platform: 'amiga'}, 'platform');
  await refuses('ListCredentials', {pageSize: -1}, 'page_size');
  await refuses('ListCredentials', {pageToken: 'a\0'}, 'page_token');
  await refuses('ListExecutions', {pageSize: -1}, 'page_size');
  await refuses('ListExecutions', {userId: 'x'.repeat(257)}, 'user_id');
  for (const pageToken of ['x', '1', '1:', ':1', '1:x']) await refuses('ListExecutions', {pageToken}, 'page_token');
  await refuses('ListExecutions', {from: seconds(2000), until: seconds(1000)}, 'from');
  await refuses('ListExecutions', {from: {seconds: '0', nanos: -1}}, 'from');
  await refuses('ListExecutions', {until: {seconds: '999999999999'}}, 'until');
  assert.deepEqual((await caller.admin('ListCredentials')).credentials, []);
  assert.equal((await caller.admin('CreateCredential', {userId: 'é'.repeat(128)})).code, undefined, '256 bytes are allowed');
});

// --- sessions --------------------------------------------------------------------------------------------------------

claimInBoth('an agent that an operator disconnects is closed with 4003, and agents in the field come back', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'server-id': 'edge-7'}});
  const caller = tw.caller();
  assert.equal((await caller.admin('DisconnectAgent', {userId: 'user_1'})).code, code.NOT_FOUND);
  const agent = await tw.agent('user_1');
  await until('the agent is known', async () => (await caller.ask('GetAgent', {userId: 'user_1'})).connected);
  assert.deepEqual(await caller.admin('DisconnectAgent', {userId: 'user_1'}), {serverId: 'edge-7'});
  assert.equal((await agent.closed()).code, 4003);

  const env = {TOOLWIRE_SECRET: await tw.secret('user_1')};
  const program = scope.process('toolwire', ['agent', '--url', tw.url(), '--user', 'user_1', '--log-format', 'json'], {env});
  const epoch = () => caller.ask('GetAgent', {userId: 'user_1'}).then(({epoch}) => Number(epoch));
  const first = await until('the program is connected', epoch);
  await caller.admin('DisconnectAgent', {userId: 'user_1'});
  await until('it came back', async () => (await epoch()) > first);
  await program.stop();
});

clusterClaim('an agent is disconnected at once wherever it is when its secret is revoked, and stays out', async (scope) => {
  const cluster = await sharedCluster(scope);
  const [one, two] = cluster.callers();
  const agent = await cluster.agent('revoked', {edge: 1});
  await until('both controls know', async () => (await one.ask('GetAgent', {userId: 'revoked'})).connected
    && (await two.ask('GetAgent', {userId: 'revoked'})).connected);
  assert.deepEqual(await one.admin('RevokeCredential', {userId: 'revoked'}),
    {sessionClosed: true, everywhere: true, edgesNotHeard: []});
  assert.equal((await agent.closed()).code, 1008);
  for (const edge of [0, 1]) assert.equal((await (await cluster.dial('revoked', {edge})).closed()).code, 1008);
  assert.equal((await two.admin('RevokeCredential', {userId: 'revoked'})).code, undefined, 'once more is harmless');
  const {secret} = await two.admin('CreateCredential', {userId: 'revoked'});
  const next = scope.own(new SeedAgent(cluster.edges[0].url(loginQuery('revoked', secret))));
  await next.connected();
  await next.roundTrip();
  assert.equal(next.closeFrame, undefined);
});

clusterClaim('logins that are under way while their secret is revoked do not become sessions', async (scope) => {
  const cluster = await sharedCluster(scope);
  const [one] = cluster.callers();
  for (let round = 0; round < 5; ++round) {
    const userId = `under_way_${round}`;
    await cluster.secret(userId);
    const dialled = [];
    for (let i = 0; i < 20; ++i) dialled.push(await cluster.dial(userId, {edge: i % 2, scope}));
    const revoked = one.admin('RevokeCredential', {userId});
    for (let i = 0; i < 20; ++i) dialled.push(await cluster.dial(userId, {edge: i % 2, scope}));
    assert.equal((await revoked).code, undefined);
    for (const agent of dialled) await agent.closed();
    const last = await (await cluster.dial(userId, {scope})).closed();
    assert.ok(last.code === 1008 || last.reason === 'Too many failed logins', `${last.code} ${last.reason}`);
    await until('nobody is connected', async () => !(await one.ask('GetAgent', {userId})).connected);
  }
});

clusterClaim('an edge that was not linked when a secret was revoked is notified when it is linked again', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 2, controls: 1});
  const caller = cluster.caller();
  const [, edge] = cluster.edges;
  const secretOf = {revoked: await cluster.secret('revoked'), rotated: await cluster.secret('rotated')};
  const agents = {};
  for (const userId of Object.keys(secretOf)) agents[userId] = await cluster.agent(userId, {edge: 1});
  const bystander = await cluster.agent('bystander', {edge: 1});
  await until('they are known', async () => (await caller.ask('ListAgents', {})).totalConnected === '3');
  edge.process.pause();
  await until('the link is cut', async () => (await cluster.controls[0].metric('toolwire_control_edges_linked')) === 1);
  const notHeard = {everywhere: false, edgesNotHeard: [edge.serverId]};
  assert.deepEqual(await caller.admin('RevokeCredential', {userId: 'revoked'}), {sessionClosed: false, ...notHeard});
  const {secret, ...rotated} = await caller.admin('RotateCredential', {userId: 'rotated'});
  assert.match(secret, /^[0-9a-f]{64}$/);
  assert.deepEqual(rotated, {userId: 'rotated', prepared: false, ...notHeard});
  edge.process.resume();
  for (const agent of Object.values(agents)) assert.equal((await agent.closed()).code, 1008);
  await bystander.roundTrip();
});

clusterClaim('an edge that does not take a revocation is named, and nobody says that it was revoked everywhere', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 2, controls: 1});
  const address = ['--address', `127.0.0.1:${cluster.controls[0].ports.callers}`];
  const [{serverId}, paused] = cluster.edges;
  const agents = {};
  for (const userId of ['user_1', 'user_2', 'user_3']) agents[userId] = await cluster.agent(userId, {edge: 1});
  await until('they are known', async () => (await cluster.caller().ask('ListAgents', {})).totalConnected === '3');
  const revoked = await run('toolwire', ['credentials', 'revoke', 'user_1', ...address]);
  assert.equal(revoked.stdout, 'revoked user_1 everywhere; the live session was closed\n');
  assert.equal(revoked.stderr, '');
  assert.equal((await agents.user_1.closed()).code, 1008);
  paused.process.pause();
  const missed = await run('toolwire', ['credentials', 'revoke', 'user_2', ...address]);
  assert.equal(missed.stdout, `revoked user_2, but not confirmed by ${paused.serverId}\n`);
  assert.match(missed.stderr, new RegExp(`^not confirmed by ${paused.serverId}: a session there goes on until `));
  const rotated = await run('toolwire', ['credentials', 'rotate', 'user_3', ...address]);
  assert.match(rotated.stdout, /^[0-9a-f]{64}\n$/);
  assert.match(rotated.stderr, new RegExp(`^not confirmed by ${paused.serverId}: `, 'm'));
  assert.ok(!missed.stderr.includes(serverId), 'the other one has confirmed it');
  paused.process.resume();
  for (const userId of ['user_2', 'user_3']) assert.equal((await agents[userId].closed()).code, 1008);
});

clusterClaim('a revocation that an edge has not heard, and that died with its control, ends the session within the recheck interval', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 1, controls: 1, edgeFlags: {'secret-recheck-interval': 1000}});
  const [edge] = cluster.edges;
  const agent = await cluster.agent('revoked');
  const kept = await cluster.agent('kept');
  const bystander = await cluster.agent('bystander');
  await until('they are known', async () => (await cluster.caller().ask('ListAgents', {})).totalConnected === '3');
  await cluster.caller().admin('RotateCredential', {userId: 'kept', keepSession: true});
  // The edge hears of it by its link, which nobody waits for.
  const rechecks = () => edge.metric('toolwire_edge_secret_rechecks_total');
  const heardBy = (await rechecks()) + 4;
  await until('all were checked again since', async () => (await rechecks()) >= heardBy);
  edge.process.pause();
  await until('the link is cut', async () => (await cluster.controls[0].metric('toolwire_control_edges_linked')) === 0);
  assert.deepEqual(await cluster.caller().admin('RevokeCredential', {userId: 'revoked'}),
    {sessionClosed: false, everywhere: false, edgesNotHeard: [edge.serverId]});
  await cluster.controls[0].process.kill();
  cluster.forget(cluster.controls[0]);
  await cluster.addControl();
  edge.process.resume();
  assert.deepEqual(await agent.closed(), {code: 1008, reason: 'Credentials revoked'});
  const before = await rechecks();
  await until('the others were checked again', async () => (await rechecks()) > before + 4);
  for (const one of [kept, bystander]) await one.roundTrip();
  assert.equal(await edge.metric('toolwire_edge_sessions_revoked_total'), 1);
});

claim('a credential that was revoked in the store itself ends its session within the recheck interval', async (scope) => {
  const tw = await scope.toolwire({flags: {'secret-recheck-interval': 1000}});
  const agent = await tw.agent('user_1');
  const bystander = await tw.agent('user_2');
  const revoked = await run('toolwire', ['credentials', 'revoke', 'user_1', '--data-dir', tw.dataDir]);
  assert.equal(revoked.stdout, 'revoked user_1\n');
  assert.match(revoked.stderr, /until its edge checks its secret again/);
  assert.equal((await agent.closed()).code, 1008);
  await bystander.roundTrip();
});

// With Redis paused, the edge knows the secret is right, cannot claim the user, and no control knows of the edge.
clusterClaim('a login that was checked before its secret was revoked ends also if it opens late, at an edge that is linked later', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 0, controls: 1});
  const caller = cluster.caller();
  await cluster.secret('slow');
  cluster.redis.pause();
  const edge = await cluster.addEdge({flags: {'login-timeout': 60_000}});
  const agent = await cluster.dial('slow');
  await until('its secret is checked', async () => (await edge.metric('toolwire_edge_logins_right_total')) === 1);
  assert.deepEqual(await caller.admin('RevokeCredential', {userId: 'slow'}),
    {sessionClosed: false, everywhere: false, edgesNotHeard: []}, 'who knows which edges there are');
  await sleep(6000);  // Longer than a login takes at an edge that does not say.
  cluster.redis.resume();
  assert.equal((await agent.closed()).code, 1008);
  assert.equal(agent.of('connected').length, 1, 'it did open');
}, {timeout: 60_000});

// --- the audit log ---------------------------------------------------------------------------------------------------

claimInBoth('executions are listed by user and time, newest first, in pages that rows in between do not disturb', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const caller = tw.caller();
  await tw.agent('user_1', {answer: ({params}) => ({success: true, result: params, executionTime: 7})});
  await tw.agent('user_2');
  for (let i = 0; i < 10; ++i) {
    await caller.call('user_1', `tool_${i}`, {i}, {requestId: `r${i}`});
    await caller.call('user_2', 'other');
  }
  await caller.call('nobody', 'lost');
  await tw.auditRows(21);
  const tools = (pages) => pages.flatMap(({executions}) => executions.map(({tool}) => tool));
  const all = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0].map((i) => `tool_${i}`);

  const first = await caller.admin('ListExecutions', {userId: 'user_1', pageSize: 4});
  await caller.call('user_1', 'newer');
  await tw.auditRows(22);
  const second = await caller.admin('ListExecutions', {userId: 'user_1', pageSize: 4, pageToken: first.nextPageToken});
  const third = await caller.admin('ListExecutions', {userId: 'user_1', pageSize: 4, pageToken: second.nextPageToken});
  assert.deepEqual(tools([first, second, third]), all);
  assert.equal(third.nextPageToken, '');
  assert.equal(tools(await caller.adminPages('ListExecutions', {pageSize: 5})).length, 22);
  assert.equal(tools(await caller.adminPages('ListExecutions', {pageSize: 22})).length, 22);

  const five = second.executions.find(({tool}) => tool === 'tool_5');
  assert.deepEqual(
    [five.userId, five.requestId, five.success, five.error, five.executionTimeMs, five.paramsJson.toString(), five.resultJson.toString()],
    ['user_1', 'r5', true, '', '7', '{"i":5}', '{"i":5}']);
  const at = toMs(five.createdAt);
  const between = async (from, until) => tools(await caller.adminPages('ListExecutions', {
    userId: 'user_1', ...(from && {from: seconds(from)}), ...(until && {until: seconds(until)}),
  }));
  assert.ok((await between(at, undefined)).includes('tool_5'), 'from is in');
  assert.ok(!(await between(undefined, at)).includes('tool_5'), 'until is out');
  assert.ok((await between(undefined, at + 1)).includes('tool_5'));
  assert.ok(!(await between(at + 1, undefined)).includes('tool_5'));
  const [lost] = (await caller.admin('ListExecutions', {userId: 'nobody'})).executions;
  assert.deepEqual([lost.success, lost.error, lost.executionTimeMs ?? null], [false, 'AGENT_NOT_CONNECTED', null]);
});

claim('a page of large executions ends before it is too large for a gRPC client, and none is lost', async (scope) => {
  const tw = await scope.toolwire();
  const caller = tw.caller();
  await tw.agent('user_1');
  const text = 'x'.repeat(60_000);
  for (let i = 0; i < 60; ++i) await caller.call('user_1', `tool_${i}`, {text});
  await tw.auditRows(60);
  const pages = await caller.adminPages('ListExecutions', {pageSize: 1000});
  assert.ok(pages.length >= 3, `${pages.length} pages`);
  assert.equal(new Set(pages.flatMap(({executions}) => executions.map(({tool}) => tool))).size, 60);
});

// --- trouble ---------------------------------------------------------------------------------------------------------

// No login is decided while the database stands still.
clusterClaim('a login that takes too long, or sends too much meanwhile, is closed and counted', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 1, controls: 1, ownPostgres: true, edgeFlags: {'login-timeout': 3000}});
  const edge = cluster.edges[0];
  for (const user of ['slow', 'loud']) await cluster.secret(user);
  cluster.postgres.freeze();
  const hits = (limit) => edge.metric('toolwire_edge_limit_hits_total', limit);
  const slow = await cluster.dial('slow');
  const loud = await cluster.dial('loud');
  await until('it is open', () => loud.opened);
  for (let i = 0; i < 256; ++i) loud.heartbeat();
  const quiet = await slow.closed();
  assert.deepEqual([quiet.code, quiet.reason], [1013, 'Login timed out']);
  assert.deepEqual([(await loud.closed()).code, await hits({limit: 'login_time'}), await hits({limit: 'early_frames'})], [1013, 2, 0]);

  const louder = await cluster.dial('loud');
  await until('it is open', () => louder.opened);
  for (let i = 0; i < 257; ++i) louder.heartbeat();
  assert.deepEqual((({code, reason}) => [code, reason])(await louder.closed()), [1008, 'Too much before login']);
  assert.equal(await hits({limit: 'early_frames'}), 1);
  cluster.postgres.thaw();
});

clusterClaim('what an agent sends before its login is decided is read to a bound, and after that or never at all', async (scope) => {
  const cluster = await Cluster.start(scope, {
    edges: 1, controls: 1, ownPostgres: true, edgeFlags: {'login-timeout': 20_000, 'database-connections-max': 1},
  });
  await (await cluster.agent('large')).close();  // The connection is there: to make one takes no longer than 5 s.
  const resident = () => readFile(`/proc/${cluster.edges[0].process.pid}/statm`, 'utf8').then((text) => Number(text.split(' ')[1]) * 4096);
  const before = await resident();
  cluster.postgres.freeze();
  const large = await cluster.dial('large');
  const strangers = Array.from({length: 100}, (_, i) =>
    scope.own(new SeedAgent(cluster.edges[0].url(loginQuery(`stranger_${i}`, 'wrong')))));
  const all = [large, ...strangers];
  await until('all are open', () => all.every((agent) => agent.opened));
  large.send({type: 'heartbeat', padding: 'x'.repeat(16_000_000)});
  for (const stranger of strangers) stranger.send({type: 'heartbeat', padding: 'x'.repeat(1_500_000)});
  await sleep(1000);
  assert.ok((await resident()) - before < 64e6, `${(await resident()) - before} bytes for ${all.length} sockets`);
  cluster.postgres.thaw();
  await large.connected();
  await until('its frame is answered', () => large.of('heartbeat_ack').length > 0);
  for (const stranger of strangers) {
    assert.deepEqual(await stranger.closed(), {code: 1008, reason: 'Invalid credentials'});
  }
});

clusterClaim('while the store is unavailable requests are UNAVAILABLE and change nothing; when control stops they are answered', async (scope) => {
  const controlFlags = {'caller-share-percent-max': 100};
  const cluster = await Cluster.start(scope, {edges: 1, controls: 1, ownPostgres: true, controlFlags});
  const caller = cluster.caller();
  const agent = await cluster.agent('user_1');
  await cluster.postgres.stop('SIGQUIT');
  for (const [method, request] of [
    ['CreateCredential', {userId: 'user_2'}], ['RotateCredential', {userId: 'user_1'}], ['RevokeCredential', {userId: 'user_1'}],
    ['ListCredentials', {}], ['ListExecutions', {}],
  ]) {
    const answer = await caller.admin(method, request);
    assert.equal(answer.code, code.UNAVAILABLE, method);
    assert.match(answer.message, /store is unavailable/);
    assert.ok(!answer.message.includes('hunter2'));
  }
  await agent.roundTrip();
  await cluster.postgres.start();
  await until('the store is available again', async () => (await caller.admin('ListCredentials')).code === undefined);
  assert.deepEqual((await caller.admin('ListCredentials')).credentials.map(({userId, revoked}) => [userId, revoked]), [['user_1', false]]);
  assert.equal((await (await cluster.agent('user_1')).roundTrip()), undefined, 'the secret is as it was');

  cluster.postgres.freeze();
  const asked = Array.from({length: 300}, () => caller.admin('ListCredentials'));
  const full = await Promise.race(asked);
  assert.equal(full.code, code.RESOURCE_EXHAUSTED, 'no more than some wait');
  assert.ok((await cluster.controls[0].metric('toolwire_control_limit_hits_total', {limit: 'operators_requests'})) >= 1);
  const stopped = cluster.controls[0].process.stop();
  const answers = await Promise.all(asked);
  cluster.postgres.thaw();
  await stopped;
  assert.ok(answers.every(({code: one}) => [code.RESOURCE_EXHAUSTED, code.UNAVAILABLE].includes(one)));
});

// --- the command line ------------------------------------------------------------------------------------------------

claim('`toolwire credentials` and `audit` ask a control, or open the store, and say the same in the same form', async (scope) => {
  const tw = await scope.toolwire();
  const control = ['--address', `127.0.0.1:${tw.ports.callers}`];
  const store = ['--data-dir', tw.dataDir];
  for (const [where, userId] of [[control, 'user_c'], [store, 'user_s']]) {
    const toolwire = (...args) => run('toolwire', [...args, ...where]);
    const created = await toolwire('credentials', 'create', userId, '--platform', 'win32', '--json');
    const {secret} = JSON.parse(created.stdout);
    assert.equal(created.stdout, `{"userId":"${userId}","secret":"${secret}"}\n`);
    const again = await toolwire('credentials', 'create', userId);
    assert.deepEqual([again.code, again.stdout], [1, '']);
    assert.match(again.stderr, /has (a )?credentials? already/);
    const agent = tw.dial(tw.loginQuery(userId, secret));
    await agent.connected();
    await until('the agent is known', async () => (await tw.caller().call(userId, 'echo', {a: 1})).code === 0);
    await tw.auditRows(1, userId);
    const rotated = await toolwire('credentials', 'rotate', userId, '--keep-session');
    assert.match(rotated.stdout, /^[0-9a-f]{64}\n$/);
    await agent.roundTrip();
    const revoked = await toolwire('credentials', 'revoke', userId, '--json');
    const closes = where === control;
    assert.equal(revoked.stdout,
      `{"userId":"${userId}","revoked":true,"sessionClosed":${closes},"everywhere":${closes},"edgesNotHeard":[]}\n`);
    assert.equal(/no live session was closed/.test(revoked.stderr), !closes);
    if (closes) assert.equal((await agent.closed()).code, 1008);
    else await agent.roundTrip();
    const listed = linesOf((await toolwire('credentials', 'list', '--json')).stdout).find((one) => one.userId === userId);
    assert.deepEqual([listed.platform, listed.revoked, Object.keys(listed).join()],
      ['win32', true, 'userId,platform,status,createdAt,lastSeen,revoked']);
    assert.match((await toolwire('credentials', 'list')).stdout, new RegExp(`^${userId}\trevoked\twin32\t`, 'm'));
    const [row] = linesOf((await toolwire('audit', userId, '--json', '--since', '10m')).stdout);
    assert.deepEqual([row.userId, row.tool, row.params, row.success], [userId, 'echo', '{"a":1}', true]);
    assert.equal((await toolwire('audit', userId, '--until', '2001-01-01T00:00:00+01:00')).stdout, '');
    assert.equal((await toolwire('audit', userId, '--since', '2001-01-01T00:00:00Z')).stdout.split('\n').length, 2);
    for (const wrong of [['--since', 'yesterday'], ['--since', '1h', '--until', '2h'], ['--until', '10']]) {
      assert.notEqual((await toolwire('audit', ...wrong)).code, 0, wrong.join(' '));
    }
    for (const command of ['rotate', 'revoke']) assert.equal((await toolwire('credentials', command, 'nobody')).code, 1);
    const file = `${await scope.directory()}/list`;
    await output('toolwire', ['credentials', 'create', `${userId}_`, '--count', '3', '--out', file, ...where]);
    assert.equal((await toolwire('credentials', 'list')).stdout.match(new RegExp(`^${userId}_\\d\tpending`, 'gm')).length, 3);
  }
});

claim('flags come before the environment, a control before a store, and what is wrong is said with what to do', async (scope) => {
  const tw = await scope.toolwire();
  const address = `127.0.0.1:${tw.ports.callers}`;
  const empty = await scope.directory();
  await tw.secret('user_1');
  const listed = async (args, env) => {
    const {code: status, stdout, stderr} = await run('toolwire', ['credentials', 'list', ...args], {env});
    return status === 0 ? stdout.split('\t')[0] : `${status} ${stderr}`;
  };
  assert.equal(await listed(['--address', address], {TOOLWIRE_DATA_DIR: empty}), 'user_1');
  assert.equal(await listed(['--data-dir', empty], {TOOLWIRE_ADDRESS: address}), '');
  assert.equal(await listed([], {TOOLWIRE_ADDRESS: address, TOOLWIRE_DATA_DIR: empty}), 'user_1');
  assert.equal(await listed([], {TOOLWIRE_DATA_DIR: tw.dataDir}), 'user_1');
  assert.match(await listed(['--address', address, '--data-dir', empty]), /^1 .*give one or the other/);
  assert.equal(await listed(['--address', '127.0.0.1:1']),
    '3 toolwire credentials: no control at 127.0.0.1:1; start one, or name another with --address, or open the store directly with --database-url or --data-dir\n');
});
