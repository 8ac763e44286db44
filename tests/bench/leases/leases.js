// What leases cost Redis, and what it costs to check secrets again.
//
//   node leases.js [--only scripts|edges|rechecks] [--agents 10000] [--rounds 3] [--seconds 15] [--recheck-seconds 20]
//                  [--before DIR]
//
// Scripts: those of now and those of the version before leases had a record that outlives them, in turns on one Redis:
// its CPU time for a claim, a claim of a lease that another edge has, a refresh (256 users a script) and a release.
// Edge: logins of all agents at once, then their heartbeats; Redis's CPU time for a login and for a refresh, and its
// memory for an agent; the same for an edge in DIR. Rechecks: CPU time of edge and PostgreSQL while agents are idle,
// without rechecks and with one of every session in --recheck-seconds. Needs toolwire and toolwire-edge.
import {Redis} from 'ioredis';
import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {Process, cpuUs, run, treeCpuUs} from '../compare/process.js';
import {Postgres, startRedis} from '../compare/servers.js';

const {values: flags} = parseArgs({options: {
  agents: {type: 'string', default: '10000'}, rounds: {type: 'string', default: '3'},
  seconds: {type: 'string', default: '15'}, 'recheck-seconds': {type: 'string', default: '20'}, before: {type: 'string'},
  only: {type: 'string'}}});
const AGENTS = Number(flags.agents), ROUNDS = Number(flags.rounds);
const here = (where) => fileURLToPath(new URL(where, import.meta.url));
const NOW = path.resolve(process.env.TOOLWIRE_BIN_DIR ?? here('../../../build/release'));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const median = (some) => some.toSorted((a, b) => a - b)[Math.floor(some.length / 2)];
const users = Array.from({length: AGENTS}, (_, i) => `user_${i}`);
// Where a user's epoch is: EpochHash() of common/registry/redis_claims.cc.
function hashOf(user) {
  let hash = 2166136261;
  for (const byte of Buffer.from(user)) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
  return String(((hash ^ (hash >>> 16)) >>> 0) % 1024);
}
// Redis's own clock of its CPU time is finer than the kernel's ticks.
async function redisCpuUs(client) {
  const text = await client.info('cpu');
  const of = (name) => 1e6 * Number(new RegExp(`^${name}:(\\S+)`, 'm').exec(text)[1]);
  return of('used_cpu_user') + of('used_cpu_sys');
}
const redisMemory = async (client) => Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))[1]);

// --- the scripts ---
async function scriptsIn(file, prefix, names) {
  const texts = Object.fromEntries(
    [...(await readFile(here(file), 'utf8')).matchAll(/constexpr char (k\w+)\[\] = R"\(([\s\S]*?)\)";/g)].map(([, name, text]) => [name, text]));
  return Object.fromEntries(names.map((name) =>
    [name, `local prefix = ''${texts[`k${prefix}Common`]}${texts[`k${prefix}${name}`]}`]));
}
const NAMES = ['Claim', 'Refresh', 'Release'];
async function versions() {
  const now = await scriptsIn('../../../common/registry/redis_scripts.cc', '', NAMES);
  const late = String(Date.now() * 1000 + 3.6e9);
  const after = (shown) => ({
    scripts: now, claim: (user, edge) => [user, hashOf(user), edge, '120000', '1', shown, '0', late],
    refresh: (edge) => [edge, '120000', '1', shown],
  });
  return {
    before: {
      scripts: await scriptsIn('../../contract/redis_scripts_before.h', 'Before', NAMES),
      claim: (user, edge) => [user, hashOf(user), edge, '120000', '1'], refresh: (edge) => [edge, '120000', '1'],
    },
    now: after('1'),
    'now, no status keys': after(''),
  };
}
// Runs the script with each of these arguments; the answers, and Redis's CPU time for all.
async function runAll(client, text, calls) {
  const sha = await client.script('LOAD', text);
  const before = await redisCpuUs(client);
  const answers = [];
  for (let i = 0; i < calls.length; i += 200) {
    const pipeline = client.pipeline();
    for (const args of calls.slice(i, i + 200)) pipeline.evalsha(sha, 0, ...args);
    for (const [error, answer] of await pipeline.exec()) {
      if (error) throw error;
      answers.push(answer);
    }
  }
  return {answers, us: (await redisCpuUs(client)) - before};
}
async function measureScripts(client, {scripts, claim, refresh}) {
  await client.flushall();
  for (const edge of ['edge-1', 'edge-2']) await client.set(`edge:${edge}`, '{}');
  const us = {};
  us.claim = (await runAll(client, scripts.Claim, users.map((user) => claim(user, 'edge-1')))).us / AGENTS;
  const moved = await runAll(client, scripts.Claim, users.map((user) => claim(user, 'edge-2')));
  us['claim, moved'] = moved.us / AGENTS;
  const batches = [];
  for (let i = 0; i < AGENTS; i += 256) {
    batches.push([...refresh('edge-2'), ...users.slice(i, i + 256).flatMap((user, at) => [user, hashOf(user), moved.answers[i + at]])]);
  }
  const refreshed = await runAll(client, scripts.Refresh, Array(5).fill(batches).flat());
  if (refreshed.answers.flat().some((outcome) => outcome !== 0)) throw new Error('a lease was not kept');
  us.refresh = refreshed.us / AGENTS / 5;
  us.release = (await runAll(client, scripts.Release, users.map((user, i) => [user, hashOf(user), 'edge-2', moved.answers[i]]))).us / AGENTS;
  return us;
}
async function compareScripts(directory) {
  const redis = await startRedis(directory);
  const client = new Redis(redis.url);
  // As edges are: what is published has receivers.
  const edge = new Redis(redis.url);
  await edge.subscribe('edge:edge-1:leases', 'edge:edge-2:leases', 'toolwire:leases');
  const results = {};
  for (let round = 0; round < ROUNDS; ++round) {
    for (const [name, version] of Object.entries(await versions())) {
      for (const [what, us] of Object.entries(await measureScripts(client, version))) ((results[name] ??= {})[what] ??= []).push(us);
    }
  }
  console.log(`scripts, ${AGENTS} users, median of ${ROUNDS} rounds: us of Redis's CPU for each`);
  for (const [name, of] of Object.entries(results)) {
    console.log(`  ${name.padEnd(20)} ${Object.entries(of).map(([what, some]) => `${what} ${median(some).toFixed(2)}`).join('; ')}`);
  }
  for (const one of [client, edge]) one.disconnect();
  await redis.stop();
}

// --- edges ---
async function startEdge(bin, data, more) {
  const edge = new Process(path.join(bin, 'toolwire-edge'), ['--port', '0', '--relay-port', '0', '--metrics-port', '0',
    '--data-dir', data, '--log-format', 'json', '--handshakes-per-second-max', '100000', ...more]);
  return {edge, port: (await edge.event('edge ready')).agents};
}
async function secretsIn(directory, store) {
  const file = path.join(directory, 'secrets');
  await run(path.join(NOW, 'toolwire'), ['credentials', 'create', 'user_', '--count', String(AGENTS), '--out', file, ...store]);
  return file;
}
async function startAgents(port, file, heartbeatMs) {
  const agents = new Process(path.join(NOW, 'toolwire'), ['agent', '--url', `ws://127.0.0.1:${port}`, '--count', String(AGENTS),
    '--credentials', file, '--connect-per-second', '100000', '--heartbeat-interval', String(heartbeatMs), '--log-format', 'json']);
  const {elapsed_ms: ms} = await agents.event('all agents connected');
  return {agents, ms};
}
async function measureEdge(name, bin, more = []) {
  const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-leases-'));
  const redis = await startRedis(directory);
  const client = new Redis(redis.url);
  const file = await secretsIn(directory, ['--data-dir', directory]);
  const {edge, port} = await startEdge(bin, directory, ['--redis-url', redis.url, ...more]);
  const memory = await redisMemory(client), before = await redisCpuUs(client);
  const HEARTBEAT_MS = 3000;
  const {agents, ms} = await startAgents(port, file, HEARTBEAT_MS);
  const login = (await redisCpuUs(client)) - before;
  await sleep(HEARTBEAT_MS);  // And the connections' buffers shrink.
  const from = await redisCpuUs(client), began = Date.now();
  await sleep(1000 * Number(flags.seconds));
  const refreshes = AGENTS * (Date.now() - began) / HEARTBEAT_MS;
  const refresh = (await redisCpuUs(client)) - from;
  const bytes = (await redisMemory(client)) - memory;
  console.log(`  ${name.padEnd(20)} ${(1000 * AGENTS / ms).toFixed(0)} logins/s; us of Redis's CPU: ${(login / AGENTS).toFixed(1)} a login, ` +
    `${(refresh / refreshes).toFixed(2)} a refresh; ${(bytes / AGENTS).toFixed(0)} bytes of Redis an agent`);
  for (const one of [agents, edge]) await one.stop();
  client.disconnect();
  await redis.stop();
  await rm(directory, {recursive: true});
}
async function measureEdges() {
  console.log(`edges, ${AGENTS} agents, heartbeats every 3 s`);
  for (let round = 0; round < ROUNDS; ++round) {
    if (flags.before) await measureEdge('before', path.resolve(flags.before));
    await measureEdge('now', NOW);
    await measureEdge('now, no old channels', NOW, ['--no-old-channels']);
  }
}

// --- rechecks ---
async function measureRechecks(directory) {
  const seconds = Number(flags['recheck-seconds']);
  const postgres = await Postgres.start(path.join(directory, 'postgres'));
  const store = ['--database-url', `postgresql://postgres@127.0.0.1:${postgres.port}/postgres`];
  const file = await secretsIn(directory, store);
  console.log(`rechecks, ${AGENTS} agents, ms of CPU in ${seconds} s without other work`);
  const sums = {};
  for (let round = 0; round < ROUNDS; ++round) {
    for (const [name, interval] of [['without', 0], ['one each', 1000 * seconds]]) {
      const {edge, port} = await startEdge(NOW, directory, [...store, '--secret-recheck-interval', String(interval)]);
      const {agents} = await startAgents(port, file, 3_600_000);
      await sleep(2000);
      const used = () => [cpuUs([edge.pid]), treeCpuUs(postgres.server.pid)];
      const before = used();
      await sleep(1000 * seconds);
      const ms = used().map((us, i) => (us - before[i]) / 1000);
      (sums[name] ??= []).push(ms);
      for (const one of [agents, edge]) await one.stop();
    }
  }
  for (const [name, some] of Object.entries(sums)) {
    console.log(`  ${name.padEnd(20)} edge ${median(some.map(([edge]) => edge))}; PostgreSQL ${median(some.map(([, store_]) => store_))}`);
  }
  await postgres.stop();
}

const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-leases-'));
await run('chmod', ['0711', directory]);  // PostgreSQL's own user must pass.
for (const [name, measure] of Object.entries({scripts: compareScripts, edges: measureEdges, rechecks: measureRechecks})) {
  if (!flags.only || flags.only === name) await measure(directory);
}
await rm(directory, {recursive: true});
