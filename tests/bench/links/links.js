// A throttled link: an edge and a control as two processes with a gate between them, the same rate each way. Small calls
// of one user (200 B, 100 a second on a clock, each call's time from when it was due) alone, and beside calls of 16 MiB
// of another user, one after another, first as params, then as results. `queued` is the most that the gate and its
// sockets held: what no sender can do anything about.
//
//   node links.js [--rates "4 16 100 0"] [--seconds 15] [--alone-seconds 5] [--json FILE]     MB/s; 0: not throttled
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {tell} from '../../functional/lib/gate.js';
import {Process, run} from '../compare/process.js';

const {values: flags} = parseArgs({options: {
  rates: {type: 'string', default: '4 16 100 0'}, seconds: {type: 'string', default: '15'},
  'alone-seconds': {type: 'string', default: '5'}, json: {type: 'string'},
}});
const PER_SECOND = 100;
const LARGE_BYTES = (16 << 20) - 1024;

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const bin = (name) => path.resolve(process.env.TOOLWIRE_BIN_DIR ?? here('../../../build/release'), name);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function start(directory) {
  const data = ['--data-dir', `${directory}/data`];
  const credentials = path.join(directory, 'credentials');
  const commands = path.join(directory, 'gate');
  await run(bin('toolwire'), ['credentials', 'create', 'user_', '--count', '2', '--out', credentials, ...data]);
  const servers = [...data, '--metrics-port', '0', '--log-format', 'json'];
  const edge = new Process(bin('toolwire-edge'), ['--port', '0', '--relay-port', '0', ...servers]);
  const {agents, relay} = await edge.event('edge ready');
  const gate = new Process(process.execPath, [here('../../functional/lib/gate.js'), '--to', `127.0.0.1:${relay}`, '--commands', commands]);
  const {address} = await gate.event('gate ready');
  const control = new Process(bin('toolwire-control'), ['--grpc-port', '0', '--edge', address, ...servers]);
  const {callers: port} = await control.event('control ready');
  await control.event('edge linked');
  // A process each, so that large payloads do not hold up small ones at the ends.
  const peers = ['user_0', 'user_1'].map((user) => ({
    agent: new Process(process.execPath, [here('agents.js'), credentials, `ws://127.0.0.1:${agents}`, user]),
    caller: new Process(process.execPath, [here('callers.js'), String(port), user]),
  }));
  for (const {agent} of peers) await agent.event('agent connected');
  return {
    control, small: peers[0].caller, large: peers[1].caller, gate: (command) => tell(commands, command),
    stop: async () => {
      for (const one of [...peers.flatMap(({agent, caller}) => [caller, agent]), control, edge, gate]) await one.stop();
    },
  };
}

const command = (process, fields) => process.child.stdin.write(`${JSON.stringify(fields)}\n`);
// The next result of a caller beyond those it has printed.
async function done(process, printed) {
  while (process.events('done').length <= printed) {
    if (process.how) throw new Error(`a caller ended: ${process.lines.slice(-5).join('\n')}`);
    await sleep(5);
  }
  return process.events('done').at(-1);
}

async function phase(servers, what, seconds) {
  const unlinked = () => servers.control.events('edge unlinked').length;
  const before = unlinked();
  const [smallDone, largeDone] = [servers.small, servers.large].map((one) => one.events('done').length);
  let queued = 0;
  const look = setInterval(async () => {
    const {connections} = await servers.gate({command: 'state'});
    for (const {holds} of connections) {
      for (const {own, unread, unsent} of Object.values(holds)) queued = Math.max(queued, own + unread + unsent);
    }
  }, 200);
  command(servers.small, {paced: PER_SECOND});
  let large;
  if (what === 'alone') {
    await sleep(1000 * seconds);
  } else {
    command(servers.large, {large: what, bytes: LARGE_BYTES, seconds});
    large = await done(servers.large, largeDone);
  }
  command(servers.small, {stop: true});
  const small = await done(servers.small, smallDone);
  clearInterval(look);
  return {what, small: figures(small), large: large && figures(large), unlinked: unlinked() - before, queued};
}
function figures({times, failed}) {
  const sorted = times.sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
  return {answered: sorted.length, p50: at(0.5), p99: at(0.99), most: sorted.at(-1) ?? null, failed};
}

const ms = (value) => (value == null ? '-' : value.toFixed(value < 100 ? 1 : 0));
const failures = (failed) => Object.entries(failed).map(([reason, count]) => `${count} ${reason}`).join(', ');
const row = (cells) => [9, 8, 9, 9, 9, 9, 7, 9, 9, 9, 8].map((width, i) => String(cells[i] ?? '').padStart(width)).join(' ');

const results = [];
console.log(row(['MB/s', 'beside', 'small', 'p50 ms', 'p99 ms', 'most ms', 'large', 'p50 ms', 'most ms', 'unlinked', 'queued']));
for (const rate of flags.rates.split(' ').map(Number)) {
  const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-links-'));
  const servers = await start(directory);
  try {
    await servers.gate({command: 'throttle', bytesPerSecond: rate * 1e6});
    for (const what of ['alone', 'params', 'results']) {
      const seen = await phase(servers, what, Number(what === 'alone' ? flags['alone-seconds'] : flags.seconds));
      const {small, large} = seen;
      results.push({megabytesPerSecond: rate || null, ...seen});
      console.log(row([
        rate || 'all', what === 'alone' ? '-' : what, small.answered, ms(small.p50), ms(small.p99), ms(small.most),
        large?.answered ?? '-', ms(large?.p50), ms(large?.most), seen.unlinked, `${Math.round(seen.queued / 1000)} kB`,
      ]));
      for (const [whose, {failed}] of Object.entries({small, ...(large && {large})})) {
        if (Object.keys(failed).length > 0) console.log(`${' '.repeat(19)}${whose} calls that failed: ${failures(failed)}`);
      }
    }
  } finally {
    await servers.stop();
    await rm(directory, {recursive: true, force: true});
  }
}
if (flags.json) await writeFile(flags.json, `${JSON.stringify(results, null, 2)}\n`);
