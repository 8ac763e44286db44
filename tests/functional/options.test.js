// Flags and environment: what the servers take, what they refuse, and how they say it.
import assert from 'node:assert/strict';
import {readFile, writeFile} from 'node:fs/promises';
import net from 'node:net';
import {networkInterfaces} from 'node:os';
import path from 'node:path';
import {RPCS, code} from './lib/caller.js';
import {binary, run} from './lib/process.js';
import {Certificates} from './lib/tls.js';
import {freePort} from './lib/ports.js';
import {TokensFile, statusOf} from './lib/tokens.js';
import {argumentsOf, claim, get} from './lib/toolwire.js';
import {until} from './lib/until.js';

// Runs a server that must not start; what it said.
async function refused(scope, name, args, env = {}) {
  const directory = await scope.directory();
  const {code, stdout, stderr} = await run(name, [...args, '--data-dir', directory], {env});
  const what = `${name} ${args.join(' ')} ${JSON.stringify(env)}`;
  assert.notEqual(code, 0, `${what} must not start`);
  assert.notEqual(code, null, `${what} must not crash`);
  const said = stdout + stderr;
  assert.ok(!said.includes(' ready'), what);
  assert.ok(said.trim().length > 0 && said.trim().split('\n').length <= 5, `${what} says why, shortly: ${said}`);
  return said;
}
const LIST_AGENTS = RPCS.find(({name}) => name === 'ListAgents');
const ZERO_PORTS = {dev: ['--port=0', '--grpc-port=0', '--metrics-port=0'], edge: ['--port=0', '--relay-port=0', '--metrics-port=0']};

claim('the environment names of the replaced server configure the edge', async (scope) => {
  const env = {PORT: '0', METRICS_PORT: '0', SERVER_ID: 'ws-server-3', HEARTBEAT_INTERVAL: '100', HEARTBEAT_TIMEOUT: '400', RELAY_PORT: '0'};
  const edge = scope.process('toolwire-edge', ['--log-format=json', '--data-dir', await scope.directory()], {env});
  const ready = await edge.ready();
  assert.equal(ready.serverId, 'ws-server-3');
  const tw = await scope.toolwire({env: {SERVER_ID: 'ws-server-4', HEARTBEAT_INTERVAL: '100', HEARTBEAT_TIMEOUT: '400'}});
  const agent = await tw.agent('user_1');
  assert.equal(agent.frames[0].serverId, 'ws-server-4');
  assert.equal((await agent.closed()).code, 4002, 'the heartbeat timeout counts');
});

claim('a flag counts more than the environment', async (scope) => {
  const tw = await scope.toolwire({flags: {'server-id': 'from-flag'}, env: {SERVER_ID: 'from-environment'}});
  assert.equal((await tw.agent('user_1')).frames[0].serverId, 'from-flag');
});

claim('values that cannot be are refused with the name of the flag', async (scope) => {
  const dev = (...args) => refused(scope, 'toolwire', ['dev', ...ZERO_PORTS.dev, ...args]);
  for (const [flag, value] of [
    ['--heartbeat-interval', '0'], ['--heartbeat-timeout', 'soon'], ['--agent-calls-max', '0'], ['--agent-calls-max', '-1'],
    ['--drain-timeout', '-5'], ['--payload-bytes-max', '1'], ['--json-depth-max', '0'], ['--call-timeout-max', '1e3x'],
    ['--io-threads', '0'], ['--log-format', 'xml'], ['--log-level', 'loud'],
  ]) {
    assert.ok((await dev(`${flag}=${value}`)).includes(flag), `${flag}=${value}`);
  }
  for (const [flag, value] of [['--port', '65536'], ['--grpc-port', '-1'], ['--metrics-port', 'http']]) {
    assert.ok((await refused(scope, 'toolwire', ['dev', `${flag}=${value}`])).includes(flag), `${flag}=${value}`);
  }
  assert.match(await dev('--no-such-flag'), /no-such-flag/);
});

claim('values that cannot be are refused from the environment too', async (scope) => {
  const edge = (env) => refused(scope, 'toolwire-edge', [], {PORT: '0', RELAY_PORT: '0', METRICS_PORT: '0', ...env});
  for (const [name, value] of [['PORT', 'eighty'], ['HEARTBEAT_INTERVAL', '-1'], ['HEARTBEAT_TIMEOUT', ''], ['METRICS_PORT', '99999']]) {
    if (value === '') continue;  // An empty variable counts as not set.
    assert.match(await edge({[name]: value}), new RegExp(`${name}|${name.toLowerCase().replaceAll('_', '-')}`), `${name}=${value}`);
  }
});

claim('variables as Secrets and other tools make them are understood, or passed over with a warning', async (scope) => {
  const edge = scope.process('toolwire-edge', ['--data-dir', await scope.directory()], {env: {
    PORT: '0\n', RELAY_PORT: ' 0 ', METRICS_PORT: 'tcp://10.0.0.1:9090', LOG_LEVEL: 'INFO', LOG_FORMAT: '"json"\r\n', SERVER_ID: 'ws-server-5\n',
    HEARTBEAT_INTERVAL: "'30000'", PLAIN_AGENTS: 'TRUE\n', LISTEN: '127.0.0.1 ',
  }});
  const ready = await edge.ready();
  assert.equal(ready.serverId, 'ws-server-5');
  const remarks = edge.logged('command line').map(({remark}) => remark);
  assert.ok(remarks.some((remark) => /^METRICS_PORT=tcp:.* is passed over: Kubernetes/.test(remark)), remarks.join('\n'));
  assert.ok(remarks.some((remark) => /^LOG_FORMAT: its value is in quotes/.test(remark)), remarks.join('\n'));
  assert.equal(remarks.length, 3, 'and HEARTBEAT_INTERVAL; white space is nothing to speak of');
  for (const level of ['WARNING', 'Trace', 'fatal']) {
    const {stderr} = await run('toolwire-edge', ['--listen=here'], {env: {LOG_LEVEL: level, PORT: '0'}});
    assert.match(stderr, /here: not an IP address/, level);
  }
});

claim('what is wrong with a variable is said with its name, and by the commands that read it alone', async (scope) => {
  const edge = (env) => refused(scope, 'toolwire-edge', [], {PORT: '0', RELAY_PORT: '0', METRICS_PORT: '0', ...env});
  assert.match(await edge({METRICS_PORT: 'http'}), /^METRICS_PORT: .*http/);
  assert.match(await edge({LOG_LEVEL: 'loud'}), /^LOG_LEVEL: .*loud/);
  assert.match(await edge({OLD_CHANNELS: 'maybe'}), /OLD_CHANNELS/);
  for (const [address, part] of [
    ['tcp://10.0.0.1:50052', /it is a URL/], ['10.0.0.1', /a port from 1 to 65535 is missing/], ['10.0.0.1:port', /the port is not a number/],
    ['fd00::1:50052', /an IPv6 address needs brackets/], ['0.0.0.0:50052', /where one listens/], ['${POD_IP}:50052', /was not replaced/], ['a b:1', /no name and no address/],
  ]) {
    const said = await edge({RELAY_ADDRESS: address});
    assert.ok(said.includes(`RELAY_ADDRESS=${address}: `), said);
    assert.match(said, part);
  }
  // A variable of the servers is nothing to a command that does not read it.
  const {code, stdout} = await run('toolwire', ['tokens', 'create', 'x', '--scope', 'call', '--json'], {env: {METRICS_PORT: 'http', LOG_LEVEL: 'loud', PORT: 'x'}});
  assert.equal(code, 0);
  assert.match(stdout, /tw_/);
});

claim('an edge and a control with one environment on one host do not want one port for Prometheus', async (scope) => {
  const env = {PORT: '0', RELAY_PORT: '0', GRPC_PORT: '0', EDGE_ADDRESS: '127.0.0.1:1', LOG_FORMAT: 'json'};
  const ports = async (more) => {
    const found = [];
    for (const name of ['toolwire-edge', 'toolwire-control']) {
      const server = scope.process(name, ['--data-dir', await scope.directory()], {env: {...env, ...more}});
      found.push((await server.ready()).metrics);
    }
    return found;
  };
  const [first, second] = [await freePort(), await freePort()];
  assert.deepEqual(await ports({METRICS_PORT: String(first), CONTROL_METRICS_PORT: String(second)}), [first, second]);
  const free = await ports({METRICS_PORT: '0'});
  assert.equal(new Set([...free, 0, 9090, 9091]).size, 5, `${free}`);
  const help = (await run('toolwire-control', ['--help'], {env: {METRICS_PORT: String(first)}})).stdout;
  assert.match(help, /--metrics-port [^]*?9091[^]*?CONTROL_METRICS_PORT/, 'what is the edge\'s is nothing to it');
});

claim('one wrong value ends every server with status 2, with the name of its variable and without a password', async (scope) => {
  const edge = [...ZERO_PORTS.edge], control = ['--grpc-port=0', '--metrics-port=0', '--edge=127.0.0.1:1'];
  const alone = ['--grpc-port=0', '--metrics-port=0'];
  for (const [name, args, variable, values] of [
    ['toolwire-edge', edge, 'LISTEN', ['here', '[::1]:80', '0.0.0.0:80', '*', 'http://0.0.0.0', 'a\nb']],
    ['toolwire-edge', edge, 'REDIS_URL', ['foo', 'redis://localhost?family=0', 'redis://u:hunter2@localhost?family=4&x=1', 'http://:hunter2@x', 'redis://:hunter2@h:port']],
    ['toolwire-edge', edge, 'DATABASE_URL', ['foo', 'mysql://u:hunter2@h/x', 'postgresql://u:hunter2@h:port/x', 'postgresql://u:hunter2@h/x?sslmode=maybe']],
    ['toolwire-edge', edge, 'RELAY_ADDRESS', ['edge', 'http://u:hunter2@edge:1', '::1:5', '[::1]', 'edge:0', '0.0.0.0:5']],
    ['toolwire-edge', edge, 'TRUSTED_PROXIES', ['everybody', '10.0.0.0/99', '10.0.0.0/8,x']],
    ['toolwire-edge', edge, 'SERVER_ID', ['x'.repeat(257), 'a\nb', 'a\u001b[31m', 'a\u202eb', 'a\u2028b', 'a\u0085b']],
    ['toolwire-edge', edge, 'TLS_CERT', ['/no/such/file', '/', '-----BEGIN CERTIFICATE-----\nhunter2']],
    ['toolwire-edge', edge, 'TLS_KEY', ['/no/such/file']], ['toolwire-edge', edge, 'LINK_TLS_CA', ['/no/such/file']],
    ['toolwire-edge', edge, 'REDIS_CA', ['/no/such/file']], ['toolwire-edge', edge, 'TLS_TICKET_KEYS_FILE', ['/no/such/file']],
    ['toolwire-control', alone, 'EDGE_ADDRESS', ['edge', 'http://u:hunter2@edge:1', '[::1]:x']],
    ['toolwire-control', control, 'TOKENS_FILE', ['/no/such/file', `tw_${'hunter2'.repeat(6)}x`, 'shop sha256:hunter2 call']],
    ['toolwire-control', control, 'JWKS_FILE', ['/no/such/file']], ['toolwire-control', control, 'GRPC_TLS_CERT', ['/no/such/file']],
    ['toolwire-control', control, 'GRPC_TLS_KEY', ['/no/such/file']], ['toolwire-control', control, 'GRPC_TLS_CLIENT_CA', ['/no/such/file']],
    ['toolwire-control', alone, 'GRPC_PORT', ['0x10', 'http', '70000']],
  ]) {
    for (const value of values) {
      const own = args.filter((one) => !(variable === 'GRPC_PORT' && one.startsWith('--grpc-port')));
      const {code, stderr} = await run(name, [...own, '--data-dir', await scope.directory()], {env: {[variable]: value}});
      const what = `${variable}=${value}: ${stderr}`;
      assert.equal(code, 2, what);
      assert.ok(stderr.includes(variable), what);
      assert.doesNotMatch(stderr, /hunter2|[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/, what);
      assert.ok(stderr.length < 800, what);
    }
  }
});

claim('a name of an edge that is not UTF-8 is refused', async (scope) => {
  const directory = await scope.directory();
  const {code, stderr} = await run('/bin/bash', ['-c', "SERVER_ID=$'edge-\\xff' exec \"$0\" \"$@\"", binary('toolwire-edge'), ...ZERO_PORTS.edge, '--data-dir', directory]);
  assert.equal(code, 2, stderr);
  assert.match(stderr, /^SERVER_ID=edge-\\xff: an edge's name is not UTF-8 text/);
});

claim('commands end with status 2 after a wrong variable, and name it', async (scope) => {
  const file = path.join(await scope.directory(), 'ca');
  await writeFile(file, 'no certificate');
  const all = [['agents'], ['where', 'u'], ['watch'], ['call', 'u', 't'], ['credentials', 'list'], ['credentials', 'create', 'u'], ['audit']];
  for (const [variable, values, args = all] of [
    ['TOOLWIRE_ADDRESS', ['::1:1', 'http://[::1]:1', '[::1]', '[::1]:0', 'http://u:hunter2@host:1', 'host', 'host:x', 'dns:host', 'dns:///host', 'ipv6:::1', 'xds:///x', 'a b:1']],
    ['TOOLWIRE_CA', ['/no/such/file', file]], ['TOOLWIRE_TOKEN', ['two words']],
    ['TOOLWIRE_TOKEN_FILE', ['/no/such/file', '/', `tw_${'hunter2'.repeat(6)}x`]],
    ['TOOLWIRE_TLS', ['perhaps']],
    ['DATABASE_URL', ['mysql://u:hunter2@h/x', 'foo'], [['credentials', 'list'], ['audit'], ['migrate']]],
    ['TOOLWIRE_URL', ['ws://::1:5', 'http://x', 'ws://u:hunter2@x'], [['agent', '--user', 'u']]],
  ]) {
    for (const value of values) {
      for (const command of args) {
        const {code, stdout, stderr} = await run('toolwire', command, {env: {[variable]: value}});
        const what = `${command.join(' ')} with ${variable}=${value}: ${stdout}${stderr}`;
        assert.equal(code, 2, what);
        assert.ok(stderr.includes(variable), what);
        assert.doesNotMatch(stdout + stderr, /hunter2/, what);
      }
    }
  }
  const given = await run('toolwire', ['agents', '--address', 'http://u:hunter2@host']);
  assert.equal(given.code, 2);
  assert.match(given.stderr, /--address=http:\/\/\*\*\*@host: it is a URL/);
});

claim('a METRICS_PORT of 0 is a free port for a control too, however it is written', async (scope) => {
  for (const value of ['0\n', '"0"', "'0'", '00', ' 0 ', '\ufeff0']) {
    const control = scope.process('toolwire-control', ['--edge=127.0.0.1:1', '--grpc-port=0', '--log-format=json', '--data-dir', await scope.directory()], {env: {METRICS_PORT: value}});
    assert.notEqual((await control.ready()).metrics, 9091, JSON.stringify(value));
    await control.kill();
  }
});

claim('quotes, ends of lines and byte order marks around secrets and tokens are no part of them', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const token = tokens.add('shop', 'admin');
  const content = await readFile(tokens.path, 'utf8');
  await writeFile(tokens.path, `\ufeff${content}`);
  const tw = await scope.toolwire({flags: {'tokens-file': tokens.path}, plain: true});
  const at = ['--address', `127.0.0.1:${tw.ports.callers}`];
  const directory = await scope.directory();
  const made = await run('toolwire', ['credentials', 'create', 'user_1', ...at], {env: {TOOLWIRE_TOKEN: token}});
  assert.equal(made.code, 0, made.stderr);
  const secret = made.stdout.trim();
  for (const around of [(x) => `"${x}"`, (x) => `'${x}'\n`, (x) => `\ufeff${x}\r\n`, (x) => `\ufeff"${x}"\r\n`]) {
    assert.equal((await run('toolwire', ['agents', ...at], {env: {TOOLWIRE_TOKEN: around(token)}})).code, 0, around('x'));
    const file = path.join(directory, 'token');
    await writeFile(file, around(token));
    const read = await run('toolwire', ['agents', ...at, '--token-file', file]);
    assert.equal(read.code, 0, around('x') + read.stderr);
    await writeFile(path.join(directory, 'credentials'), `\ufeffuser_1 ${around(secret).trim().replace('\ufeff', '')}\r\n`);
    for (const [args, env] of [[[], {TOOLWIRE_SECRET: around(secret)}], [['--credentials', path.join(directory, 'credentials')], {}]]) {
      const agent = scope.process('toolwire', ['agent', '--user', 'user_1', '--url', tw.url(), '--log-format=json', ...args], {env});
      await agent.saw('agent connected');
      await agent.stop();
    }
  }
});

claim('an agent finds each user in a file of credentials that `create --out` wrote, also with spaces and quotes in the id', async (scope) => {
  const tw = await scope.toolwire();
  const directory = await scope.directory();
  for (const [i, user] of ['two words', ' at the ends ', '"quoted"', '\'', 'tab-less  two'].entries()) {
    const file = path.join(directory, `credentials${i}`);
    const made = await run('toolwire', ['credentials', 'create', '--data-dir', tw.dataDir, '--out', file, '--', user]);
    assert.equal(made.code, 0, made.stderr);
    const agent = scope.process('toolwire', ['agent', `--user=${user}`, '--url', tw.url(), '--log-format=json', '--credentials', file]);
    await agent.saw('agent connected');
    await agent.stop();
  }
  const missing = await run('toolwire', ['agent', '--user=x', '--credentials', path.join(directory, 'none')]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /--credentials: cannot read .*none: No such file or directory/);
  const other = path.join(directory, 'other');
  await writeFile(other, `x ${'y'.repeat(100_000)}`);  // A line may have no end, as in /dev/zero.
  const endless = await run('toolwire', ['agent', '--user=x', '--credentials', other]);
  assert.equal(endless.code, 2, endless.stderr);
  assert.match(endless.stderr, /--credentials: no `user secret` lines in .*other/);
});

claim('a name that is not UTF-8 is wrong usage of every command, in one line', async (scope) => {
  const directory = await scope.directory();
  for (const command of [
    'call "$bad" echo', 'call u "$bad"', 'call u echo --request-id "$bad"', 'where "$bad"', 'watch --once u "$bad"', 'audit "$bad"',
    'credentials create "$bad"', 'credentials rotate "$bad"', 'credentials revoke "$bad"', 'agent --user "$bad"',
  ]) {
    const script = `bad=$(printf 'a\\377'); exec ${binary('toolwire')} ${command}`;
    const {code, stderr} = await run('/bin/sh', ['-c', script], {cwd: directory, env: {TOOLWIRE_ADDRESS: '127.0.0.1:1', TOOLWIRE_SECRET: 'x'}});
    assert.equal(code, 2, `${command}: ${stderr}`);
    assert.match(stderr, /^[a-z-]+=a\\xff: not UTF-8\n/, command);
  }
});

claim('every program ends with status 2 after a wrong command line', async () => {
  for (const [name, ...args] of [
    ['toolwire-edge', '--no-such-flag'], ['toolwire-edge', '--port=x'], ['toolwire-control', '--log-level=loud'], ['toolwire-control', 'word'],
    ['toolwire', 'dev', '--port=65536'], ['toolwire', 'nothing'], ['toolwire', 'agent', '--count=0'], ['toolwire-edge', '--port'],
  ]) {
    const {code, stderr} = await run(name, args);
    assert.equal(code, 2, `${name} ${args.join(' ')}: ${stderr}`);
  }
  assert.equal((await run('toolwire-edge', [], {env: {PORT: 'x'}})).code, 2);
  assert.equal((await run('toolwire-edge', ['--help'])).code, 0);
  assert.equal((await run('toolwire-control', ['--version'])).code, 0);
});

claim('a password on the command line is warned of, with the variable that keeps it', async (scope) => {
  const directory = await scope.directory();
  for (const [args, name] of [
    [['credentials', 'list', '--database-url', 'postgresql://u:hunter2@127.0.0.1:1/x'], 'DATABASE_URL'],
    [['migrate', '--database-url=postgresql://u:hunter2@127.0.0.1:1/x', '--timeout', '1000'], 'DATABASE_URL'],
    [['doctor', '--json', '--address', '127.0.0.1:1', '--redis-url', 'redis://:hunter2@127.0.0.1:1'], 'REDIS_URL'],
  ]) {
    const {stdout, stderr} = await run('toolwire', args);
    const line = (stdout + stderr).split('\n').find((one) => one.includes('can read the password'));
    assert.ok(line?.includes(name), `${args[0]}: ${stdout}${stderr}`);
    assert.doesNotMatch(line, /hunter2/);
  }
  const quiet = await run('toolwire', ['credentials', 'list', '--data-dir', directory], {env: {DATABASE_URL: 'postgresql://u:hunter2@127.0.0.1:1/x'}});
  assert.doesNotMatch(quiet.stderr, /password/);
  const edge = scope.process('toolwire-edge', [...ZERO_PORTS.edge, '--log-format=json', '--redis-url=redis://:hunter2@127.0.0.1:1', '--data-dir', directory]);
  await until('the edge warns', () => edge.logged('command line').some(({remark}) => remark.startsWith('--redis-url: everybody')));
  assert.ok(edge.logged('command line').every(({remark}) => !remark.includes('hunter2')));
  await edge.kill();
});

claim('values that do not fit together are refused with both names', async (scope) => {
  const heartbeat = await refused(scope, 'toolwire', ['dev', ...ZERO_PORTS.dev, '--heartbeat-interval=500', '--heartbeat-timeout=400']);
  assert.match(heartbeat, /--heartbeat-timeout/);
  assert.match(heartbeat, /--heartbeat-interval/);
  const timeouts = await refused(scope, 'toolwire', ['dev', ...ZERO_PORTS.dev, '--call-timeout-default=500', '--call-timeout-max=400']);
  assert.match(timeouts, /--call-timeout-default/);
  assert.match(timeouts, /--call-timeout-max/);
});

claim('a REDIS_URL that is none is refused by name, and its password is not repeated', async (scope) => {
  for (const url of ['localhost', 'rediss://:hunter2@localhost?tls-verify=none', 'redis://:hunter2@localhost:port']) {
    for (const [name, args] of [['toolwire-edge', ZERO_PORTS.edge], ['toolwire-control', ['--grpc-port=0', '--metrics-port=0']]]) {
      const said = await refused(scope, name, args, {REDIS_URL: url});
      assert.match(said, /redis/i);
      assert.doesNotMatch(said, /hunter2/);
    }
  }
});

claim('a control finds edges by Redis or by one address, and not both', async (scope) => {
  const args = ['--grpc-port=0', '--metrics-port=0'];
  for (const more of [[], ['--edge=127.0.0.1:1', '--redis-url=redis://127.0.0.1:1']]) {
    const said = await refused(scope, 'toolwire-control', [...args, ...more]);
    assert.match(said, /--redis-url/);
    assert.match(said, /--edge/);
  }
});

claim('a DATABASE_URL that is none is refused by name, and its password is not repeated', async (scope) => {
  for (const url of ['mysql', 'postgresql://user:hunter2@localhost:port/x', 'postgresql://user:hun@ter2@localhost/x', 'user:hunter2@localhost']) {
    const said = await refused(scope, 'toolwire-edge', ZERO_PORTS.edge, {DATABASE_URL: url});
    assert.match(said, /DATABASE_URL/);
    assert.doesNotMatch(said, /hunter2|ter2@/);
  }
  assert.match(await refused(scope, 'toolwire-edge', ZERO_PORTS.edge, {DATABASE_CONNECTIONS_MAX: '21'}), /DATABASE_CONNECTIONS_MAX|database-connections-max/);
});

// Each server with its doors: what its message names of each, and flags that open the door.
const CONTROL = ['--edge=127.0.0.1:1', '--grpc-port=0', '--metrics-port=0'];
const AGENTS = {says: /agents' port: no TLS\. Give --tls-cert and --tls-key, .*--trusted-proxies, or --plain-agents/, flag: '--plain-agents'};
const LINKS = {says: /links' port: no TLS\. Give --link-tls-cert, --link-tls-key and --link-tls-ca, or --plain-links/, flag: '--plain-links'};
const GRPC = {says: /callers' port: no TLS\. Give --grpc-tls-cert and --grpc-tls-key, or --plain-grpc/, flag: '--plain-grpc'};
const TOKENS = {says: /callers' port: everybody may call\. Give --tokens-file or --jwks-file, or --no-tokens/, flag: '--no-tokens'};
const EDGES = {says: /links to edges: no TLS\. Give --link-tls-cert, .*, or --plain-links/, flag: '--plain-links'};
const DOORS = [
  ['toolwire', ['dev', ...ZERO_PORTS.dev], [AGENTS, GRPC, TOKENS]],
  ['toolwire-edge', ZERO_PORTS.edge, [AGENTS, LINKS]],
  ['toolwire-control', CONTROL, [GRPC, TOKENS]],
  ['toolwire-control', ['--redis-url=redis://127.0.0.1:1', '--grpc-port=0', '--metrics-port=0'], [GRPC, TOKENS, EDGES]],
];

claim('an address that other machines reach is refused in one message with every door that has no lock', async (scope) => {
  for (const [name, args, doors] of DOORS) {
    for (const address of ['0.0.0.0', '::', '::ffff:0.0.0.0']) {
      const {code, stdout, stderr} = await run(name, [...args, `--listen=${address}`, '--data-dir', await scope.directory()]);
      assert.equal(code, 1, `${name} ${address}: ${stderr}`);
      assert.equal(stdout, '');
      assert.equal(stderr.trim().split('\n').length, 1 + doors.length, stderr);
      for (const {says} of doors) assert.match(stderr, says);
    }
    // With all flags but one, that door alone is named.
    for (const {says, flag} of doors) {
      const others = doors.filter((door) => door.flag !== flag).map((door) => door.flag);
      const said = await refused(scope, name, [...args, '--listen=0.0.0.0', ...others]);
      assert.match(said, says);
      assert.equal(said.trim().split('\n').length, 2, said);
    }
    assert.match(await refused(scope, name, [...args, '--listen=[::1]:80']), /without brackets/, name);
    assert.match(await refused(scope, name, [...args, '--insecure']), /insecure/, 'there is no flag for all doors');
  }
});

claim('with the flag of each door every server listens for other machines, and in plain', async (scope) => {
  for (const [name, args, doors] of DOORS.slice(0, 3)) {
    const flags = doors.map(({flag}) => flag);
    const server = scope.process(name, [...args, '--listen=0.0.0.0', '--log-format=json', '--data-dir', await scope.directory(), ...flags]);
    const {agents, callers} = await server.ready();
    if (agents !== undefined) assert.equal((await get(agents, '/health')).status, 200);
    if (callers !== undefined) assert.equal(await statusOf(callers, LIST_AGENTS).then(({code}) => code), 0);
  }
});

claim('each lock opens its door as well as the flag does', async (scope) => {
  const certificates = await Certificates.create(scope);
  const tokens = await TokensFile.create(scope);
  const token = tokens.add('shop', 'read');
  const listen = ['--listen=0.0.0.0', '--log-format=json', '--data-dir', await scope.directory()];
  const edge = scope.process('toolwire-edge', [
    ...ZERO_PORTS.edge, ...listen, ...argumentsOf({...certificates.edgeFlags, ...certificates.linkFlags('edge'), 'plain-port': 0})]);
  const {agents, plainAgents} = await edge.ready();
  assert.equal((await get(agents, '/health', {ca: certificates.ca})).status, 200);
  assert.equal((await get(plainAgents, '/health')).status, 200, 'a --plain-port was asked for by its name');
  const behindProxy = scope.process('toolwire-edge', [...ZERO_PORTS.edge, ...listen, '--trusted-proxies=127.0.0.0/8', '--plain-links']);
  await behindProxy.ready();
  const control = scope.process('toolwire-control', [...CONTROL, ...listen, ...argumentsOf({...certificates.callersFlags, 'tokens-file': tokens.path})]);
  const {callers} = await control.ready();
  assert.equal((await statusOf(callers, LIST_AGENTS, undefined, undefined, certificates.ca)).code, code.UNAUTHENTICATED);
  assert.equal((await statusOf(callers, LIST_AGENTS, token, undefined, certificates.ca)).code, code.OK);
});

claim('a door that is said to be without a lock is not given one', async (scope) => {
  const certificates = await Certificates.create(scope);
  const tokens = await TokensFile.create(scope);
  tokens.add('shop', 'read');
  for (const [name, args, flag, lock] of [
    ['toolwire-edge', ZERO_PORTS.edge, '--plain-agents', certificates.edgeFlags],
    ['toolwire-edge', ZERO_PORTS.edge, '--plain-links', certificates.linkFlags('edge')],
    ['toolwire-control', CONTROL, '--plain-links', certificates.linkFlags('control')],
    ['toolwire-control', CONTROL, '--plain-grpc', certificates.callersFlags],
    ['toolwire-control', CONTROL, '--no-tokens', {'tokens-file': tokens.path}],
    ['toolwire', ['dev', ...ZERO_PORTS.dev], '--no-tokens', {'tokens-file': tokens.path}],
  ]) {
    const said = await refused(scope, name, [...args, flag, ...argumentsOf(lock)]);
    assert.ok(said.includes(`${flag} and --${Object.keys(lock)[0]}: `), said);
  }
});

claim('by default every listener is on the loopback address', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')));
  const rows = tables.flatMap((table) => table.split('\n').slice(1).map((line) => line.trim().split(/\s+/)));
  // As the kernel writes them: 127.0.0.1, and the same as an IPv6 address.
  const loopback = ['0100007F', '0000000000000000FFFF00000100007F'];
  for (const port of [tw.ports.agents, tw.ports.relay, tw.ports.callers, ...tw.ports.metrics]) {
    const hex = port.toString(16).toUpperCase().padStart(4, '0');
    const listening = rows.filter(([, local, , state]) => state === '0A' && local.endsWith(`:${hex}`)).map(([, local]) => local);
    assert.equal(listening.length, 1, `port ${port}`);
    assert.ok(loopback.includes(listening[0].split(':')[0]), `port ${port}: ${listening[0]}`);
  }
});

const ipv6 = Object.values(networkInterfaces()).flat().some(({address}) => address === '::1');

claim('every server listens on an IPv6 address', async (scope) => {
  const args = ['--log-format=json', '--listen=::1', '--data-dir', await scope.directory()];
  const control = scope.process('toolwire-control', ['--edge=[::1]:1', '--grpc-port=0', '--metrics-port=0', ...args]);
  const edge = scope.process('toolwire-edge', [...ZERO_PORTS.edge, ...args]);
  const dev = scope.process('toolwire', ['dev', ...ZERO_PORTS.dev, ...args]);
  const ports = [];
  for (const one of [control, edge, dev]) {
    const {agents, callers, relay, metrics} = await one.ready();
    ports.push(...[agents, callers, relay, metrics].filter((port) => port !== undefined));
  }
  assert.equal(ports.length, 8);
  for (const port of ports) {
    const socket = scope.own(net.connect(port, '::1'));
    await new Promise((resolve, reject) => socket.on('connect', resolve).on('error', reject));
  }
}, {skip: !ipv6 && 'this machine has no IPv6'});

claim('IPv6 addresses are understood wherever an address is taken, in brackets where a port follows', async (scope) => {
  const directory = await scope.directory();
  const args = ['--log-format=json', '--data-dir', directory];
  const edge = scope.process('toolwire-edge', [...ZERO_PORTS.edge, '--listen=[::1]', ...args]);
  const {agents, relay} = await edge.ready();
  const control = scope.process('toolwire-control', ['--grpc-port=0', '--metrics-port=0', ...args], {env: {EDGE_ADDRESS: `[::1]:${relay}`, LISTEN: '::1'}});
  const {callers} = await control.ready();
  const at = ['--address', `[::1]:${callers}`];
  const made = await run('toolwire', ['credentials', 'create', 'user_1', ...at]);
  assert.equal(made.code, 0, made.stderr);
  scope.process('toolwire', ['agent', '--user', 'user_1', '--url', `ws://[::1]:${agents}`], {env: {TOOLWIRE_SECRET: `${made.stdout.trim()}\r\n`}});
  await until('the agent is connected', async () => (await run('toolwire', ['where', 'user_1', ...at])).code === 0);
  assert.equal((await run('toolwire', ['call', 'user_1', 'echo', '{"a":1}', ...at])).stdout, '{"a":1}\n');
  const doctor = await run('toolwire', ['doctor', ...at, '--edge-url', `ws://[::1]:${agents}`, '--edge', `[::1]:${relay}`, '--data-dir', directory]);
  assert.equal(doctor.code, 0, doctor.stdout);
  const wrong = await run('toolwire', ['agents', '--address', `::1:${callers}`]);
  assert.match(wrong.stderr, /an IPv6 address needs brackets/);
  const dev = scope.process('toolwire', ['dev', ...ZERO_PORTS.dev, ...args.slice(0, 1), '--data-dir', await scope.directory(),
    '--listen=::', '--plain-agents', '--plain-grpc', '--no-tokens']);
  const both = await dev.ready();
  for (const host of ['[::1]', '127.0.0.1']) assert.equal((await run('toolwire', ['agents', '--address', `${host}:${both.callers}`])).code, 0, host);
}, {skip: !ipv6 && 'this machine has no IPv6'});

claim('an address to dial needs a port from 1 on, one to listen on takes 0', async (scope) => {
  for (const address of ['edge', 'edge:0', '[::1]:0']) {
    const said = await refused(scope, 'toolwire-control', [`--edge=${address}`, '--grpc-port=0', '--metrics-port=0']);
    assert.ok(said.includes(`--edge=${address}: a port from 1 to 65535 is missing`), said);
    assert.match(await refused(scope, 'toolwire-edge', [`--relay-address=${address}`, ...ZERO_PORTS.edge]), /--relay-address=.* is missing/);
  }
});

claim('a busy port is a clear error, whichever it is', async (scope) => {
  const busy = net.createServer();
  const port = await new Promise((resolve) => busy.listen(0, '127.0.0.1', () => resolve(busy.address().port)));
  try {
    for (const [name, args] of [
      ['toolwire', ['dev', `--port=${port}`, '--grpc-port=0', '--metrics-port=0']],
      ['toolwire', ['dev', '--port=0', `--grpc-port=${port}`, '--metrics-port=0']],
      ['toolwire', ['dev', '--port=0', '--grpc-port=0', `--metrics-port=${port}`]],
      ['toolwire-edge', ['--port=0', `--relay-port=${port}`, '--metrics-port=0']],
      ['toolwire-control', ['--edge=127.0.0.1:1', `--grpc-port=${port}`, '--metrics-port=0']],
    ]) {
      assert.ok((await refused(scope, name, args)).includes(String(port)), `${name} ${args.join(' ')} names the port`);
    }
  } finally {
    busy.close();
  }
});

claim('a second server does not start on a port of the first, for none of its ports', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const [edgeMetrics, controlMetrics] = tw.ports.metrics;
  await refused(scope, 'toolwire-edge', [`--port=${tw.ports.agents}`, '--relay-port=0', '--metrics-port=0']);
  await refused(scope, 'toolwire-edge', ['--port=0', `--relay-port=${tw.ports.relay}`, '--metrics-port=0']);
  await refused(scope, 'toolwire-edge', ['--port=0', '--relay-port=0', `--metrics-port=${edgeMetrics}`]);
  const control = ['--edge=127.0.0.1:1'];
  await refused(scope, 'toolwire-control', [...control, `--grpc-port=${tw.ports.callers}`, '--metrics-port=0']);
  await refused(scope, 'toolwire-control', [...control, '--grpc-port=0', `--metrics-port=${controlMetrics}`]);
  await tw.agent('user_1');
  assert.equal((await tw.caller().call('user_1', 'echo')).code, 0);
});

claim('--help explains every flag with its default, and exits with 0', async () => {
  for (const [name, args] of [['toolwire', ['dev', '--help']], ['toolwire-edge', ['--help']], ['toolwire-control', ['--help']],
    ['toolwire', ['call', '--help']], ['toolwire', ['agent', '--help']], ['toolwire', ['--help']]]) {
    const {code, stdout} = await run(name, args);
    assert.equal(code, 0);
    assert.ok(stdout.split('\n').length > 8, `${name} ${args}`);
    for (const [, flag, rest] of stdout.matchAll(/^ +(--[a-z-]+)([^\n]*\n?[^\n]*)/gm)) {
      assert.match(rest, /[a-z]{3}/, `${name} ${args}: ${flag} is explained`);
    }
  }
  const {stdout} = await run('toolwire', ['dev', '--help']);
  for (const expected of ['--port', '8082', 'PORT', 'HEARTBEAT_TIMEOUT', '90000', 'SERVER_ID', 'METRICS_PORT', '9090', 'GRPC_PORT', '50051']) {
    assert.ok(stdout.includes(expected), expected);
  }
});

claim('no command, or a wrong one, is an error that shows the way', async () => {
  for (const args of [[], ['serve'], ['credentials'], ['call'], ['call', 'user_1'], ['agent']]) {
    const {code, stdout, stderr} = await run('toolwire', args);
    assert.notEqual(code, 0, args.join(' '));
    assert.ok((stdout + stderr).trim().length > 0, args.join(' '));
  }
});

claim('log lines are JSON objects with time, level and event, also for odd user ids', async (scope) => {
  const tw = await scope.toolwire({flags: {'log-level': 'debug'}});
  await tw.agent('user "1"\\ ü');
  await tw.stop();
  assert.ok(tw.edge.lines.length > 3);
  for (const line of tw.edge.lines) {
    const parsed = JSON.parse(line);
    assert.match(parsed.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(parsed.level && parsed.event, line);
  }
  assert.equal((await tw.edge.saw('agent connected')).user, 'user "1"\\ ü');
});

claim('log lines in text name the ports as well', async (scope) => {
  const dev = scope.process('toolwire', ['dev', ...ZERO_PORTS.dev, '--data-dir', await scope.directory()]);
  await until('it is ready', () => dev.lines.find((line) => /ready.*agents=\d+.*callers=\d+.*metrics=\d+/.test(line)));
});

claim('a data directory that cannot be made is a clear error', async (scope) => {
  const {code, stderr} = await run('toolwire', ['dev', ...ZERO_PORTS.dev, '--data-dir', '/proc/nothing/here']);
  assert.notEqual(code, 0);
  assert.match(stderr, /\/proc\/nothing/);
});
