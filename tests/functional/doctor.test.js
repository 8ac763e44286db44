// `toolwire doctor`: against real servers, well and broken. It finds the trouble, says what to do, and changes nothing.
import assert from 'node:assert/strict';
import {execFileSync, spawnSync} from 'node:child_process';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {Postgres} from './lib/postgres.js';
import {run, testTls} from './lib/process.js';
import {Redis, documentedUser, redisMissing} from './lib/redis.js';
import {Certificates} from './lib/tls.js';
import {argumentsOf, claim, linesOf} from './lib/toolwire.js';

// What the doctor says: its exit status, its findings, and one of them by name.
async function doctor(args, options) {
  const {code, stdout, stderr} = await run('toolwire', ['doctor', '--json', ...args.map(String)], options);
  const findings = linesOf(stdout);
  for (const {check, level, message, do: advice} of findings) {
    assert.ok(['ok', 'skipped', 'warn', 'fail'].includes(level) && message, check);
    assert.equal(advice !== undefined, ['warn', 'fail'].includes(level), `${check}: ${message}`);
  }
  assert.equal(code, findings.some(({level}) => level === 'fail') ? 1 : 0, stderr);
  const of = (check) => findings.filter((one) => one.check === check);
  return {code, findings, of, one: (check) => of(check)[0] ?? {}, said: stdout + stderr};
}
// The flags of a Redis, for this login.
const at = (redis, login) => argumentsOf({...redis.flags, 'redis-url': login ? redis.url.replace('//', `//${login}@`) : redis.url});
const NOTHING = ['--address', '127.0.0.1:1', '--timeout', '3000'];

clusterClaim('with everything well, every check passes', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 2, controls: 1});
  await cluster.agent('user_1');
  await cluster.known('user_1', 'edge-1');
  // It makes do with the login that docs/tls.md recommends.
  const client = await cluster.redis.client();
  await client.acl('SETUSER', ...documentedUser('hunter3').slice(1));
  const {'redis-url': url, ...redisFlags} = {...cluster.redis.flags, 'redis-url': cluster.redis.url.replace('//', '//toolwire:hunter3@')};
  const env = {REDIS_URL: url, DATABASE_URL: `${cluster.databaseUrl}\n`};
  const args = [
    ...argumentsOf(redisFlags), '--data-dir', cluster.dataDir,
    '--address', `127.0.0.1:${cluster.controls[0].ports.callers}`, '--edge-url', cluster.edges[0].url(),
  ];
  const {code, findings, one, of, said} = await doctor(args, {env});
  assert.equal(code, 0, said);
  assert.deepEqual(findings.filter(({level}) => level === 'warn'), []);
  assert.match(one('control').message, /is serving, agents known: 1/);
  assert.match(one('edge').message, /^edge-1 at .* is healthy, agents connected: 1/);
  assert.equal(one('edges').message, 'announced in Redis: edge-1, edge-2');
  assert.deepEqual(of('relay').map(({message}) => message.match(/answers as (\S+)/)[1]), ['edge-1', 'edge-2']);
  for (const check of ['redis', 'redis memory', 'redis clock', 'postgres', 'postgres tls', 'postgres tables', 'postgres clock', 'open files', 'data dir', 'environment']) {
    assert.equal(one(check).level, 'ok', check);
  }
  assert.equal(one('certificates').level, testTls ? 'ok' : 'skipped');
  assert.doesNotMatch(said, /hunter/, 'no password');
  const text = await run('toolwire', ['doctor', ...args], {env});
  assert.equal(text.code, 0);
  assert.match(text.stdout, /^ok +control .*\n[^]*\n0 failed, 0 to look at\n$/);
});

claim('each variable that servers would refuse or pass over is found, by its name and with what to do', async (scope) => {
  const level = async (env, ...args) => (await doctor([...NOTHING, ...args], {env})).of('environment').map((one) => `${one.level} ${one.message}`).join('\n');
  assert.equal(await level({}), 'ok no variable that servers would refuse or pass over');
  assert.equal(await level({LOG_LEVEL: 'INFO', PORT: ' 8082\n', DATABASE_URL: 'postgresql://127.0.0.1:1/x\r\n'}), 'ok no variable that servers would refuse or pass over');
  for (const [env, expected] of [
    [{METRICS_PORT: 'tcp://10.0.0.1:9090'}, /^warn METRICS_PORT=tcp:\/\/10\.0\.0\.1:9090 is passed over: Kubernetes/],
    [{GRPC_PORT: 'tcp://10.0.0.1:9090'}, /^warn GRPC_PORT=/],
    [{METRICS_PORT: '9091'}, /^warn an edge and a control with this environment both take port 9091 for Prometheus/],
    [{CONTROL_METRICS_PORT: 'tcp://10.0.0.1:9091'}, /^warn CONTROL_METRICS_PORT=/],
    [{PORT: 'eighty'}, /^fail toolwire-edge would not start: PORT: .*eighty/],
    [{RELAY_ADDRESS: 'tcp://10.0.0.1:50052'}, /^fail toolwire-edge would not start: RELAY_ADDRESS=tcp:\/\/10\.0\.0\.1:50052: it is a URL/],
    [{RELAY_ADDRESS: '0.0.0.0:50052'}, /RELAY_ADDRESS=0\.0\.0\.0:50052: it is where one listens/],
    [{RELAY_ADDRESS: 'edge'}, /RELAY_ADDRESS=edge: a port from 1 to 65535 is missing/],
    [{EDGE_ADDRESS: 'edge:x'}, /EDGE_ADDRESS=edge:x: the port is not a number/],
    [{REDIS_ENVIRONMENT: 'a b'}, /REDIS_ENVIRONMENT=a b: up to 64 letters, digits/],
    [{DATABASE_URL: 'postgresql://u:hunter2@127.0.0.1:1/x?connect_timeout=5s'}, /DATABASE_URL: connect_timeout is not a whole number/],
    [{LOG_LEVEL: 'loud\nok all is well'}, /LOG_LEVEL: loud\\nok all is well not in/],
    [{LOG_LEVEL: 'loud'}, /LOG_LEVEL: loud not in/], [{LISTEN: 'here'}, /LISTEN=here: not an IP address/],
    [{REDIS_URL: 'localhost'}, /REDIS_URL: it does not start with rediss:/], [{TRUSTED_PROXIES: 'everybody'}, /TRUSTED_PROXIES: /],
    [{DATABASE_URL: 'postgresql://u:hunter2@127.0.0.1:1/x?no_such=1'}, /DATABASE_URL: libpq knows no parameter no_such/],
    [{HEARTBEAT_TIMEOUT: '60', HEARTBEAT_INTERVAL: '70'}, /HEARTBEAT_TIMEOUT=60 must be longer than HEARTBEAT_INTERVAL=70/],
  ]) {
    const said = await level(env);
    assert.match(said, expected);
    assert.doesNotMatch(said, /hunter2/);
  }
  assert.match(await level({}, '--redis-url=redis://:hunter2@127.0.0.1:1'), /^warn --redis-url: everybody on this machine can read the password/);
});

// Of the environment, with their advice.
const environmentOf = async (env, ...args) => (await doctor([...NOTHING, ...args], {env})).of('environment');

claim('all wrong variables are found at once, with those of the doctor\'s own connections', async () => {
  const found = await environmentOf({PORT: 'eighty', LISTEN: 'here', REDIS_URL: 'foo', SERVER_ID: 'a\u202eb', TRUSTED_PROXIES: 'x', GRPC_PORT: '-1',
    DATABASE_CONNECTIONS_MAX: '1000', TOOLWIRE_TLS: 'perhaps', TLS_CERT: '/no/such/cert', JWKS_FILE: '/no/such/keys', EDGE_ADDRESS: 'edge'});
  for (const name of ['PORT', 'LISTEN', 'REDIS_URL', 'SERVER_ID', 'TRUSTED_PROXIES', 'GRPC_PORT', 'DATABASE_CONNECTIONS_MAX', 'TOOLWIRE_TLS', 'TLS_CERT', 'JWKS_FILE', 'EDGE_ADDRESS']) {
    assert.ok(found.some(({level, message}) => level === 'fail' && new RegExp(`(^|: )${name}[:=]`).test(message)), `${name}: ${JSON.stringify(found, null, 1)}`);
  }
});

claim('files that variables name and nobody can read, or that hold something else, are found', async (scope) => {
  const directory = await scope.directory();
  const garbage = path.join(directory, 'garbage');
  writeFileSync(garbage, 'garbage\n');
  for (const name of ['TOKENS_FILE', 'JWKS_FILE', 'GRPC_TLS_CERT', 'GRPC_TLS_KEY', 'GRPC_TLS_CLIENT_CA', 'TLS_CERT', 'TLS_KEY', 'TLS_TICKET_KEYS_FILE',
    'LINK_TLS_CERT', 'LINK_TLS_KEY', 'LINK_TLS_CA', 'REDIS_CA', 'REDIS_CERT', 'REDIS_KEY', 'TOOLWIRE_CA', 'TOOLWIRE_CERT', 'TOOLWIRE_KEY', 'TOOLWIRE_TOKEN_FILE']) {
    for (const [value, why] of [['/no/such/file', /cannot read \/no\/such\/file: No such file/], [directory, /is no regular file/]]) {
      const found = await environmentOf({[name]: value});
      assert.ok(found.some(({level, message}) => level === 'fail' && message.includes(`${name}: `) && why.test(message)), `${name}=${value}: ${JSON.stringify(found)}`);
    }
  }
  const jwt = {JWT_ISSUER: 'i', JWT_AUDIENCE: 'a'};
  for (const [env, name] of [
    [{TOKENS_FILE: garbage}, 'TOKENS_FILE'], [{JWKS_FILE: garbage, ...jwt}, 'JWKS_FILE'], [{TLS_CERT: garbage, TLS_KEY: garbage}, 'TLS_CERT'],
    [{GRPC_TLS_CERT: garbage, GRPC_TLS_KEY: garbage}, 'GRPC_TLS_CERT'], [{LINK_TLS_CERT: garbage, LINK_TLS_KEY: garbage, LINK_TLS_CA: garbage}, 'LINK_TLS_CERT'],
  ]) {
    const found = await environmentOf(env);
    assert.ok(found.some(({level, message}) => level === 'fail' && message.includes(name) && message.includes(garbage)), `${name}: ${JSON.stringify(found)}`);
  }
});

claim('listening for other machines without a lock is found, with the variables that give it one', async (scope) => {
  const certificates = await Certificates.create(scope);
  const [own, keys] = [certificates.edgeFlags, certificates.linkFlags('edge')];
  for (const address of ['0.0.0.0', '::', '10.0.0.1', '[::]']) {
    const found = await environmentOf({LISTEN: address});
    assert.equal(found.filter(({level}) => level === 'fail').length, 5, JSON.stringify(found));
    for (const [server, what, remedy] of [
      ['edge', 'agents\' port: no TLS', 'TLS_CERT'], ['edge', 'links\' port: no TLS', 'LINK_TLS_CERT'],
      ['control', 'callers\' port: no TLS', 'GRPC_TLS_CERT'], ['control', 'callers\' port: everybody may call', 'TOKENS_FILE'],
    ]) {
      assert.ok(found.some(({level, message, do: advice}) => level === 'fail' && message.startsWith('LISTEN=') && message.includes(`toolwire-${server}`) &&
        message.includes(what) && advice.includes(remedy)), `${what}: ${JSON.stringify(found)}`);
    }
  }
  // An edge with its locks is right, whatever a control would need.
  const edge = await environmentOf({LISTEN: '0.0.0.0', TLS_CERT: own['tls-cert'], TLS_KEY: own['tls-key'],
    LINK_TLS_CERT: keys['link-tls-cert'], LINK_TLS_KEY: keys['link-tls-key'], LINK_TLS_CA: keys['link-tls-ca']});
  assert.deepEqual([...new Set(edge.map(({level}) => level))], ['warn'], JSON.stringify(edge));
  assert.ok(edge.every(({message}) => message.includes('toolwire-control')));
  const plain = await environmentOf({LISTEN: '0.0.0.0', PLAIN_AGENTS: '1', PLAIN_LINKS: '1', PLAIN_GRPC: '1', NO_TOKENS: '1'});
  assert.deepEqual(plain.map(({level}) => level), ['ok']);
  assert.deepEqual((await environmentOf({LISTEN: 'LOCALHOST'})).map(({level}) => level), ['ok']);
});

claim('ports that one server would open twice, and places that exclude each other, are found', async () => {
  const said = async (env) => (await environmentOf(env)).map(({level, message}) => `${level} ${message}`).join('\n');
  assert.match(await said({PORT: '50052'}), /^fail toolwire-edge would not start: PORT and RELAY_PORT \(--relay-port\) are both 50052/);
  assert.match(await said({GRPC_PORT: '9091'}), /^fail toolwire-control would not start: GRPC_PORT and CONTROL_METRICS_PORT \(--metrics-port\) are both 9091/);
  assert.match(await said({EDGE_ADDRESS: 'edge:1', REDIS_URL: 'redis://127.0.0.1:1'}), /EDGE_ADDRESS and REDIS_URL: one edge without Redis, or all/);
  assert.match(await said({TOOLWIRE_TOKEN: '"x"'}), /^warn TOOLWIRE_TOKEN: its value is in quotes/);
});

claim('what is not configured is skipped', async (scope) => {
  const {one, of} = await doctor(NOTHING);
  assert.equal(one('control').level, 'fail');
  assert.match(one('control').do, /start toolwire-control or toolwire dev/);
  for (const check of ['redis', 'edges', 'postgres', 'relay', 'certificates']) {
    assert.deepEqual(of(check).map(({level}) => level), ['skipped'], check);
  }
  assert.match(one('redis').message, /no REDIS_URL/);
  const tw = await scope.toolwire();
  const well = await doctor(['--data-dir', tw.dataDir], {env: {
    TOOLWIRE_ADDRESS: `127.0.0.1:${tw.ports.callers}`, TOOLWIRE_URL: tw.url()}});
  assert.equal(well.code, 0, well.said);
});

claim('servers that are not there, or refuse the password, are failures without secrets', async (scope) => {
  const away = await doctor([...NOTHING, '--redis-url', 'redis://:hunter2@127.0.0.1:1', '--database-url', 'postgresql://me:hunter2@127.0.0.1:1/db']);
  assert.deepEqual([away.one('redis').level, away.one('postgres').level], ['fail', 'fail']);
  assert.match(away.one('redis').message, /127\.0\.0\.1:1/);
  assert.match(away.one('postgres').message, /127\.0\.0\.1:1/);
  const wrong = await doctor([...NOTHING, '--redis-url', 'redis:/hunter2', '--database-url', 'postgresql://me:hunter2@x@127.0.0.1/db']);
  assert.deepEqual([wrong.one('redis').level, wrong.one('postgres').level], ['fail', 'fail']);
  const redis = await Redis.start(scope, {args: ['--requirepass', 'swordfish']});
  const refused = await doctor([...NOTHING, ...at(redis, ':hunter2')]);
  assert.equal(refused.one('redis').level, 'fail');
  assert.match(refused.one('redis').do, /user and password/);
  const let_in = await doctor([...NOTHING, ...at(redis, ':swordfish')]);
  assert.equal(let_in.one('redis').level, 'ok');
  for (const {said} of [away, wrong, refused, let_in]) assert.doesNotMatch(said, /hunter2|swordfish/);
}, {skip: redisMissing});

claim('a Redis that drops keys or takes no writes is reported', async (scope) => {
  const primary = await Redis.start(scope, {args: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru']});
  const evicting = await doctor([...NOTHING, ...at(primary)]);
  assert.equal(evicting.one('redis memory').level, 'warn');
  assert.match(evicting.one('redis memory').do, /noeviction/);
  assert.equal(evicting.one('edges').level, 'fail', 'no edge is announced');
  const replica = await Redis.start(scope, {args: ['--replicaof', `127.0.0.1 ${primary.port}`]});
  assert.match((await doctor([...NOTHING, ...at(replica)])).one('redis').message, /is a replica/);
  await (await primary.client()).config('SET', 'min-replicas-to-write', 3);
  assert.match((await doctor([...NOTHING, ...at(primary)])).one('redis rights').message, /a script that writes.*NOREPLICAS/);
}, {skip: redisMissing});

claim('an edge that is announced and cannot be reached, or is another one, is reported', async (scope) => {
  const redis = await Redis.start(scope);
  const client = await redis.client();
  const announce = async (id, address, instance = 'x') => {
    await client.set(`edge:${id}`, JSON.stringify({address, instance}));
    await client.sadd('toolwire:edges', id);
  };
  const edge = scope.process('toolwire-edge', [
    '--port=0', '--relay-port=0', '--metrics-port=0', '--server-id=real', '--log-format=json', ...at(redis),
    '--no-old-channels', '--data-dir', await scope.directory()]);
  const {relay} = await edge.ready();
  await announce('dead', '127.0.0.1:1');
  await announce('lost', 'no-such-host.invalid:50052');
  await announce('masked', `127.0.0.1:${relay}`);
  await client.set('edge:strange', 'what is this');
  await client.sadd('toolwire:edges', 'strange', 'silent');
  const {of} = await doctor([...NOTHING, ...at(redis)]);
  const told = (id) => of('relay').find(({message}) => message.includes(` of ${id} at `));
  assert.equal(told('real').level, 'ok');
  assert.match(told('dead').message, /does not answer/);
  assert.match(told('lost').message, /does not resolve/);
  assert.match(told('masked').message, /answered by real/);
  assert.deepEqual(of('edges').map(({level}) => level), ['ok', 'warn', 'warn']);
  assert.ok((await client.smembers('toolwire:edges')).includes('silent'), 'nothing is cleaned up');
  const byHand = await doctor([...NOTHING, '--edge', `127.0.0.1:${relay}`]);
  assert.match(byHand.one('relay').message, /answers as real/);
}, {skip: redisMissing});

clusterClaim('frozen servers do not stop the other checks', async (scope) => {
  const redis = await Redis.start(scope);
  const postgres = await Postgres.start(scope);
  redis.pause();
  postgres.freeze();
  scope.own({stop: () => redis.resume()});
  const silent = net.createServer(() => {}).listen(0, '127.0.0.1');  // Takes connections and says nothing.
  await new Promise((resolve) => silent.once('listening', resolve));
  scope.own({close: () => silent.close()});
  const {port} = silent.address();
  const {one, of} = await doctor([
    ...at(redis), '--database-url', postgres.url, '--address', `127.0.0.1:${port}`, '--edge-url', `ws://127.0.0.1:${port}`,
    '--edge', `127.0.0.1:${port}`, '--timeout', '500']);
  for (const check of ['control', 'edge', 'redis', 'postgres', 'relay']) {
    assert.deepEqual(of(check).map(({level}) => level), ['fail'], check);
  }
  assert.equal(one('data dir').level, 'ok');
});

clusterClaim('a host of DATABASE_URL that says nothing hides no other', async (scope) => {
  const postgres = await Postgres.start(scope);
  const silent = net.createServer(() => {}).listen(0, '127.0.0.2');
  await new Promise((resolve) => silent.once('listening', resolve));
  scope.own({close: () => silent.close()});
  const both = postgres.url.replace(/@([^/]*)\//, `@127.0.0.2:${silent.address().port},$1/`);
  assert.notEqual(both, postgres.url);
  const {one, said} = await doctor([...NOTHING.slice(0, 2), '--timeout', '8000', '--database-url', both]);
  assert.equal(one('postgres').level, 'ok', said);
});

clusterClaim('tables and rights of PostgreSQL are looked at, and left as they are', async (scope) => {
  const postgres = await Postgres.start(scope);
  const tables = async (url = postgres.url) => (await doctor([...NOTHING, '--database-url', url])).one('postgres tables');
  assert.match((await tables()).message, /no table agent_credentials: run toolwire migrate/);
  assert.deepEqual(await postgres.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"), []);
  const guest = postgres.url.replace('postgres:hunter2@', 'guest@');
  await postgres.query('CREATE ROLE guest LOGIN');
  assert.match((await tables(guest)).do, /with a role that may: the owner of the tables/);
  await run('toolwire', ['migrate', '--database-url', postgres.url]);
  await postgres.query('DROP INDEX toolwire_audit_call_id');
  assert.match((await tables()).message, /the unique index on tool_execution_logs.call_id is missing/);
  await postgres.query('CREATE UNIQUE INDEX of_another_name ON tool_execution_logs (call_id) WHERE call_id IS NOT NULL');
  assert.equal((await tables()).level, 'ok');
  assert.match((await tables(guest)).message, /guest lacks .*INSERT on tool_execution_logs.*USAGE on public\.tool_execution_logs_id_seq/);
  await postgres.query('GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO guest; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO guest');
  assert.equal((await tables(guest)).level, 'ok');
  for (const [break_, mend, told] of [
    ['ALTER TABLE tool_execution_logs ADD COLUMN tenant text NOT NULL', 'ALTER TABLE tool_execution_logs DROP COLUMN tenant', /tool_execution_logs\.tenant must have a value/],
    ['CREATE SCHEMA app; ALTER TABLE agent_credentials SET SCHEMA app', 'ALTER TABLE app.agent_credentials SET SCHEMA public', /not on the search_path/],
    ['ALTER TABLE tool_execution_logs ALTER tool_name TYPE varchar(64)', 'ALTER TABLE tool_execution_logs ALTER tool_name TYPE text', /tool_name takes 64 characters/],
    ["ALTER TABLE agent_credentials ADD CONSTRAINT known CHECK (status <> 'connected')", 'ALTER TABLE agent_credentials DROP CONSTRAINT known', /CHECK known of agent_credentials refuses status = connected/],
    ["CREATE TYPE os AS ENUM ('linux', 'darwin'); ALTER TABLE agent_credentials DROP CONSTRAINT agent_credentials_platform_check, ALTER platform TYPE os USING platform::os",
      'ALTER TABLE agent_credentials ALTER platform TYPE text', /platform is of the type os, which does not take 'win32'/],
    ['DROP INDEX toolwire_audit_time', 'CREATE INDEX toolwire_audit_time ON tool_execution_logs (created_at, id)', /indexes of tool_execution_logs that lists read are not there/],
    ['ALTER TABLE tool_execution_logs ENABLE ROW LEVEL SECURITY', 'ALTER TABLE tool_execution_logs DISABLE ROW LEVEL SECURITY', /row-level security of tool_execution_logs applies to guest/],
  ]) {
    await postgres.query(break_);
    const {level, message, do: advice} = await tables(guest);
    assert.ok(level !== 'ok' && advice, message);
    assert.match(message, told);
    await postgres.query(mend);
    assert.equal((await tables(guest)).level, 'ok');
  }
  await postgres.query('ALTER TABLE agent_credentials DROP COLUMN last_seen');
  assert.match((await tables()).message, /agent_credentials\.last_seen/);
  await postgres.query('ALTER ROLE guest SET default_transaction_read_only = on');
  assert.match((await doctor([...NOTHING, '--database-url', guest])).one('postgres').message, /may only be read/);
});

claim('a data directory that cannot be used, and an edge that is none, are reported', async (scope) => {
  const directory = await scope.directory();
  const file = path.join(directory, 'file');
  writeFileSync(file, '');
  assert.equal((await doctor([...NOTHING, '--data-dir', file])).one('data dir').level, 'fail');
  assert.equal((await doctor([...NOTHING, '--data-dir', '/proc/nothing'])).one('data dir').level, 'fail');
  const fresh = await doctor([...NOTHING, '--data-dir', path.join(directory, 'not', 'yet')]);
  assert.equal(fresh.one('data dir').level, 'ok', fresh.said);
  const tw = await scope.toolwire();
  const metrics = await doctor([...NOTHING, '--edge-url', `http://127.0.0.1:${tw.ports.metrics[0]}`]);
  assert.match(metrics.one('edge').message, /is no edge/);
  const swapped = await doctor(['--address', `127.0.0.1:${tw.ports.agents}`, '--edge-url', `ws://127.0.0.1:${tw.ports.callers}`]);
  assert.deepEqual([swapped.one('control').level, swapped.one('edge').level], ['fail', 'fail']);
});

claim('the certificate of a proxy before the edge is looked at', async (scope) => {
  const directory = await scope.directory();
  mkdirSync(path.join(directory, 'tls'));
  const file = (name) => path.join(directory, 'tls', name);
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost', '-keyout', file('key'), '-out', file('cert')], {stdio: 'ignore'});
  const tw = await scope.toolwire({certificates: null});
  const proxy = tls.createServer({key: readFileSync(file('key')), cert: readFileSync(file('cert'))}, (socket) => {
    const edge = net.connect(tw.ports.agents, '127.0.0.1');
    for (const one of [socket, edge]) one.on('error', () => {});
    socket.pipe(edge).pipe(socket);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => proxy.once('listening', resolve));
  scope.own({close: () => proxy.close()});
  const look = (host, env) => doctor([...NOTHING, '--edge-url', `wss://${host}:${proxy.address().port}`], {env: {TOOLWIRE_CA: undefined, ...env}});
  const unknown = await look('localhost');
  assert.equal(unknown.one('edge').level, 'ok', unknown.said);
  assert.equal(unknown.one('certificates').level, 'fail');
  assert.match(unknown.one('certificates').message, /not trusted here: self-signed/);
  const trusted = await look('localhost', {SSL_CERT_FILE: file('cert')});
  assert.equal(trusted.one('certificates').level, 'ok', trusted.said);
  assert.match(trusted.one('certificates').message, /good for (29|30) days/);
  const other = await look('127.0.0.1', {SSL_CERT_FILE: file('cert')});
  assert.match(other.one('certificates').message, /another host name/);
}, {skip: spawnSync('openssl', ['version']).status === 0 ? undefined : 'openssl is not installed'});
