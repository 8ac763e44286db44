// Redis Sentinel: three real sentinels, a master and a replica, and what happens when the master goes.
import assert from 'node:assert/strict';
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {resultOf} from './lib/caller.js';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {run} from './lib/process.js';
import {freePort} from './lib/ports.js';
import {Redis, documentedUser, redisMissing} from './lib/redis.js';
import {Certificates} from './lib/tls.js';
import {argumentsOf, claim, metric} from './lib/toolwire.js';
import {until} from './lib/until.js';

const PASSWORD = 'hunter2/?@', SENTINEL_PASSWORD = 'hunter3&=#';

// A master, a replica, and sentinels that watch them. With `certificates` all of them speak TLS alone, and logins are
// wanted: of Redis the documented user's, of sentinels the one of docs/tls.md.
class Group {
  static async start(scope, {certificates = null, sentinels = 3} = {}) {
    const group = Object.assign(new Group(), {scope, certificates});
    const users = certificates
      ? [...documentedUser(PASSWORD), '--requirepass', 'admin', '--masterauth', 'admin', '--tls-replication', 'yes',
        '--tls-ca-cert-file', certificates.file('ca.crt')]
      : [];
    group.servers = [];
    for (let i = 0; i < 2; ++i) {
      const replica = i > 0 ? ['--replicaof', '127.0.0.1', group.servers[0].port] : [];
      group.servers.push(await Redis.start(scope, {certificates, password: certificates && 'admin', args: [...users, ...replica]}));
    }
    const [first, second] = group.servers;
    const replica = await second.client();
    await until('the replica has the master\'s data', async () => /master_link_status:up/.test(await replica.info('replication')));
    group.master = first;
    group.sentinels = [];
    for (let i = 0; i < sentinels; ++i) group.sentinels.push(await group.#sentinel());
    for (const sentinel of group.sentinels) {
      const client = await sentinel.client();
      await until('a sentinel knows the replica and the others', async () => {
        const facts = await client.call('SENTINEL', 'MASTER', 'main');
        const of = (name) => Number(facts[facts.indexOf(name) + 1]);
        return of('num-slaves') === 1 && of('num-other-sentinels') === sentinels - 1;
      });
    }
    return group;
  }
  async #sentinel() {
    const {certificates, master} = this;
    const port = await freePort();
    const file = path.join(await this.scope.directory(), 'sentinel.conf');
    const lines = [
      ...(certificates
        ? ['port 0', `tls-port ${port}`, `tls-cert-file ${certificates.file('redis.crt')}`, `tls-key-file ${certificates.file('redis.key')}`,
          `tls-ca-cert-file ${certificates.file('ca.crt')}`, 'tls-auth-clients no', 'tls-replication yes',
          'sentinel sentinel-pass admin', 'requirepass admin', documentedUser(SENTINEL_PASSWORD, 'sentinel').join(' ').slice(2)]
        : [`port ${port}`]),
      'bind 127.0.0.1', `dir ${path.dirname(file)}`,
      `sentinel monitor main 127.0.0.1 ${master.port} 2`,
      ...(certificates ? ['sentinel auth-pass main admin'] : []),
      'sentinel down-after-milliseconds main 1000', 'sentinel failover-timeout main 5000',
    ];
    await writeFile(file, lines.map((line) => `${line}\n`).join(''));
    return Redis.start(this.scope, {port, certificates, password: certificates && 'admin', sentinel: file});
  }

  get url() {
    const hosts = this.sentinels.map(({port}) => `127.0.0.1:${port}`).join(',');
    if (!this.certificates) return `redis+sentinel://${hosts}/main`;
    const login = `sentinel-user=toolwire&sentinel-password=${encodeURIComponent(SENTINEL_PASSWORD)}`;
    return `rediss+sentinel://toolwire:${encodeURIComponent(PASSWORD)}@${hosts}/main?${login}`;
  }
  get flags() {
    return {'redis-url': this.url, ...(this.certificates && {'redis-ca': this.certificates.file('ca.crt')})};
  }
  client(options) {
    return this.master.client(options);
  }
  // Until the sentinels have made the other server the master.
  async failOver() {
    const old = this.master;
    await old.stop();
    await this.moved();
  }
  async moved() {
    const old = this.master;
    this.master = this.servers.find((one) => one !== old);
    const client = await this.master.client();
    await until('the replica is the master', async () => (await client.role())[0] === 'master');
  }
}

const sentinelClaim = (name, body) => claim(name, body, {skip: redisMissing});
const changes = (member) => member.metric('toolwire_redis_master_changes_total');
const reasons = (edge) => ['redis unavailable', 'redis lost', 'redis sentinel unavailable'].flatMap((event) => edge.logged(event)).map(({why}) => why);
const sawReason = (edge, pattern) => until(`the log says ${pattern}`, () => reasons(edge).some((why) => pattern.test(why)));
const connectedTo = (edge, {port}) => until(`Redis at ${port} is connected`, () =>
  edge.logged('redis connected').at(-1)?.address === `127.0.0.1:${port}`);
async function edgeOf(scope, flags) {
  const edge = scope.process('toolwire-edge', argumentsOf({
    port: 0, 'relay-port': 0, 'metrics-port': 0, 'log-format': 'json', 'data-dir': await scope.directory(), ...flags}));
  edge.ports = await edge.ready();
  return edge;
}

// Calls to agents that are connected, one every 5 ms on a stream of each control, until `stop`, which returns the outcomes.
function calling(cluster, userId) {
  let stopped = false;
  const outcomes = [];
  const lanes = cluster.callers().map(async (caller) => {
    const stream = caller.dispatch();
    for (; !stopped; await sleep(5)) outcomes.push(stream.call(userId, 'echo', {}, {timeoutMs: 240_000}));
  });
  return {
    get count() {
      return outcomes.length;
    },
    async stop() {
      stopped = true;
      await Promise.all(lanes);
      return Promise.all(outcomes);
    },
  };
}

clusterClaim('the master is killed while calls run: none fails, the next master is followed, and has all leases again', async (scope) => {
  const group = await Group.start(scope);
  const cluster = await Cluster.start(scope, {redis: group});
  const before = await cluster.agent('stays', {edge: 0});
  await cluster.known('stays', cluster.edges[0].serverId);
  const calls = calling(cluster, 'stays');
  await until('calls run', () => calls.count > 50);
  await group.failOver();
  const members = [...cluster.edges, ...cluster.controls];
  for (const {process} of members) await connectedTo(process, group.master);
  for (const outcome of await calls.stop()) assert.equal(outcome.code, 0, outcome.message);
  const client = await group.client();
  await until('the lease is there', async () => (await client.get('agent:stays:server')) === cluster.edges[0].serverId);
  // Who comes now is found, whoever comes twice moves, and the old channels work.
  await cluster.agent('comes', {edge: 1});
  assert.deepEqual(resultOf(await cluster.caller().call('comes', 'echo', {a: 1})), {a: 1});
  await cluster.agent('stays', {edge: 1});
  assert.equal((await before.closed()).code, 4001);
  const backend = await cluster.oldBackend();
  assert.equal((await backend.sendToolCall('stays', {tool: 'echo'})).success, true);
  for (const member of members) assert.equal(await changes(member), 1);
});

clusterClaim('the master is replaced while it lives, or stands still: it is left at once, with calls as before', async (scope) => {
  const group = await Group.start(scope);
  const cluster = await Cluster.start(scope, {redis: group, edges: 1, controls: 1});
  await cluster.agent('user_1');
  await cluster.known('user_1', cluster.edges[0].serverId);
  const calls = calling(cluster, 'user_1');
  const members = [...cluster.edges, ...cluster.controls];
  const sentinel = await group.sentinels[0].client();
  await sentinel.call('SENTINEL', 'FAILOVER', 'main');
  await group.moved();
  for (const {process} of members) await connectedTo(process, group.master);
  const replica = await group.servers.find((one) => one !== group.master).client();
  await until('the old master follows the new one', async () => (await replica.role())[0] === 'slave' &&
    /master_link_status:up/.test(await replica.info('replication')), 60_000);
  const frozen = group.master;
  await until('the sentinel may fail over again', async () => {
    const facts = await sentinel.call('SENTINEL', 'MASTER', 'main');
    return facts[facts.indexOf('flags') + 1] === 'master' && Number(facts[facts.indexOf('port') + 1]) === frozen.port;
  }, 60_000);
  frozen.pause();
  await group.moved();
  for (const {process} of members) await connectedTo(process, group.master);
  frozen.resume();
  for (const outcome of await calls.stop()) assert.equal(outcome.code, 0, outcome.message);
  for (const member of members) assert.equal(await changes(member), 2);
  await cluster.agent('user_2');
});

clusterClaim('a group with TLS and logins everywhere: the documented users suffice, also after a failover, and no secret is said', async (scope) => {
  const certificates = await Certificates.create(scope);
  const group = await Group.start(scope, {certificates});
  const cluster = await Cluster.start(scope, {redis: group});
  await cluster.agent('user_1');
  await group.failOver();
  const members = [...cluster.edges, ...cluster.controls];
  for (const {process} of members) await connectedTo(process, group.master);
  await cluster.agent('user_2', {edge: 1});
  assert.deepEqual(resultOf(await cluster.caller().call('user_2', 'echo', {a: 1})), {a: 1});
  for (const server of [group.master, ...group.sentinels]) {
    const client = await server.client();
    assert.deepEqual(await client.acl('LOG'), [], 'nothing was refused');
  }
  const {stdout, stderr} = await run('toolwire', ['doctor', '--json', '--address=127.0.0.1:1', ...argumentsOf(group.flags)]);
  const found = stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line)).filter(({check}) => /^redis( sentinel)?$/.test(check));
  assert.deepEqual(found.map(({check, level}) => [check, level]), [['redis', 'ok']]);
  assert.match(found[0].message, new RegExp(`127\\.0\\.0\\.1:${group.master.port} answers`));
  assert.doesNotMatch([stdout, stderr, ...members.flatMap(({process}) => process.lines)].join('\n'), /hunter/);
  for (const member of members) assert.equal(member.process.logged('redis is not protected as it should be').length, 0);
});

sentinelClaim('sentinels that are gone, know nothing, or are behind do no harm as long as one is right', async (scope) => {
  const group = await Group.start(scope);
  const [first, second] = group.servers;
  const hosts = group.sentinels.map(({port}) => `127.0.0.1:${port}`);
  // One that nobody told of the group, and one that still takes the replica for the master.
  const file = async (...lines) => {
    const name = path.join(await scope.directory(), 'sentinel.conf');
    const port = await freePort();
    await writeFile(name, [`port ${port}`, 'bind 127.0.0.1', `dir ${path.dirname(name)}`, ...lines, ''].join('\n'));
    return {port, sentinel: name};
  };
  const ignorant = await Redis.start(scope, await file());
  const behind = await Redis.start(scope, await file(`sentinel monitor behind 127.0.0.1 ${second.port} 3`));
  const edge = await edgeOf(scope, {'redis-url': `redis+sentinel://127.0.0.1:1,127.0.0.1:${ignorant.port},${hosts}/main`});
  await connectedTo(edge, first);
  await sawReason(edge, /sentinel at 127\.0\.0\.1:1: Connection refused/);
  await sawReason(edge, /this sentinel knows no master with the name main/);
  const misled = await edgeOf(scope, {'redis-url': `redis+sentinel://127.0.0.1:${behind.port}/behind`});
  await sawReason(misled, /it is not a master, though Sentinel says so/);
  // What is connected stays without any sentinel, and is left once they are back and name another one.
  for (const sentinel of group.sentinels) await sentinel.stop();
  await sawReason(edge, /sentinel at .*: connection closed/);
  const client = await first.client();
  assert.equal(edge.logged('redis lost').length, 0);
  await client.client('KILL', 'TYPE', 'pubsub');
  await until('it is connected again, to the same one', () => edge.logged('redis connected').length === 2);
  await connectedTo(edge, first);
  for (const sentinel of group.sentinels) await sentinel.start();
  await group.failOver();
  await connectedTo(edge, group.master);
});

sentinelClaim('what is wrong on the way to a group is said, without a secret', async (scope) => {
  const certificates = await Certificates.create(scope);
  const group = await Group.start(scope, {certificates, sentinels: 1});
  const [sentinel] = group.sentinels;
  const edge = (url, flags) => edgeOf(scope, {...group.flags, 'redis-url': url, ...flags});
  await sawReason(await edge(group.url.replace(/hunter3[^&]*/, 'hunter4')), /sentinel at 127\.0\.0\.1:\d+: WRONGPASS|WRONGPASS/);
  await sawReason(await edge(group.url.replace('hunter2', 'hunter5')), /WRONGPASS/);
  await sawReason(await edge(group.url, {'redis-ca': undefined}), /sentinel at .*: TLS: the server's certificate is of a CA that is not one of the system's; name it by --redis-ca/);
  const in_plain = await edge(`${group.url}&sentinel-tls=off`);
  await sawReason(in_plain, /sentinel at .*; if it speaks TLS/);
  await sawReason(await edge(group.url.replace('/main', '/other')), /knows no master with the name other/);
  const {stdout} = await run('toolwire', ['doctor', '--json', '--address=127.0.0.1:1',
    ...argumentsOf({...group.flags, 'redis-url': group.url.replace('/main', '/other')})]);
  assert.match(stdout, /no sentinel can be asked for the master: sentinel at .*knows no master with the name other/);
  // With one name for all servers of the group.
  const named = await edge(`${group.url}&tls-name=localhost`);
  await connectedTo(named, group.master);
  await sawReason(await edge(`${group.url}&tls-name=redis.example`), /redis at .*does not name redis\.example/);
  assert.ok((await metric(named.ports.metrics, 'toolwire_tls_handshakes_total', {port: 'redis'})) >= 3);
  assert.equal(sentinel.certificates, certificates);
});
