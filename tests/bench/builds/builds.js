// Two builds side by side: an edge, a control and agents of each, all running at once, that are called in turns of some
// seconds. What else the machine does meets both alike, so the ratio of two turns says more than either figure. Where a
// process's memory lies costs it some percent for as long as it lives: so all are started several times, either build
// first in turn. CPU is that of edge and control together, user and system. The callers are those of the newer build.
// How far the method itself is off shows with the same build twice.
//
//   TOOLWIRE_BIN_DIR=build/release node builds.js --before DIR [--agents 100] [--seconds 1] [--starts 6] [--rounds 8]
//                                                 [--only TEXT] [--json FILE]
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {Process, run} from '../compare/process.js';

const {values: flags} = parseArgs({options: {
  before: {type: 'string'}, agents: {type: 'string', default: '100'}, seconds: {type: 'string', default: '1'},
  starts: {type: 'string', default: '6'}, rounds: {type: 'string', default: '8'}, only: {type: 'string', default: ''}, json: {type: 'string'},
}});
if (!flags.before) throw new Error('--before DIR: where the programs of the build before are');
const LOADS = [
  ['one call at a time, stream', ['--concurrency', '1']], ['one call at a time, unary', ['--concurrency', '1', '--unary']],
  ['64 in flight, stream', ['--concurrency', '64']], ['64 in flight, unary', ['--concurrency', '64', '--unary']],
];
const now = process.env.TOOLWIRE_BIN_DIR ?? fileURLToPath(new URL('../../../build/release', import.meta.url));

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const mean = (numbers) => sum(numbers) / numbers.length;
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
// How far the mean of so many is from that of ever more of them, as a rule.
const standardError = (numbers) =>
  Math.sqrt(sum(numbers.map((one) => (one - mean(numbers)) ** 2)) / (numbers.length - 1) / numbers.length);

const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-bench-'));
const started = [];
let names = 0;
// The address of its control, and the processes that count.
async function startBuild(bin) {
  const name = `${directory}/${++names}`;
  const start = async (program, event, args) => {
    const one = new Process(path.resolve(bin, program), [...args, '--log-format', 'json']);
    started.unshift(one);
    return {one, ready: await one.event(event)};
  };
  const data = ['--data-dir', `${name}-edge`];
  await run(path.resolve(bin, 'toolwire'), ['credentials', 'create', 'user_', '--count', flags.agents, '--out', `${name}-secrets`, ...data]);
  const edge = await start('toolwire-edge', 'edge ready', ['--port', '0', '--relay-port', '0', '--metrics-port', '0', ...data]);
  const control = await start('toolwire-control', 'control ready', ['--grpc-port', '0', '--metrics-port', '0',
    '--edge', `127.0.0.1:${edge.ready.relay}`, '--data-dir', `${name}-control`]);
  await control.one.event('edge linked');
  await start('toolwire', 'all agents connected', ['agent', '--url', `ws://127.0.0.1:${edge.ready.agents}`, '--count',
    flags.agents, '--credentials', `${name}-secrets`]);
  return {address: `127.0.0.1:${control.ready.callers}`, pids: [edge, control].map(({one}) => one.pid)};
}
async function turn({address, pids}, load) {
  const one = new Process(path.resolve(now, 'tests/call_load'), ['--address', address, '--agents', flags.agents, '--seconds',
    flags.seconds, '--warmup', '0.3', '--pids', pids.join(), ...load]);
  const result = JSON.parse(await one.line('its result', (line) => line.startsWith('{') && line));
  await one.exited;
  if (result.failed > 0) throw new Error(`${load}: ${result.failed} calls failed`);
  return result;
}
async function stopAll() {
  for (const one of started.splice(0)) await one.stop();
}

const FIGURES = [['server_cpu_us_per_call', 'us CPU'], ['p50_us', 'us p50'], ['calls_per_s', 'calls/s']];
const loads = LOADS.filter(([what]) => what.includes(flags.only));
const pairs = Object.fromEntries(loads.map(([what]) => [what, []]));
try {
  for (let round = 0; round < Number(flags.starts); ++round) {
    const order = [['before', flags.before], ['now', now]];
    if (round % 2) order.reverse();
    const builds = {};
    for (const [side, bin] of order) builds[side] = await startBuild(bin);
    for (const [what, load] of loads) {
      for (const [side] of order) await turn(builds[side], load);  // Their first calls are those of new processes.
      for (let i = 0; i < Number(flags.rounds); ++i) {
        const pair = {};
        for (const [side] of i % 2 ? order : [...order].reverse()) pair[side] = await turn(builds[side], load);
        pairs[what].push(pair);
      }
    }
    await stopAll();
    console.error(`${round + 1} of ${flags.starts}`);
  }
  const rows = [];
  for (const [what] of loads) {
    console.log(what);
    for (const [key, unit] of FIGURES) {
      const [before, after] = ['before', 'now'].map((side) => pairs[what].map((pair) => pair[side][key]));
      const ratios = after.map((value, i) => Math.log(value / before[i]));
      const row = {what, unit, before: median(before), now: median(after), ratio: Math.exp(mean(ratios)),
        error: standardError(ratios), median_ratio: Math.exp(median(ratios)), pairs: ratios.length};
      rows.push(row);
      console.log(`  ${unit.padEnd(8)} ${row.before.toFixed(1).padStart(9)} -> ${row.now.toFixed(1).padStart(9)}   ratio ` +
        `${row.ratio.toFixed(3)} ± ${row.error.toFixed(3)} (median ${row.median_ratio.toFixed(3)}, ${row.pairs} pairs)`);
    }
  }
  if (flags.json) await writeFile(flags.json, JSON.stringify(rows));
} finally {
  await stopAll();
  await rm(directory, {recursive: true, force: true});
}
