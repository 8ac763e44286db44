// Links between control and edge over TLS: who gets in, what is said to whom does not, cuts, and certificates that are
// replaced meanwhile.
import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {writeFile} from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {resultOf} from './lib/caller.js';
import {callsOverCuts} from './lib/cuts.js';
import {run} from './lib/process.js';
import {Certificates, answerTo, clientHello, connectTls, floodWith, refusal} from './lib/tls.js';
import {argumentsOf, claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

const start = async (scope, {certificates, ...options} = {}) => {
  const linkCertificates = certificates ?? (await Certificates.create(scope));
  const tw = await scope.toolwire({topology: 'split', linkCertificates, ...options});
  return Object.assign(tw, {linkCertificates});
};
const logged = (process, event, field) => process.logged(event).map((line) => line[field]);

claim('calls and answers of 16 MiB pass an encrypted link as they are', async (scope) => {
  const tw = await start(scope);
  const text = randomBytes(6 << 20).toString('base64');
  await tw.agent('user_1', {answer: ({params}) => ({success: true, result: {text: params.text}})});
  const stream = tw.caller().dispatch();
  const large = stream.call('user_1', 'echo', {text}, {timeoutMs: 240_000});
  const small = Array.from({length: 50}, (_, i) => stream.call('user_1', 'echo', {text: `${i}`}, {timeoutMs: 240_000}));
  for (const [i, one] of small.entries()) assert.equal(resultOf(await one).text, `${i}`);
  assert.equal(resultOf(await large).text, text);
  assert.ok((await tw.metric('toolwire_tls_handshakes_total', {port: 'links'})) >= 2, 'one at each end');
  assert.ok((await tw.metric('toolwire_tls_certificate_expiry_seconds', {port: 'links'})) > 300 * 86400);
});

claim('who is no control gets nothing from the port of an encrypted link', async (scope) => {
  const tw = await start(scope);
  const {linkCertificates: certificates} = tw;
  assert.equal(String(await answerTo(scope, tw.ports.relay, 'TWRELAY2')).includes('TWRELAY'), false);
  const {ca} = certificates;
  const pair = (name, from = certificates) => ({cert: from.read(`${name}.crt`), key: from.read(`${name}.key`)});
  const heard = async (options) => {
    const socket = await connectTls(scope, tw.ports.relay, {ca, ...options}).catch((error) => error);
    if (socket instanceof Error) return socket.code;
    socket.write('TWRELAY2');
    return new Promise((resolve) => {
      socket.on('error', ({code}) => resolve(code));
      socket.on('data', (bytes) => resolve(String(bytes)));
      socket.on('close', () => resolve('closed'));
    });
  };
  const other = await Certificates.create(scope);
  assert.equal(await heard({}), 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED');
  assert.match(await heard(pair('agents')), /^ERR_SSL/, 'no client\'s certificate');
  assert.match(await heard(pair('edge')), /^ERR_SSL/, 'another edge');
  assert.match(await heard(pair('control', other)), /^ERR_SSL/, 'of another CA');
  assert.match(await heard(pair('control')), /^TWRELAY2/);
  assert.match(await refusal(scope, tw.ports.relay, {}), /^(SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/);
});

claim('each wrong certificate has a message of its own at control and at the edge', async (scope) => {
  const right = await Certificates.create(scope);
  const expired = await Certificates.create(scope, {args: ['--days', '1', '--starts-in-days', '-10']});
  const other = await Certificates.create(scope);
  const tw = await scope.toolwire({topology: 'split', linkCertificates: right});
  const relay = `127.0.0.1:${tw.ports.relay}`;
  const why = async (controlFlags) => {
    const known = logged(tw.edge, 'relay: refused', 'why').length;
    const control = await scope.toolwire({topology: 'control', edge: relay, dataDir: tw.dataDir, controlFlags});
    const [seen] = await until('control says why', () => {
      const all = logged(control.control, 'edge cannot be reached; still trying', 'why');
      return all.length > 0 && all;
    });
    const edge = await until('the edge says why', () => logged(tw.edge, 'relay: refused', 'why')[known]);
    await control.stop();
    return {control: seen, edge};
  };
  const roleless = await why({...right.linkFlags('agents')});
  assert.match(roleless.edge, /the client's certificate is not for clients: its extended key usage/);
  assert.match(roleless.control, /refuses us/);
  const stranger = await why({...other.linkFlags('control'), 'link-tls-ca': right.file('ca.crt')});
  assert.match(stranger.edge, /the client's certificate is of a CA that is not ours/);
  const distrusting = await why(other.linkFlags('control'));
  assert.match(distrusting.control, /the server's certificate is of a CA that is not in .*ca\.crt/);
  assert.match(distrusting.edge, /refuses us/);
  const plain = await why({});
  assert.match(plain.edge, /does not speak TLS/);
  // One that has expired is refused before anybody is dialled.
  const refused = async (flags) => {
    const args = argumentsOf({edge: relay, 'grpc-port': 0, 'metrics-port': 0, 'data-dir': tw.dataDir, ...flags});
    const {code, stderr} = await run('toolwire-control', args, {exitCode: 1});
    assert.equal(code, 1);
    return stderr;
  };
  assert.match(await refused(expired.linkFlags('control')), /control\.crt: the certificate has expired/);
  assert.match(await refused({'link-tls-ca': right.file('ca.crt')}), /go together/);
  const unencrypted = await scope.toolwire({topology: 'split'});
  const wants = await scope.toolwire({
    topology: 'control', edge: `127.0.0.1:${unencrypted.ports.relay}`, dataDir: unencrypted.dataDir, linkCertificates: right,
  });
  await until('control says why', () =>
    logged(wants.control, 'edge cannot be reached; still trying', 'why').some((one) => /does not speak TLS/.test(one)));
});

claim('encrypted connections that are cut at random bytes lose no answer and run nothing twice', async (scope) => {
  const tw = await start(scope, {gate: {seed: 1}});
  const {wrong, what} = await callsOverCuts(tw, {cuts: 15, afterBytesMax: 4000, openingBytes: 3000});
  assert.deepEqual(wrong, {}, what);
});

claim('certificates of both ends are replaced while calls run: none fails, and new connections show the new ones', async (scope) => {
  const tw = await start(scope, {gate: {seed: 1}});
  const {linkCertificates: certificates} = tw;
  await tw.agent('user_1');
  const stream = tw.caller().dispatch();
  let stopped = false;
  const outcomes = [];
  const calling = (async () => {
    while (!stopped) {
      outcomes.push(stream.call('user_1', 'echo', {}, {timeoutMs: 240_000}));
      await sleep(5);
    }
  })();
  const before = await certificates.serial('edge.crt');
  await certificates.renew();
  const after = await certificates.serial('edge.crt');
  assert.notEqual(after, before);
  await until('both have read them', async () => (await tw.metric('toolwire_tls_reloads_total', {port: 'links'})) === 2);
  assert.equal(tw.control.logged('edge\'s connection lost').length, 0, 'the old connection lives on');
  const identity = {cert: certificates.read('control.crt'), key: certificates.read('control.key')};
  const socket = await connectTls(scope, tw.ports.relay, {ca: certificates.ca, ...identity});
  assert.equal(socket.getPeerCertificate().serialNumber, after);
  await tw.gate.tell({command: 'cut'});
  await until('control has dialled again', () => tw.gate.events.filter(({event}) => event === 'connected').length > 1);
  await sleep(200);
  stopped = true;
  await calling;
  for (const outcome of outcomes) assert.equal((await outcome).code, 0);
});

claim('the CA of links is replaced at both ends, old to both to new, while calls run: none fails', async (scope) => {
  const old = await Certificates.create(scope), next = await Certificates.create(scope);
  const directory = await scope.directory();
  const at = (name) => path.join(directory, name);
  const ROLES = ['edge', 'control'];
  const trust = async (...parts) => {
    for (const role of ROLES) await writeFile(at(`${role}.ca`), Buffer.concat(parts));
  };
  const show = async (of) => {
    for (const role of ROLES) for (const kind of ['crt', 'key']) await writeFile(at(`${role}.${kind}`), of.read(`${role}.${kind}`));
  };
  await Promise.all([trust(old.ca), show(old)]);
  const flagsOf = (role) => ({
    'link-tls-cert': at(`${role}.crt`), 'link-tls-key': at(`${role}.key`), 'link-tls-ca': at(`${role}.ca`),
  });
  const tw = await scope.toolwire({topology: 'split', gate: {seed: 1}, edgeFlags: flagsOf('edge'), controlFlags: flagsOf('control')});
  await tw.agent('user_1');
  const stream = tw.caller().dispatch();
  let stopped = false;
  const outcomes = [];
  const calling = (async () => {
    for (; !stopped; await sleep(5)) outcomes.push(stream.call('user_1', 'echo', {}, {timeoutMs: 240_000}));
  })();
  const dials = () => tw.gate.events.filter(({event}) => event === 'connected').length;
  const lost = () => tw.control.logged('edge\'s connection lost').length;
  let reads = 0;
  try {
    for (const [cuts, step] of [() => trust(old.ca, next.ca), () => show(next), () => trust(next.ca)].entries()) {
      await step();
      reads += ROLES.length;
      await until('both have read them', async () => (await tw.metric('toolwire_tls_reloads_total', {port: 'links'})) === reads);
      assert.equal(lost(), cuts, 'the connection lives on');
      const before = dials();
      await tw.gate.tell({command: 'cut'});
      await until('control has lost it', () => lost() === cuts + 1);
      await until('control has dialled again', () => dials() > before);
      const called = outcomes.length;
      await until('calls go on', () => outcomes.length > called + 20);
      assert.equal((await outcomes.at(-1)).code, 0);
    }
  } finally {
    stopped = true;
  }
  await calling;
  for (const outcome of outcomes) assert.equal((await outcome).code, 0);
  assert.equal(await tw.metric('toolwire_tls_reloads_failed_total', {port: 'links'}), 0);
  const socket = await connectTls(scope, tw.ports.relay, {ca: next.ca, cert: old.read('control.crt'), key: old.read('control.key')})
    .catch((error) => error);
  if (!(socket instanceof Error)) await new Promise((resolve) => socket.on('error', resolve).resume());
});

claim('handshakes that stop half-way keep no control out', async (scope) => {
  const tw = await start(scope);
  const hello = await clientHello();
  const halves = Array.from({length: 200}, () => scope.own(net.connect(tw.ports.relay, '127.0.0.1').on('error', () => {}).resume()));
  for (const [i, one] of halves.entries()) one.write(i % 2 ? hello : hello.subarray(0, 100));
  await until('some had to make room', async () => (await tw.metric('toolwire_edge_limit_hits_total', {limit: 'link_strangers'})) > 0);
  const second = await scope.toolwire({
    topology: 'control', edge: `127.0.0.1:${tw.ports.relay}`, dataDir: tw.dataDir, linkCertificates: tw.linkCertificates,
  });
  await second.linked();
});

// From another address than the controls': they take turns.
async function linksBesideFlood(scope, bytes, arePaced) {
  const tw = await start(scope);
  const flood = floodWith(scope, tw.ports.relay, bytes, {localAddress: '127.0.0.2'});
  const hits = (limit) => tw.metric('toolwire_edge_limit_hits_total', limit);
  await until('it has had to make room', async () => (await hits({limit: 'link_strangers'})) > 1000);
  if (arePaced) await until('handshakes are paced', async () => (await hits({limit: 'link_handshakes_per_second'})) > 0);
  const second = await scope.toolwire({
    topology: 'control', edge: `127.0.0.1:${tw.ports.relay}`, dataDir: tw.dataDir, linkCertificates: tw.linkCertificates,
  });
  await second.linked();
  flood.stop();
}
claim('who dials the links\' port without end and says nothing keeps no control out', (scope) =>
  linksBesideFlood(scope, Buffer.alloc(0), false));
claim('who begins handshakes at the links\' port without end keeps no control out', async (scope) =>
  linksBesideFlood(scope, await clientHello(), true));

claim('looks at the links\' port leave no line, and strangers some a second', async (scope) => {
  const tw = await start(scope);
  const plain = await scope.toolwire({topology: 'split'});
  for (const {edge, ports} of [tw, plain]) {
    for (let i = 0; i < 20; ++i) {
      const socket = scope.own(net.connect(ports.relay, '127.0.0.1'));
      await new Promise((resolve) => socket.on('connect', () => socket.end()).resume().on('close', resolve));
    }
    assert.deepEqual(logged(edge, 'relay: refused', 'why'), []);
    const answers = Array.from({length: 300}, () => answerTo(scope, ports.relay, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
    await Promise.all(answers);
  }
  for (const one of [tw, plain]) {
    const lines = await until('they are logged', () => {
      const all = logged(one.edge, 'relay: refused', 'why');
      return all.length > 0 && all;
    });
    assert.ok(lines.length <= 100, `${lines.length} lines of 300`);
    for (const why of lines) assert.match(why, /does not speak (TLS|the links' protocol)/);
  }
});

claim('the doctor asks encrypted relays with a control\'s certificate', async (scope) => {
  const tw = await start(scope);
  const doctor = (flags) => run('toolwire', [
    'doctor', '--json', `--edge=127.0.0.1:${tw.ports.relay}`, `--address=127.0.0.1:${tw.ports.callers}`, ...argumentsOf(flags),
  ]).then(({stdout}) => stdout);
  const relay = (printed) => printed.split('\n').filter((line) => line.includes('"relay"')).map((line) => JSON.parse(line))[0];
  assert.equal(relay(await doctor(tw.linkCertificates.linkFlags('control'))).level, 'ok');
  const without = relay(await doctor({}));
  assert.equal(without.level, 'fail');
  assert.match(without.do, /--link-tls/);
  const half = relay(await doctor({'link-tls-ca': path.join(tw.linkCertificates.dir, 'ca.crt')}));
  assert.match(half.message, /go together/);
});
