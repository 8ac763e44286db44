// Who may call: tokens, their scopes and users, and what happens when they expire or are removed.
import assert from 'node:assert/strict';
import {readFile, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {Caller, RPCS, code, health} from './lib/caller.js';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {output, run} from './lib/process.js';
import {FLAG, FRAME, PREFACE, RawCaller, frame, message, requestHeaders} from './lib/raw_http2.js';
import {TokensFile, makeToken, servicesOf, statusOf} from './lib/tokens.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

const {PERMISSION_DENIED, UNAUTHENTICATED} = code;

// What each RPC asks for. One that is not here has no test of its lock, and fails this file.
const SCOPES = {
  'toolwire.v1.ToolDispatch': {
    CallTool: 'call', Dispatch: 'call', GetAgent: 'read', ListAgents: 'read', WatchAgents: 'read', FollowAgents: 'read',
  },
  'toolwire.v1.AgentAdmin': {
    CreateCredential: 'admin', RotateCredential: 'admin', RevokeCredential: 'admin', ListCredentials: 'admin',
    DisconnectAgent: 'admin', ListExecutions: 'read',
  },
};
const OPEN = ['grpc.health.v1.Health', 'grpc.reflection.v1alpha.ServerReflection'];

async function start(scope, shape, tokens, options = {}) {
  return scope.toolwire({...shape, ...options, flags: {'tokens-file': tokens.path, ...options.flags}});
}
const expiresIn = (ms) => `expires=${new Date(Date.now() + ms).toISOString()}`;
const refused = ({code: got, reason, delivery}) => [got, reason, delivery];
const DENIED = [PERMISSION_DENIED, 'PERMISSION_DENIED', 'NOT_SENT'];
const NOT_KNOWN = [UNAUTHENTICATED, 'UNAUTHENTICATED', 'NOT_SENT'];
// A DispatchRequest with one call of `echo`, of a user with a short name.
const echoOf = (user) => {
  const text = (field, value) => Buffer.from([field << 3 | 2, value.length, ...Buffer.from(value)]);
  const call = Buffer.concat([text(1, user), text(2, 'echo')]);
  return text(1, Buffer.concat([Buffer.from([1 << 3, 1]), text(2, call)]));
};
const silent = {answer: () => undefined};
// Of a command: no token but the one that is given.
const showing = (env) => ({env: {TOOLWIRE_TOKEN_FILE: undefined, ...env}});

claim('every RPC of every service asks for a token with its scope, but for health and reflection', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const of = Object.fromEntries(['call', 'read', 'admin'].map((name) => [name, tokens.add(name, name)]));
  const tw = await start(scope, {topology: 'split'}, tokens);
  const port = tw.ports.callers;
  assert.deepEqual((await servicesOf(port)).sort(), [...OPEN, ...Object.keys(SCOPES)].sort(), 'each service has its row above');
  assert.equal(await health(tw.caller(), 'toolwire.v1.ToolDispatch'), 'SERVING');
  const rpcs = RPCS.filter(({service}) => service in SCOPES);
  assert.deepEqual(rpcs.map(({service, name}) => `${service}.${name}`).sort(),
    Object.entries(SCOPES).flatMap(([service, names]) => Object.keys(names).map((name) => `${service}.${name}`)).sort());
  let missing = 0;
  for (const rpc of rpcs) {
    const needed = SCOPES[rpc.service][rpc.name];
    for (const token of [undefined, makeToken(), of[needed].slice(0, -1), 'tw_', `${of[needed]}x`]) {
      const status = await statusOf(port, rpc, token);
      assert.equal(status.code, UNAUTHENTICATED, `${rpc.path} with ${token && 'a wrong token'}: ${status.details}`);
      assert.match(status.details, token === undefined ? /asks for a token.*--token-file/ : /does not know the token/);
      if (token === undefined) ++missing;
    }
    for (const [name, token] of Object.entries(of)) {
      const status = await statusOf(port, rpc, token);
      const may = name === 'admin' || name === needed;
      assert.equal(status.code === PERMISSION_DENIED, !may, `${rpc.path} with the scope ${name}: ${status.details}`);
      assert.notEqual(status.code, UNAUTHENTICATED, rpc.path);
      if (!may) assert.match(status.details, new RegExp(`scopes do not include ${needed}`));
    }
  }
  assert.equal(await tw.metric('toolwire_control_callers_refused_total', {reason: 'missing'}), missing);
  assert.equal(await tw.metric('toolwire_control_callers_refused_total', {reason: 'unknown'}), 4 * rpcs.length);
  await until('the log counts them', () => tw.control.logged('callers refused').length > 0);
  await tw.stop();
  assert.ok(tw.control.logged('callers refused').length < 20, 'in few lines');
  assert.ok(!/tw_[\w-]{4}/.test(tw.logText), 'the log shows no token');
});

claimInBoth('a caller that is bound to a user, or to a prefix, names, lists and watches no others', async (scope, shape) => {
  const tokens = await TokensFile.create(scope);
  const all = tokens.add('all', 'call,read'), one = tokens.add('one', 'call,read', 'user=shop_1');
  const some = tokens.add('some', 'call,read', 'user-prefix=shop_'), operator = tokens.add('operator', 'admin', 'user=shop_1');
  const tw = await start(scope, shape, tokens);
  for (const user of ['bank_1', 'shop_1', 'shop_2', 'shopper']) await tw.agent(user);
  const callers = {all: tw.caller(all), one: tw.caller(one), some: tw.caller(some)};
  await until('all are listed', async () => (await callers.all.ask('ListAgents', {})).agents.length === 4);
  const sees = {all: ['bank_1', 'shop_1', 'shop_2', 'shopper'], one: ['shop_1'], some: ['shop_1', 'shop_2']};
  for (const [name, caller] of Object.entries(callers)) {
    const stream = caller.dispatch();
    for (const user of sees.all) {
      for (const outcome of [await caller.call(user, 'echo', {n: 1}), await stream.call(user, 'echo', {n: 1})]) {
        if (sees[name].includes(user)) assert.equal(outcome.code, 0, `${name} calls ${user}`);
        else assert.deepEqual(refused(outcome), DENIED, `${name} calls ${user}`);
      }
      const got = await caller.ask('GetAgent', {userId: user}).catch((error) => error);
      assert.equal(got.connected ?? got.code, sees[name].includes(user) ? true : PERMISSION_DENIED, `${name} asks for ${user}`);
    }
    const {agents, totalConnected} = await caller.ask('ListAgents', {});
    assert.deepEqual(agents.map(({userId}) => userId), sees[name]);
    assert.equal(totalConnected, String(sees[name].length));
    const watch = caller.watch();
    assert.deepEqual((await watch.snapshot()).map(({agent}) => agent.userId), sees[name]);
    watch.stop();
    const rows = await until('the calls are in the audit log', async () => {
      const {executions} = await caller.admin('ListExecutions', {pageSize: 1000});
      return executions.filter((row) => row.caller === name).length >= 2 * sees[name].length && executions;
    });
    assert.deepEqual([...new Set(rows.map(({userId}) => userId))].sort(), sees[name]);
  }
  assert.equal((await callers.one.admin('ListExecutions', {userId: 'shop_2'})).code, PERMISSION_DENIED);
  assert.equal((await callers.some.watch(['shop_1', 'bank_1']).ended()).code, PERMISSION_DENIED);
  // Changes, too, reach only those who may see them.
  const watches = [callers.one.watch(), callers.some.watch(), callers.all.watch()];
  for (const watch of watches) await watch.snapshot();
  for (const user of ['bank_1', 'shop_2', 'shop_1']) await tw.agent(user);
  for (const watch of watches) await watch.saw('MOVED', 'shop_1');
  const moved = watches.map(({events}) => events.filter(({kind}) => kind === 'MOVED').map(({agent}) => agent.userId).sort());
  assert.deepEqual(moved, [['shop_1'], ['shop_1', 'shop_2'], ['bank_1', 'shop_1', 'shop_2']]);
  for (const watch of watches) watch.stop();
  // Operators alike.
  const admin = tw.caller(operator);
  for (const method of ['CreateCredential', 'RotateCredential', 'RevokeCredential', 'DisconnectAgent']) {
    assert.equal((await admin.admin(method, {userId: 'shop_2'})).code, PERMISSION_DENIED, method);
  }
  assert.equal((await admin.admin('ListCredentials')).code, PERMISSION_DENIED);
  assert.equal((await admin.admin('RevokeCredential', {userId: 'shop_1'})).everywhere, true);
});

claimInBoth('audit rows, metrics and `toolwire audit` name the caller', async (scope, shape) => {
  const tokens = await TokensFile.create(scope);
  const shop = tokens.add('shop', 'call,read'), again = tokens.add('shop', 'call');
  const tw = await start(scope, shape, tokens);
  await tw.agent('user_1');
  assert.equal((await tw.caller(shop).call('user_1', 'echo')).code, 0);
  assert.equal((await tw.caller(again).dispatch().call('user_1', 'echo')).code, 0);
  assert.equal((await tw.caller(shop).call('nobody', 'echo')).code, code.UNAVAILABLE);
  assert.equal((await tw.caller(shop).call('', 'echo')).code, code.INVALID_ARGUMENT);
  const rows = await tw.auditRows(4);
  assert.deepEqual(rows.map(({caller}) => caller), ['shop', 'shop', 'shop', 'shop']);
  assert.match(await output('toolwire', ['audit', '--data-dir', tw.dataDir]), /echo  ok(  \d+ ms)?  called by shop\n/);
  assert.equal(await tw.metric('toolwire_control_calls_of_caller_total', {caller: 'shop'}), 4);
});

claimInBoth('a token that is removed ends its streams and cancels its calls; those of others go on', async (scope, shape) => {
  const tokens = await TokensFile.create(scope);
  const goes = tokens.add('goes', 'call,read'), stays = tokens.add('stays', 'call,read');
  const tw = await start(scope, shape, tokens);
  const agent = await tw.agent('user_1', silent);
  const [leaving, staying] = [tw.caller(goes), tw.caller(stays)];
  const [stream, other] = [leaving.dispatch(), staying.dispatch()];
  const [watch, otherWatch] = [leaving.watch(), staying.watch()];
  await Promise.all([watch.snapshot(), otherWatch.snapshot()]);
  stream.send({calls: [{id: 1, userId: 'user_1', tool: 'slow', requestId: 'of_stream'}]});
  const unary = leaving.call('user_1', 'slow', {}, {requestId: 'of_unary'});
  other.send({calls: [{id: 1, userId: 'user_1', tool: 'slow', requestId: 'of_other'}]});
  await until('all calls are at the agent', () => agent.calls.length === 3);
  tokens.remove(goes);
  for (const status of [await stream.ended(), await watch.ended()]) {
    assert.equal(status.code, UNAUTHENTICATED);
    assert.match(status.details, /token was removed/);
  }
  assert.deepEqual(refused(await stream.answer(1)), [code.CANCELLED, 'CALLER_CANCELLED', 'SENT'], 'it was answered before that');
  assert.deepEqual(refused(await unary), [code.CANCELLED, 'CALLER_CANCELLED', 'SENT']);
  assert.deepEqual(refused(await leaving.call('user_1', 'echo')), NOT_KNOWN);
  agent.respond('of_other', {success: true, result: 1});
  assert.equal((await other.answer(1)).code, 0);
  assert.equal(otherWatch.events.length > 0, true);
  await tw.agent('user_2');
  await otherWatch.saw('CONNECTED', 'user_2');
  otherWatch.stop();
  await tw.idle();
});

clusterClaim("operators' requests that wait for the store do not begin once their token is gone", async (scope) => {
  const tokens = await TokensFile.create(scope);
  const goes = tokens.add('goes', 'admin'), stays = tokens.add('stays', 'admin');
  const cluster = await Cluster.start(scope, {edges: 1, controls: 1, ownPostgres: true, controlFlags: {'tokens-file': tokens.path}});
  const [control] = cluster.controls;
  const [leaving, staying] = [goes, stays].map((token) => scope.own(new Caller(control.ports.callers, undefined, {token})));
  cluster.postgres.freeze();
  const create = (number) => leaving.admin('CreateCredential', {userId: `user_${number}`});
  const asked = Array.from({length: 20}, (_, number) => create(number));
  const behind = await leaving.admin('DisconnectAgent', {userId: 'nobody'});
  assert.equal(behind.code, code.NOT_FOUND, 'the others, which came before it, were admitted');
  tokens.remove(goes);
  await until('it is removed', async () => (await control.metric('toolwire_control_tokens_taken_total')) === 2);
  cluster.postgres.thaw();
  const outcomes = await Promise.all(asked);
  const refusals = outcomes.filter(({code: one}) => one === UNAUTHENTICATED).length;
  assert.ok(refusals >= 15, `${refusals} of 20`);
  const {credentials} = await staying.admin('ListCredentials');
  assert.equal(credentials.length, outcomes.filter(({secret}) => secret !== undefined).length);
});

claimInBoth('a token that expires ends its streams once their calls are answered', async (scope, shape) => {
  const tokens = await TokensFile.create(scope);
  const token = tokens.add('short', 'call,read', expiresIn(600_000));
  const tw = await start(scope, shape, tokens);
  const agent = await tw.agent('user_1', silent);
  const caller = tw.caller(token);
  const [stream, watch] = [caller.dispatch(), caller.watch()];
  await watch.snapshot();
  stream.send({calls: [{id: 1, userId: 'user_1', tool: 'slow', requestId: 'of_stream'}]});
  const unary = caller.call('user_1', 'slow', {}, {requestId: 'of_unary'});
  await until('both calls are at the agent', () => agent.calls.length === 2);
  tokens.remove(token);
  tokens.add('short', 'call,read', expiresIn(0), token);  // The same line but for its expiry.
  const ended = await watch.ended();
  assert.equal(ended.code, UNAUTHENTICATED);
  assert.match(ended.details, /token has expired/);
  assert.deepEqual(refused(await caller.call('user_1', 'echo')), NOT_KNOWN);
  assert.deepEqual(refused(await stream.call('user_1', 'echo')), NOT_KNOWN, 'no new call on the old stream');
  assert.equal(stream.status, undefined, 'its call in flight keeps it');
  agent.respond('of_stream', {success: true, result: 1});
  agent.respond('of_unary', {success: true, result: 2});
  assert.equal((await stream.answer(1)).code, 0);
  assert.equal((await unary).code, 0);
  assert.equal((await stream.ended()).code, UNAUTHENTICATED);
  await tw.idle();
});

claim('an idle stream and an idle watch end when their token expires', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const at = Date.now() + 3_000;
  const token = tokens.add('short', 'call,read', `expires=${new Date(at).toISOString()}`);
  const tw = await start(scope, {}, tokens);
  const caller = tw.caller(token);
  const ends = [caller.dispatch().ended(), caller.watch().ended()];
  for (const status of await Promise.all(ends)) assert.equal(status.code, UNAUTHENTICATED, status.details);
  assert.ok(Date.now() >= at - 1, 'not before');
});

claim('a caller whose token is gone and who reads nothing keeps no place', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const goes = tokens.add('goes', 'call,read'), stays = tokens.add('stays', 'call,read');
  const tw = await start(scope, {topology: 'split'}, tokens, {flags: {'streams-max': 1, 'watches-max': 1}});
  await tw.agent('user_1');
  const raw = scope.own(new RawCaller(tw.ports.callers));
  await raw.write(PREFACE, frame(FRAME.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0])));  // It lets nobody send it DATA.
  const headers = (method) => requestHeaders(method, {authorization: `Bearer ${goes}`});
  await raw.write(
    frame(FRAME.headers, FLAG.endHeaders, 1, headers('WatchAgents')), frame(FRAME.data, FLAG.endStream, 1, message(Buffer.alloc(0))),
    frame(FRAME.headers, FLAG.endHeaders, 3, headers('Dispatch')), frame(FRAME.data, 0, 3, message(echoOf('user_1'))));
  await until('its call was answered', async () => (await tw.metric('toolwire_control_calls_answered_total')) === 1);
  const other = tw.caller(stays);
  assert.equal((await other.watch().ended()).code, code.RESOURCE_EXHAUSTED, 'all places are taken');
  tokens.remove(goes);
  await until('they are free', async () => (await tw.metric('toolwire_control_streams')) === 0);
  assert.equal(await tw.metric('toolwire_control_limit_hits_total', {limit: 'ended_stream_unread'}), 2);
  const watch = other.watch();
  await watch.snapshot();
  watch.stop();
  await tw.idle();
});

claim('tokens are replaced under running calls: new ones are taken within seconds, and no call fails', async (scope) => {
  const tokens = await TokensFile.create(scope);
  let token = tokens.add('shop', 'call');
  const tw = await start(scope, {topology: 'split'}, tokens);
  await tw.agent('user_1');
  let calls = 0, done = false;
  const traffic = (async () => {
    while (!done) {
      const caller = tw.caller(token);
      const stream = caller.dispatch();
      for (let i = 0; i < 20; ++i, ++calls) {
        for (const outcome of await Promise.all([caller.call('user_1', 'echo'), stream.call('user_1', 'echo')])) {
          assert.equal(outcome.code, 0, outcome.message);
        }
      }
      stream.end();
      assert.equal((await stream.ended()).code, 0);
      caller.close();
    }
  })();
  for (let round = 1; round <= 3; ++round) {
    const old = token;
    const next = tokens.add('shop', 'call');
    await until('the new one is taken', async () => (await tw.caller(next).call('user_1', 'echo')).code === 0);
    token = next;
    const before = calls;
    await until('callers have gone over to it', () => calls > before + 60);
    tokens.remove(old);
    await until('the old one is refused', async () => (await tw.caller(old).call('user_1', 'echo')).code === UNAUTHENTICATED);
  }
  done = true;
  await traffic;
});

claim('a bad or vanished token file stops the start, and a running control keeps the tokens that it has', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const args = ['dev', '--port=0', '--grpc-port=0', '--metrics-port=0', `--data-dir=${await scope.directory()}`, `--tokens-file=${tokens.path}`];
  const gone = await run('toolwire', args);
  assert.equal(gone.code, 2);
  assert.match(gone.stderr, /--tokens-file: cannot read .*tokens: No such file/);
  tokens.write(`shop ${makeToken()} call\n`);
  const wrong = await run('toolwire', args);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /--tokens-file: .*tokens: line 1: holds a token itself/);
  assert.ok(!/tw_[\w-]{4}/.test(wrong.stderr));
  const token = tokens.add('shop', 'call');
  const tw = await start(scope, {}, tokens);
  await tw.agent('user_1');
  const stream = tw.caller(token).dispatch();
  const other = makeToken();
  tokens.write(`${tokens.text}junk\n`);
  await until('it is refused', () => tw.control.logged('token file not taken, the tokens before stay').length === 1);
  assert.match(tw.control.logged('token file not taken, the tokens before stay')[0].problem, /line 2/);
  assert.equal(await tw.metric('toolwire_control_tokens_refused_total'), 1);
  assert.equal((await stream.call('user_1', 'echo')).code, 0);
  assert.equal((await tw.caller(token).call('user_1', 'echo')).code, 0);
  tokens.add('new', 'call', '', other);
  await until('the mended file is taken', async () => (await tw.caller(other).call('user_1', 'echo')).code === 0);
  assert.equal((await stream.call('user_1', 'echo')).code, 0, 'its line is still there');
  stream.end();
});

claim('`toolwire tokens create` makes a token and its line, with which every command asks control', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const made = await run('toolwire', ['tokens', 'create', 'ops', '--scope', 'admin', '--expires', '2999-01-31T00:00:00Z']);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /^tw_[\w-]{43}\n$/);
  const line = made.stderr.split('\n').find((one) => one.startsWith('ops sha256:'));
  assert.match(line, /^ops sha256:[0-9a-f]{64} admin expires=2999-01-31T00:00:00Z$/);
  assert.ok(!made.stderr.includes(made.stdout.trim()));
  const bound = JSON.parse(await output('toolwire', ['tokens', 'create', 'u', '--scope', 'call,read', '--user', 'Ann Lee', '--json']));
  assert.match(bound.line, / call,read user=Ann%20Lee$/);
  for (const bad of [['create', 'a b', '--scope', 'call'], ['create', 'a'], ['create', 'a', '--scope', 'write'],
    ['create', 'a', '--scope', 'call', '--user', 'x', '--user-prefix', 'y'], ['create', 'a', '--scope', 'call', '--expires', 'soon']]) {
    assert.equal((await run('toolwire', ['tokens', ...bad])).code, 2, bad.join(' '));
  }
  tokens.write(`${line}\n${bound.line}\n`);
  const tw = await start(scope, {}, tokens);
  await tw.agent('user_1');
  const directory = await scope.directory();
  const file = path.join(directory, 'token');
  await writeFile(file, made.stdout);
  const address = ['--address', `127.0.0.1:${tw.ports.callers}`];
  const commands = [
    ['call', 'user_1', 'echo'], ['agents'], ['where', 'user_1'], ['watch', '--once'], ['credentials', 'list'],
    ['credentials', 'create', 'user_9'], ['credentials', 'rotate', 'user_9'], ['credentials', 'revoke', 'user_9'], ['audit'],
  ];
  for (const command of commands) {
    const without = await run('toolwire', [...command, ...address], showing());
    assert.notEqual(without.code, 0, command.join(' '));
    assert.match(without.stderr, /asks for a token/, command.join(' '));
    const by = [
      await run('toolwire', [...command, ...address, '--token-file', file]),
      command[0] === 'credentials' ? {code: 0} : await run('toolwire', [...command, ...address], {env: {TOOLWIRE_TOKEN_FILE: file}}),
      command[0] === 'credentials' ? {code: 0} : await run('toolwire', [...command, ...address], showing({TOOLWIRE_TOKEN: made.stdout})),
    ];
    for (const [i, {code: status, stderr}] of by.entries()) assert.equal(status, 0, `${command.join(' ')}, way ${i}: ${stderr}`);
  }
  const itself = await run('toolwire', ['agents', ...address], {env: {TOOLWIRE_TOKEN_FILE: made.stdout.trim()}});
  assert.equal(itself.code, 2);
  assert.match(itself.stderr, /TOOLWIRE_TOKEN_FILE: a token itself/);
  assert.ok(!itself.stderr.includes(made.stdout.trim()));
  await writeFile(file, '');
  const empty = await run('toolwire', ['agents', ...address, '--token-file', file]);
  assert.equal(empty.code, 2);
  assert.match(empty.stderr, /does not hold a token/);
  assert.ok((await readFile(tokens.path, 'utf8')).length > 0);
});

claim('`toolwire doctor` says plainly what control has against the token', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const reader = tokens.add('reader', 'read'), caller = tokens.add('caller', 'call');
  const tw = await start(scope, {}, tokens);
  const control = async (token) => {
    const args = ['doctor', '--json', '--address', `127.0.0.1:${tw.ports.callers}`];
    const {stdout} = await run('toolwire', args, showing({TOOLWIRE_DATA_DIR: tw.dataDir, ...(token && {TOOLWIRE_TOKEN: token})}));
    return stdout.trim().split('\n').map((line) => JSON.parse(line)).find(({check}) => check === 'control');
  };
  assert.deepEqual([(await control(reader)).level, (await control(caller)).level], ['ok', 'ok']);
  const none = await control(), wrong = await control(makeToken());
  assert.equal(none.level, 'fail');
  assert.match(none.message, /asks for a token, and none was given/);
  assert.match(wrong.message, /does not take the token: .*does not know/);
});
