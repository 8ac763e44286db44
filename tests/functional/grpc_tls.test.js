// Callers over TLS: who gets in, what is said to whom does not, and certificates that are replaced meanwhile. What the
// port promises against those who take its places and its memory is in callers_port_tls.test.js.
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {accessSync} from 'node:fs';
import {copyFile, readFile, writeFile} from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import {promisify} from 'node:util';
import tls from 'node:tls';
import grpc from '@grpc/grpc-js';
import {code, health, resultOf} from './lib/caller.js';
import {REPOSITORY, run} from './lib/process.js';
import {FLAG, FRAME, RawCaller, frame, message, requestHeaders} from './lib/raw_http2.js';
import {Certificates, answerTo, connectTls, openssl, refusal} from './lib/tls.js';
import {claim, claimInBoth, metric} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

const exec = promisify(execFile);
const grpcurl = process.env.GRPCURL ?? path.join(REPOSITORY, '.tools/bin/grpcurl');
let noGrpcurl = false;
try {
  accessSync(grpcurl);
} catch {
  noGrpcurl = 'grpcurl is not installed';
}
const HITS = 'toolwire_control_limit_hits_total';
const H2 = ['h2'];
const PORT = {port: 'callers'};

// A server whose callers' port has TLS, and the credentials with which callers get in.
async function start(scope, {certificates, flags, ...options} = {}) {
  certificates ??= await Certificates.create(scope);
  const tw = await scope.toolwire({flags: {...certificates.callersFlags, ...flags}, ...options});
  return Object.assign(tw, {its: certificates, trusting: grpc.credentials.createSsl(certificates.ca)});
}
const served = async (tw) => assert.equal((await tw.caller(undefined, tw.trusting).call('user_1', 'echo')).code, 0);
const serialAt = async (scope, tw) => {
  const socket = await connectTls(scope, tw.ports.callers, {ca: tw.its.ca, ALPNProtocols: H2});
  const {serialNumber} = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
};
const controlMemory = (tw) => metric(tw.ports.metrics.at(-1), 'process_resident_memory_bytes');

claimInBoth('calls come over TLS, unary and on streams, and so do health and operators', async (scope, options) => {
  const tw = await start(scope, options);
  await tw.agent('user_1');
  const caller = tw.caller(undefined, tw.trusting);
  assert.deepEqual(resultOf(await caller.call('user_1', 'echo', {a: [1, 2]})), {a: [1, 2]});
  const stream = caller.dispatch();
  const many = Array.from({length: 500}, (_, i) => stream.call('user_1', 'echo', {i}));
  for (const [i, outcome] of (await Promise.all(many)).entries()) assert.deepEqual(resultOf(outcome), {i});
  assert.equal(await health(caller, 'toolwire.v1.ToolDispatch'), 'SERVING');
  assert.equal((await caller.admin('ListCredentials', {})).code, undefined);
  assert.ok((await tw.metric('toolwire_tls_handshakes_total', PORT)) >= 2);
  assert.ok((await tw.metric('toolwire_tls_certificate_expiry_seconds', PORT)) > 300 * 86400);
  await tw.idle();
});

claim('grpcurl gets in with -cacert, and is told why without', async (scope) => {
  const tw = await start(scope);
  await tw.agent('user_1');
  const address = `localhost:${tw.ports.callers}`;
  const listed = await exec(grpcurl, ['-cacert', tw.its.file('ca.crt'), address, 'list']);
  assert.match(listed.stdout, /toolwire\.v1\.ToolDispatch/);
  const call = ['-d', '{"user_id":"user_1","tool":"echo","params":{"a":1}}', address, 'toolwire.v1.ToolDispatch/CallTool'];
  const {stdout} = await exec(grpcurl, ['-cacert', tw.its.file('ca.crt'), ...call]);
  assert.deepEqual(JSON.parse(stdout).result, {a: 1});
  const untrusting = await exec(grpcurl, ['-connect-timeout', '5', address, 'list']).catch((error) => error);
  assert.match(untrusting.stderr, /certificate signed by unknown authority/);
  await assert.rejects(exec(grpcurl, ['-plaintext', '-connect-timeout', '2', address, 'list']));
}, {skip: noGrpcurl});

claim('openssl s_client gets in by TLS 1.2 and 1.3 with h2; who offers another protocol, or none, is refused', async (scope) => {
  const tw = await start(scope);
  const look = (...args) => openssl(
    's_client', '-connect', `127.0.0.1:${tw.ports.callers}`, '-CAfile', tw.its.file('ca.crt'),
    '-verify_return_error', '-verify_ip', '127.0.0.1', '-brief', ...args).catch((error) => error.stdout + error.stderr);
  for (const [flag, version] of [['-tls1_2', 'TLSv1.2'], ['-tls1_3', 'TLSv1.3']]) {
    const printed = await look(flag, '-alpn', 'h2');
    assert.match(printed, new RegExp(`Protocol version: ${version}`), printed);
    assert.match(printed, /Verification: OK/);
    assert.match(await look(flag), /no application protocol/);
    assert.match(await look(flag, '-alpn', 'http/1.1'), /no application protocol/);
  }
  assert.match(await look('-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0', '-alpn', 'h2'), /protocol version|no protocols available/);
  const line = await tw.control.saw('TLS failed');
  assert.deepEqual([line.port, line.address, line.why],
    ['callers', '127.0.0.1', 'the other side does not offer the protocol that is spoken here (ALPN)']);
  const socket = await connectTls(scope, tw.ports.callers, {ca: tw.its.ca, ALPNProtocols: ['http/1.1', 'h2']});
  assert.equal(socket.alpnProtocol, 'h2');
});

claim('plain bytes and looks at the port get nothing, and leave no lines that look like errors', async (scope) => {
  const tw = await start(scope);
  const preface = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(FRAME.settings, 0, 0)]);
  assert.equal((await answerTo(scope, tw.ports.callers, preface)).length, 0);
  net.connect(tw.ports.callers, '127.0.0.1', function () { this.destroy(); });
  const failed = (reason) => tw.metric('toolwire_tls_handshakes_failed_total', {...PORT, reason});
  await until('both are counted', async () => (await failed('not_tls')) === 1 && (await failed('ended')) === 1);
  const lines = tw.control.logs.filter(({level, event}) => ['warn', 'warning', 'error'].includes(level) || event === 'TLS failed');
  assert.deepEqual(lines, []);
});

// Certificates of callers, all but one of them wrong, by what they are.
async function callersCertificates(scope, certificates) {
  const pair = (of, name) => ({cert: of.read(`${name}.crt`), key: of.read(`${name}.key`)});
  await certificates.renew('--starts-in-days=-10', '--days=5');
  const expired = pair(certificates, 'caller');
  await certificates.renew();
  return {
    good: pair(certificates, 'caller'), none: {}, expired, 'other CA': pair(await Certificates.create(scope), 'caller'),
    'server only': pair(certificates, 'redis'),
  };
}

claim('with a CA for callers each must show its certificate; each wrong one is named at both ends', async (scope) => {
  const certificates = await Certificates.create(scope);
  const shown = await callersCertificates(scope, certificates);
  const tw = await start(scope, {certificates, flags: {'grpc-tls-client-ca': certificates.file('ca.crt')}});
  await tw.agent('user_1');
  const credentials = ({key, cert}) => grpc.credentials.createSsl(certificates.ca, key, cert);
  const good = tw.caller(undefined, credentials(shown.good)).dispatch();
  assert.equal((await good.call('user_1', 'echo')).code, 0);
  const wrong = [
    ['none', "the client's certificate is missing", 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'],
    ['expired', "the client's certificate has expired", 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED'],
    ['other CA', "the client's certificate is of a CA that is not ours", 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'],
    ['server only', "the client's certificate is not for clients: its extended key usage", 'ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE'],
  ];
  for (const [what, line, alert] of wrong) {
    const options = {ca: certificates.ca, ALPNProtocols: H2, ...shown[what]};
    // One line a second is logged.
    await until(`control names a certificate that is wrong: ${what}`, async () => {
      assert.equal(await refusal(scope, tw.ports.callers, options), alert);
      return tw.control.logged('TLS failed').some(({why}) => why === line);
    });
    const {code: failed} = await tw.caller(undefined, credentials(shown[what])).call('user_1', 'echo');
    assert.equal(failed, code.UNAVAILABLE, what);
    // What it sends behind its certificate reaches nobody: by 1.3 it may send it before it hears of the refusal.
    const raw = scope.own(new RawCaller(tw.ports.callers, {tls: {ca: certificates.ca, ...shown[what]}}));
    await raw.greet();
    await raw.closed();
    assert.deepEqual(raw.frames, []);
  }
  assert.ok((await tw.metric('toolwire_tls_handshakes_failed_total', {...PORT, reason: 'peer_certificate'})) >= 8);
  assert.equal((await good.call('user_1', 'echo')).code, 0);
});

claim('the CA of callers is replaced, old to both to new, and no caller is cut', async (scope) => {
  const certificates = await Certificates.create(scope);
  const next = await Certificates.create(scope);
  const bundle = path.join(await scope.directory(), 'callers.crt');
  await copyFile(certificates.file('ca.crt'), bundle);
  const tw = await start(scope, {certificates, flags: {'grpc-tls-client-ca': bundle}});
  await tw.agent('user_1');
  const caller = (of) => tw.caller(undefined, grpc.credentials.createSsl(certificates.ca, of.read('caller.key'), of.read('caller.crt')));
  const getsIn = async (of) => (await caller(of).call('user_1', 'echo')).code === 0;
  const take = async (reloads, ...parts) => {
    await writeFile(bundle, Buffer.concat(parts));
    await until('the bundle is in use', async () => (await tw.metric('toolwire_tls_reloads_total', PORT)) === reloads);
  };
  const old = caller(certificates).dispatch();
  assert.equal((await old.call('user_1', 'echo')).code, 0);
  assert.deepEqual([await getsIn(certificates), await getsIn(next)], [true, false]);
  await take(1, certificates.ca, next.ca);
  assert.deepEqual([await getsIn(certificates), await getsIn(next)], [true, true]);
  await take(2, next.ca);
  assert.deepEqual([await getsIn(certificates), await getsIn(next)], [false, true]);
  assert.equal((await old.call('user_1', 'echo')).code, 0);
});

claimInBoth('certificates are replaced under 200 calls a second: none fails, and new connections see the new one', async (scope, options) => {
  const tw = await start(scope, options);
  await tw.agent('user_1');
  const stream = tw.caller(undefined, tw.trusting).dispatch();
  const caller = tw.caller(undefined, tw.trusting);
  let calls = 0, going = true;
  const work = Promise.all(Array.from({length: 6}, async (_, i) => {
    for (; going; ++calls) {
      assert.deepEqual(resultOf(await (i < 3 ? stream : caller).call('user_1', 'echo', {a: 1})), {a: 1});
      await new Promise((done) => setTimeout(done, 20));
    }
  }));
  for (let round = 1; round <= 3; ++round) {
    const before = calls;
    await tw.its.renew();
    const serial = await tw.its.serial('control.crt');
    await until('the new certificate is in use', async () => (await tw.metric('toolwire_tls_reloads_total', PORT)) === round);
    assert.equal(await serialAt(scope, tw), serial);
    await served(tw);
    await until('calls go on', () => calls > before + 200);
  }
  going = false;
  await work;
  assert.equal(stream.status, undefined);
});

claim('a bad pair leaves the old one in use and is counted; the next good one is taken, at once by SIGHUP', async (scope) => {
  const tw = await start(scope);
  const key = tw.its.file('control.key');
  const serial = await tw.its.serial('control.crt');
  const good = await readFile(key);
  await writeFile(key, 'junk');
  await until('the bad pair is counted', async () => (await tw.metric('toolwire_tls_reloads_failed_total', PORT)) === 1);
  assert.match((await tw.control.saw('TLS files were not taken, the old ones stay')).why, /control\.key: not a private key/);
  assert.equal(await serialAt(scope, tw), serial);
  await writeFile(key, good);
  await tw.its.renew();
  tw.control.signal('SIGHUP');
  tw.control.signalled = false;
  const next = await tw.its.serial('control.crt');
  await until('the new pair is in use', async () => (await serialAt(scope, tw)) === next);
});

claim('a control does not start with files that cannot work, and says which', async (scope) => {
  const good = await Certificates.create(scope);
  const other = await Certificates.create(scope);
  const why = async (...flags) => {
    const ports = ['--grpc-port=0', '--metrics-port=0', '--edge=127.0.0.1:1', '--data-dir', await scope.directory()];
    const {code: status, stderr} = await run('toolwire-control', [...ports, ...flags]);
    assert.equal(status, 1, stderr);
    return stderr;
  };
  const [certificate, key] = [good.file('control.crt'), good.file('control.key')];
  assert.match(await why('--grpc-tls-cert', certificate), /--grpc-tls-cert and --grpc-tls-key go together/);
  assert.match(await why('--grpc-tls-client-ca', good.file('ca.crt')), /--grpc-tls-client-ca needs --grpc-tls-cert/);
  assert.match(await why('--grpc-tls-cert', certificate, '--grpc-tls-key', other.file('control.key')), /is not the key of the certificate in/);
  assert.match(await why('--grpc-tls-cert', certificate, '--grpc-tls-key', key, '--grpc-tls-client-ca', key), /control\.key: .*certificate/);
});

claim('params and results of 16 MiB arrive over TLS as they are', async (scope) => {
  const tw = await start(scope);
  const text = randomBytes(6 << 20).toString('base64').slice(0, (8 << 20) - 100);
  await tw.agent('user_1');
  const caller = tw.caller(undefined, tw.trusting);
  const params = {a: text, b: text};
  const [one, other] = await Promise.all([
    caller.call('user_1', 'echo', params, {timeoutMs: 240_000}),
    caller.dispatch().call('user_1', 'echo', params, {timeoutMs: 240_000}),
  ]);
  assert.deepEqual(resultOf(one), params);
  assert.deepEqual(resultOf(other), params);
});

claim('a caller that does not read is held up by TCP: control holds little for it, and others go on', async (scope) => {
  const tw = await start(scope, {topology: 'split', flags: {'caller-bytes-max': 16 << 20}});
  await tw.agent('user_1', {answer: () => ({success: true, result: 'x'.repeat(1 << 19)})});
  await tw.agent('user_2');
  const other = tw.caller(undefined, tw.trusting).dispatch();
  assert.equal((await other.call('user_2', 'echo')).code, 0);
  const before = await controlMemory(tw);
  const deaf = await Promise.all(Array.from({length: 10}, async () => {
    const raw = scope.own(new RawCaller(tw.ports.callers, {tls: {ca: tw.its.ca}}));
    await raw.greet();
    await until('it is served', () => raw.saw(FRAME.settings));
    // As much as the server may send: nothing but the reading holds it up.
    const most = Buffer.alloc(4);
    most.writeUInt32BE(2 ** 31 - 1 - 65_535);
    const initial = Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]);
    await raw.write(frame(FRAME.settings, 0, 0, initial), frame(FRAME.settings, FLAG.ack, 0), frame(FRAME.windowUpdate, 0, 0, most));
    raw.pause();
    const request = message(Buffer.concat([Buffer.from([10, 6]), Buffer.from('user_1'), Buffer.from([18, 1]), Buffer.from('t')]));
    for (let i = 0; i < 20; ++i) {
      await raw.write(frame(FRAME.headers, FLAG.endHeaders, 1 + 2 * i, requestHeaders('CallTool')),
        frame(FRAME.data, FLAG.endStream, 1 + 2 * i, request));
    }
    return raw;
  }));
  await until('those who hold most are cut', async () => (await tw.metric(HITS, {limit: 'caller_bytes'})) > 0);
  assert.equal((await other.call('user_2', 'echo')).code, 0);
  const grown = (await controlMemory(tw)) - before;
  // AddressSanitizer keeps 256 MiB of what was freed.
  const most = (process.env.ASAN_OPTIONS === undefined ? 300 : 300 + 256) * 2 ** 20;
  assert.ok(grown < most, `${grown} bytes`);
  for (const raw of deaf) raw.destroy();
  await until('nothing is held', async () => (await tw.metric('toolwire_control_caller_bytes')) === 0);
  await until('their connections have ended', async () => (await tw.metric('toolwire_control_connections')) === 1);
});

claim('a thousand connections are served at once, and leave no file behind', async (scope) => {
  // Time for a thousand handshakes beside other tests, with sanitizers.
  const tw = await start(scope, {topology: 'split', flags: {'connect-timeout': 120_000}});
  await tw.agent('user_1');
  await served(tw);
  const files = () => tw.metric('process_open_fds');
  const before = await files();
  const callers = Array.from({length: 1000}, () => scope.own(new RawCaller(tw.ports.callers, {tls: {ca: tw.its.ca}})));
  for (const caller of callers) await caller.greet();
  await until('each is served', () => callers.every((one) => one.saw(FRAME.settings)));
  assert.ok((await tw.metric('toolwire_control_connections')) >= 1000);
  await served(tw);
  for (const caller of callers) caller.destroy();
  await until('all have ended', async () => (await tw.metric('toolwire_control_connections')) <= 2);
  await until('their files are closed', async () => (await files()) <= before + 10);
}, {timeout: 300_000});

claim('handshakes are paced', async (scope) => {
  const tw = await start(scope, {flags: {'grpc-tls-handshakes-per-second-max': 5}});
  await tw.agent('user_1');
  await Promise.all(Array.from({length: 8}, () => served(tw)));
  assert.ok((await tw.metric(HITS, {limit: 'tls_handshakes_per_second'})) > 0);
});

claim('handshakes that stop half-way cost a place for a while, and honest callers get in', async (scope) => {
  const flags = {'silent-connections-max': 20, 'connect-timeout': 60_000};
  const tw = await start(scope, {flags});
  await tw.agent('user_1');
  // A ClientHello of which 100 bytes of 512 have come.
  const half = Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), Buffer.alloc(100)]);
  Array.from({length: 100}, () => {
    const socket = scope.own(net.connect({port: tw.ports.callers, host: '127.0.0.1', localAddress: '127.0.0.2'}));
    return socket.on('error', () => {}).write(half);
  });
  // And whole ones, whose senders then say nothing more.
  const silent = Array.from({length: 30}, () => scope.own(tls.connect(
    {host: '127.0.0.1', localAddress: '127.0.0.2', port: tw.ports.callers, ca: tw.its.ca, ALPNProtocols: H2})));
  for (const socket of silent) socket.on('error', () => {});
  await Promise.all(Array.from({length: 8}, () => served(tw)));
  await until('places were taken from those that do nothing', async () =>
    (await tw.metric(HITS, {limit: 'silent_connections'})) >= 110);
});

claim('a handshake that is not over after --connect-timeout ends, in whatever step', async (scope) => {
  const tw = await start(scope, {flags: {'connect-timeout': 500}});
  const half = scope.own(net.connect(tw.ports.callers, '127.0.0.1'));
  half.on('error', () => {}).resume().write(Buffer.from([0x16, 3, 1, 2, 0, 1]));
  const whole = scope.own(tls.connect({host: '127.0.0.1', port: tw.ports.callers, ca: tw.its.ca, ALPNProtocols: H2}));
  whole.on('error', () => {}).resume();
  await within('both are closed', Promise.all([half, whole].map((one) => new Promise((done) => one.on('close', done)))));
  assert.equal(await tw.metric(HITS, {limit: 'connect_time'}), 2);
});

claim('a caller that is cut is named by its own address', async (scope) => {
  const tw = await start(scope, {topology: 'split', flags: {'connection-streams-max': 5}});
  const raw = scope.own(new RawCaller(tw.ports.callers, {tls: {ca: tw.its.ca}}));
  await raw.greet();
  await until('it is served', () => raw.saw(FRAME.settings));
  const {address} = raw;
  const headers = requestHeaders('CallTool');
  for (let next = 1; next < 1_000_000 && !raw.isClosed;) {
    const frames = [];
    for (let i = 0; i < 500; ++i, next += 2) {
      frames.push(frame(FRAME.headers, FLAG.endHeaders, next, headers), frame(FRAME.reset, 0, next, Buffer.from([0, 0, 0, 8])));
    }
    await raw.write(...frames);
  }
  await raw.closed();
  assert.equal((await tw.control.saw('caller cut, its streams do not end')).caller, address);
});

claim('a control that stops answers what is in flight, and its callers see a clean end', async (scope) => {
  const tw = await start(scope, {topology: 'split'});
  let answer;
  const asked = new Promise((resolve) => (answer = resolve));
  const agent = await tw.agent('user_1', {
    answer: ({requestId}) => {
      answer(requestId);
    },
  });
  const raw = await connectTls(scope, tw.ports.callers, {ca: tw.its.ca, ALPNProtocols: H2});
  const errors = [];
  raw.on('error', (error) => errors.push(error.code)).resume();
  raw.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(FRAME.settings, 0, 0)]));
  const stream = tw.caller(undefined, tw.trusting).dispatch();
  const call = stream.call('user_1', 'slow', {});
  const requestId = await within('the agent is asked', asked);
  tw.control.signal('SIGTERM');
  await until('it drains', async () => (await health(tw.caller(undefined, tw.trusting), 'toolwire.v1.ToolDispatch')) === 'NOT_SERVING');
  agent.send({type: 'tool_response', requestId, success: true, result: {a: 1}});
  assert.deepEqual(resultOf(await call), {a: 1});
  await stream.ended();
  await within('the connection ends', once(raw, 'close'));
  assert.deepEqual(errors, []);
  await tw.control.stop();
});
