// Flags and environment: what the servers take, what they refuse, and how they say it.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import net from 'node:net';
import {networkInterfaces} from 'node:os';
import {run} from './lib/process.js';
import {claim, get} from './lib/toolwire.js';
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

claim('values that do not fit together are refused with both names', async (scope) => {
  const heartbeat = await refused(scope, 'toolwire', ['dev', ...ZERO_PORTS.dev, '--heartbeat-interval=500', '--heartbeat-timeout=400']);
  assert.match(heartbeat, /--heartbeat-timeout/);
  assert.match(heartbeat, /--heartbeat-interval/);
  const timeouts = await refused(scope, 'toolwire', ['dev', ...ZERO_PORTS.dev, '--call-timeout-default=500', '--call-timeout-max=400']);
  assert.match(timeouts, /--call-timeout-default/);
  assert.match(timeouts, /--call-timeout-max/);
});

claim('a REDIS_URL that is none is refused by name, and its password is not repeated', async (scope) => {
  for (const url of ['localhost', 'rediss://:hunter2@localhost', 'redis://:hunter2@localhost:port']) {
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

claim('an address that other machines reach is refused without --insecure, by every server', async (scope) => {
  for (const [name, args] of [
    ['toolwire', ['dev', ...ZERO_PORTS.dev]], ['toolwire-edge', ZERO_PORTS.edge],
    ['toolwire-control', ['--edge=127.0.0.1:1', '--grpc-port=0', '--metrics-port=0']],
  ]) {
    for (const address of ['0.0.0.0', '::']) {
      assert.match(await refused(scope, name, [...args, `--listen=${address}`]), /--insecure/, `${name} ${address}`);
    }
    assert.match(await refused(scope, name, [...args, '--listen=[::1]']), /without brackets/, name);
  }
  const tw = await scope.toolwire({flags: {listen: '0.0.0.0', insecure: true}});
  assert.equal((await tw.http('/health')).status, 200);
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
  assert.equal(tw.edge.logged('agent connected')[0].user, 'user "1"\\ ü');
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
