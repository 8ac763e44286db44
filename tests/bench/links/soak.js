// Two edges behind gates, two controls, Redis and PostgreSQL, as scripts/cluster starts them; agents that stay connected;
// calls of all sizes with short and long deadlines, some cancelled; and on every link random cuts, stalls, throttles and
// delays, each shorter than the 2 s after which a link counts as lost. No process ends. At the end every call is held
// against what its agent saw: exit status 1 if one of the sums is not 0. Calls and faults are those of the seed. On a busy
// machine the tolerances grow: what the soak's own processes do not look at, they cannot hold against the product.
//
//   node soak.js [--seconds 600] [--seed N] [--users 8] [--refusals 0] [--black-holes 0] [--json FILE]
//
// Dials that are refused or swallowed (how often, against 4 for cuts) end a link's conversation by contract: calls told
// SENT around them are counted apart.
import {spawnSync} from 'node:child_process';
import {chmod, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {tell} from '../../functional/lib/gate.js';
import {STORM, newSeed, planOf} from '../../functional/lib/storm.js';
import {Process, run} from '../compare/process.js';
import {KINDS, TOLERANCE_MS, judge} from './soak_judge.js';
import {clock} from './stream.js';

const {values: flags} = parseArgs({options: {
  seconds: {type: 'string', default: '600'}, seed: {type: 'string', default: String(newSeed())},
  users: {type: 'string', default: '8'}, refusals: {type: 'string', default: '0'},
  'black-holes': {type: 'string', default: '0'}, json: {type: 'string'},
}});
const seconds = Number(flags.seconds);
const seed = Number(flags.seed);
const EDGES = 2;
const CONTROLS = 2;
const BYTES_MAX = 24 << 20;   // Of each caller's calls under way.
const LOST_WAIT_MS = 2000;
const FAULTS = {...STORM, refusals: Number(flags.refusals), blackHoles: Number(flags['black-holes'])};
// All that may be under way at the slowest rate, and the longest stall before and after it.
const graceMs = (1000 * CONTROLS * BYTES_MAX) / FAULTS.bytesPerSecond[0] + 2 * FAULTS.stallMs[1];

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const bin = (name) => path.resolve(process.env.TOOLWIRE_BIN_DIR ?? here('../../../build/release'), name);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function cluster(directory) {
  process.env.TOOLWIRE_CLUSTER_DIR = path.join(directory, 'cluster');
  const script = here('../../../scripts/cluster');
  process.on('exit', () => spawnSync(script, ['down']));  // Also after an error.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(2));
  await run(script, ['up', '--gate', '--seed', String(seed), '--edges', String(EDGES), '--controls', String(CONTROLS)]);
  const addresses = await readFile(path.join(process.env.TOOLWIRE_CLUSTER_DIR, 'addresses'), 'utf8');
  const all = (pattern) => [...addresses.matchAll(pattern)].map(([, found]) => found);
  return {
    edges: all(/^edge-\d+ +agents +(\S+)$/gm), controls: all(/^control-\d+ +callers +\S+:(\d+)$/gm),
    gates: all(/^edge-\d+ +gate +(\S+),/gm), databaseUrl: all(/^DATABASE_URL=(.+)$/gm)[0],
    ended: () => spawnSync(script, ['status'], {encoding: 'utf8'}).stdout.split('\n').filter((line) => line.endsWith('ENDED')),
  };
}

// When dials to an edge were refused or swallowed, and what may follow from it.
const outagesOf = (plan, began) => plan.filter(({command}) => ['refuse', 'blackHole'].includes(command))
  .map(({at, ms}) => [began + at, began + at + ms + 2 * LOST_WAIT_MS]);

async function soak(directory) {
  const {edges, controls, gates, databaseUrl, ended} = await cluster(directory);
  const credentials = path.join(directory, 'credentials');
  await run(bin('toolwire'), ['credentials', 'create', 'user_', '--count', flags.users, '--out', credentials, '--database-url', databaseUrl]);
  const users = Array.from({length: Number(flags.users)}, (_, i) => `user_${i}`);
  const edgeOf = (user) => users.indexOf(user) % EDGES;
  const agents = edges.map((url, edge) => new Process(process.execPath, [
    here('agents.js'), credentials, ...users.filter((user) => edgeOf(user) === edge).flatMap((user) => [url, user])]));
  for (const [edge, agent] of agents.entries()) {
    while (agent.events('agent connected').length < users.filter((user) => edgeOf(user) === edge).length) await sleep(10);
  }
  await sleep(1000);  // Until every control knows of them.
  const callers = controls.map((port, i) => new Process(process.execPath, [
    here('soak_callers.js'), port, String(seed + 100 + i), `call_${i}`, String(BYTES_MAX), ...users]));
  const began = clock();
  const plans = gates.map((_, i) => planOf(seed + 1 + i, seconds, FAULTS));
  for (const [i, gate] of gates.entries()) await tell(gate, {command: 'storm', ...FAULTS, seed: seed + 1 + i, seconds});
  await sleep(1000 * seconds);
  for (const caller of callers) caller.child.stdin.write('stop\n');
  const reports = await Promise.all(callers.map((caller) => caller.event('calls')));
  for (const agent of agents) agent.child.stdin.write('report\n');
  const seen = await Promise.all(agents.map((agent) => agent.event('report')));
  const lostAgents = agents.flatMap((agent) => agent.events('agent lost')).length;
  const gone = ended();
  for (const one of [...callers, ...agents]) await one.stop();

  const outages = plans.map((plan) => outagesOf(plan, began));
  const excused = ({userId, begunAt, outcome}) =>
    outages[edgeOf(userId)].some(([from, to]) => from < outcome.at && begunAt < to);
  return {...judge({callers: reports, agents: seen, graceMs, excused}), faults: plans.flat(), lostAgents, gone};
}

console.log(`seed ${seed}: ${seconds} s; to repeat: scripts/bench links soak --seconds ${seconds} --seed ${seed}`);
const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-soak-'));
await chmod(directory, 0o711);  // PostgreSQL's own user must pass.
const {calls, outcomes, found, faults, excusedCalls, lostAgents, gone} = await soak(directory);

const count = (command) => faults.filter((fault) => fault.command === command).length;
console.log(`faults: ${['cut', 'stall', 'throttle', 'delay', 'refuse', 'blackHole'].map((one) => `${count(one)} ${one}`).join(', ')}`);
console.log(`calls: ${calls}`);
for (const [told, number] of Object.entries(outcomes).sort(([, a], [, b]) => b - a)) console.log(`  ${String(number).padStart(7)} ${told}`);
for (const [kind, meaning] of Object.entries(KINDS)) {
  console.log(`${kind}: ${found[kind].length}   (${meaning})`);
  for (const {requestId, userId, begunAt, deadlineAt, outcome, runs} of found[kind].slice(0, 3)) {
    const since = (at) => (at === undefined ? '-' : `${Math.round(at - begunAt)} ms`);
    console.log(`  ${requestId} to ${userId}: deadline ${since(deadlineAt)}, ${outcome?.reason ?? 'answered'} ${outcome?.delivery ?? ''} at ` +
      `${since(outcome?.at)}, ${runs.map((one) => `seen at ${since(one.seenAt)}, answered at ${since(one.answeredAt)}`).join('; ')}`);
  }
}
if (excusedCalls > 0) console.log(`told SENT though answered, while dials were refused or swallowed: ${excusedCalls}`);
console.log(`tolerances: after a deadline ${TOLERANCE_MS} ms, the call's own upload, and what this soak's processes did not see; ` +
  `before one ${Math.round(graceMs)} ms`);
if (lostAgents > 0) console.log(`${lostAgents} agents lost their session: the sums say nothing of the links`);
for (const line of gone) console.log(`a process ended: ${line}`);
if (flags.json) await writeFile(flags.json, `${JSON.stringify({seed, seconds, calls, outcomes, found, faults}, null, 1)}\n`);
spawnSync(here('../../../scripts/cluster'), ['down']);
await rm(directory, {recursive: true, force: true});
process.exit(lostAgents > 0 || gone.length > 0 || Object.values(found).some((some) => some.length > 0) ? 1 : 0);
