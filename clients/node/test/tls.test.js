// TLS to a gRPC server of the test's own, and to a control: who is trusted, what is said of the others, and certificates
// that are replaced while calls run.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {copyFileSync, readFileSync, renameSync, symlinkSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {ToolwireAdmin, ToolwireClient} from '../dist/index.mjs';
import {Certificates} from '../../../tests/functional/lib/tls.js';
import {TokensFile} from '../../../tests/functional/lib/tokens.js';
import {startEcho} from './echo_server.js';
import {addressOf, claim, clientWith, rejection, until} from './lib.js';

const pairOf = (certificates, name) => ({cert: certificates.read(`${name}.crt`), key: certificates.read(`${name}.key`)});
// A server with the certificate `name`; with `clientCa` it asks for one of that CA.
const serverOf = (certificates, {name = 'control', clientCa} = {}) => ({...pairOf(certificates, name), ca: clientCa?.ca});

const works = async (client) => assert.deepEqual((await client.callTool('user_1', 'echo', {n: 1})).result, {n: 1});
// Why a call does not reach the server.
async function reasonOf(scope, options) {
  const error = await rejection(clientWith(scope, {token: 'good', controlWaitMs: 1000, ...options}).callTool('user_1', 'echo'));
  assert.deepEqual([error.reason, error.delivery], ['CONTROL_UNAVAILABLE', 'NOT_SENT'], error.stack);
  const asked = await rejection(clientWith(scope, {token: 'good', ...options}).getAgent('user_1'));
  assert.equal(asked.reason, 'CONTROL_UNAVAILABLE', asked.stack);
  const whyOf = ({message}) => message.replace(/^no control is reachable: /, '');
  assert.equal(whyOf(error), whyOf(asked));
  return whyOf(error);
}

claim('files, text and buffers; the name in the certificate is that of the address, or serverName', async (scope) => {
  const certificates = await Certificates.create(scope, {names: ['control.test']});
  const {address} = await startEcho(scope, {tls: serverOf(certificates, {clientCa: certificates})});
  const file = (name) => certificates.file(name);
  const read = (name) => certificates.read(name);
  for (const tls of [
    {ca: file('ca.crt'), cert: file('control.crt'), key: file('control.key')},
    {ca: read('ca.crt'), cert: read('control.crt'), key: read('control.key'), serverName: 'control.test'},
    {ca: `${read('ca.crt')}`, cert: `${read('control.crt')}`, key: `${read('control.key')}`, serverName: 'localhost'},
  ]) {
    await works(clientWith(scope, {address, token: 'good', tls}));
    const admin = scope.own(new ToolwireAdmin({address, token: 'good', tls}));
    assert.equal((await rejection(admin.createCredential('user_1'))).code, 'UNIMPLEMENTED');
  }
  const tls = {ca: file('ca.crt'), cert: file('control.crt'), key: file('control.key'), serverName: 'other.test'};
  assert.match(await reasonOf(scope, {address, tls}), /Host: other\.test\. is not in the cert's altnames/);
});

claim('each certificate that is not trusted has its own sentence', async (scope) => {
  const [certificates, others] = [await Certificates.create(scope), await Certificates.create(scope)];
  const expired = await Certificates.create(scope, {args: ['--days', '1', '--starts-in-days', '-10']});
  const future = await Certificates.create(scope, {args: ['--starts-in-days', '10']});
  const at = (tls) => startEcho(scope, {tls});
  const {address} = await at(serverOf(certificates));
  for (const tls of [true, {ca: others.ca}]) {
    assert.equal(await reasonOf(scope, {address, tls}),
      `${address}: control's certificate is of a CA that is not trusted here: name it by tls.ca`);
  }
  const old = await at(serverOf(expired));
  assert.match(await reasonOf(scope, {address: old.address, tls: {ca: expired.ca}}), /: control's certificate has expired$/);
  const early = await at(serverOf(future));
  assert.match(await reasonOf(scope, {address: early.address, tls: {ca: future.ca}}),
    /: control's certificate is not valid yet; is this machine's clock right\?$/);
  const mutual = await at(serverOf(certificates, {clientCa: certificates}));
  assert.match(await reasonOf(scope, {address: mutual.address, tls: {ca: certificates.ca}}),
    /: control asks for a client certificate: give tls\.cert and tls\.key$/);
  // Servers of Node.js say nothing of what they do not take; control does.
  assert.match(await reasonOf(scope, {address: mutual.address, tls: {ca: certificates.ca, ...pairOf(others, 'control')}}),
    /: the connection was closed before it could be used; control may refuse the client's certificate/);
  assert.match(await reasonOf(scope, {address}), /: the connection was closed before it could be used; if control speaks TLS, give tls$/);
  const plain = await at(undefined);
  assert.match(await reasonOf(scope, {address: plain.address, tls: {ca: certificates.ca}}), /: what listens there does not speak TLS$/);
});

claim('a certificate with a common name alone is not taken for that name', async (scope) => {
  const directory = await scope.directory();
  const openssl = (...args) => execFileSync('openssl', args, {cwd: directory, stdio: 'pipe'});
  const made = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=control.test'];
  openssl('req', ...made, '-keyout', 'key.pem', '-out', 'cert.pem');
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => readFileSync(path.join(directory, name)));
  const {address} = await startEcho(scope, {tls: {cert, key}});
  assert.match(await reasonOf(scope, {address, tls: {ca: cert, serverName: 'control.test'}}), /does not match certificate's altnames/);
});

claim('files that do not work are a TypeError that names them, and nothing of what they hold', async (scope) => {
  const [certificates, others] = [await Certificates.create(scope), await Certificates.create(scope)];
  const expired = await Certificates.create(scope, {args: ['--days', '1', '--starts-in-days', '-10']});
  const file = (name, content) => {
    const where = path.join(certificates.dir, name);
    if (content !== undefined) writeFileSync(where, content);
    return where;
  };
  const ca = `${certificates.ca}`;
  const encrypted = file('encrypted.key');
  execFileSync('openssl', ['pkcs8', '-topk8', '-in', certificates.file('control.key'), '-out', encrypted, '-passout', 'pass:x'], {stdio: 'pipe'});
  const pair = {cert: certificates.file('control.crt'), key: certificates.file('control.key')};
  const secret = `${certificates.read('control.key')}`.replace(/-----.*-----|\n/g, '');
  for (const [tls, message] of [
    [{ca: file('none.crt')}, /^tls\.ca: \S+\/none\.crt cannot be read \(ENOENT\)$/],
    [{ca: certificates.dir}, /^tls\.ca: \S+ cannot be read \(EISDIR\)$/],
    [{ca: file('empty.crt', '')}, /^tls\.ca: \S+\/empty\.crt has no certificate in PEM form$/],
    [{ca: certificates.file('control.key')}, /^tls\.ca: \S+\/control\.key has no certificate in PEM form$/],
    [{ca: file('half.crt', ca + ca.slice(0, ca.length / 2))}, /half\.crt has a certificate without its end$/],
    [{ca: file('bad.crt', ca.replace(/\nMII/, '\nAAA'))}, /bad\.crt has a certificate that cannot be parsed$/],
    [{cert: pair.cert}, /^tls\.cert and tls\.key go together$/],
    [{key: pair.key}, /^tls\.cert and tls\.key go together$/],
    [{...pair, key: pair.cert}, /^tls\.key: \S+\/control\.crt is no private key in PEM form$/],
    [{...pair, key: encrypted}, /^tls\.key: \S+\/encrypted\.key is encrypted$/],
    [{...pair, key: others.file('control.key')}, /^tls\.key: \S+\/control\.key is not the key of the certificate of tls\.cert$/],
    [{cert: expired.file('control.crt'), key: expired.file('control.key')}, /^tls\.cert: \S+\/control\.crt has expired at /],
    [{...pair, key: secret}, /^tls\.key: neither PEM nor the path of a file/],
    [{...pair, key: `${secret}\n`}, /^tls\.key: neither PEM nor the path of a file/],
  ]) {
    assert.throws(() => new ToolwireClient({tls}), (error) => {
      assert.ok(error instanceof TypeError, error.stack);
      assert.match(error.message, message);
      assert.ok(!error.message.includes(secret.slice(0, 20)), error.message);
      return true;
    });
  }
});

// Calls by eight callers until `stop`, each of which must be answered.
function traffic(client) {
  const state = {calls: 0, done: false};
  const work = async () => {
    while (!state.done) {
      const n = ++state.calls;
      assert.deepEqual((await client.callTool('user_1', 'echo', {n}, {timeoutMs: 60_000})).result, {n});
      await new Promise(setImmediate);
    }
  };
  const running = Promise.all(Array.from({length: 8}, work));
  running.catch(() => {});
  return {
    async goesOn(claimed) {
      const before = state.calls;
      await Promise.race([until(claimed, () => state.calls > before + 100), running]);
    },
    async stop() {
      state.done = true;
      await running;
    },
  };
}

claim('the CA is replaced while calls run (old, old and new, new), and no call fails', async (scope) => {
  const [old, next] = [await Certificates.create(scope), await Certificates.create(scope)];
  const server = await startEcho(scope, {tls: serverOf(old)});
  const ca = path.join(await scope.directory(), 'ca.crt');
  const write = (...contents) => {
    writeFileSync(`${ca}.new`, Buffer.concat(contents));
    renameSync(`${ca}.new`, ca);
  };
  write(old.ca);
  const client = clientWith(scope, {address: server.address, token: 'good', tls: {ca}, controlWaitMs: 30_000});
  const calls = traffic(client);
  await calls.goesOn('calls run');
  write(old.ca, next.ca);
  await server.use(serverOf(next));
  await calls.goesOn('they go on at the new certificate');
  write(next.ca);
  await server.use(serverOf(next));
  await calls.goesOn('and with the new CA alone');
  await calls.stop();
  await server.use(serverOf(old));
  assert.match((await rejection(client.getAgent('user_1'))).message, /a CA that is not trusted/, 'the old one is no longer');
});

claim('a client that cannot connect looks for other files by itself', async (scope) => {
  const [old, next] = [await Certificates.create(scope), await Certificates.create(scope)];
  const {address} = await startEcho(scope, {tls: serverOf(next)});
  const ca = path.join(await scope.directory(), 'ca.crt');
  copyFileSync(old.file('ca.crt'), ca);
  const client = clientWith(scope, {address, token: 'good', tls: {ca}, controlWaitMs: 60_000, timeoutMs: 60_000});
  const admin = scope.own(new ToolwireAdmin({address, token: 'good', tls: {ca}}));
  assert.match((await rejection(admin.createCredential('user_1'))).message, /a CA that is not trusted/);
  const waits = client.callTool('user_1', 'echo', {n: 2});
  assert.match((await rejection(client.getAgent('user_1'))).message, /a CA that is not trusted/);
  copyFileSync(next.file('ca.crt'), ca);
  assert.deepEqual((await waits).result, {n: 2});
  assert.equal((await rejection(admin.createCredential('user_1'))).code, 'UNIMPLEMENTED');
});

claim("the client's certificate is replaced while calls run, also behind links; what does not work is not taken", async (scope) => {
  const [old, next] = [await Certificates.create(scope), await Certificates.create(scope)];
  const server = await startEcho(scope, {tls: serverOf(old, {clientCa: old})});
  const directory = await scope.directory();
  const file = (name) => path.join(directory, name);
  // As Kubernetes mounts a Secret: the files are links into ..data, which is swapped.
  const swap = (certificates) => {
    symlinkSync(certificates.dir, file('..data.new'));
    renameSync(file('..data.new'), file('..data'));
  };
  swap(old);
  for (const name of ['ca.crt', 'control.crt', 'control.key']) symlinkSync(path.join('..data', name), file(name));
  const warnings = [];
  const onWarning = (warning) => warning.name === 'ToolwireWarning' && warnings.push(warning.message);
  process.on('warning', onWarning);
  scope.own({close: () => process.off('warning', onWarning)});
  const client = clientWith(scope, {
    address: server.address, token: 'good', controlWaitMs: 30_000,
    tls: {ca: file('ca.crt'), cert: file('control.crt'), key: file('control.key')},
  });
  const calls = traffic(client);
  await calls.goesOn('calls run');
  swap(next);
  await calls.goesOn('on the connection that is there');
  await server.use(serverOf(next, {clientCa: next}));
  await calls.goesOn('and on the next one, with the new files');
  assert.deepEqual(warnings, []);
  // A key that does not fit.
  const broken = await scope.directory();
  for (const name of ['ca.crt', 'control.crt']) copyFileSync(next.file(name), path.join(broken, name));
  copyFileSync(old.file('control.key'), path.join(broken, 'control.key'));
  swap({dir: broken});
  for (let round = 0; round < 2; ++round) {
    await server.use(serverOf(next, {clientCa: next}));
    await calls.goesOn('with the files before');
  }
  await calls.stop();
  assert.deepEqual(warnings, [
    `tls.key: ${file('control.key')} is not the key of the certificate of tls.cert; what was read before stays`]);
});

claim('a control with TLS, client certificates and tokens: who gets in, and what the others learn', async (scope) => {
  const [certificates, others] = [await Certificates.create(scope), await Certificates.create(scope)];
  const tokens = await TokensFile.create(scope);
  const token = tokens.add('ops', 'admin');
  const tw = await scope.toolwire({flags: {
    ...certificates.callersFlags, 'grpc-tls-client-ca': certificates.file('ca.crt'), 'tokens-file': tokens.path}});
  await tw.agent('user_1');
  const address = addressOf(tw);
  const {ca} = certificates;
  const caller = pairOf(certificates, 'caller');
  const tls = {ca, ...caller};
  const client = clientWith(scope, {address, token, tls});
  await works(client);
  assert.equal((await client.getAgent('user_1')).connected, true);
  const admin = scope.own(new ToolwireAdmin({address, token, tls}));
  assert.match((await admin.createCredential('user_2')).secret, /^[0-9a-f]{64}$/);
  assert.equal((await rejection(clientWith(scope, {address, tls}).getAgent('user_1'))).code, 'UNAUTHENTICATED');
  const why = (options) => reasonOf(scope, {address, token, ...options});
  assert.match(await why({tls: {ca}}), /: control asks for a client certificate: give tls\.cert and tls\.key$/);
  assert.match(await why({tls: {ca, ...pairOf(others, 'caller')}}), /: control does not know the CA of the client's certificate \(tls\.cert\)$/);
  assert.match(await why({tls: {ca, ...pairOf(certificates, 'agents')}}), /: control does not take the client's certificate \(tls\.cert\)$/);
  assert.match(await why({tls: {...caller, ca: others.ca}}), /: control's certificate is of a CA that is not trusted here/);
  assert.match(await why({tls: {...tls, serverName: 'other.test'}}), /: Hostname\/IP does not match certificate's altnames: /);
  assert.match(await why({}), /: the connection was closed before it could be used; if control speaks TLS, give tls$/);
});
