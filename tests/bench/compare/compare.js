// Toolwire, NATS and the Node.js server that Toolwire replaces, one after the other on this machine, with the same
// agents, callers and payloads (200 B of params, echoed). Called by `scripts/bench compare`.
import {rmSync} from 'node:fs';
import {chmod, mkdir, mkdtemp, writeFile} from 'node:fs/promises';
import {cpus, tmpdir} from 'node:os';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {parseArgs} from 'node:util';
import {Process, cpuUs, residentBytes} from './process.js';
import {Postgres} from './servers.js';
import {SYSTEMS, here} from './systems.js';
import {budgets, tables} from './report.js';

const AUDIT_DEADLINE_MS = 60_000;
const SETTLE_MS = 3_000;  // After the last login; nats-server sends each client a first PING about 2 s after its own.
const CONCURRENCIES = [1, 64];
const words = (text) => text.split(/\s+/).filter(Boolean);
const flags = readFlags();

function readFlags() {
  const options = {
    agents: {type: 'string', default: '1000 10000'},
    seconds: {type: 'string', default: '5'},
    rounds: {type: 'string', default: '3'},
    'idle-seconds': {type: 'string', default: '15'},
    systems: {type: 'string', default: Object.keys(SYSTEMS).join(' ')},
    json: {type: 'string'},
  };
  try {
    const {values} = parseArgs({options});
    const unknown = words(values.systems).filter((name) => !SYSTEMS[name]);
    if (unknown.length) throw new Error(`--systems: ${Object.keys(SYSTEMS).join(' ')}; not ${unknown}`);
    return values;
  } catch (error) {
    console.error(`bench compare: ${error.message}; options are --${Object.keys(options).join(', --')}`);
    process.exit(2);
  }
}

const progress = (text) => process.stderr.write(`bench compare: ${text}\n`);

// Waits for the audit rows of `calls` calls; whether they came.
async function audited(database, calls, sinceId) {
  const giveUp = performance.now() + AUDIT_DEADLINE_MS;
  while ((await database.auditRowsSince(sinceId)) < calls) {
    if (performance.now() > giveUp) return false;
    await sleep(20);
  }
  return true;
}

// CPU time used by each between two readings, over `divisor`. Undefined for what the system does not have.
const usedPer = (divisor, before, after) =>
  Object.fromEntries(
    Object.entries(after).map(([who, us]) => [who, us === undefined ? us : (us - before[who]) / divisor]));

// One run of callers.js. The servers' CPU time is counted from when nothing is in flight to when the last call is
// answered and its audit row written, and shared out among all calls between.
async function measureCalls({pids, callers, redis, database}, agents, concurrency, agentsPid) {
  const program = new Process(process.execPath, [
    here('callers.js'), '--system', callers.system, '--url', callers.url, '--agents', String(agents),
    '--concurrency', String(concurrency), '--seconds', flags.seconds,
  ]);
  const used = () => ({
    servers: cpuUs(pids),
    redis: redis?.cpuUs(),
    postgres: database?.cpuUs(),
    agents: cpuUs([agentsPid]),
  });
  const firstId = await database?.lastAuditId();
  const warm = await program.event('warm');
  if (database) await audited(database, warm.calls, firstId);
  const secondId = await database?.lastAuditId();
  const before = used();
  program.child.stdin.write('go\n');
  const done = await program.event('done');
  const answeredAt = performance.now();
  const allAudited = database ? await audited(database, done.calls, secondId) : true;
  const auditLagMs = performance.now() - answeredAt;
  const after = used();
  await program.stop();
  const complaints = program.lines.filter((line) => line.startsWith('callers: '));
  if (complaints.length) progress(complaints.join('; '));
  const cpu_us_per_call = usedPer(done.calls, before, after);
  return {...done, warm, cpu_us_per_call, audited: allAudited, audit_lag_ms: database && auditLagMs};
}

async function measureIdle({pids, redis, database}, count, rssBefore) {
  const used = () => ({servers: cpuUs(pids), redis: redis?.cpuUs(), postgres: database?.cpuUs()});
  const began = performance.now();
  const before = used();
  await sleep(1000 * Number(flags['idle-seconds']));
  const after = used();
  const percentUs = 10 * (performance.now() - began);
  return {
    rss_bytes_per_agent: (residentBytes(pids) - rssBefore) / count,
    idle_cpu_percent: usedPer(percentUs, before, after),
  };
}

// Each failed expectation of a run, in a sentence.
async function complaintsOf(rounds, agentProgram, database) {
  const found = [];
  const phases = rounds.flatMap((one) => [one, one.warm]);
  const calls = phases.reduce((sum, one) => sum + one.calls, 0);
  const failed = phases.reduce((sum, one) => sum + one.failed, 0);
  if (failed) found.push(`${failed} of ${calls} calls failed`);
  const lost = agentProgram.events('agent lost').length;
  if (lost) found.push(`${lost} agents lost their connection`);
  if (database) {
    const audit = await database.auditRows();
    if (audit.rows !== calls) found.push(`${audit.rows} audit rows for ${calls} calls`);
    if (audit.request_ids !== audit.rows) found.push(`${audit.rows} audit rows, but ${audit.request_ids} request ids`);
    if (audit.successes !== calls - failed) found.push(`${audit.successes} audit rows with success, of ${calls} calls`);
  }
  return {calls, found};
}

async function measure(name, count, postgres, work) {
  const system = SYSTEMS[name];
  const directory = path.join(work, `${name}-${count}`);
  await mkdir(directory);
  const database = system.database ? await postgres.database(`run_${name.replaceAll('-', '_')}_${count}`) : undefined;
  let servers, agents;
  try {
    servers = await system.start({agents: count, directory, database});
    await database?.settle();
    await sleep(500);
    const rssBefore = residentBytes(servers.pids);
    agents = system.startAgents(servers.agents, count);
    const {elapsed_ms: connect_ms, refused = 0} = await agents.event('all agents connected');
    await sleep(SETTLE_MS);
    const idle = system.callsOnly ? undefined : await measureIdle(servers, count, rssBefore);
    const rounds = [];
    for (let round = 0; round < Number(flags.rounds); ++round) {
      for (const concurrency of CONCURRENCIES) {
        rounds.push({concurrency, ...(await measureCalls(servers, count, concurrency, agents.pid))});
      }
    }
    const {calls, found} = await complaintsOf(rounds, agents, database);
    const verdict = found.length
      ? `WRONG: ${found.join('; ')}`
      : `all answered${database ? ', one audit row each' : ''}`;
    progress(`${system.title}, ${count} agents: ${calls} calls; ${verdict}`);
    return {system: name, title: system.title, agents: count, connect_ms, refused, ...idle, rounds, complaints: found};
  } finally {
    await agents?.stop();
    await servers?.stop();
    await database?.drop();
  }
}

async function main() {
  const work = await mkdtemp(path.join(tmpdir(), 'toolwire-compare-'));
  process.on('exit', () => rmSync(work, {recursive: true, force: true}));
  const results = [];
  let postgres;
  try {
    await chmod(work, 0o711);  // The user postgres passes through.
    postgres = await Postgres.start(path.join(work, 'postgres'));
    for (const agents of words(flags.agents).map(Number)) {
      for (const name of words(flags.systems)) results.push(await measure(name, agents, postgres, work));
    }
  } finally {
    await postgres?.stop();
  }
  if (flags.json) await writeFile(flags.json, `${JSON.stringify({flags, results}, null, 2)}\n`);
  console.log(`${cpus().length} cores, everything on them: agents (one process) and callers (one client) in Node.js.`);
  console.log(`200 B of params, echoed. Rounds: ${flags.rounds}, of ${flags.seconds} s; figures are their medians.\n`);
  for (const line of [...tables(results), '', ...budgets(results)]) console.log(line);
  const wrong = results.filter(({complaints}) => complaints.length);
  for (const {title, agents, complaints} of wrong) {
    console.log(`\nWRONG: ${title}, ${agents} agents: ${complaints.join('; ')}`);
  }
  return wrong.length ? 1 : 0;
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
try {
  process.exit(await main());
} catch (error) {
  console.error(`bench compare: ${error.stack}`);
  process.exit(1);
}
