// Well-behaved users beside one hostile peer, attack after attack, each with servers of its own: control, edge and Redis,
// audited in SQLite. Prints what the users saw before and during the attack, and the servers' memory. The attacker runs
// only when a processor has nothing else to do, so that what is measured is what it makes the servers do and not the CPU
// time that it takes itself.
//
//   node hostile.js [--attacks "NAME NAME"] [--seconds 20] [--calm-seconds 8] [--json FILE]
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {once} from 'node:events';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {Process, residentBytes, run} from '../compare/process.js';
import {startRedis} from '../compare/servers.js';
import {attacks} from './attacks.js';

const {values: flags} = parseArgs({
  options: {
    attacks: {type: 'string', default: Object.keys(attacks).join(' ')},
    seconds: {type: 'string', default: '20'},
    'calm-seconds': {type: 'string', default: '8'},
    json: {type: 'string'},
  },
});
const AGENTS = 100;
const ATTACKERS = 50;  // Credentials of hostile agents.
const BACK_WAIT_S = 30;
const MIB = 1 << 20;

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const bin = (name) => path.resolve(process.env.TOOLWIRE_BIN_DIR ?? here('../../../build/release'), name);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A server under a limit of open files. One whose log is not read gets a pipe that nobody takes anything out of once it
// is ready.
async function startServer(name, args, {open, logUnread}) {
  const limit = open ?? '$(ulimit -Hn)';
  const server = new Process('bash', ['-c', `ulimit -n ${limit} && exec ${bin(name)} "$@"`, name, '--log-format', 'json', ...args]);
  const ready = await server.event(`${name.replace('toolwire-', '')} ready`);
  if (logUnread) for (const stream of [server.child.stdout, server.child.stderr]) stream.pause();
  return {server, ready};
}

async function startServers(directory, attack) {
  const redis = await startRedis(directory);
  const data = ['--data-dir', `${directory}/data`];
  const credentials = path.join(directory, 'credentials');
  await run(bin('toolwire'), ['credentials', 'create', 'user_', '--count', String(AGENTS + 1 + ATTACKERS), '--out', credentials, ...data]);
  const common = ['--metrics-port', '0', '--redis-url', redis.url, ...data];
  const edge = await startServer('toolwire-edge', ['--port', '0', '--relay-port', '0', ...common], attack);
  const control = await startServer('toolwire-control', ['--grpc-port', '0', ...common], attack);
  const agents = new Process(process.execPath, [
    here('../compare/agents.js'), '--system', 'toolwire', '--url', `ws://127.0.0.1:${edge.ready.agents}`,
    '--count', String(AGENTS), '--credentials', credentials,
  ]);
  await agents.event('all agents connected');
  const ports = {
    agents: edge.ready.agents, relay: edge.ready.relay, callers: control.ready.callers,
    metrics: [edge.ready.metrics, control.ready.metrics],
  };
  const traffic = new Process(process.execPath, [
    here('traffic.js'), ...[ports.callers, ports.agents, ports.metrics.join(','), redis.url, AGENTS, credentials].map(String),
  ]);
  await traffic.event('traffic');
  const users = (await readFile(credentials, 'utf8')).trim().split('\n').slice(AGENTS + 1).map((line) => {
    const [user, secret] = line.split(' ');
    return {user, secret};
  });
  return {
    ports, users, traffic, agents,
    resident: () => [edge, control].map(({server}) => residentBytes([server.pid])),
    alive: () => [edge, control].every(({server}) => !server.how),
    stop: async () => {
      for (const one of [traffic, agents, control.server, edge.server]) await one.stop();
      await redis.stop();
    },
  };
}

// What the users saw since the last time.
async function phase(servers) {
  const seen = servers.traffic.events('phase').length;
  servers.traffic.child.stdin.write('\n');
  while (servers.traffic.events('phase').length === seen) {
    if (servers.traffic.how) throw new Error('the traffic ended');
    await sleep(10);
  }
  return servers.traffic.events('phase').at(-1);
}

// Watches memory for so long, or until `enough`; the greatest of each server.
async function watch(servers, seconds, enough = () => false) {
  const most = [0, 0];
  const began = Date.now();
  while (Date.now() - began < 1000 * seconds && !enough()) {
    servers.resident().forEach((bytes, i) => (most[i] = Math.max(most[i], bytes)));
    await sleep(100);
  }
  return {most, seconds: (Date.now() - began) / 1000};
}

async function measure(name) {
  const attack = attacks[name];
  const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-hostile-'));
  const servers = await startServers(directory, attack);
  try {
    await sleep(2000);
    await phase(servers);  // What came while all was starting.
    await watch(servers, Number(flags['calm-seconds']));
    const before = servers.resident();
    const calm = await phase(servers);
    const attacker = new Process('chrt', [
      '--idle', '0', 'bash', '-c', 'ulimit -n $(ulimit -Hn) && exec "$@"', 'attack', process.execPath, '--max-old-space-size=4096',
      here('attacks.js'), name, JSON.stringify({...servers.ports, users: servers.users}),
    ], {signal: 'SIGKILL'});
    const {most} = await watch(servers, Number(flags.seconds));
    const under = await phase(servers);
    const ended = attacker.how && attacker.lines.slice(-3).join(' ');
    await attacker.stop();
    // Back: as it was, and what an allocator keeps of ordinary work.
    const isBack = () => servers.resident().every((bytes, i) => bytes < 1.5 * before[i] + 32 * MIB);
    const back = await watch(servers, BACK_WAIT_S, isBack);
    const after = servers.resident();
    return {
      name, calm, under, before, most, after, ended,
      backSeconds: isBack() ? back.seconds : null,
      lostAgents: servers.agents.events('agent lost').length,
      alive: servers.alive(),
    };
  } finally {
    await servers.stop();
    await rm(directory, {recursive: true, force: true});
  }
}

const ms = (value) => (value == null ? '-' : value.toFixed(1));
const mib = (pair) => pair.map((bytes) => Math.round(bytes / MIB)).join('/');
const count = (failed) => Object.values(failed).reduce((sum, one) => sum + one, 0);
const row = (...cells) =>
  [22, 7, 13, 13, 6, 9, 8, 7, 11, 11, 11, 6].map((width, i) => String(cells[i])[i === 0 ? 'padEnd' : 'padStart'](width)).join(' ');

const results = [];
console.log('Users: 200 calls/s; each second 1 login, 1 new caller, 1 look at each metrics page. Memory: edge/control, MiB.');
console.log(row('attack', 'calls', 'p50 ms', 'p99 ms', 'ratio', 'login p99', 'dial p99', 'failed', 'RSS before', 'most', 'after', 'back s'));
for (const name of flags.attacks.split(' ').filter(Boolean)) {
  if (!attacks[name]) throw new Error(`no such attack: ${name}; there are: ${Object.keys(attacks).join(' ')}`);
  const one = await measure(name);
  results.push(one);
  const {calm, under} = one;
  console.log(row(
    name, under.calls.count, `${ms(calm.calls.p50)}>${ms(under.calls.p50)}`, `${ms(calm.calls.p99)}>${ms(under.calls.p99)}`,
    (under.calls.p99 / calm.calls.p99).toFixed(1), ms(under.logins.p99), ms(under.dials.p99), count(under.failed), mib(one.before), mib(one.most),
    mib(one.after), one.backSeconds?.toFixed(0) ?? `>${BACK_WAIT_S}`));
  for (const [why, times] of Object.entries(under.failed)) console.log(`    ${times} x ${why}`);
  if (one.lostAgents) console.log(`    ${one.lostAgents} good agents lost their connection`);
  if (one.ended) console.log(`    the attacker ended: ${one.ended}`);
  if (!one.alive) console.log('    A SERVER DIED');
}
if (flags.json) await writeFile(flags.json, JSON.stringify(results, null, 1));
