// Agents over wss://: who gets in, what is said to whom does not, and certificates that are replaced meanwhile.
import assert from 'node:assert/strict';
import {once} from 'node:events';
import {mkdir, readFile, rename, symlink, writeFile} from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import {randomBytes} from 'node:crypto';
import tls from 'node:tls';
import {resultOf} from './lib/caller.js';
import {Gate} from './lib/gate.js';
import {run} from './lib/process.js';
import {Certificates, answerTo, clientHello, connectTls, floodWith, openssl, refusal} from './lib/tls.js';
import {claim, claimInBoth, metric} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

const start = async (scope, {certificates, ...options} = {}) =>
  scope.toolwire({certificates: certificates ?? (await Certificates.create(scope)), ...options});

claimInBoth('calls reach agents over wss://, and /health and /metrics answer over https://', async (scope, {topology}) => {
  const tw = await start(scope, {topology});
  await tw.agent('user_1');
  assert.deepEqual(resultOf(await tw.caller().call('user_1', 'echo', {a: [1, 2]})), {a: [1, 2]});
  assert.equal(JSON.parse((await tw.http('/health')).body).status, 'healthy');
  assert.equal(JSON.parse((await tw.http('/metrics')).body).connections, 1);
  assert.ok((await tw.metric('toolwire_tls_handshakes_total', {port: 'agents'})) >= 3);
  assert.ok((await tw.metric('toolwire_tls_certificate_expiry_seconds', {port: 'agents'})) > 300 * 86400);
});

claim('answers of 16 MiB arrive over TLS as they are', async (scope) => {
  const tw = await start(scope);
  const text = randomBytes(6 << 20).toString('base64');
  await tw.agent('user_1', {answer: () => ({success: true, result: {text}})});
  assert.equal(resultOf(await tw.caller().call('user_1', 'echo', {}, {timeoutMs: 240_000})).text, text);
  const params = {text: text.slice(0, 8 << 20)};
  await tw.agent('user_2');
  assert.deepEqual(resultOf(await tw.caller().call('user_2', 'echo', params, {timeoutMs: 240_000})), params);
});

claim('close codes reach agents over TLS, and a clean end of TLS comes after them', async (scope) => {
  const tw = await start(scope);
  assert.deepEqual(await tw.dial('?userId=u').closed(), {code: 1008, reason: 'Missing credentials'});
  assert.deepEqual(await tw.dial('?userId=u&secret=x').closed(), {code: 1008, reason: 'Invalid credentials'});
  const first = await tw.agent('user_1');
  const second = await tw.agent('user_1');
  assert.equal((await first.closed()).code, 4001);
  const closed = second.closed();
  await tw.stop();
  assert.equal((await closed).code, 1001);
  assert.equal(second.error, undefined);
});

claim('openssl s_client gets in by TLS 1.2 and 1.3 with http/1.1; older versions and h2 alone are refused', async (scope) => {
  const tw = await start(scope);
  const look = (...args) => openssl(
    's_client', '-connect', `127.0.0.1:${tw.ports.agents}`, '-CAfile', tw.certificates.file('ca.crt'),
    '-verify_return_error', '-verify_ip', '127.0.0.1', '-brief', ...args).catch((error) => error.stdout + error.stderr);
  for (const [flag, version] of [['-tls1_2', 'TLSv1.2'], ['-tls1_3', 'TLSv1.3']]) {
    const printed = await look(flag, '-alpn', 'h2,http/1.1');
    assert.match(printed, new RegExp(`Protocol version: ${version}`), printed);
    assert.match(printed, /Verification: OK/);
    assert.match(printed, /ECDSA|SHA256/);
  }
  assert.match(await look('-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0'), /protocol version|no protocols available/);
  assert.match(await look('-alpn', 'h2'), /no application protocol/);
  const socket = await connectTls(scope, tw.ports.agents, {ca: tw.certificates.ca, ALPNProtocols: ['h2', 'http/1.1']});
  assert.equal(socket.alpnProtocol, 'http/1.1');
});

claim('clients see by name and CA that they are not at their edge', async (scope) => {
  const tw = await start(scope);
  const {ca} = tw.certificates;
  assert.equal(await refusal(scope, tw.ports.agents, {}), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  assert.equal(await refusal(scope, tw.ports.agents, {ca, servername: 'example.com'}), 'ERR_TLS_CERT_ALTNAME_INVALID');
  await until('the edge has counted who refused it', async () =>
    (await tw.metric('toolwire_tls_handshakes_failed_total')) >= 1);
});

claim('that an agent refuses the certificate of the edge is logged there, with the reason', async (scope) => {
  const tw = await start(scope);
  const other = await Certificates.create(scope);
  for (const [args, reason] of [
    [['--ca', other.file('ca.crt')], /^the other side refuses us: .*unknown ca$/],
    [['--ca', tw.certificates.file('ca.crt'), '--tls-server-name', 'edge.example'], /^the other side refuses us: .*bad certificate$/],
  ]) {
    const agent = scope.process('toolwire', ['agent', '--user', 'u', '--url', tw.url(), ...args], {env: {TOOLWIRE_SECRET: 'x'}});
    // One line a second is logged, and it dials again.
    await until(`the edge logs ${reason}`, () => tw.edge.logged('TLS failed').some(({why}) => reason.test(why)));
    await agent.stop();
  }
  assert.ok((await tw.metric('toolwire_tls_handshakes_failed_total', {port: 'agents', reason: 'peer_refuses'})) >= 2);
});

claim('plain bytes and looks at the port get nothing, and leave no lines that look like errors', async (scope) => {
  const tw = await start(scope);
  const request = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';
  assert.equal((await answerTo(scope, tw.ports.agents, request)).length, 0);
  net.connect(tw.ports.agents, '127.0.0.1', function () { this.destroy(); });
  const failed = (reason) => tw.metric('toolwire_tls_handshakes_failed_total', {reason});
  await until('both are counted', async () => (await failed('not_tls')) === 1 && (await failed('ended')) === 1);
  await tw.agent('user_1');
  assert.deepEqual(tw.edge.logs.filter(({level}) => level !== 'info'), []);
});

claim('a plain port can be open beside the one with TLS', async (scope) => {
  const tw = await start(scope, {flags: {'plain-port': 0}});
  await tw.agent('user_1');
  const {body} = await tw.http('/health', tw.ports.plainAgents);
  assert.equal(JSON.parse(body).connections, 1);
  assert.equal((await answerTo(scope, tw.ports.agents, 'GET / HTTP/1.1\r\n\r\n')).length, 0);
});

// `toolwire agent` at servers whose certificates are wrong, each in its own way.
claim('`toolwire agent` says what is wrong with a certificate', async (scope) => {
  const good = await Certificates.create(scope);
  const old = await Certificates.create(scope, {args: ['--starts-in-days=-10', '--days=5']});
  const early = await Certificates.create(scope, {args: ['--starts-in-days=10']});
  const reasonAt = async (shown, trusted, host = '127.0.0.1') => {
    const [key, cert] = [await readFile(shown.file('agents.key')), await readFile(shown.file('agents.crt'))];
    const server = tls.createServer({key, cert});
    server.on('tlsClientError', () => {}).listen(0, host);
    await once(server, 'listening');
    scope.own({close: () => server.close()});
    const url = `wss://${host}:${server.address().port}`;
    const args = ['agent', '--user', 'u', '--log-format=json', '--url', url, '--ca', trusted.file('ca.crt')];
    const agent = scope.process('toolwire', args, {env: {TOOLWIRE_SECRET: 'x'}});
    return (await agent.saw('agent cannot connect')).reason;
  };
  assert.equal(await reasonAt(old, old), "TLS: the server's certificate has expired");
  assert.equal(await reasonAt(early, early), "TLS: the server's certificate is not valid yet; is this machine's clock right?");
  assert.equal(await reasonAt(good, old), `TLS: the server's certificate is of a CA that is not in ${old.file('ca.crt')}`);
  assert.equal(await reasonAt(good, good, '127.0.0.2'), "TLS: the server's certificate does not name 127.0.0.2");
});

claim('`toolwire agent` connects over wss:// and answers; what is no TLS it says so', async (scope) => {
  const tw = await start(scope, {flags: {'plain-port': 0}});
  const secret = await tw.secret('user_1');
  const agent = (url, ...more) => scope.process(
    'toolwire', ['agent', '--user', 'user_1', '--log-format=json', '--url', url, '--ca', tw.certificates.file('ca.crt'), ...more],
    {env: {TOOLWIRE_SECRET: secret}});
  await agent(`wss://localhost:${tw.ports.agents}`).saw('agent connected');
  assert.deepEqual(resultOf(await tw.caller().call('user_1', 'echo', {a: 1})), {a: 1});
  const {reason} = await agent(`wss://localhost:${tw.ports.plainAgents}`).saw('agent cannot connect');
  assert.match(reason, /^TLS: the (other side does not speak TLS|connection was closed in the handshake)$/);
  // The name that is checked may be another than the address that is dialled.
  const named = await agent(`wss://localhost:${tw.ports.agents}`, '--tls-server-name', 'edge.example').saw('agent cannot connect');
  assert.equal(named.reason, "TLS: the server's certificate does not name edge.example");
  await agent(`wss://127.0.0.1:${tw.ports.agents}`, '--tls-server-name', 'localhost').saw('agent connected');
  const plain = await run('toolwire', ['agent', '--user', 'u', '--url', 'ws://127.0.0.1:1', '--tls-server-name', 'a'], {env: {TOOLWIRE_SECRET: 'x'}});
  assert.match(plain.stderr, /--tls-server-name are for wss:\/\//);
});

claim('`toolwire agent` warns once that its secret goes to another machine without TLS', async (scope) => {
  const warnings = async (url) => {
    const args = ['agent', '--user', 'u', '--log-format=json', '--url', url];
    const agent = scope.process('toolwire', args, {env: {TOOLWIRE_SECRET: 'x'}});
    await agent.saw('agent cannot connect');
    await agent.stop();
    return agent.logged('the secret goes to another machine without TLS').map(({host}) => host);
  };
  // The kernel takes it for this machine, so that nothing leaves it here; to the program it is none of the loopback's.
  assert.deepEqual(await warnings('ws://0.0.0.0:1'), ['0.0.0.0']);
  for (const url of ['ws://127.0.0.1:1', 'ws://localhost:1', 'ws://[::1]:1', 'wss://0.0.0.0:1']) assert.deepEqual(await warnings(url), [], url);
});

claim('an edge does not start with files that cannot work, and says which', async (scope) => {
  const good = await Certificates.create(scope);
  const other = await Certificates.create(scope);
  const old = await Certificates.create(scope, {args: ['--starts-in-days=-10', '--days=5']});
  const encrypted = good.file('encrypted.key');
  await openssl('pkcs8', '-topk8', '-in', good.file('agents.key'), '-out', encrypted, '-passout', 'pass:secret');
  const why = async (certificate, key) => {
    const ports = ['--port=0', '--grpc-port=0', '--metrics-port=0', '--data-dir', await scope.directory()];
    const files = ['--tls-cert', certificate, ...(key ? ['--tls-key', key] : [])];
    const {code, stderr} = await run('toolwire', ['dev', ...ports, ...files]);
    assert.equal(code, certificate.endsWith('none.crt') ? 2 : 1, stderr);
    return stderr;
  };
  assert.match(await why(good.file('agents.crt'), other.file('agents.key')), /is not the key of the certificate in/);
  assert.match(await why(good.file('agents.crt'), encrypted), /the key is encrypted/);
  assert.match(await why(old.file('agents.crt'), old.file('agents.key')), /the certificate has expired at/);
  assert.match(await why(good.file('none.crt'), good.file('agents.key')), /cannot read .*none\.crt/);
  assert.match(await why(good.file('agents.crt')), /--tls-cert and --tls-key go together/);
});

claimInBoth('certificates are replaced while calls run: none fails, and new sockets see the new one', async (scope, {topology}) => {
  const tw = await start(scope, {topology});
  const before = await tw.agent('user_1');
  assert.equal(before.serial, await tw.certificates.serial());
  const stream = tw.caller().dispatch();
  let calls = 0, going = true;
  const work = Promise.all(Array.from({length: 4}, async () => {
    for (; going; ++calls) assert.deepEqual(resultOf(await stream.call('user_1', 'echo', {a: 1})), {a: 1});
  }));
  const answered = async (more) => {
    const from = calls;
    await until('calls go on', () => calls > from + more);
  };
  for (let round = 1; round <= 3; ++round) {
    await tw.certificates.renew();
    const serial = await tw.certificates.serial();
    await until('the new certificate is in use', async () => (await tw.metric('toolwire_tls_reloads_total')) === round);
    assert.equal((await tw.agent(`user_new_${round}`)).serial, serial);
    await answered(50);
  }
  going = false;
  await work;
  assert.equal(before.closeFrame, undefined);
});

claim('a bad pair leaves the old one in use and is counted; the next good one is taken, at once by SIGHUP', async (scope) => {
  const tw = await start(scope);
  const key = tw.certificates.file('agents.key');
  const serial = await tw.certificates.serial();
  const good = await readFile(key);
  await writeFile(key, 'junk');
  await until('the bad pair is counted', async () => (await tw.metric('toolwire_tls_reloads_failed_total')) === 1);
  assert.match((await tw.edge.saw('TLS files were not taken, the old ones stay')).why, /agents\.key: not a private key/);
  assert.equal((await tw.agent('user_1')).serial, serial);
  await writeFile(key, good);
  await tw.certificates.renew();
  tw.edge.signal('SIGHUP');
  tw.edge.signalled = false;
  await until('the good pair is in use', async () => (await tw.metric('toolwire_tls_reloads_total')) === 1);
  assert.equal((await tw.agent('user_2')).serial, await tw.certificates.serial());
  assert.equal(await tw.metric('toolwire_tls_reloads_failed_total'), 1);
});

claim('a Kubernetes Secret, whose directory is swapped by a link, is re-read', async (scope) => {
  const certificates = await Certificates.create(scope);
  const volume = await scope.directory();
  const publish = async (name) => {
    await mkdir(path.join(volume, name));
    for (const file of ['agents.crt', 'agents.key']) {
      await writeFile(path.join(volume, name, file), await readFile(certificates.file(file)));
    }
    await symlink(name, path.join(volume, '..data_tmp'));
    await rename(path.join(volume, '..data_tmp'), path.join(volume, '..data'));
  };
  await publish('..first');
  const mounted = (file) => path.join(volume, file);
  for (const file of ['agents.crt', 'agents.key']) await symlink(path.join('..data', file), mounted(file));
  const flags = {'tls-cert': mounted('agents.crt'), 'tls-key': mounted('agents.key')};
  const tw = await start(scope, {certificates, flags});
  await certificates.renew();
  await publish('..second');
  await until('the new pair is in use', async () => (await tw.metric('toolwire_tls_reloads_total')) === 1);
  assert.equal((await tw.agent('user_1')).serial, await certificates.serial());
  assert.equal(await tw.metric('toolwire_tls_reloads_failed_total'), 0);
});

claim('`toolwire agent` reads its files again: the CA is replaced, old to both to new, and it is never kept out', async (scope) => {
  const certificates = await Certificates.create(scope), next = await Certificates.create(scope);
  const directory = await scope.directory();
  const at = (name) => path.join(directory, name);
  const show = async (of) => {
    for (const kind of ['crt', 'key']) await writeFile(at(`edge.${kind}`), of.read(`agents.${kind}`));
  };
  await show(certificates);
  await writeFile(at('ca.crt'), certificates.ca);
  const tw = await start(scope, {certificates, flags: {'tls-cert': at('edge.crt'), 'tls-key': at('edge.key')}});
  const gate = scope.backend(await Gate.start({to: {port: tw.ports.agents}, seed: 1}));
  const agent = scope.process(
    'toolwire', ['agent', '--user', 'user_1', '--log-format=json', '--url', `wss://${gate.address}`, '--ca', at('ca.crt')],
    {env: {TOOLWIRE_SECRET: await tw.secret('user_1')}});
  const connected = (times) => until(`it is connected ${times} times`, () => agent.logged('agent connected').length === times);
  const trust = async (reads, ...parts) => {
    await writeFile(at('ca.crt'), Buffer.concat(parts));
    await until('it has read its CAs', () => agent.logged('TLS files were read again').length === reads);
  };
  await connected(1);
  await trust(1, certificates.ca, next.ca);
  await show(next);
  await until('the edge shows its new certificate', async () => (await tw.metric('toolwire_tls_reloads_total')) === 1);
  assert.equal(agent.logged('agent connected').length, 1, 'the connection lives on');
  await gate.tell({command: 'cut'});
  await connected(2);
  await trust(2, next.ca);
  await gate.tell({command: 'cut'});
  await connected(3);
  await writeFile(at('ca.crt'), 'junk');
  assert.match((await agent.saw('TLS files were not taken, the old ones stay')).why, /ca\.crt: has no certificate/);
  await gate.tell({command: 'cut'});
  await connected(4);
  assert.deepEqual(agent.logged('agent cannot connect'), []);
  assert.deepEqual(resultOf(await tw.caller().call('user_1', 'echo', {a: 1})), {a: 1});
});

claim('a session begun at one edge is resumed at another that has the same ticket keys, and at no third', async (scope) => {
  const certificates = await Certificates.create(scope);
  const keys = certificates.file('tickets');
  await writeFile(keys, randomBytes(80));
  const shared = {certificates, flags: {'tls-ticket-keys-file': keys}};
  const [one, other, third] = [await start(scope, shared), await start(scope, shared), await start(scope, {certificates})];
  // The ticket comes with the first answer.
  const sessionAt = async ({ports}, session) => {
    const socket = scope.own(tls.connect({host: '127.0.0.1', port: ports.agents, ca: certificates.ca, session}));
    const ticket = once(socket, 'session');
    socket.resume().write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
    const [next] = await within('the ticket comes', ticket);
    return {session: next, resumed: socket.isSessionReused()};
  };
  const first = await sessionAt(one);
  assert.equal(first.resumed, false);
  assert.equal((await sessionAt(other, first.session)).resumed, true);
  await until('it is counted', async () => (await metric(other.ports.metrics[0], 'toolwire_tls_handshakes_resumed_total')) === 1);
  assert.equal((await sessionAt(third, (await sessionAt(one)).session)).resumed, false);
});

claim('handshakes that stop half-way cost a place for a while, and honest agents get in', async (scope) => {
  const tw = await start(scope, {flags: {'unauthenticated-max': 20, 'login-timeout': 60_000}});
  // A ClientHello of which 100 bytes of 512 have come.
  const half = Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), Buffer.alloc(100)]);
  const flood = Array.from({length: 100}, () => {
    const socket = scope.own(net.connect(tw.ports.agents, '127.0.0.1'));
    socket.on('error', () => {}).write(half);
    return socket;
  });
  // And whole ones, whose senders then say nothing more.
  const {ca} = tw.certificates;
  const silent = Array.from({length: 20}, () => scope.own(tls.connect({host: '127.0.0.1', port: tw.ports.agents, ca})));
  for (const socket of silent) socket.on('error', () => {});
  await within('agents get in', Promise.all(['a', 'b', 'c', 'd'].map((user) => tw.agent(user))));
  await until('places were taken from those that do nothing', async () =>
    (await tw.metric('toolwire_edge_limit_hits_total', {limit: 'silent_sockets'})) > 0);
  for (const socket of flood) socket.destroy();
});

// From one address, as a flood that is not shared out would fill the kernel's queue, in which all wait alike.
claim('who begins handshakes without end keeps agents at other addresses out for a moment at most', async (scope) => {
  const tw = await start(scope, {flags: {'tls-handshakes-per-second-max': 40}});
  await tw.agent('user_0');
  const flood = floodWith(scope, tw.ports.agents, await clientHello(), {localAddress: '127.0.0.2'});
  const refused = () => tw.metric('toolwire_edge_limit_hits_total', {limit: 'address_tls_handshakes'});
  await until('its handshakes are refused', async () => (await refused()) > 1000);
  for (let i = 1; i < 6; ++i) await within('an agent gets in', tw.agent(`user_${i}`));
  flood.stop();
});

claim('handshakes are paced', async (scope) => {
  const tw = await start(scope, {flags: {'tls-handshakes-per-second-max': 5}});
  await Promise.all(Array.from({length: 8}, (_, i) => tw.agent(`user_${i}`)));
  assert.ok((await tw.metric('toolwire_edge_limit_hits_total', {limit: 'tls_handshakes_per_second'})) > 0);
});
