// What Toolwire's first start does to the replaced server: a database with its tables and many rows, a writer that goes
// on inserting, pg_dump beside it, then `toolwire migrate`, edge and control, logins and calls, all while both run.
//
//   node store.js [--rows 10000000] [--credentials 1000000] [--inserts 200] [--calls 200] [--logins 10] [--seconds 60]
//                 [--json FILE]
//
// Servers start as soon as migrate has added the columns, so that the first calls are made while indexes are built, and
// go on for --seconds after it has ended; a second dump begins then. For each phase: the writer's inserts and the slowest
// of them. At the end: logins that were refused or took over a second, calls that failed, and rows in the database
// against calls, each once. Status 1 if an insert took over a second, a login was refused, or a row is not there once.
// Needs toolwire, toolwire-edge, toolwire-control and pg_dump. PostgreSQL syncs as it does by default.
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import {chmod, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {monitorEventLoopDelay} from 'node:perf_hooks';
import {parseArgs} from 'node:util';
import pg from 'pg';
import {WebSocket} from 'ws';
import {Process} from '../compare/process.js';
import {Postgres} from '../compare/servers.js';

const {values: flags} = parseArgs({options: {
  rows: {type: 'string', default: '10000000'}, credentials: {type: 'string', default: '1000000'},
  inserts: {type: 'string', default: '200'}, calls: {type: 'string', default: '200'}, logins: {type: 'string', default: '10'},
  seconds: {type: 'string', default: '60'}, json: {type: 'string'}}});
const here = (where) => fileURLToPath(new URL(where, import.meta.url));
const bin = (name) => path.resolve(process.env.TOOLWIRE_BIN_DIR ?? here('../../../build/release'), name);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const AGENTS = 100, SLOW_MS = 1000;
const started = [];
const start = (name, args) => {
  const one = new Process(bin(name), args);
  started.unshift(one);
  return one;
};
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const seconds3 = (ms) => `${(ms / 1000).toFixed(3)} s`;

// --- what goes on all the time ---
let phase = 'before';
const delay = monitorEventLoopDelay({resolution: 10});  // How late this process itself was: then nothing here is to be believed.
delay.enable();
// Calls `act` so often a second, whether earlier ones are done or not, and keeps how long each took, by phase.
class Steady {
  times = {};
  failures = [];
  slow = [];  // Over SLOW_MS, as sentences.
  #under = new Set();
  constructor(name, perSecond, act) {
    this.name = name;
    let done = 0;
    const begin = performance.now();
    this.timer = setInterval(() => {
      for (const due = (perSecond * (performance.now() - begin)) / 1000; done < due; ++done) this.#one(act, done);
    }, 5);
  }
  #one(act, number) {
    const at = performance.now(), of = phase;
    const one = act(number).then(() => {
      const took = performance.now() - at;
      (this.times[of] ??= []).push(took);
      if (took > SLOW_MS) this.slow.push(`${of}: ${this.name.slice(0, -1)} begun at ${new Date(Date.now() - took).toISOString().slice(11, 23)} took ${seconds3(took)}`);
    }, (error) => this.failures.push(`${of}: ${error.message}`));
    this.#under.add(one);
    one.finally(() => this.#under.delete(one));
  }
  async stop() {
    clearInterval(this.timer);
    await Promise.all(this.#under);
  }
  get count() {
    return Object.values(this.times).reduce((sum, some) => sum + some.length, 0);
  }
  slowest(of) {
    return (of ? this.times[of] ?? [] : Object.values(this.times).flat()).reduce((a, b) => Math.max(a, b), 0);
  }
}
const INSERT = `INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success, execution_time_ms)
  VALUES ($1, $2, 'read_file', '{"path": "/tmp/x"}', '{"content": "some text that is not long"}', true, 12)`;
// A login as agents make it; each user logs in once.
const login = (port, secretOf) => (number) => new Promise((resolve, reject) => {
  const user = `user_${AGENTS + number}`;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/?userId=${user}&secret=${secretOf(user)}`);
  socket.on('message', (text) => {
    if (JSON.parse(text).type !== 'connected') return;
    resolve();
    socket.close();
  });
  socket.on('close', (code) => reject(new Error(`closed ${code}`)));
  socket.on('error', reject);
});
function caller(port) {
  const {toolwire} = grpc.loadPackageDefinition(
    protoLoader.loadSync('toolwire/v1/dispatch.proto', {includeDirs: [here('../../../proto')]}));
  const client = new toolwire.v1.ToolDispatch(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  return (number) => new Promise((resolve, reject) => client.CallTool(
    {userId: `user_${number % AGENTS}`, tool: 'echo', requestId: `call-${number}`, paramsJson: Buffer.from('{"a":1}')},
    (error, answer) => (error || !answer.success ? reject(error ?? new Error(answer.error)) : resolve())));
}
async function metric(port, name) {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1] ?? NaN);
}

// --- the run ---
const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-store-'));
await chmod(directory, 0o711);  // PostgreSQL's own user must pass.
let postgres, database, pool, dump;
let status = 0;
const steady = [];
const keep = (one) => (steady.push(one), one);
const result = {rows: Number(flags.rows), credentials: Number(flags.credentials), phases: {}};
const note = (line) => console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);
async function enter(next) {
  const now = performance.now();
  if (enter.at !== undefined) result.phases[phase] = {seconds: (now - enter.at) / 1000};
  enter.at = now;
  phase = next;
  note(next);
}
// What inserts that take long are waiting for, as PostgreSQL says, with how often it was seen: a lock is somebody's doing,
// a sync is the disk's.
const waits = {};
const WAITS = `SELECT coalesce(wait_event_type || ':' || wait_event, 'nothing (CPU)') AS what FROM pg_stat_activity
  WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE 'INSERT INTO tool_execution_logs%'
    AND clock_timestamp() - query_start > interval '300 ms'`;
async function sampleWaits() {
  for (; sampleWaits.client; await sleep(100)) {
    const {rows} = await sampleWaits.client.query(WAITS).catch(() => ({rows: []}));
    for (const {what} of rows) {
      const key = `${phase}: ${what}`;
      waits[key] = (waits[key] ?? 0) + 1;
    }
  }
}
function startDump(url) {
  const one = new Process('pg_dump', [url, '--file', '/dev/null']);
  started.unshift(one);
  const begun = performance.now();
  one.exited.then(({code}) => note(`pg_dump ended after ${seconds(performance.now() - begun)}, status ${code}`));
  return one;
}

try {
  postgres = await Postgres.start(path.join(directory, 'postgres'));
  database = await postgres.database('toolwire');
  const url = database.url;
  note(`filling ${flags.rows} rows and ${flags.credentials} credentials`);
  const secretOf = (user) => `secret-of-${user}`;
  await database.client.query(`INSERT INTO agent_credentials (user_id, shared_secret, platform)
    SELECT 'user_' || i, 'secret-of-user_' || i, 'linux' FROM generate_series(0, $1::int - 1) i`, [Number(flags.credentials)]);
  await database.client.query(`INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success,
      execution_time_ms, created_at)
    SELECT 'user_' || i % 10000, md5(i::text), 'read_file', jsonb_build_object('path', '/tmp/' || i),
      jsonb_build_object('content', repeat(md5(i::text), 6)), true, i % 1000, now() - ($1::int - i) * interval '1 s'
    FROM generate_series(1, $1::int) i`, [Number(flags.rows)]);
  await database.settle();
  const {rows: [{size}]} = await database.client.query("SELECT pg_size_pretty(pg_total_relation_size('tool_execution_logs')) AS size");
  note(`tool_execution_logs: ${size}`);
  pool = new pg.Pool({connectionString: url, max: 20});
  pool.on('error', () => {});
  const writer = keep(new Steady('inserts', Number(flags.inserts), (number) => pool.query(INSERT, [`user_${number % 10000}`, `old-${number}`])));
  sampleWaits.client = database.client;
  sampleWaits();
  await enter('the writer alone');
  await sleep(5000);
  await enter('and pg_dump');
  dump = startDump(url);
  await sleep(2000);

  await enter('migrate: columns');
  const migrateBegun = performance.now();
  const migrate = new Process(bin('toolwire'), ['migrate', '--database-url', url, '--timeout', '3600000']);
  started.unshift(migrate);
  await migrate.says('added column caller');
  await enter('migrate: indexes, first start and calls');
  const serve = ['--log-format', 'json', '--database-url', url, '--metrics-port', '0', '--data-dir'];
  const edge = start('toolwire-edge', ['--port', '0', '--relay-port', '0', ...serve, `${directory}/edge`]);
  const {agents: agentsPort, relay, metrics: edgeMetrics} = await edge.event('edge ready');
  const control = start('toolwire-control', ['--grpc-port', '0', '--edge', `127.0.0.1:${relay}`, ...serve, `${directory}/control`]);
  const {callers, metrics: controlMetrics} = await control.event('control ready');
  await control.event('edge linked');
  await writeFile(`${directory}/secrets`, Array.from({length: AGENTS}, (_, i) => `user_${i} ${secretOf(`user_${i}`)}\n`).join(''), {mode: 0o600});
  const agents = start('toolwire', ['agent', '--url', `ws://127.0.0.1:${agentsPort}`, '--count', String(AGENTS), '--credentials', `${directory}/secrets`]);
  await agents.says('all agents connected');
  const calls = keep(new Steady('calls', Number(flags.calls), caller(callers)));
  const logins = keep(new Steady('logins', Number(flags.logins), login(agentsPort, secretOf)));
  const {code} = await migrate.exited;
  if (code !== 0) throw new Error(`migrate ended with ${code}: ${migrate.lines.slice(-3).join('\n')}`);
  result.migrateSeconds = (performance.now() - migrateBegun) / 1000;
  for (const line of migrate.lines.filter((one) => one.startsWith('added'))) note(`  ${line}`);

  await enter('calls, and a second pg_dump');
  await dump.exited;
  dump = startDump(url);
  await sleep(1000 * Number(flags.seconds));
  await enter('the end');
  for (const one of [logins, calls, writer]) await one.stop();
  const giveUp = Date.now() + 60_000;
  const all = () => Promise.all(['written', 'dropped', 'refused'].map(async (what) =>
    (await metric(controlMetrics, `toolwire_audit_rows_${what}_total`)) + (await metric(edgeMetrics, `toolwire_audit_rows_${what}_total`))));
  while ((await metric(controlMetrics, 'toolwire_audit_rows_waiting')) > 0 && Date.now() < giveUp) await sleep(100);
  const [written, dropped, refused] = await all();
  sampleWaits.client = undefined;
  const {rows: [found]} = await database.client.query(`SELECT count(*)::int AS rows, count(DISTINCT call_id)::int AS ids
    FROM tool_execution_logs WHERE call_id IS NOT NULL`);
  const begun = await metric(controlMetrics, 'toolwire_control_calls_total');

  console.log(`\n${'phase'.padEnd(42)} ${'took'.padStart(9)} ${'inserts'.padStart(8)} ${'slowest insert'.padStart(15)} ${'slowest call'.padStart(13)} ${'slowest login'.padStart(14)}`);
  for (const [name, of] of Object.entries(result.phases)) {
    const slowest = (some) => (some.times[name]?.length ? seconds3(some.slowest(name)) : '-');
    Object.assign(of, {inserts: writer.times[name]?.length ?? 0, slowestInsertMs: writer.slowest(name), slowestCallMs: calls.slowest(name), slowestLoginMs: logins.slowest(name)});
    console.log(`${name.padEnd(42)} ${seconds(1000 * of.seconds).padStart(9)} ${String(of.inserts).padStart(8)} ${slowest(writer).padStart(15)} ${slowest(calls).padStart(13)} ${slowest(logins).padStart(14)}`);
  }
  Object.assign(result, {
    slowestInsertMs: writer.slowest(), failedInserts: writer.failures.length, calls: begun, failedCalls: calls.failures.length,
    logins: logins.count, refusedLogins: logins.failures.length, slowestLoginMs: logins.slowest(), rowsOfCalls: found.rows, callIds: found.ids, written, dropped, refused, waits});
  console.log(`
migrate: ${seconds(1000 * result.migrateSeconds)}; slowest insert: ${seconds3(result.slowestInsertMs)}, failed: ${result.failedInserts}
logins: ${result.logins}, refused: ${result.refusedLogins}, slowest: ${seconds3(result.slowestLoginMs)}
calls: ${begun}, failed: ${result.failedCalls}; rows: ${found.rows}, call ids: ${found.ids}, dropped: ${dropped}, refused: ${refused}`);
  for (const [what, count] of Object.entries(waits)) console.log(`  inserts over 0.3 s, ${what}: seen ${count} times`);
  console.log(`  this process was late by ${seconds3(delay.max / 1e6)} at most`);
  for (const one of [writer, calls, logins]) for (const line of one.slow.slice(0, 5)) console.log(`  ${line}`);
  for (const one of [...writer.failures.slice(0, 3), ...calls.failures.slice(0, 3), ...logins.failures.slice(0, 3)]) console.log(`  ${one}`);
  const right = result.slowestInsertMs <= SLOW_MS && result.failedInserts + result.refusedLogins + dropped + refused === 0 &&
    found.rows === begun && found.ids === begun;
  console.log(right ? 'as it should be' : 'NOT as it should be');
  status = right ? 0 : 1;
  if (flags.json) await writeFile(flags.json, JSON.stringify(result, null, 2));
} finally {
  sampleWaits.client = undefined;
  for (const one of steady) clearInterval(one.timer);
  for (const one of started) await one.stop();
  await pool?.end();
  await database?.close().catch(() => {});
  await postgres?.stop();
  await rm(directory, {recursive: true, force: true});
}
process.exit(status);
