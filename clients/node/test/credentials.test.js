// Tokens, as those who ask for them see them: a real control, and a gRPC server of the test's own.
import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {PermissionDeniedError, ToolwireAdmin, ToolwireClient, UnauthenticatedError} from '../dist/index.mjs';
import {TokensFile} from '../../../tests/functional/lib/tokens.js';
import {startEcho} from './echo_server.js';
import {addressOf, claim, clientWith as clientOf, deferred, rejection, silent, until} from './lib.js';

claim('token: goes with every request; a wrong one ends calls at once, as NOT_SENT', async (scope) => {
  const {address} = await startEcho(scope);
  const good = clientOf(scope, {address, token: 'good'});
  assert.deepEqual((await good.callTool('user_1', 'echo', {n: 1})).result, {n: 1});
  assert.equal((await good.getAgent('user_1')).connected, false);
  for (const [token, Class, status] of [['bad', PermissionDeniedError, 403], [undefined, UnauthenticatedError, 401]]) {
    const client = clientOf(scope, {address, token});
    for (const request of [client.callTool('user_1', 'echo'), client.getAgent('user_1')]) {
      const error = await rejection(request);
      assert.equal(error.constructor, Class, error.stack);
      assert.deepEqual([error.delivery, error.httpStatus, error.safeToRetry], ['NOT_SENT', status, false]);
    }
  }
});

// A control that asks for tokens, and a file of the client's with one of them.
async function startControl(scope) {
  const tokens = await TokensFile.create(scope);
  const token = tokens.add('shop', 'call,read');
  const tw = await scope.toolwire({flags: {'tokens-file': tokens.path}});
  const tokenFile = path.join(await scope.directory(), 'token');
  writeFileSync(tokenFile, `${token}\n`);
  return {tokens, token, tw, tokenFile, address: addressOf(tw)};
}

claim('tokenFile: the token is replaced while calls run, and none of them fails', async (scope) => {
  const {tokens, token, tw, tokenFile, address} = await startControl(scope);
  await tw.agent('user_1');
  const client = clientOf(scope, {address, tokenFile});
  const admin = scope.own(new ToolwireAdmin({address, token: () => readFileSync(tokenFile, 'utf8').trim()}));
  const known = deferred();
  const events = [];
  (async () => {
    for await (const event of client.watchAgents()) {
      events.push(event);
      if (event.kind === 'snapshot') known.resolve();
    }
  })().catch((error) => known.reject(error));
  await known.promise;
  let calls = 0, done = false;
  const traffic = (async () => {
    for (; !done; ++calls) assert.deepEqual((await client.callTool('user_1', 'echo', {calls})).result, {calls});
  })();
  for (let last = token, round = 0; round < 3; ++round) {
    const next = tokens.add('shop', 'call,read');
    const asks = (token) => clientOf(scope, {address, token}).getAgent('user_1').then(() => 'OK', ({code}) => code);
    await until('it is taken', async () => (await asks(next)) === 'OK');
    writeFileSync(tokenFile, next);
    // Expires: the stream and the watch end in good order, and are opened again with the new token.
    tokens.remove(last);
    tokens.add('shop', 'call,read', `expires=${new Date(0).toISOString()}`, last);
    await until('the old one has expired', async () => (await asks(last)) === 'UNAUTHENTICATED');
    const before = calls;
    await until('calls go on', () => calls > before + 50);
    last = next;
  }
  await tw.agent('user_2');
  await until('and so does the watch', () => events.some(({agent}) => agent?.userId === 'user_2'));
  done = true;
  await traffic;
  let rows = 0;
  for await (const {caller} of admin.listExecutions()) {
    assert.equal(caller, 'shop');
    if (++rows === 10) break;
  }
  assert.equal(rows, 10);
});

claim('a token that is removed cancels the calls on their way, as SENT, and ends later ones as NOT_SENT', async (scope) => {
  const {tokens, token, tw, tokenFile, address} = await startControl(scope);
  tokens.add('stays', 'call');
  const agent = await tw.agent('user_1', silent);
  const client = clientOf(scope, {address, tokenFile});
  const call = rejection(client.callTool('user_1', 'slow'));
  await until('it is at the agent', () => agent.calls.length === 1);
  tokens.remove(token);
  const error = await call;
  assert.deepEqual([error.reason, error.delivery], ['CALLER_CANCELLED', 'SENT'], error.stack);
  const later = await rejection(client.callTool('user_1', 'echo'));
  assert.deepEqual([later.constructor, later.delivery, later.httpStatus], [UnauthenticatedError, 'NOT_SENT', 401], later.stack);
});

claim('token and tokenFile: what is wrong with them is a TypeError at once', async (scope) => {
  const file = path.join(await scope.directory(), 'token');
  assert.throws(() => new ToolwireClient({token: 'a', tokenFile: file}), TypeError);
  assert.throws(() => new ToolwireClient({tokenFile: file}), /ENOENT/);
  for (const bad of ['', 'two words', 'tw_a\ntw_b']) {
    writeFileSync(file, bad);
    assert.throws(() => new ToolwireClient({tokenFile: file}), /does not hold a token/);
  }
});

claim('a token is sent without the white space around it; what is none is neither sent nor shown', async (scope) => {
  const {address} = await startEcho(scope);
  const warnings = [];
  const warned = ({message}) => warnings.push(message);
  process.on('warning', warned);
  scope.own({close: () => process.off('warning', warned)});
  for (const token of ['good\n', ' good\r\n', Buffer.from('good\n'), () => 'good\n']) {
    assert.equal((await clientOf(scope, {address, token}).getAgent('user_1')).connected, false);
  }
  // gRPC's own error would show these.
  for (const bad of ['mark of one\nmark of two', 'mark\u00e9', Promise.resolve('mark')]) {
    assert.throws(() => new ToolwireClient({address, token: bad}), (error) =>
      error instanceof TypeError && error.message === 'token does not hold a token, and nothing else');
    const client = clientOf(scope, {address, token: () => bad});
    for (const request of [client.callTool('user_1', 'echo'), client.getAgent('user_1')]) {
      assert.equal((await rejection(request)).constructor, UnauthenticatedError);
    }
  }
  await until('it is said', () => warnings.length > 0);
  const sentence = 'token: what the function returned does not hold a token, and nothing else';
  for (const message of warnings) assert.equal(message, sentence);
  const itself = `tw_${'a'.repeat(43)}`;
  for (const tokenFile of [itself, 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln']) {
    assert.throws(() => new ToolwireClient({tokenFile}), (error) => error instanceof TypeError && !error.message.includes(tokenFile));
  }
});

claim('a token leaves the machine by TLS alone, unless somebody says that it may', async (scope) => {
  const exposed = {address: 'control.example.com:50051'};
  for (const token of ['tw_abc', () => 'tw_abc']) {
    assert.throws(() => new ToolwireClient({...exposed, token}), (error) =>
      error instanceof TypeError && /not sent to control\.example\.com:50051 without TLS/.test(error.message) &&
      !error.message.includes('tw_abc'));
    assert.throws(() => new ToolwireAdmin({address: ['127.0.0.1:1', '10.0.0.7:50051'], token}), /not sent to 10\.0\.0\.7:50051/);
    for (const options of [
      {...exposed, tls: true}, {...exposed, plainToken: true}, {address: '127.8.9.1:1'}, {address: '[::1]:1'}, {address: 'localhost:1'},
      {address: 'dns:///localhost:1'}, {address: '[::ffff:127.0.0.1]:1'}, {address: 'unix:/run/control.sock'},
    ]) clientOf(scope, {...options, token});
    for (const address of ['localhost.example.com:1', '128.0.0.1:1', 'dns://127.0.0.1/localhost:1', '[::2]:1', '127.0.0.1.example.com:1']) {
      assert.throws(() => new ToolwireClient({address, token}), /without TLS/, address);
    }
  }
  clientOf(scope, exposed);  // Has none to send.
});

claim('the environment names the token, TLS and where the token may go as the options do', async (scope) => {
  const set = (values) => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  const names = ['TOKEN', 'TOKEN_FILE', 'TLS', 'CA', 'CERT', 'KEY', 'TLS_SERVER_NAME', 'PLAIN_TOKEN'].map((name) => `TOOLWIRE_${name}`);
  const none = Object.fromEntries(names.map((name) => [name, undefined]));
  const before = Object.fromEntries(names.map((name) => [name, process.env[name]]));
  scope.own({close: () => set(before)});
  const address = 'control.example.com:50051';
  set({...none, TOOLWIRE_TOKEN: 'tw_abc'});
  assert.throws(() => new ToolwireClient({address}), /without TLS/);
  for (const values of [{TOOLWIRE_TLS: '1'}, {TOOLWIRE_TLS: 'true'}, {TOOLWIRE_PLAIN_TOKEN: '1'}]) {
    set({...none, TOOLWIRE_TOKEN: 'tw_abc', ...values});
    clientOf(scope, {address});
    if (values.TOOLWIRE_TLS) assert.throws(() => new ToolwireClient({address, tls: false}), /without TLS/);
    else assert.throws(() => new ToolwireClient({address, plainToken: false}), /without TLS/);
  }
  set({...none, TOOLWIRE_TLS: 'yes please'});
  assert.throws(() => new ToolwireClient({address}), /TOOLWIRE_TLS: 1 or 0/);
  set({...none, TOOLWIRE_CA: '/nowhere/ca.crt'});
  assert.throws(() => new ToolwireClient({address}), /tls\.ca: \/nowhere\/ca\.crt cannot be read \(ENOENT\)/);
  set({TOOLWIRE_TLS: '0'});
  clientOf(scope, {address});
  set({...none, TOOLWIRE_CERT: '/nowhere/me.crt'});
  assert.throws(() => new ToolwireClient({address}), /tls\.cert and tls\.key go together/);
});
