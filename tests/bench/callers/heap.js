// One @toolwire/client that makes a million calls, against an edge, a control and `toolwire agent`: what its process
// holds after each tenth of them. Among them are calls that fail, that are aborted, that wait for their agents and, as
// control is stopped and begins again in each step, that wait for it; some watches stay open, others come and go. Exit
// status 1 if one of these has grown from the first three steps to the last three: the heap, the listeners of a signal
// that all calls share, what the event loop waits for, the streams and watches at control.
//
//   node heap.js [--calls 1000000] [--steps 10] [--concurrency 64] [--agents 16] [--json FILE]
import assert from 'node:assert/strict';
import {getEventListeners, setMaxListeners} from 'node:events';
import http from 'node:http';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {text} from 'node:stream/consumers';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import v8 from 'node:v8';
import vm from 'node:vm';
import {Process, freePort, run} from '../compare/process.js';

const {values: flags} = parseArgs({options: {
  calls: {type: 'string', default: '1000000'}, steps: {type: 'string', default: '10'},
  concurrency: {type: 'string', default: '64'}, agents: {type: 'string', default: '16'}, json: {type: 'string'},
}});
const CALLS = Number(flags.calls);
const STEPS = Number(flags.steps);
const CONCURRENCY = Number(flags.concurrency);
const AGENTS = Number(flags.agents);
if (!(STEPS >= 6)) throw new Error('--steps: at least 6, as the first three are held against the last three');
v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc');
const WATCHES = 20;            // That stay open.
const CONTROL_WAIT_MS = 1_500;
const WAITING_FOR_CONTROL = 200;  // Calls, in each step, that a control comes for; and as many for which none comes.
// A heap of some 10 MB differs by less from step to step; 3 bytes for each of 700,000 calls are as much.
const HEAP_GROWTH_MAX = 2 << 20;
const OTHERS_GROWTH_MAX = 5;

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const bin = (name) => path.resolve(process.env.TOOLWIRE_BIN_DIR ?? here('../../../build/release'), name);
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-bench-'));
const started = new Set();
async function start(name, event, args) {
  const one = new Process(bin(name), [...args, '--log-format', 'json']);
  started.add(one);
  return {one, ready: await one.event(event)};
}

class Control {
  #one;
  constructor(callers, relay) {
    this.callers = callers;
    this.relay = relay;
  }
  // At the same port each time.
  async begin() {
    const {one, ready} = await start('toolwire-control', 'control ready', ['--grpc-port', String(this.callers),
      '--metrics-port', '0', '--edge', `127.0.0.1:${this.relay}`, '--data-dir', `${directory}/control`]);
    this.#one = one;
    this.metrics = ready.metrics;
    await one.event('edge linked');
  }
  async stop() {
    started.delete(this.#one);
    await this.#one.stop();
  }
  async sum(...names) {
    // Not fetch, which remembers each port.
    const response = await new Promise((resolve, reject) =>
      http.get({port: this.metrics, path: '/metrics', agent: false}, resolve).on('error', reject));
    const page = await text(response);
    return names.map((name) => Number(page.match(new RegExp(`^${name} (\\S+)$`, 'm'))?.[1]));
  }
}

const forever = new AbortController();  // A signal of all calls, never aborted.
setMaxListeners(0, forever.signal);
const outcomes = {};
const count = (what) => (outcomes[what] = (outcomes[what] ?? 0) + 1);
const reasonOf = (call) => call.then(() => 'answered', (error) => error.reason ?? error.name);
async function expect(what, call, ...reasons) {
  const said = await reasonOf(call);
  assert.ok(reasons.includes(said), `${what}: ${said}`);
  count(what);
}
// What is no plain call: how often, and what it is.
const KINDS = [
  [500, (client) => expect('failed: no agent', client.callTool('nobody', 'echo', {}), 'AGENT_NOT_CONNECTED')],
  [501, (client, user) =>
    expect('failed: timed out', client.callTool(user, 'sleep', {ms: 1000}, {timeoutMs: 20}), 'CALL_TIMEOUT')],
  [503, (client, user) => expect('failed: TypeError', client.callTool(user, 'echo', {f: new Map()}), 'TypeError')],
  [509, (client, user) =>
    expect('failed: refused', client.callTool(user, 'echo', {}, {requestId: 'x'.repeat(1000)}), 'INVALID_REQUEST')],
  [200, (client, user) => {
    const controller = new AbortController();
    const call = client.callTool(user, 'echo', {}, {signal: controller.signal});
    controller.abort();
    return expect('aborted: not written', call, 'CALLER_CANCELLED');
  }],
  [201, async (client, user) => {
    const controller = new AbortController();
    const call = client.callTool(user, 'sleep', {ms: 5000}, {signal: controller.signal});
    setTimeout(() => controller.abort(), 2);
    await expect('aborted: written', call, 'CALLER_CANCELLED');
  }],
  [1009, (client, _user, n) => {
    const options = {waitForAgentMs: 5, signal: forever.signal};
    return expect('waited for an agent', client.callTool(`absent_${n}`, 'echo', {}, options), 'AGENT_NOT_CONNECTED');
  }],
  [5003, async (client, user, n) => {
    const watch = client.watchAgents({userIds: [user, `absent_${n}`], signal: forever.signal});
    assert.equal((await watch.next()).value.kind, 'connected');
    const next = watch.next();
    await watch.return();
    await next;
    count('watched: returned');
  }],
  [5009, async (client, user) => {
    const controller = new AbortController();
    const watch = client.watchAgents({userIds: [user], signal: controller.signal});
    assert.equal((await watch.next()).value.kind, 'connected');
    controller.abort();
    for await (const _ of watch);
    count('watched: aborted');
  }],
  [10_007, async (client, user) => {
    assert.ok((await client.getAgent(user)).connected);
    count('read');
  }],
];
async function one(client, n) {
  const user = `user_${n % AGENTS}`;
  const kind = KINDS.find(([each]) => n % each === 0);
  if (kind) return kind[1](client, user, n);
  const options = n % 10 === 0 ? {signal: forever.signal} : n % 10 === 1 ? {requestId: `request_${n}`} : undefined;
  const {result} = await client.callTool(user, 'echo', {n}, options);
  assert.equal(result.n, n);
  count('answered');
}
// While no control is there calls fail when their wait is over, and others are made when it is back.
async function withoutControl(client, control) {
  await control.stop();
  const some = () => Array.from({length: WAITING_FOR_CONTROL}, (_, n) => n);
  await Promise.all(some().map((n) => expect('waited for control in vain',
    client.callTool(`user_${n % AGENTS}`, 'echo', {n}, {signal: forever.signal}), 'CONTROL_UNAVAILABLE')));
  const waiting = some().map((n) => expect('waited for control',
    client.callTool(`user_${n % AGENTS}`, 'echo', {n}, {waitForAgentMs: 20_000}), 'answered'));
  await control.begin();
  await Promise.all(waiting);
}

async function held(control) {
  // Streams and watches of what is over end a moment later.
  const [streams, watches] = await control.sum('toolwire_control_call_streams', 'toolwire_control_watches');
  for (let i = 0; i < 2; ++i) {
    gc();
    await sleep(20);
  }
  const {heapUsed, external, rss} = process.memoryUsage();
  return {
    heap: heapUsed, external, rss, listeners: getEventListeners(forever.signal, 'abort').length,
    resources: process.getActiveResourcesInfo().length, streams, watches,
  };
}
const COLUMNS = ['heap', 'external', 'rss', 'listeners', 'resources', 'streams', 'watches'];
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
const shown = (name, value) => ['heap', 'external', 'rss'].includes(name) ? megabytes(value) : String(value);
// What has grown. Not rss: V8 gives back what it has when it likes.
function verdict(rows) {
  const grown = [];
  const look = (name, of, most, inWords) => {
    const values = rows.map(of);
    const more = median(values.slice(-3)) - median(values.slice(0, 3));
    console.log(`${name}: from the first three steps to the last three ${inWords(more)} more`);
    if (!(more <= most)) grown.push(name);  // What control does not say is no number.
  };
  look('heap and external', ({heap, external}) => heap + external, HEAP_GROWTH_MAX, megabytes);
  for (const name of ['listeners', 'resources', 'streams', 'watches']) {
    look(name, (row) => row[name], OTHERS_GROWTH_MAX, String);
  }
  return grown;
}

try {
  const secrets = `${directory}/secrets`;
  const data = ['--data-dir', `${directory}/edge`];
  await run(bin('toolwire'), ['credentials', 'create', 'user_', '--count', String(AGENTS), '--out', secrets, ...data]);
  const edge = await start('toolwire-edge', 'edge ready',
    ['--port', '0', '--relay-port', '0', '--metrics-port', '0', ...data]);
  const control = new Control(await freePort(), edge.ready.relay);
  await control.begin();
  await start('toolwire', 'all agents connected', ['agent', '--url', `ws://127.0.0.1:${edge.ready.agents}`,
    '--count', String(AGENTS), '--credentials', secrets]);

  const {ToolwireClient} = await import('../../../clients/node/dist/index.mjs');
  const client = new ToolwireClient({address: `127.0.0.1:${control.callers}`, controlWaitMs: CONTROL_WAIT_MS});
  const watching = Array.from({length: WATCHES}, async (_, n) => {
    const userIds = n % 4 === 0 ? undefined : [`user_${n % AGENTS}`, `absent_${n}`];
    for await (const _event of client.watchAgents({userIds, signal: forever.signal})) count('watched: events');
  });

  const rows = [];
  console.log(['calls', ...COLUMNS, 'seconds'].map((name) => name.padStart(10)).join(' '));
  let made = 0;
  for (let step = 1; step <= STEPS; ++step) {
    const began = performance.now();
    const goal = Math.round((CALLS / STEPS) * step);
    await withoutControl(client, control);
    await Promise.all(Array.from({length: CONCURRENCY}, async () => {
      while (made < goal) await one(client, ++made);
    }));
    const row = await held(control);
    rows.push({calls: made, ...row});
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const cells = [made, ...COLUMNS.map((name) => shown(name, row[name])), seconds];
    console.log(cells.map((cell) => String(cell).padStart(10)).join(' '));
  }
  console.log(Object.entries(outcomes).map(([what, times]) => `${what} ${times}`).join('; '));
  const grown = verdict(rows);
  if (flags.json) await writeFile(flags.json, JSON.stringify({rows, outcomes, grown}));
  for (const what of grown) console.error(`callers heap: ${what} has grown`);
  if (grown.length > 0) process.exitCode = 1;
  await client.close();
  await Promise.all(watching);
} finally {
  for (const one of started) await one.stop();
  await rm(directory, {recursive: true, force: true});
}
