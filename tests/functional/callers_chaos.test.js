// Random minutes for the Node.js client: two controls behind nothing, nginx and HAProxy; controls killed, stopped, paused
// and both gone, proxies reloaded. 200 calls in a second, 100 watches, 100 calls that wait for their agents.
// Runs only with TOOLWIRE_CALLER_MINUTES, which is how long for each; TOOLWIRE_SEED makes the same plan again;
// TOOLWIRE_CALLER_BEHIND is one of the three. Prints its figures as one line of JSON.
import assert from 'node:assert/strict';
import {setTimeout as sleep} from 'node:timers/promises';
import {CallerTraffic} from './lib/caller_traffic.js';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {PROXIES, proxyMissing} from './lib/front_proxies.js';
import {testTls} from './lib/process.js';
import {SteadyControls, clientMissing, nodeClient} from './lib/steady_controls.js';
import {newSeed, randomOf} from './lib/storm.js';
import {until} from './lib/until.js';

const MINUTES = Number(process.env.TOOLWIRE_CALLER_MINUTES ?? 0);
const BEHIND = process.env.TOOLWIRE_CALLER_BEHIND;

for (const kind of ['nothing', ...Object.keys(PROXIES)]) {
  if (BEHIND && BEHIND !== kind) continue;
  const Proxy = PROXIES[kind];
  const skip = (MINUTES > 0 ? undefined : 'it takes minutes: TOOLWIRE_CALLER_MINUTES says how many') ??
    (Proxy && proxyMissing(Proxy)) ?? clientMissing ?? (testTls ? 'the documented configurations have no TLS' : undefined);
  clusterClaim(`in ${MINUTES || 'some'} random minutes of two controls behind ${kind} no call is lost, doubled, run after its time, or SENT though never taken`,
    (scope) => randomMinutes(scope, kind, Proxy), {...(skip && {skip}), timeout: 600_000 + MINUTES * 60_000});
}

async function randomMinutes(scope, kind, Proxy) {
  const seed = Number(process.env.TOOLWIRE_SEED ?? newSeed());
  const random = randomOf(seed);
  const below = (n) => Math.floor(random() * n);
  const cluster = await Cluster.start(scope, {edges: 1, controls: 0});
  const controls = await SteadyControls.start(cluster);
  const proxy = Proxy && await Proxy.start(scope, controls.ports);
  const {ToolwireClient} = await nodeClient();
  const client = new ToolwireClient({address: proxy ? proxy.address : controls.addresses});
  scope.own({close: () => client.close({drainMs: 0})});
  const traffic = await CallerTraffic.start(cluster, client);
  await traffic.recovered();

  const faults = {
    kill: async () => {
      const i = below(2);
      await controls.kill(i);
      await sleep(below(2000));
      await controls.begin(i);
    },
    stop: async () => {
      const i = below(2);
      await controls.stop(i);
      await sleep(below(1000));
      await controls.begin(i);
    },
    pause: async () => {
      const {process} = controls.controls[below(2)];
      process.pause();
      await sleep(1000 + below(5000));
      process.resume();
    },
    none: async () => {
      await Promise.all([controls.kill(0), controls.kill(1)]);
      await traffic.withoutControl(1000 + below(2000));
      await controls.begin(below(2));
      await controls.begin(controls.controls.findIndex((one) => !one));
    },
    ...(proxy && {reload: () => proxy.reload()}),
  };
  const names = Object.keys(faults);
  const done = [];
  const half = Date.now() + MINUTES * 30_000;
  let before;
  for (const end = Date.now() + MINUTES * 60_000; Date.now() < end;) {
    if (!before && Date.now() > half) before = await traffic.held();
    // Each once, then by chance.
    const name = names[done.length < names.length ? done.length : below(names.length)];
    const from = performance.now();
    console.log(`seed ${seed}: ${name} at ${Math.round(from)} ms`);
    await faults[name]();
    done.push({name, from, to: performance.now()});
    await sleep(below(1500));
  }
  await traffic.recovered();
  before ??= await traffic.held();
  const sum = await traffic.sum(done);
  const after = await traffic.held();
  const ofControl = async () => ({
    streams: await controls.sum('toolwire_control_call_streams'), watches: await controls.sum('toolwire_control_watches')});
  // One client: a stream of calls to each control, or one behind a proxy, and one watch.
  const few = ({streams, watches}) => streams <= 2 && watches <= 1;
  await until('controls have the streams of one client', async () => few(await ofControl())).catch(() => {});
  const open = await ofControl();
  console.log(`figures: ${JSON.stringify({
    behind: kind, seed, minutes: MINUTES, faults: Object.fromEntries(names.map((one) => [one, done.filter(({name}) => name === one).length])),
    ...sum, held_half_way: before, held_at_the_end: after, open_at_the_end: open,
  })}`);
  for (const wrong of ['lost', 'doubled', 'after_deadline', 'not_sent_though_run', 'sent_though_never_taken', 'warnings']) {
    assert.deepEqual(sum[wrong], [], wrong);
  }
  assert.ok(after.heap < before.heap + (16 << 20), `heap: ${before.heap}, then ${after.heap}`);
  assert.ok(after.resources <= before.resources + 20, `what the event loop waits for: ${before.resources}, then ${after.resources}`);
  assert.ok(after.listeners <= 0, `listeners of a signal beyond those of open calls: ${after.listeners}`);
  assert.ok(few(open), `streams and watches at controls: ${JSON.stringify(open)}`);
}
