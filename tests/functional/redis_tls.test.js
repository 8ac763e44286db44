// Redis over TLS, and as the user that the documents recommend.
import assert from 'node:assert/strict';
import {copyFile, mkdir, readFile, writeFile} from 'node:fs/promises';
import net from 'node:net';
import {networkInterfaces} from 'node:os';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {resultOf} from './lib/caller.js';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {run} from './lib/process.js';
import {Redis, documentedUser, redisMissing} from './lib/redis.js';
import {Certificates, answerTo, connectTls} from './lib/tls.js';
import {argumentsOf, claim, metric} from './lib/toolwire.js';
import {until} from './lib/until.js';

const PASSWORD = 'a_hard/one:to?type#%@';
const redisClaim = (name, body) => claim(name, body, {skip: redisMissing});

// A Redis with TLS alone and the documented user.
async function protectedRedis(scope, {args = [], ...options} = {}) {
  const certificates = options.certificates ?? (await Certificates.create(scope));
  const redis = await Redis.start(scope, {certificates, args: [...documentedUser(PASSWORD), ...args]});
  redis.url = redis.urlAt({user: 'toolwire', password: PASSWORD});
  return redis;
}
// An edge of it, which need not reach it.
async function edgeOf(scope, redis, flags = {}) {
  const edge = scope.process('toolwire-edge', argumentsOf({
    port: 0, 'relay-port': 0, 'metrics-port': 0, 'log-format': 'json', 'data-dir': await scope.directory(), ...redis.flags, ...flags}));
  edge.ports = await edge.ready();
  return edge;
}
const reasons = (edge) => [...edge.logged('redis unavailable'), ...edge.logged('redis lost')].map(({why}) => why);
const sawReason = (edge, pattern) => until(`the log says ${pattern}`, () => reasons(edge).some((why) => pattern.test(why)));
const connected = (edge, times) => until(`Redis is connected for the ${times}th time`, () =>
  edge.logged('redis connected').length >= times);
// Redis shows this pair of files from now on, and nobody is connected to it.
async function show(client, directory, name = 'redis') {
  await client.config('SET', 'tls-cert-file', path.join(directory, `${name}.crt`), 'tls-key-file', path.join(directory, `${name}.key`));
  await client.client('KILL', 'USER', 'toolwire');
}

clusterClaim('a cluster works over rediss:// as the documented user, who is refused nothing and may do nothing else', async (scope) => {
  const redis = await protectedRedis(scope);
  const cluster = await Cluster.start(scope, {redis});
  const admin = await redis.client();
  let agent = await cluster.agent('user_1');
  const [caller] = cluster.callers();
  assert.deepEqual(resultOf(await caller.call('user_1', 'echo', {a: 1})), {a: 1});
  const backend = await cluster.oldBackend();
  assert.equal((await backend.sendToolCall('user_1', {tool: 'echo', params: {b: 2}})).success, true);
  for (let move = 0; move < 3; ++move) {
    const next = await cluster.agent('user_1', {edge: 1 - (move % 2)});
    assert.equal((await agent.closed()).code, 4001);
    assert.equal((await backend.sendToolCall('user_1', {tool: 'echo', params: {move}})).success, true);
    agent = next;
  }
  await admin.flushall();
  await until('the lease is made again', async () => (await admin.get('agent:user_1:server')) !== null);
  assert.deepEqual(await admin.acl('LOG'), [], 'nothing was refused');
  for (const member of [...cluster.edges, ...cluster.controls]) {
    assert.ok((await member.metric('toolwire_tls_handshakes_total', {port: 'redis'})) >= 2, 'commands and subscriptions');
    assert.equal(member.process.logged('redis is not protected as it should be').length, 0);
    const said = member.process.lines.join('\n');
    for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), 'to?type']) {
      assert.ok(!said.includes(secret), 'the password is nowhere');
    }
  }
  const user = await redis.client({username: 'toolwire', password: PASSWORD});
  for (const [command, ...args] of [['flushall'], ['keys', '*'], ['config', 'GET', '*'], ['get', 'other'], ['publish', 'other', 'x'], ['acl', 'LIST']]) {
    await assert.rejects(user.call(command, ...args), /NOPERM/, command);
  }
  assert.equal(String(await answerTo(scope, redis.port, 'PING\r\n')), '', 'nobody gets an answer in plain');
});

redisClaim('each wrong certificate of Redis has a message of its own, and the right one is taken again', async (scope) => {
  const certificates = await Certificates.create(scope);
  const keep = async (name) => {
    const directory = path.join(await scope.directory(), name);
    await mkdir(directory);
    for (const file of ['redis.crt', 'redis.key']) await copyFile(certificates.file(file), path.join(directory, file));
    return directory;
  };
  await certificates.renew('--days', '1', '--starts-in-days', '-10');
  const expired = await keep('expired');
  await certificates.renew('--days', '1', '--starts-in-days', '10');
  const early = await keep('early');
  await certificates.renew();
  const right = await keep('right');
  const other = await Certificates.create(scope);
  const redis = await protectedRedis(scope, {certificates, args: ['--bind', '127.0.0.1', '127.0.0.2']});
  const admin = await redis.client();
  const edge = await edgeOf(scope, redis);
  let times = 1;
  await connected(edge, times);
  for (const [directory, why] of [
    [expired, /the server's certificate has expired/],
    [early, /the server's certificate is not valid yet/],
    [other.dir, /the server's certificate is of a CA that is not in .*ca\.crt/],
  ]) {
    await show(admin, directory);
    await sawReason(edge, why);
    await show(admin, right);
    await connected(edge, ++times);
  }
  assert.ok((await metric(edge.ports.metrics, 'toolwire_tls_handshakes_failed_total', {port: 'redis', reason: 'peer_certificate'})) >= 3);
  // By URL.
  const at = (host, query = '') => ({'redis-url': redis.urlAt({user: 'toolwire', password: PASSWORD, host}) + query});
  await sawReason(await edgeOf(scope, redis, at('127.0.0.2')), /the server's certificate does not name 127\.0\.0\.2/);
  await sawReason(await edgeOf(scope, redis, at('127.0.0.1', '?tls-name=redis.example')), /does not name redis\.example/);
  await sawReason(await edgeOf(scope, redis, {'redis-ca': undefined}), /is of a CA that is not one of the system's; name it by --redis-ca/);
  await connected(await edgeOf(scope, redis, at('127.0.0.2', '?tls-name=localhost')), 1);
  const lenient = await edgeOf(scope, redis, at('127.0.0.2', '?tls-verify=ca'));
  await connected(lenient, 1);
  const warning = await lenient.saw('redis is not protected as it should be');
  assert.match(warning.why, /whatever it names/);
  await show(admin, other.dir);
  await sawReason(lenient, /is of a CA that is not in/);
});

redisClaim('nothing is said to a server before its TLS handshake; what speaks no TLS, and TLS where none is expected, is named', async (scope) => {
  const heard = [];
  const listen = async (answer) => {
    const server = net.createServer((socket) => {
      socket.on('error', () => {}).on('data', (bytes) => {
        heard.push(bytes);
        if (answer) socket.write(answer);
      });
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    scope.own({close: () => server.close()});
    return {flags: {'redis-url': `rediss://toolwire:hunter2@127.0.0.1:${server.address().port}`}};
  };
  const answering = await edgeOf(scope, await listen('-ERR unknown command\r\n'));
  await sawReason(answering, /TLS: the other side does not speak TLS/);
  const silent = await edgeOf(scope, await listen());
  await sawReason(silent, /the TLS handshake timed out; if it speaks no TLS/);
  assert.ok(heard.length > 0);
  for (const bytes of heard) {
    assert.equal(bytes[0], 22, 'a record of a handshake');
    assert.ok(!bytes.includes('hunter2') && !bytes.includes('AUTH'));
  }
  const redis = await protectedRedis(scope);
  const plain = await edgeOf(scope, {flags: {'redis-url': `redis://127.0.0.1:${redis.port}`}});
  await sawReason(plain, /if it speaks TLS, the URL must begin with rediss:\/\//);
});

redisClaim('a Redis that asks for certificates takes ours; files that change are used for the next connection, bad ones are not', async (scope) => {
  const certificates = await Certificates.create(scope);
  const next = await Certificates.create(scope);
  // Whom Redis trusts, and whom the edge does: bundles, as in a change of the CA.
  const directory = await scope.directory();
  const bundle = path.join(directory, 'both.crt'), trusted = path.join(directory, 'trusted.crt');
  await writeFile(bundle, Buffer.concat([certificates.ca, next.ca]));
  await copyFile(certificates.file('ca.crt'), trusted);
  const own = (name) => path.join(directory, `own.${name}`);
  const take = async (from) => {
    for (const name of ['crt', 'key']) await copyFile(from.file(`edge.${name}`), own(name));
  };
  await take(certificates);
  const redis = await protectedRedis(scope, {certificates, args: ['--tls-auth-clients', 'yes', '--tls-ca-cert-file', bundle]});
  const admin = await redis.client({tls: {ca: [certificates.ca, next.ca], cert: certificates.read('edge.crt'), key: certificates.read('edge.key')}});
  const without = await edgeOf(scope, redis);
  await sawReason(without, /TLS: the other side refuses us/);
  const edge = await edgeOf(scope, redis, {'redis-ca': trusted, 'redis-cert': own('crt'), 'redis-key': own('key')});
  await connected(edge, 1);
  const reloads = (name, count) => until(`${name} is ${count}`, async () =>
    (await metric(edge.ports.metrics, `toolwire_tls_${name}_total`, {port: 'redis'})) === count);
  assert.ok((await metric(edge.ports.metrics, 'toolwire_tls_certificate_expiry_seconds', {port: 'redis'})) > 300 * 86400);
  await copyFile(bundle, trusted);
  await reloads('reloads', 1);
  await writeFile(own('crt'), 'no certificate');
  await reloads('reloads_failed', 1);
  await show(admin, next.dir);
  await connected(edge, 2);
  await take(next);
  await until('the new pair is in use', async () =>
    (await metric(edge.ports.metrics, 'toolwire_tls_reloads_total', {port: 'redis'})) >= 2);
  await admin.client('KILL', 'USER', 'toolwire');
  await connected(edge, 3);
});

clusterClaim('Redis\'s certificate is replaced while calls run: none fails, agents are found', async (scope) => {
  const redis = await protectedRedis(scope);
  const cluster = await Cluster.start(scope, {redis, edges: 1, controls: 1});
  const admin = await redis.client();
  await cluster.agent('user_1');
  await cluster.known('user_1', cluster.edges[0].serverId);
  const stream = cluster.caller().dispatch();
  const outcomes = [];
  let stopped = false;
  const calling = (async () => {
    for (; !stopped; await sleep(5)) outcomes.push(stream.call('user_1', 'echo', {}, {timeoutMs: 240_000}));
  })();
  const before = await redis.certificates.serial('redis.crt');
  await redis.certificates.renew();
  await show(admin, redis.certificates.dir);
  for (const {process} of [...cluster.edges, ...cluster.controls]) await connected(process, 2);
  const socket = await connectTls(scope, redis.port, {ca: redis.certificates.ca});
  const shown = socket.getPeerCertificate().serialNumber;
  assert.equal(shown, await redis.certificates.serial('redis.crt'));
  assert.notEqual(shown, before);
  await cluster.agent('user_2');
  stopped = true;
  await calling;
  assert.ok(outcomes.length > 0);
  for (const outcome of outcomes) assert.equal((await outcome).code, 0);
});

redisClaim('wrong passwords and missing rights are said, without the password', async (scope) => {
  const redis = await protectedRedis(scope, {args: ['--user', 'narrow', 'on', '>hunter3', '~*', '&*', '-@all', '+@connection']});
  const wrong = await edgeOf(scope, redis, {'redis-url': redis.urlAt({user: 'toolwire', password: 'hunter2'})});
  await sawReason(wrong, /WRONGPASS/);
  const narrow = await edgeOf(scope, redis, {'redis-url': redis.urlAt({user: 'narrow', password: 'hunter3'})});
  await sawReason(narrow, /NOPERM .*script/i);
  for (const edge of [wrong, narrow]) assert.doesNotMatch(edge.lines.join('\n'), /hunter/);
});

redisClaim('the doctor looks through TLS, and explains what is wrong with it', async (scope) => {
  const redis = await protectedRedis(scope);
  const doctor = async (flags) => {
    const {stdout, stderr} = await run('toolwire', ['doctor', '--json', '--address=127.0.0.1:1', ...argumentsOf({...redis.flags, ...flags})]);
    assert.doesNotMatch(stdout + stderr, /to%3Ftype|to\?type|hunter/, 'no password');
    const findings = stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    return {redis: findings.find(({check}) => check === 'redis'), protection: findings.find(({check}) => check === 'redis protection')};
  };
  const good = await doctor();
  assert.equal(good.redis.level, 'ok');
  assert.match(good.redis.message, /version 7/, 'the documented user may ask');
  assert.equal(good.protection, undefined);
  const distrusted = await doctor({'redis-ca': undefined});
  assert.match(distrusted.redis.message, /of a CA that is not one of the system's/);
  assert.match(distrusted.redis.do, /--redis-ca/);
  assert.match((await doctor({'redis-ca': '/no/such.crt'})).redis.message, /\/no\/such\.crt/);
  assert.match((await doctor({'redis-url': `${redis.url}?tls-name=other.example`})).redis.message, /does not name other\.example/);
  assert.match((await doctor({'redis-url': redis.url.replace('rediss', 'redis'), 'redis-ca': undefined})).redis.message, /must begin with rediss/);
  const wrong = await doctor({'redis-url': redis.urlAt({user: 'toolwire', password: 'hunter2'})});
  assert.match(wrong.redis.do, /user and password/);
  const lenient = await doctor({'redis-url': `${redis.url}?tls-verify=ca`});
  assert.deepEqual([lenient.redis.level, lenient.protection.level], ['ok', 'warn']);
  assert.match((await doctor({'redis-url': 'redis://127.0.0.1:1'})).redis.message, /are for rediss/);
});

const elsewhere = Object.values(networkInterfaces()).flat().find(({family, internal}) => family === 'IPv4' && !internal)?.address;
claim('a Redis in plain and without a password, not on the loopback, is warned of once', async (scope) => {
  const redis = await Redis.start(scope, {certificates: null, args: ['--bind', '127.0.0.1', elsewhere, '--protected-mode', 'no']});
  const admin = await redis.client();
  const warnings = (edge) => edge.logged('redis is not protected as it should be').map(({why}) => why);
  const near = await edgeOf(scope, redis);
  const far = await edgeOf(scope, redis, {'redis-url': redis.urlAt({host: elsewhere})});
  for (const times of [1, 2]) {
    for (const edge of [near, far]) await connected(edge, times);
    await far.saw('redis is not protected as it should be');
    assert.deepEqual([warnings(near), warnings(far)], [[], ['no TLS, no password']]);
    await admin.client('KILL', 'TYPE', 'pubsub');
  }
  const secret = await edgeOf(scope, redis, {'redis-url': redis.urlAt({host: elsewhere, password: 'anything'})});
  await sawReason(secret, /AUTH/);
}, {skip: redisMissing ?? (elsewhere ? undefined : 'this machine has no other address')});
