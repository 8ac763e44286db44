// Toolwire, NATS and the Node.js server that Toolwire replaces, on this machine, with the same agents, callers and
// payloads (200 B of params, echoed). Called by `scripts/bench compare`. All run at once and are called in turns, round
// by round, since a machine is often faster in one minute than in the next.
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
    'warmup-seconds': {type: 'string', default: '3'},  // The callers' code is compiled by then, as it is in a backend.
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
    '--concurrency', String(concurrency), '--seconds', flags.seconds, '--warmup-seconds', flags['warmup-seconds'],
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

// One system with its agents logged in.
class Running {
  static async start(name, count, work) {
    const self = Object.assign(new Running(), {name, count, system: SYSTEMS[name], rounds: []});
    try {
      const directory = path.join(work, `${name}-${count}`);
      await mkdir(directory);
      if (self.system.database) {
        self.postgres = await Postgres.start(path.join(directory, 'postgres'));
        self.database = await self.postgres.database('run');
      }
      self.servers = await self.system.start({agents: count, directory, database: self.database});
      await self.database?.settle();
      await sleep(500);
      const rssBefore = residentBytes(self.servers.pids);
      self.agents = self.system.startAgents(self.servers.agents, count);
      const {elapsed_ms, refused = 0} = await self.agents.event('all agents connected');
      Object.assign(self, {connect_ms: elapsed_ms, refused});
      await sleep(SETTLE_MS);
      self.idle = self.system.callsOnly ? undefined : await measureIdle(self.servers, count, rssBefore);
      progress(`${self.system.title}: ${count} agents logged in`);
      return self;
    } catch (error) {
      await self.stop();
      throw error;
    }
  }
  async round() {
    for (const concurrency of CONCURRENCIES) {
      this.rounds.push({concurrency, ...(await measureCalls(this.servers, this.count, concurrency, this.agents.pid))});
    }
  }
  async result() {
    const {name, count, system, connect_ms, refused, idle, rounds} = this;
    const {calls, found} = await complaintsOf(rounds, this.agents, this.database);
    const verdict = found.length
      ? `WRONG: ${found.join('; ')}`
      : `all answered${this.database ? ', one audit row each' : ''}`;
    progress(`${system.title}, ${count} agents: ${calls} calls; ${verdict}`);
    return {system: name, title: system.title, agents: count, connect_ms, refused, ...idle, rounds, complaints: found};
  }
  async stop() {
    await this.agents?.stop();
    await this.servers?.stop();
    await this.database?.close();
    await this.postgres?.stop();
  }
}

async function measure(count, work) {
  const running = [];
  try {
    for (const name of words(flags.systems)) running.push(await Running.start(name, count, work));
    for (let round = 1; round <= Number(flags.rounds); ++round) {
      for (const one of running) await one.round();
      progress(`round ${round} of ${flags.rounds} with ${count} agents is done`);
    }
    const results = [];
    for (const one of running) results.push(await one.result());
    return results;
  } finally {
    for (const one of running) await one.stop();
  }
}

async function main() {
  const work = await mkdtemp(path.join(tmpdir(), 'toolwire-compare-'));
  process.on('exit', () => rmSync(work, {recursive: true, force: true}));
  const results = [];
  await chmod(work, 0o711);  // The user postgres passes through.
  for (const agents of words(flags.agents).map(Number)) results.push(...(await measure(agents, work)));
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
