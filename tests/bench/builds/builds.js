// Two builds side by side: an edge, a control and agents of each, all running at once, that are called in turns of some
// seconds. What else the machine does meets both alike, so the ratio of two turns says more than either figure. Where a
// process's memory lies costs it some percent for as long as it lives: so all are started many times, in an order by
// chance, and the error is that of the starts' ratios; turns of one start tell nothing of that. CPU is that of edge and
// control together, user and system, of all turns of a start over all its calls. With the same build twice the ratio has
// to come out as 1 within its error.
//
//   TOOLWIRE_BIN_DIR=build/release node builds.js --before DIR [--agents 100] [--seconds 1] [--starts 16] [--rounds 3]
//                                                 [--only TEXT] [--store postgresql] [--client-before FILE] [--json FILE]
//
// --store postgresql: each build has a database of one server, whose CPU is counted too. --client-before FILE: Node.js
// callers too, with that client (its dist/index.mjs) before and with this tree's now, and their own CPU. Other callers are
// those of the newer build.
import {mkdtemp, chmod, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {Process, cpuUs, run} from '../compare/process.js';
import {Postgres} from '../compare/servers.js';

const {values: flags} = parseArgs({options: {
  before: {type: 'string'}, agents: {type: 'string', default: '100'}, seconds: {type: 'string', default: '1'},
  starts: {type: 'string', default: '16'}, rounds: {type: 'string', default: '3'}, only: {type: 'string', default: ''},
  store: {type: 'string', default: 'sqlite'}, 'client-before': {type: 'string'}, json: {type: 'string'},
}});
if (!flags.before) throw new Error('--before DIR: where the programs of the build before are');
if (!['sqlite', 'postgresql'].includes(flags.store)) throw new Error('--store sqlite, or postgresql');
if (!(Number(flags.starts) >= 2)) throw new Error('--starts: at least 2, as the error is that of their ratios');
const here = (where) => fileURLToPath(new URL(where, import.meta.url));
const LOADS = [
  ['one call at a time, stream', ['--concurrency', '1']], ['one call at a time, unary', ['--concurrency', '1', '--unary']],
  ['64 in flight, stream', ['--concurrency', '64']], ['64 in flight, unary', ['--concurrency', '64', '--unary']],
  ...(flags['client-before'] ? [['one call at a time, Node.js', ['--concurrency', '1']], ['64 in flight, Node.js', ['--concurrency', '64']]] : []),
];
const loads = LOADS.filter(([what]) => what.includes(flags.only));
if (loads.length === 0) throw new Error(`--only: none of ${LOADS.map(([what]) => what).join('; ')}`);
const ofNode = (what) => what.endsWith('Node.js');
const programs = {before: flags.before, now: process.env.TOOLWIRE_BIN_DIR ?? here('../../../build/release')};
const clients = {before: flags['client-before'], now: here('../../../clients/node/dist/index.mjs')};

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const mean = (numbers) => sum(numbers) / numbers.length;
const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  return mean([sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]]);
};
// How far the mean of so many is from that of ever more of them, as a rule.
const standardError = (numbers) =>
  Math.sqrt(sum(numbers.map((one) => (one - mean(numbers)) ** 2)) / (numbers.length - 1) / numbers.length);
const byChance = (some) => (Math.random() < 0.5 ? some : [...some].reverse());

const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-bench-'));
await chmod(directory, 0o711);  // PostgreSQL's own user must pass.
let postgres;
const started = [];
let names = 0;
// The address of its control, the processes that count, and its database.
async function startBuild(bin) {
  const name = `build_${++names}`, at = path.join(directory, name);
  const start = async (program, event, args) => {
    const one = new Process(path.resolve(bin, program), [...args, '--log-format', 'json']);
    started.unshift(one);
    return {one, ready: await one.event(event)};
  };
  const database = await postgres?.database(name);
  if (database) started.push({stop: () => database.close()});
  const url = database ? ['--database-url', database.url] : [];
  if (database) await run(path.resolve(bin, 'toolwire'), ['migrate', ...url]);
  await run(path.resolve(bin, 'toolwire'), ['credentials', 'create', 'user_', '--count', flags.agents, '--out', `${at}-secrets`,
    ...(database ? url : ['--data-dir', `${at}-edge`])]);
  const edge = await start('toolwire-edge', 'edge ready', ['--port', '0', '--relay-port', '0', '--metrics-port', '0',
    '--data-dir', `${at}-edge`, ...url]);
  const control = await start('toolwire-control', 'control ready', ['--grpc-port', '0', '--metrics-port', '0',
    '--edge', `127.0.0.1:${edge.ready.relay}`, '--data-dir', `${at}-control`, ...url]);
  await control.one.event('edge linked');
  await start('toolwire', 'all agents connected', ['agent', '--url', `ws://127.0.0.1:${edge.ready.agents}`, '--count',
    flags.agents, '--credentials', `${at}-secrets`]);
  await database?.settle();
  return {address: `127.0.0.1:${control.ready.callers}`, pids: [edge, control].map(({one}) => one.pid), database};
}
async function turn(side, {address, pids, database}, what, load) {
  const of = ['--agents', flags.agents, '--seconds', flags.seconds, ...load];
  const databaseBefore = database?.cpuUs();
  let result;
  if (ofNode(what)) {
    const one = new Process('node', [here('../compare/callers.js'), '--system', 'toolwire', '--url', address, '--client',
      path.resolve(clients[side]), '--warmup-seconds', '0.5', ...of]);
    await one.event('warm');
    const before = cpuUs(pids);
    one.child.stdin.write('go\n');
    const done = await one.event('done');
    result = {calls: done.calls, failed: done.failed, cpu: cpuUs(pids) - before, p50_us: 1000 * done.p50_ms,
      calls_per_s: done.calls_per_s, client: done.caller_cpu_us_per_call * done.calls};
    await one.exited;
  } else {
    const one = new Process(path.resolve(programs.now, 'tests/call_load'), ['--address', address, '--warmup', '0.3',
      '--pids', pids.join(), ...of]);
    const said = JSON.parse(await one.line('its result', (line) => line.startsWith('{') && line));
    await one.exited;
    const calls = said.calls_per_s * Number(flags.seconds);
    result = {calls, failed: said.failed, cpu: said.server_cpu_us_per_call * calls, p50_us: said.p50_us, calls_per_s: said.calls_per_s};
  }
  if (result.failed > 0) throw new Error(`${what}: ${result.failed} calls failed`);
  if (database) {
    // Rows are written within 100 ms or so; those of the warm-up count on either side alike.
    await new Promise((resolve) => setTimeout(resolve, 400));
    result.database = database.cpuUs() - databaseBefore;
  }
  return result;
}
async function stopAll() {
  for (const one of started.splice(0)) await one.stop();
}

// Of the turns of one start.
const perCall = (key) => (turns) => sum(turns.map((one) => one[key])) / sum(turns.map((one) => one.calls));
const middle = (key) => (turns) => median(turns.map((one) => one[key]));
const FIGURES = [
  ['us CPU', perCall('cpu'), () => true], ['us CPU of PostgreSQL', perCall('database'), () => postgres],
  ['us CPU of the caller', perCall('client'), ofNode], ['us p50', middle('p50_us'), () => true], ['calls/s', middle('calls_per_s'), () => true],
];
const figures = Object.fromEntries(loads.map(([what]) => [what, FIGURES.map(() => ({before: [], now: []}))]));
try {
  if (flags.store === 'postgresql') postgres = await Postgres.start(path.join(directory, 'postgres'));
  for (let start = 0; start < Number(flags.starts); ++start) {
    const builds = {};
    for (const side of byChance(['before', 'now'])) builds[side] = await startBuild(programs[side]);
    for (const [what, load] of byChance(loads)) {
      const turns = {before: [], now: []};
      for (const side of byChance(['before', 'now'])) await turn(side, builds[side], what, load);  // First calls are those of new processes.
      for (let round = 0; round < Number(flags.rounds); ++round) {
        for (const side of byChance(['before', 'now'])) turns[side].push(await turn(side, builds[side], what, load));
      }
      FIGURES.forEach(([, of, has], i) => {
        if (has(what)) for (const side of ['before', 'now']) figures[what][i][side].push(of(turns[side]));
      });
    }
    await stopAll();
    console.error(`${start + 1} of ${flags.starts}`);
  }
  const rows = [];
  for (const [what] of loads) {
    console.log(what);
    FIGURES.forEach(([unit], i) => {
      const {before, now} = figures[what][i];
      if (!before.length) return;
      const ratios = now.map((value, start) => Math.log(value / before[start]));
      const row = {what, unit, before: median(before), now: median(now), ratio: Math.exp(mean(ratios)),
        error: standardError(ratios), median_ratio: Math.exp(median(ratios)), starts: ratios.length};
      rows.push(row);
      console.log(`  ${unit.padEnd(20)} ${row.before.toFixed(1).padStart(9)} -> ${row.now.toFixed(1).padStart(9)}   ratio ` +
        `${row.ratio.toFixed(3)} ± ${row.error.toFixed(3)} (median ${row.median_ratio.toFixed(3)}, ${row.starts} starts)`);
    });
  }
  if (flags.json) await writeFile(flags.json, JSON.stringify(rows));
} finally {
  await stopAll();
  await postgres?.stop();
  await rm(directory, {recursive: true, force: true});
}
