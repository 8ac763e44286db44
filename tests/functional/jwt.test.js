// Callers by JSON Web Tokens: whom they reach, what a control does not take, and what happens when keys are replaced or
// removed and tokens expire.
import assert from 'node:assert/strict';
import {createHmac} from 'node:crypto';
import {readFile, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {code} from './lib/caller.js';
import {AUDIENCE, ISSUER, Issuer, tokenOf} from './lib/jwt.js';
import {output, run} from './lib/process.js';
import {TokensFile} from './lib/tokens.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

const {PERMISSION_DENIED, UNAUTHENTICATED} = code;
const HITS = 'toolwire_control_limit_hits_total', REFUSED = 'toolwire_control_callers_refused_total';
const start = (scope, shape, issuer, flags = {}) => scope.toolwire({...shape, flags: {...issuer.flags, ...flags}});
const refused = ({code: got, reason, delivery}) => [got, reason, delivery];
const DENIED = [PERMISSION_DENIED, 'PERMISSION_DENIED', 'NOT_SENT'];
const NOT_KNOWN = [UNAUTHENTICATED, 'UNAUTHENTICATED', 'NOT_SENT'];
const silent = {answer: () => undefined};
const ALL = 'toolwire:call toolwire:read toolwire:any-user';

claimInBoth('a token of either algorithm reaches its one user, and one with any-user all', async (scope, shape) => {
  const issuer = await Issuer.create(scope, {algorithm: 'RS256'});
  const ec = issuer.addKey('ES256');
  const tw = await start(scope, shape, issuer);
  for (const user of ['user_1', 'user_2']) await tw.agent(user);
  const callers = {
    rsa: tw.caller(issuer.token()), ec: tw.caller(issuer.token({}, {kid: ec})),
    all: tw.caller(issuer.token({sub: 'backend', scope: ALL}, {kid: ec})),
  };
  await until('both are listed', async () => (await callers.all.ask('ListAgents', {})).agents.length === 2);
  for (const [name, caller] of Object.entries(callers)) {
    const sees = name === 'all' ? ['user_1', 'user_2'] : ['user_1'];
    const stream = caller.dispatch();
    for (const user of ['user_1', 'user_2']) {
      for (const outcome of [await caller.call(user, 'echo'), await stream.call(user, 'echo')]) {
        if (sees.includes(user)) assert.equal(outcome.code, 0, `${name} calls ${user}: ${outcome.message}`);
        else assert.deepEqual(refused(outcome), DENIED, `${name} calls ${user}`);
      }
      const got = await caller.ask('GetAgent', {userId: user}).catch((error) => error);
      assert.equal(got.connected ?? got.code, sees.includes(user) ? true : PERMISSION_DENIED, `${name} asks for ${user}`);
    }
    assert.deepEqual((await caller.ask('ListAgents', {})).agents.map(({userId}) => userId), sees);
    const watch = caller.watch();
    assert.deepEqual((await watch.snapshot()).map(({agent}) => agent.userId), sees);
    watch.stop();
    assert.equal((await caller.admin('CreateCredential', {userId: 'user_1'})).code, PERMISSION_DENIED, 'no scope for it');
    stream.end();
  }
  const rows = await until('the calls are in the audit log', async () => {
    const {executions} = await callers.rsa.admin('ListExecutions', {pageSize: 1000});
    return executions.length >= 6 && executions;
  });
  assert.deepEqual([...new Set(rows.map(({userId}) => userId))], ['user_1']);
  assert.deepEqual([...new Set(rows.map(({caller}) => caller))].sort(), ['jwt:backend', 'jwt:user_1']);
  assert.equal(await tw.metric('toolwire_control_calls_of_caller_total', {caller: 'jwt:shop'}), 12);
  const admin = tw.caller(issuer.token({scope: 'toolwire:admin toolwire:any-user'}));
  assert.ok((await admin.admin('CreateCredential', {userId: 'user_3'})).secret);
});

claim('tokens that break a rule are refused, and neither answer nor log shows them', async (scope) => {
  const issuer = await Issuer.create(scope, {algorithm: 'RS256'});
  const other = await Issuer.create(scope);
  const tw = await start(scope, {topology: 'split'}, issuer);
  await tw.agent('user_1');
  const now = Math.floor(Date.now() / 1000);
  const claims = issuer.claims();
  const hmac = (alg) => {
    const text = tokenOf({alg, kid: issuer.kid}, claims, null, '').slice(0, -1);
    return `${text}.${createHmac('sha256', JSON.stringify(issuer.publicKey())).update(text).digest('base64url')}`;
  };
  const good = issuer.token();
  const cases = [
    [tokenOf({alg: 'none', kid: issuer.kid}, claims, null, ''), /algorithm/],
    [hmac('HS256'), /algorithm/],
    [issuer.token({}, {header: {alg: 'ES256'}}), /algorithm/],
    [issuer.token({}, {header: {alg: 'PS256'}}), /algorithm/],
    [issuer.token({}, {header: {kid: 'key-9'}}), /kid/],
    [issuer.token({}, {header: {kid: undefined}}), /kid/],
    [issuer.token({}, {header: {crit: ['exp']}}), /header/],
    [issuer.token({}, {header: {jku: 'https://attacker.example'}}), /header/],
    [issuer.token({}, {header: {jwk: other.publicKey()}}), /header/],
    [issuer.token({}, {header: {typ: 'logout+jwt'}}), /header/],
    [other.token({}, {header: {kid: issuer.kid, alg: 'RS256'}}), /signature/],
    [`${good.slice(0, -2)}${good.endsWith('AA') ? 'QQ' : 'AA'}`, /signature|no JSON Web Token/],
    [`${good}A`, /no JSON Web Token|signature/],
    [issuer.token({iss: 'https://other.example'}), /iss/],
    [issuer.token({aud: 'other'}), /aud/],
    [issuer.token({aud: undefined}), /aud/],
    [issuer.token({exp: undefined}), /exp and iat/],
    [issuer.token({iat: undefined}), /exp and iat/],
    [issuer.token({exp: now - 61, iat: now - 100}), /expired/],
    [issuer.token({nbf: now + 100}), /not valid yet/],
    [issuer.token({exp: now + 86_401 + 5}), /longer than this control's --jwt-lifetime-max/],
    [issuer.token({sub: undefined}), /names no user/],
    [issuer.token({}, {claims: JSON.stringify(claims).replace('{', '{"sub":"user_2",')}), /different names/],
    [issuer.token({}, {claims: `{"x":${'['.repeat(5000)}${']'.repeat(5000)}}`}), /claims/],
  ];
  for (const [token, why] of cases) {
    const outcome = await tw.caller(token).call('user_1', 'echo');
    assert.deepEqual(refused(outcome), NOT_KNOWN, `${why}: ${outcome.message}`);
    assert.match(outcome.message, why);
    assert.ok(!outcome.message.includes(token.slice(0, 20)), outcome.message);
  }
  assert.equal((await tw.caller(issuer.token({scope: 'openid'})).call('user_1', 'echo')).code, PERMISSION_DENIED);
  assert.equal((await tw.caller(good).call('user_1', 'echo')).code, 0);
  assert.equal(await tw.metric(REFUSED, {reason: 'unknown'}), 2);
  assert.equal(await tw.metric(REFUSED, {reason: 'expired'}), 1);
  assert.equal(await tw.metric(REFUSED, {reason: 'invalid'}), cases.length - 3);
  await until('the log says so', () => tw.control.logged('callers refused').some(({lastInvalid}) => lastInvalid?.length > 0));
  await tw.stop();
  assert.ok(!/eyJ/.test(tw.logText), 'no token in the log');
});

claim('a control takes tokens of the file and of the issuer, and asks for one if it has either', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const line = tokens.add('shop', 'call');
  const issuer = await Issuer.create(scope);
  const tw = await start(scope, {topology: 'split'}, issuer, {'tokens-file': tokens.path});
  await tw.agent('user_1');
  const jwt = issuer.token();
  for (const token of [line, jwt]) assert.equal((await tw.caller(token).call('user_1', 'echo')).code, 0);
  assert.equal((await tw.caller().call('user_1', 'echo')).code, UNAUTHENTICATED);
  tokens.remove(line);
  tokens.add('other', 'call');
  await until('the line is gone', async () => (await tw.caller(line).call('user_1', 'echo')).code === UNAUTHENTICATED);
  assert.equal((await tw.caller(jwt).call('user_1', 'echo')).code, 0);
  const alone = await start(scope, {}, issuer);
  assert.equal((await alone.caller().call('user_1', 'echo')).code, UNAUTHENTICATED);
  assert.match((await alone.caller(line).call('user_1', 'echo')).message, /does not know the token/);
});

claimInBoth('a key that is withdrawn ends the streams of its tokens and cancels their calls; others go on', async (scope, shape) => {
  const issuer = await Issuer.create(scope);
  const second = issuer.addKey('RS256');
  const tw = await start(scope, shape, issuer);
  const agent = await tw.agent('user_1', silent);
  const goes = issuer.token();
  const [leaving, staying] = [tw.caller(goes), tw.caller(issuer.token({}, {kid: second}))];
  const [stream, other] = [leaving.dispatch(), staying.dispatch()];
  const [watch, otherWatch] = [leaving.watch(), staying.watch()];
  await Promise.all([watch.snapshot(), otherWatch.snapshot()]);
  stream.send({calls: [{id: 1, userId: 'user_1', tool: 'slow', requestId: 'of_stream'}]});
  const unary = leaving.call('user_1', 'slow', {}, {requestId: 'of_unary'});
  other.send({calls: [{id: 1, userId: 'user_1', tool: 'slow', requestId: 'of_other'}]});
  await until('all calls are at the agent', () => agent.calls.length === 3);
  issuer.withdraw(issuer.kid);
  for (const status of [await stream.ended(), await watch.ended()]) {
    assert.equal(status.code, UNAUTHENTICATED);
    assert.match(status.details, /the key that signed it is gone/);
  }
  assert.deepEqual(refused(await stream.answer(1)), [code.CANCELLED, 'CALLER_CANCELLED', 'SENT'], 'it was answered before that');
  assert.deepEqual(refused(await unary), [code.CANCELLED, 'CALLER_CANCELLED', 'SENT']);
  const again = await leaving.call('user_1', 'echo');
  assert.deepEqual(refused(again), NOT_KNOWN, 'though control knew the token');
  assert.match(again.message, /kid/);
  agent.respond('of_other', {success: true, result: 1});
  assert.equal((await other.answer(1)).code, 0);
  await tw.agent('user_1', silent);
  await otherWatch.saw('MOVED', 'user_1');
  otherWatch.stop();
  await tw.idle();
});

claimInBoth('a token that expires ends its streams once their calls are answered, and its idle ones at once', async (scope, shape) => {
  const issuer = await Issuer.create(scope);
  const tw = await start(scope, shape, issuer, {'jwt-leeway': 0});
  const agent = await tw.agent('user_1', silent);
  const exp = Math.floor(Date.now() / 1000) + 4;
  const caller = tw.caller(issuer.token({exp}));
  const [stream, idle, watch] = [caller.dispatch(), caller.dispatch(), caller.watch()];
  await watch.snapshot();
  stream.send({calls: [{id: 1, userId: 'user_1', tool: 'slow', requestId: 'of_stream'}]});
  const unary = caller.call('user_1', 'slow', {}, {requestId: 'of_unary'});
  await until('both calls are at the agent', () => agent.calls.length === 2);
  for (const status of [await watch.ended(), await idle.ended()]) {
    assert.equal(status.code, UNAUTHENTICATED);
    assert.match(status.details, /token has expired/);
  }
  assert.ok(Date.now() >= exp * 1000 - 1, 'not before');
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

claim('keys are rotated under running calls, and no call fails', async (scope) => {
  const issuer = await Issuer.create(scope);
  const tw = await start(scope, {topology: 'split'}, issuer);
  await tw.agent('user_1');
  let token = issuer.token(), calls = 0, done = false;
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
  for (const algorithm of ['RS256', 'ES256']) {
    const old = {kid: issuer.kid, token};
    issuer.kid = issuer.addKey(algorithm);
    const next = issuer.token();
    await until('the new key is taken', async () => (await tw.caller(next).call('user_1', 'echo')).code === 0);
    token = next;
    const before = calls;
    await until('callers have gone over to it', () => calls > before + 60);
    issuer.withdraw(old.kid);
    await until('the old one is refused', async () => (await tw.caller(old.token).call('user_1', 'echo')).code === UNAUTHENTICATED);
  }
  done = true;
  await traffic;
  assert.equal(await tw.metric('toolwire_control_jwt_keys'), 1);
});

claim('a bad or vanished JWKS file stops the start, and a running control keeps the keys that it has', async (scope) => {
  const issuer = await Issuer.create(scope);
  const begin = async (flags) => {
    const all = {port: 0, 'grpc-port': 0, 'metrics-port': 0, 'data-dir': await scope.directory(), ...flags};
    return run('toolwire', ['dev', ...Object.entries(all).map(([name, value]) => `--${name}=${value}`)]);
  };
  for (const [flags, expected, why] of [
    [{'jwks-file': issuer.path}, 1, /--jwks-file needs --jwt-issuer and --jwt-audience/],
    [{'jwt-issuer': ISSUER, 'jwt-audience': AUDIENCE}, 1, /need --jwks-file/],
    [{...issuer.flags, 'jwks-file': `${issuer.path}x`}, 2, /--jwks-file: cannot read .*: No such file/],
  ]) {
    const {code: status, stderr} = await begin(flags);
    assert.equal(status, expected, stderr);
    assert.match(stderr, why);
  }
  issuer.write('{"keys":[]}');
  assert.match((await begin(issuer.flags)).stderr, /--jwks-file: .*jwks.json: no key in it/);
  // A key of a kind that nobody here knows is left out.
  const unknown = {kty: 'OKP', crv: 'Ed25519', kid: 'new', x: 'AAAA'};
  issuer.write(JSON.stringify({keys: [unknown, issuer.publicKey()]}));
  const tw = await start(scope, {}, issuer);
  assert.match((await tw.control.saw('some keys are not used')).why, /key 1: its kty/);
  await tw.agent('user_1');
  const caller = tw.caller(issuer.token());
  const stream = caller.dispatch();
  assert.equal((await stream.call('user_1', 'echo')).code, 0);
  const said = () => tw.control.logged('JWKS file not taken, the keys before stay');
  for (const [bad, why] of [[issuer.text.slice(0, -9), /no JSON object/], ['{"keys":[]}', /no key in it/],
    [JSON.stringify({keys: [issuer.publicKey(), issuer.publicKey()]}), /kid of another/]]) {
    const before = said().length;
    issuer.write(bad);
    await until('it is refused', () => said().length > before);
    assert.match(said().at(-1).problem, why);
    assert.equal((await stream.call('user_1', 'echo')).code, 0);
    assert.equal((await tw.caller(issuer.token()).call('user_1', 'echo')).code, 0);
  }
  assert.equal(await tw.metric('toolwire_control_jwks_refused_total'), 3);
  const second = issuer.addKey();
  await until('the mended file is taken', async () => (await tw.caller(issuer.token({}, {kid: second})).call('user_1', 'echo')).code === 0);
  assert.equal((await stream.call('user_1', 'echo')).code, 0, 'its key is still there');
  stream.end();
});

claim('a token of 16 KiB is taken, in every RPC and by every client, and a larger one is not', async (scope) => {
  const issuer = await Issuer.create(scope);
  const tw = await start(scope, {topology: 'split'}, issuer);
  await tw.agent('user_1');
  const ofSize = (size) => {
    // The signature of ES256 has one length; three bytes of claims are four characters.
    const rest = issuer.token({groups: ''}).length;
    for (let more = Math.floor((size - rest) / 4 * 3) - 3; ; ++more) {
      const token = issuer.token({groups: 'g'.repeat(more)});
      if (token.length >= size) return token;
    }
  };
  const largest = ofSize(16_383);
  assert.ok(largest.length <= 16_384, `${largest.length}`);
  const caller = tw.caller(largest);
  assert.equal((await caller.call('user_1', 'echo')).code, 0);
  assert.equal((await caller.dispatch().call('user_1', 'echo')).code, 0);
  assert.equal((await caller.ask('GetAgent', {userId: 'user_1'})).connected, true);
  const file = path.join(await scope.directory(), 'token');
  await writeFile(file, `${largest}\n`);
  const args = ['call', 'user_1', 'echo', '{}', '--address', `127.0.0.1:${tw.ports.callers}`, '--token-file', file];
  await output('toolwire', args);
  assert.equal((await readFile(file, 'utf8')).trim(), largest);
  const larger = await tw.caller(ofSize(16_385)).call('user_1', 'echo');
  assert.deepEqual(refused(larger), NOT_KNOWN);
  assert.match(larger.message, /larger than 16 KiB/);
  assert.equal(await tw.metric(HITS, {limit: 'jwt_bytes'}), 1);
});

claim('a flood of tokens that are not good costs a bounded number of checks, and known callers go on', async (scope) => {
  const issuer = await Issuer.create(scope);
  const tw = await start(scope, {topology: 'split'}, issuer, {'jwt-failures-per-second-max': 20});
  await tw.agent('user_1');
  const known = tw.caller(issuer.token());
  const stream = known.dispatch();
  assert.equal((await stream.call('user_1', 'echo')).code, 0);
  const good = issuer.token();
  const forged = (i) => `${issuer.token({jti: i}).split('.').slice(0, 2).join('.')}.${good.split('.')[2]}`;
  const checked = () => tw.metric('toolwire_control_jwts_checked_total');
  const [before, began] = [await checked(), Date.now()];
  const answers = [];
  await until('some are not looked at', async () => {
    const caller = tw.caller(forged(answers.length));
    answers.push(await caller.call('user_1', 'echo'));
    caller.close();
    return answers.at(-1).code === code.RESOURCE_EXHAUSTED;
  });
  const busy = answers.pop();
  assert.deepEqual(refused(busy), [code.RESOURCE_EXHAUSTED, 'CALLER_BUSY', 'NOT_SENT']);
  assert.match(busy.message, /too many tokens that are not good/);
  for (const answer of answers) assert.match(answer.message, /signature is not that of its key/);
  const seconds = Math.ceil((Date.now() - began) / 1000) + 1;
  assert.ok((await checked()) - before <= 20 * seconds, 'no more than that');
  assert.ok((await tw.metric(HITS, {limit: 'jwt_failures'})) >= 1);
  assert.equal((await known.call('user_1', 'echo')).code, 0);
  assert.equal((await stream.call('user_1', 'echo')).code, 0);
  await until('new tokens are taken again', async () => (await tw.caller(issuer.token({jti: 'new'})).call('user_1', 'echo')).code === 0);
});
