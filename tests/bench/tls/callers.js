// Calls over TLS beside plain ones, in one run: an edge, and two controls that share it, one of which speaks TLS with its
// callers. They take turns, each for some seconds. CPU is that of the control alone, user and system.
//
//   node callers.js [--agents 100] [--seconds 4] [--rounds 3] [--json FILE]
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {Process, run} from '../compare/process.js';

const {values: flags} = parseArgs({options: {
  agents: {type: 'string', default: '100'}, seconds: {type: 'string', default: '4'}, rounds: {type: 'string', default: '3'},
  json: {type: 'string'},
}});
const LOADS = [
  ['one call at a time, stream', ['--concurrency', '1']], ['one call at a time, unary', ['--concurrency', '1', '--unary']],
  ['64 in flight, stream', ['--concurrency', '64']], ['64 in flight, unary', ['--concurrency', '64', '--unary']],
  ['8 of 64 KiB in flight, stream', ['--concurrency', '8', '--params-bytes', '65536']],
];
const bin = (name) => path.resolve(
  process.env.TOOLWIRE_BIN_DIR ?? fileURLToPath(new URL('../../../build/release', import.meta.url)), name);
const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-bench-'));
const started = [];
async function start(name, event, args) {
  const one = new Process(bin(name), [...args, '--log-format', 'json']);
  started.unshift(one);
  return {one, ready: await one.event(event)};
}
try {
  const dataOf = (name) => ['--data-dir', `${directory}/${name}`];
  const [tls, secrets] = [`${directory}/tls`, `${directory}/secrets`];
  await run(bin('toolwire'), ['certificates', 'create', '--dir', tls]);
  await run(bin('toolwire'), ['credentials', 'create', 'user_', '--count', flags.agents, '--out', secrets, ...dataOf('edge')]);
  const edge = await start('toolwire-edge', 'edge ready', ['--port', '0', '--relay-port', '0', '--metrics-port', '0', ...dataOf('edge')]);
  const control = (name) => ['--grpc-port', '0', '--edge', `127.0.0.1:${edge.ready.relay}`, '--metrics-port', '0', ...dataOf(name)];
  const sides = {
    plain: {server: await start('toolwire-control', 'control ready', control('plain')), args: []},
    TLS: {
      server: await start('toolwire-control', 'control ready',
        [...control('tls'), '--grpc-tls-cert', `${tls}/control.crt`, '--grpc-tls-key', `${tls}/control.key`]),
      args: ['--ca', `${tls}/ca.crt`],
    },
  };
  for (const {server} of Object.values(sides)) await server.one.event('edge linked');
  await start('toolwire', 'all agents connected', ['agent', '--url', `ws://127.0.0.1:${edge.ready.agents}`, '--count',
    flags.agents, '--credentials', secrets]);

  const rows = [];
  console.log(`${'control, per call'.padEnd(30)}  ${'CPU plain'.padStart(10)}  ${'TLS'.padStart(10)}   more | p50 plain  TLS (us)`);
  for (const [what, args] of LOADS) {
    const runs = {plain: [], TLS: []};
    for (let round = 0; round < Number(flags.rounds); ++round) {
      for (const [side, {server, args: own}] of Object.entries(sides)) {
        const load = new Process(bin('tests/call_load'), ['--address', `127.0.0.1:${server.ready.callers}`, '--agents',
          flags.agents, '--seconds', flags.seconds, '--pids', String(server.one.pid), ...args, ...own]);
        const result = JSON.parse(await load.line('its result', (line) => line.startsWith('{') && line));
        await load.exited;
        if (result.failed > 0) throw new Error(`${what}, ${side}: ${result.failed} calls failed`);
        runs[side].push(result);
      }
    }
    const cpu = (side) => median(runs[side].map((one) => one.server_cpu_us_per_call));
    const p50 = (side) => median(runs[side].map((one) => one.p50_us));
    rows.push({what, plain: cpu('plain'), tls: cpu('TLS'), p50_plain: p50('plain'), p50_tls: p50('TLS'), runs});
    const us = (number) => `${number.toFixed(1)} us`.padStart(10);
    console.log(`${what.padEnd(30)}  ${us(cpu('plain'))}  ${us(cpu('TLS'))}  ${us(cpu('TLS') - cpu('plain'))} | ${p50('plain')}  ${p50('TLS')}`);
  }
  if (flags.json) await writeFile(flags.json, JSON.stringify(rows));
} finally {
  for (const one of started) await one.stop();
  await rm(directory, {recursive: true, force: true});
}
