// What Toolwire's first start does to the replaced server: a database with its tables and many rows, a writer that goes
// on inserting, pg_dump beside it, then `toolwire migrate`, edge and control, logins and calls, all while both run.
//
//   node store.js [--rows 10000000] [--credentials 1000000] [--inserts 200] [--calls 200] [--logins 10] [--seconds 60]
//                 [--json FILE] [--postgres-log FILE]
//
// Servers start as soon as migrate has added the columns, so that the first calls are made while indexes are built, and
// go on for --seconds after it has ended. A second dump begins with the calls, a third one when migrate has ended. For
// each phase: the writer's inserts and the slowest of them, by PostgreSQL's own clock and as this process saw it; with
// what was slow while one over a second lasted: a lock and who holds it, the disk, this process (causes.js). When the
// machine gives this process no time, only the first of the two counts. --postgres-log keeps PostgreSQL's log, with
// locks waited for, checkpoints and slow statements. At the end: logins that were refused or took over a second, calls
// that failed, and rows in the database against calls, each once. Status 1 if an insert took over a second, a login was
// refused, or a row is not there once.
// Needs toolwire, toolwire-edge, toolwire-control and pg_dump. PostgreSQL syncs as it does by default.
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import {chmod, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import pg from 'pg';
import {WebSocket} from 'ws';
import {Process} from '../compare/process.js';
import {Postgres} from '../compare/servers.js';
import {Causes} from './causes.js';

const {values: flags} = parseArgs({options: {
  rows: {type: 'string', default: '10000000'}, credentials: {type: 'string', default: '1000000'},
  inserts: {type: 'string', default: '200'}, calls: {type: 'string', default: '200'}, logins: {type: 'string', default: '10'},
  seconds: {type: 'string', default: '60'}, json: {type: 'string'}, 'postgres-log': {type: 'string'}}});
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
const clock = (at) => new Date(at).toISOString().slice(11, 23);
const seconds3 = (ms) => `${(ms / 1000).toFixed(3)} s`;

const LOG_MORE = ['log_lock_waits = on', "deadlock_timeout = '300ms'", 'log_autovacuum_min_duration = 0', 'log_checkpoints = on',
  "log_min_duration_statement = '300ms'"];

// --- what goes on all the time ---
let phase = 'before';
const causes = new Causes();
// Calls `act` so often a second, whether earlier ones are done or not, and keeps how long each took, by phase.
class Steady {
  times = {};
  failures = [];
  slow = [];  // Over SLOW_MS.
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
    const one = act(number).then((waited) => {
      const took = performance.now() - at;
      (this.times[of] ??= []).push(took);
      if (took <= SLOW_MS) return;
      const forPool = waited === undefined ? '' : `, ${seconds3(waited)} of it until a connection was free`;
      const text = `${of}: one of the ${this.name}, begun at ${clock(Date.now() - took)}, took ${seconds3(took)}`;
      this.slow.push({took, text: `${text}${forPool}${causes.between(at, at + took)}`});
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
// Without parameters: then what PostgreSQL logs of its time has the commit in it, and so the disk's sync.
const insertOf = (number) => `INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success, execution_time_ms)
  VALUES ('user_${number % 10000}', 'old-${number}', 'read_file', '{"path": "/tmp/x"}', '{"content": "some text that is not long"}', true, 12)`;
const WRITER = 'the replaced server', LOGGED_MS = 50;
// The writer's inserts that took longer, by PostgreSQL's own clock: a machine that gives this process no time makes them
// no slower.
function loggedInserts() {
  return postgres.server.lines.flatMap((line) => {
    const [, ended, took] = new RegExp(` (\\d+\\.\\d+) \\d+ ${WRITER}: LOG:  duration: (\\S+) ms  statement: INSERT`).exec(line) ?? [];
    return took ? [{from: 1000 * Number(ended) - Number(took), to: 1000 * Number(ended), took: Number(took)}] : [];
  });
}
// Returns how long it waited for a connection of the writer's, as it does behind slow ones.
const insert = (pool) => async (number) => {
  const at = performance.now();
  const client = await pool.connect();
  const waited = performance.now() - at;
  try {
    await client.query(insertOf(number));
  } finally {
    client.release();
  }
  return waited;
};
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
  if (enter.at !== undefined) result.phases[phase] = {seconds: (now - enter.at) / 1000, ended: Date.now()};
  enter.at = now;
  phase = next;
  note(next);
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
  await postgres.set("log_line_prefix = '%m %n %p %a: '", ...(flags['postgres-log'] ? LOG_MORE : []));
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
  pool = new pg.Pool({connectionString: url, max: 20, application_name: WRITER,
    options: `-c log_min_duration_statement=${LOGGED_MS}`});
  pool.on('error', () => {});
  const writer = keep(new Steady('inserts', Number(flags.inserts), insert(pool)));
  causes.watch(database.client, WRITER, `${directory}/sync`);
  await enter('the writer alone');
  await sleep(5000);
  await enter('and pg_dump');
  dump = startDump(url);
  await sleep(2000);

  await enter('migrate: columns');
  const migrateBegun = performance.now();
  const migrate = new Process(bin('toolwire'), ['migrate', '--database-url', url, '--timeout', '3600000']);
  started.unshift(migrate);
  await dump.exited;  // Which reads the tables until then, so that no column can be added.
  await migrate.says('added column caller');
  await enter('indexes, first start, calls, a second dump');
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
  dump = startDump(url);
  const {code} = await migrate.exited;
  if (code !== 0) throw new Error(`migrate ended with ${code}: ${migrate.lines.slice(-3).join('\n')}`);
  result.migrateSeconds = (performance.now() - migrateBegun) / 1000;
  for (const line of migrate.lines.filter((one) => one.startsWith('added'))) note(`  ${line}`);

  await enter('migrated: calls, and a third dump');
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
  await causes.end();
  const {rows: [found]} = await database.client.query(`SELECT count(*)::int AS rows, count(DISTINCT call_id)::int AS ids
    FROM tool_execution_logs WHERE call_id IS NOT NULL`);
  const begun = await metric(controlMetrics, 'toolwire_control_calls_total');

  const logged = loggedInserts().sort((one, other) => other.took - one.took);
  const names = Object.keys(result.phases);
  for (const one of logged) one.phase = names.find((name) => one.from < result.phases[name].ended) ?? names.at(-1);
  const atServer = (name) => Math.max(0, ...logged.filter((one) => !name || one.phase === name).map(({took}) => took));
  const shown = (ms) => (ms > LOGGED_MS ? seconds3(ms) : `< ${seconds3(LOGGED_MS)}`);
  const widths = [42, 8, 8, 15, 15, 13, 14];
  const padded = (cell, i) => (i ? String(cell).padStart(widths[i]) : cell.padEnd(widths[i]));
  const row = (...cells) => console.log(cells.map(padded).join(' '));
  console.log();
  row('phase', 'took', 'inserts', 'slowest insert', '... seen here', 'slowest call', 'slowest login');
  for (const [name, of] of Object.entries(result.phases)) {
    const slowest = (some) => (some.times[name]?.length ? seconds3(some.slowest(name)) : '-');
    Object.assign(of, {
      inserts: writer.times[name]?.length ?? 0, slowestInsertMs: atServer(name), slowestInsertHereMs: writer.slowest(name),
      slowestCallMs: calls.slowest(name), slowestLoginMs: logins.slowest(name)});
    const inserts = of.inserts ? shown(of.slowestInsertMs) : '-';
    row(name, seconds(1000 * of.seconds), of.inserts, inserts, slowest(writer), slowest(calls), slowest(logins));
  }
  Object.assign(result, {
    slowestInsertMs: atServer(), slowestInsertHereMs: writer.slowest(), failedInserts: writer.failures.length, calls: begun,
    failedCalls: calls.failures.length, logins: logins.count, refusedLogins: logins.failures.length, slowestLoginMs: logins.slowest(),
    rowsOfCalls: found.rows, callIds: found.ids, written, dropped, refused, slowestSyncMs: causes.slowestSyncMs, lateMs: causes.lateMs});
  console.log(`
migrate: ${seconds(1000 * result.migrateSeconds)}; slowest insert: ${shown(result.slowestInsertMs)} by PostgreSQL's clock, failed: ${result.failedInserts}
logins: ${result.logins}, refused: ${result.refusedLogins}, slowest: ${seconds3(result.slowestLoginMs)}
calls: ${begun}, failed: ${result.failedCalls}; rows: ${found.rows}, call ids: ${found.ids}, dropped: ${dropped}, refused: ${refused}
a sync of one page beside all that: ${seconds3(causes.slowestSyncMs)} at most; this process was late by ${seconds3(causes.lateMs)} at most`);
  for (const {phase: of, took, from, to} of logged.slice(0, 5)) {
    const seen = took > SLOW_MS / 2 ? causes.between(from - performance.timeOrigin, to - performance.timeOrigin) : '';
    console.log(`  ${of}: an insert that took ${seconds3(took)} by PostgreSQL's clock, begun at ${clock(from)}${seen}`);
  }
  for (const one of [writer, calls, logins]) {
    for (const {text} of one.slow.sort((one, other) => other.took - one.took).slice(0, 3)) console.log(`  ${text}`);
  }
  for (const one of [...writer.failures.slice(0, 3), ...calls.failures.slice(0, 3), ...logins.failures.slice(0, 3)]) console.log(`  ${one}`);
  // What is slow here and not there is the pool's or the connection's, unless this process itself had no time.
  const wasLate = causes.lateMs > SLOW_MS / 4;
  const right = result.slowestInsertMs <= SLOW_MS && (wasLate || writer.slowest() <= SLOW_MS) &&
    result.failedInserts + result.refusedLogins + dropped + refused === 0 && found.rows === begun && found.ids === begun;
  if (wasLate) console.log("this process had no time: only PostgreSQL's own times, and what was refused or lost, count");
  console.log(right ? 'as it should be' : 'NOT as it should be');
  status = right ? 0 : 1;
  if (flags.json) await writeFile(flags.json, JSON.stringify(result, null, 2));
} finally {
  await causes.end().catch(() => {});
  for (const one of steady) clearInterval(one.timer);
  for (const one of started) await one.stop();
  await pool?.end();
  await database?.close().catch(() => {});
  await postgres?.stop();
  if (flags['postgres-log'] && postgres) await writeFile(flags['postgres-log'], postgres.server.lines.join('\n'));
  await rm(directory, {recursive: true, force: true});
}
process.exit(status);
