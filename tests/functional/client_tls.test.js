// The commands that ask a control, over TLS: all of them, what is said of each wrong certificate and file, and files that
// are replaced while `toolwire watch` runs.
import assert from 'node:assert/strict';
import {once} from 'node:events';
import {copyFile, readFile, writeFile} from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import {run} from './lib/process.js';
import {Certificates, openssl} from './lib/tls.js';
import {TokensFile} from './lib/tokens.js';
import {claim, linesOf} from './lib/toolwire.js';
import {until} from './lib/until.js';

// TLS before the callers' port, with certificates that a control would not start with; `use` takes another pair for new
// connections, and cuts those that are there.
async function startFront(scope, port, {cert, key, ca}) {
  const sockets = new Set();
  const options = {cert, key, ca, requestCert: ca !== undefined, rejectUnauthorized: ca !== undefined, ALPNProtocols: ['h2']};
  const server = tls.createServer(options, (socket) => {
    const behind = net.connect(port, '127.0.0.1');
    for (const [one, other] of [[socket, behind], [behind, socket]]) {
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
      one.pipe(other);
    }
  });
  server.on('connection', (socket) => sockets.add(socket).size && socket.on('close', () => sockets.delete(socket)));
  server.on('tlsClientError', () => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  scope.own({close: () => {
    server.close();
    cut();
  }});
  return {
    address: `127.0.0.1:${server.address().port}`,
    use(pair) {
      server.setSecureContext({...options, ...pair});
      cut();
    },
  };
}

const pairOf = (certificates, name = 'control') => ({cert: certificates.read(`${name}.crt`), key: certificates.read(`${name}.key`)});
const ownFlags = (certificates, name = 'caller') => ['--cert', certificates.file(`${name}.crt`), '--key', certificates.file(`${name}.key`)];
const trusting = (certificates) => ['--ca', certificates.file('ca.crt')];

claim('every command works over TLS, with a token and a client certificate, by flags and by the environment', async (scope) => {
  const certificates = await Certificates.create(scope);
  const tokens = await TokensFile.create(scope);
  const token = tokens.add('ops', 'admin');
  const tokenFile = path.join(await scope.directory(), 'token');
  await writeFile(tokenFile, token);
  const clientCa = certificates.file('ca.crt');
  const tw = await scope.toolwire({flags: {...certificates.callersFlags, 'grpc-tls-client-ca': clientCa, 'tokens-file': tokens.path}});
  const address = `127.0.0.1:${tw.ports.callers}`;
  await tw.agent('user_1');
  const flags = ['--address', address, '--token-file', tokenFile, ...trusting(certificates), ...ownFlags(certificates)];
  const env = {
    TOOLWIRE_ADDRESS: address, TOOLWIRE_TOKEN: token, TOOLWIRE_CA: certificates.file('ca.crt'),
    TOOLWIRE_CERT: certificates.file('caller.crt'), TOOLWIRE_KEY: certificates.file('caller.key'),
  };
  for (const [args, options, user] of [[flags, {}, 'user_2'], [[], {env}, 'user_3']]) {
    for (const [command, printed] of [
      [['call', 'user_1', 'echo', '{"n":1}'], /^\{"n":1\}\n$/], [['agents'], /^user_1\tat /], [['where', 'user_1'], /^user_1 is at /],
      [['watch', '--once'], /connected  user_1/], [['credentials', 'create', user], /^[0-9a-f]{64}\n$/],
      [['credentials', 'rotate', user], /^[0-9a-f]{64}\n/], [['credentials', 'list'], new RegExp(user)],
      [['credentials', 'revoke', user], /^/], [['audit'], /called by ops/], [['doctor'], /control +control at \S+ is serving, agents known: 1/],
    ]) {
      const {code, stdout, stderr} = await run('toolwire', [...command, ...args], options);
      if (command[0] !== 'doctor') assert.equal(code, 0, `${command.join(' ')}: ${stderr}`);
      assert.match(stdout, printed, command.join(' '));
      assert.ok(!`${stdout}${stderr}`.includes(token), command.join(' '));
    }
  }
  const doctor = await run('toolwire', ['doctor', '--json', ...flags]);
  const certificate = linesOf(doctor.stdout).find(({check, message}) => check === 'certificates' && message.includes(address));
  assert.equal(certificate?.level, 'ok', doctor.stdout);
});

claim('each wrong certificate has its own sentence, of every command and of the doctor', async (scope) => {
  const [certificates, others] = [await Certificates.create(scope), await Certificates.create(scope)];
  const old = await Certificates.create(scope, {args: ['--days', '1', '--starts-in-days', '-10']});
  const tw = await scope.toolwire({certificates});
  const [plain, agents] = [`127.0.0.1:${tw.ports.callers}`, `127.0.0.1:${tw.ports.agents}`];
  const front = async (pair) => (await startFront(scope, tw.ports.callers, pair)).address;
  const withTls = async (flags) => {
    const {ports} = await scope.toolwire({flags: {...certificates.callersFlags, ...flags}});
    return `127.0.0.1:${ports.callers}`;
  };
  const [secured, mutual] = [await withTls(), await withTls({'grpc-tls-client-ca': certificates.file('ca.crt')})];
  const [expired, silent] = [await front(pairOf(old)), await front({...pairOf(certificates), ca: certificates.ca})];
  const directory = await scope.directory();
  const made = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=control.test'];
  const [keyFile, certFile] = ['cn.key', 'cn.crt'].map((name) => path.join(directory, name));
  await openssl('req', ...made, '-keyout', keyFile, '-out', certFile);
  const named = await front({cert: await readFile(certFile), key: await readFile(keyFile)});
  for (const [address, flags, sentence] of [
    [secured, ['--tls'], /the server's certificate is of a CA that is not one of the system's; name it by --ca/],
    [secured, trusting(others), /the server's certificate is of a CA that is not in \S+\/ca\.crt/],
    [secured, [...trusting(certificates), '--tls-server-name', 'other.test'], /the server's certificate does not name other\.test; .*--tls-server-name/],
    [named, ['--ca', certFile, '--tls-server-name', 'control.test'], /the server's certificate does not name control\.test/],
    [expired, trusting(old), /the server's certificate has expired/],
    [mutual, trusting(certificates), /it asks for a client certificate; give --cert and --key/],
    [mutual, [...trusting(certificates), ...ownFlags(others)], /it does not know the CA of \S+\/caller\.crt/],
    [mutual, [...trusting(certificates), ...ownFlags(certificates, 'agents')], /it does not take the certificate in \S+\/agents\.crt: /],
    // Servers of Node.js end the connection without a word.
    [silent, [...trusting(certificates), ...ownFlags(others)], /it ends the connection after the handshake; it may refuse the client's certificate/],
    [plain, trusting(certificates), /does not speak TLS|no TLS: the connection was closed in the handshake/],
    [agents, trusting(certificates), /it speaks TLS, but not with callers; name the callers' port of a control, not that of agents/],
    [secured, [], /it speaks TLS; give --tls, or --ca with the file of its CA/],
    [mutual, [], /it speaks TLS; give --tls, or --ca with the file of its CA/],
  ]) {
    const {code, stderr} = await run('toolwire', ['agents', '--address', address, ...flags]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, sentence);
    assert.match(stderr, new RegExp(`^toolwire agents: control at ${address}: `), 'and whose it is');
    const {stdout} = await run('toolwire', ['doctor', '--json', '--address', address, ...flags]);
    const {level, message, do: advice} = linesOf(stdout).find(({check}) => check === 'control');
    assert.equal(level, 'fail');
    assert.match(message, sentence);
    assert.ok(advice);
  }
  assert.equal((await run('toolwire', ['agents', '--address', secured, ...trusting(certificates), '--tls-server-name', 'localhost'])).code, 0);
  assert.equal((await run('toolwire', ['agents', '--address', plain, '--no-tls'], {env: {TOOLWIRE_TLS: '1'}})).code, 0);
  const admin = await run('toolwire', ['credentials', 'list', '--address', expired, ...trusting(old)]);
  assert.equal(admin.code, 3);
  assert.match(admin.stderr, /the server's certificate has expired/);
});

claim('files that cannot work are named at once, by every command, and nobody is asked for a passphrase', async (scope) => {
  const [certificates, others] = [await Certificates.create(scope), await Certificates.create(scope)];
  const old = await Certificates.create(scope, {args: ['--days', '1', '--starts-in-days', '-10']});
  const encrypted = certificates.file('encrypted.key');
  await openssl('pkcs8', '-topk8', '-in', certificates.file('control.key'), '-out', encrypted, '-passout', 'pass:secret');
  const [cert, key] = [certificates.file('control.crt'), certificates.file('control.key')];
  // Nobody listens there: what is wrong with the files comes first.
  for (const [flags, sentence] of [
    [['--ca', certificates.file('none.crt')], /cannot read \S+\/none\.crt/],
    [['--ca', key], /control\.key: has no certificate in PEM form/],
    [['--cert', cert], /--cert and --key go together/],
    [['--key', key], /--cert and --key go together/],
    [['--cert', cert, '--key', encrypted], /encrypted\.key: the key is encrypted/],
    [['--cert', cert, '--key', others.file('control.key')], /control\.key: is not the key of the certificate in \S+\/control\.crt/],
    [['--cert', old.file('control.crt'), '--key', old.file('control.key')], /control\.crt: the certificate has expired at /],
  ]) {
    for (const command of [['agents'], ['watch'], ['audit'], ['call', 'user_1', 'echo']]) {
      const {code, stderr} = await run('toolwire', [...command, '--address', '127.0.0.1:1', ...flags]);
      assert.equal(code, 2, `${command[0]}: ${stderr}`);
      assert.match(stderr, sentence, command[0]);
    }
    const {stdout} = await run('toolwire', ['doctor', '--json', '--address', '127.0.0.1:1', ...flags]);
    assert.match(linesOf(stdout).find(({check}) => check === 'control').message, sentence);
  }
});

claim('a token does not leave the machine without TLS, unless --plain-token says that it may', async (scope) => {
  // Of a network for documentation: nobody answers there.
  const address = ['--address', '192.0.2.1:50051'];
  const env = {TOOLWIRE_TOKEN: `tw_${'x'.repeat(43)}`};
  for (const command of [['agents'], ['watch'], ['audit'], ['credentials', 'list']]) {
    const {code, stderr} = await run('toolwire', [...command, ...address], {env});
    assert.equal(code, 2, stderr);
    assert.match(stderr, /the token is not sent to 192\.0\.2\.1:50051 without TLS: give --tls or --ca, or --plain-token/);
    assert.ok(!stderr.includes(env.TOOLWIRE_TOKEN));
  }
  const {stdout} = await run('toolwire', ['doctor', '--json', ...address], {env});
  assert.match(linesOf(stdout).find(({check}) => check === 'control').message, /the token is not sent to/);
  // That it is tried: it is not refused before.
  const tried = scope.process('toolwire', ['watch', '--plain-token', ...address], {env});
  await until('it has tried', () => tried.stderr.includes('no control at 192.0.2.1:50051') || tried.stderr.includes('control at'));
  assert.doesNotMatch(tried.stderr, /is not sent/);
  await tried.stop('SIGINT');
});

claim('`toolwire watch` reads its files again when it connects again', async (scope) => {
  const [old, next] = [await Certificates.create(scope), await Certificates.create(scope)];
  const tw = await scope.toolwire();
  const front = await startFront(scope, tw.ports.callers, pairOf(old));
  const ca = path.join(await scope.directory(), 'ca.crt');
  await copyFile(old.file('ca.crt'), ca);
  await tw.agent('user_1');
  const watch = scope.process('toolwire', ['watch', '--json', '--address', front.address, '--ca', ca]);
  const saw = (userId) => until(`watch prints ${userId}`, () => watch.logs.some((event) => event.kind === 'CONNECTED' && event.userId === userId));
  await saw('user_1');
  front.use(pairOf(next));
  await until('watch says why it cannot connect', () => /of a CA that is not in \S+ca\.crt; trying again/.test(watch.stderr));
  await writeFile(ca, 'half a file');
  await until('and that the file is bad', () => /ca\.crt: has no certificate in PEM form; trying again/.test(watch.stderr));
  await copyFile(next.file('ca.crt'), ca);
  await tw.agent('user_2');
  await saw('user_2');
  await watch.stop('SIGINT');
});
