// Calls, watches and calls that wait, all of one client of Node.js, and what they came to.
import {getEventListeners, setMaxListeners} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import {FieldAgent} from './field_agent.js';
import {SeedAgent} from './seed_agent.js';
import {loginQuery} from './toolwire.js';
import {until} from './until.js';

const PROGRESS_MS = 15_000;
const CALLS_PER_SECOND = 200;
const TICK_MS = 20;
const WATCHES = 100;
const WAITING = 100;
const USERS = 10;
const SLEEPERS = 20;       // Users whose agents come and go.
const TIMEOUT_MS = 3000;
const WAIT_MS = 20_000;
const LOST_AFTER_MS = 15_000;  // Beyond a call's time.
const LATE_MS = 500;
const LOOK_MS = 10;
const STALL_MS = 100;      // This process, which agents and caller share, did not run.
const AFTER_STALL_LOOKS = 50;  // For so long what is read may have come before it.
const CALLS_MAX = 1 << 20;

export class CallerTraffic {
  #cluster;
  #client;
  #made = 0;
  // By number of the call.
  #runs = new Uint8Array(CALLS_MAX);
  #dueAt = new Float64Array(CALLS_MAX);
  #open = new Map();
  #outcomes = {};
  #sent = [];                // Told SENT: which, from when to when.
  #notSent = [];
  #late = [];
  #doubledCount = 0;
  // One for all calls, whose listeners are those of the calls that are open.
  #ending = new AbortController();
  #warnings = [];
  #withoutControl = [];
  // The earliest time at which what is read now may have come.
  #cameAt = performance.now();
  #stalledMs = 0;
  #stopped = false;
  #work = [];
  #agents = [];
  #watches = [];
  #watched = new Map();

  static async start(cluster, client) {
    const traffic = new CallerTraffic();
    traffic.#cluster = cluster;
    traffic.#client = client;
    setMaxListeners(0, traffic.#ending.signal);
    const warn = (warning) => traffic.#warnings.push(`${warning.name}: ${warning.message}`);
    process.on('warning', warn);
    cluster.scope.own({close: async () => {
      process.off('warning', warn);
      await traffic.stop();
    }});
    traffic.#lookAtTheClock();
    const progress = setInterval(() => console.log(`progress: ${JSON.stringify(traffic.counts())}`), PROGRESS_MS);
    cluster.scope.own({close: () => clearInterval(progress)});
    for (let i = 0; i < USERS; ++i) await traffic.#agent(`user_${i}`);
    for (let i = 0; i < SLEEPERS; ++i) await cluster.secret(`sleeper_${i}`);
    for (let i = 0; i < WATCHES; ++i) traffic.#work.push(traffic.#watch(`sleeper_${i % SLEEPERS}`));
    traffic.#work.push(traffic.#calls(), traffic.#sleepers());
    for (let i = 0; i < WAITING; ++i) traffic.#work.push(traffic.#waiting(`sleeper_${i % SLEEPERS}`));
    return traffic;
  }

  // A loop that did not run reads late what came in time.
  #lookAtTheClock() {
    let last = performance.now();
    let looks = AFTER_STALL_LOOKS;
    const timer = setInterval(() => {
      const now = performance.now();
      if (now - last > STALL_MS) {
        if (looks >= AFTER_STALL_LOOKS) this.#cameAt = last;
        looks = 0;
        this.#stalledMs += now - last;
      } else if (++looks >= AFTER_STALL_LOOKS) {
        this.#cameAt = last;
      }
      last = now;
    }, LOOK_MS);
    this.#cluster.scope.own({close: () => clearInterval(timer)});
  }

  #answer = ({params: {n}}, agent) => {
    if (++this.#runs[n] === 2) ++this.#doubledCount;
    const late = this.#cameAt - this.#dueAt[n];
    if (late > LATE_MS) this.#late.push({n, ms: Math.round(late)});
    // What an agent keeps of its frames would be all that grows here; the first one says that it is connected.
    agent.frames.length = Math.min(agent.frames.length, 1);
    agent.texts.length = 0;
    return {success: true, result: {n}};
  };
  async #agent(userId) {
    const query = loginQuery(userId, await this.#cluster.secret(userId));
    const agent = this.#cluster.scope.own(new FieldAgent(() => this.#cluster.edges[0].url(query), {answer: this.#answer}));
    this.#agents.push(agent);
    await agent.connected();
  }

  async #call(userId, timeoutMs, options) {
    const n = this.#made++;
    const begun = performance.now();
    this.#dueAt[n] = begun + timeoutMs;
    this.#open.set(n, begun + timeoutMs);
    let said;
    try {
      const {signal} = this.#ending;
      const {result} = await this.#client.callTool(userId, 'echo', {n}, {timeoutMs, signal, ...options});
      said = result.n === n ? 'answered' : 'answered wrongly';
    } catch (error) {
      said = `${error.reason ?? error} ${error.delivery}`;
      const one = {n, said, begun, ended: performance.now(), why: error.message};
      if (error.delivery === 'SENT') this.#sent.push(one);
      else this.#notSent.push(one);
    }
    this.#open.delete(n);
    this.#outcomes[said] = (this.#outcomes[said] ?? 0) + 1;
    return said;
  }
  async #calls() {
    const begun = performance.now();
    const pending = new Set();
    for (let made = 0; !this.#stopped;) {
      for (const due = (performance.now() - begun) * CALLS_PER_SECOND / 1000; made < due; ++made) {
        const call = this.#call(`user_${made % USERS}`, TIMEOUT_MS);
        pending.add(call);
        void call.then(() => pending.delete(call));
      }
      await sleep(TICK_MS);
    }
    await Promise.all(pending);
  }
  async #waiting(userId) {
    while (!this.#stopped) {
      // Those for which no control comes fail at once when it is time.
      await this.#call(userId, WAIT_MS, {waitForAgentMs: WAIT_MS});
      await sleep(TICK_MS);
    }
  }
  async #sleepers() {
    for (let i = 0; !this.#stopped; i = (i + 1) % SLEEPERS) {
      const userId = `sleeper_${i}`;
      const url = this.#cluster.edges[0].url(loginQuery(userId, await this.#cluster.secret(userId)));
      // A login may fail on a busy machine; the next one comes soon.
      const agent = new SeedAgent(url, {answer: this.#answer});
      await Promise.race([agent.end, until('it is connected', () => agent.of('connected')[0] || agent.closeFrame || this.#stopped).catch(() => {})]);
      await sleep(300);
      // Not without a word: what the edge has written by then would count as SENT, as it must, and never be seen here.
      await agent.close().catch(() => agent.destroy());
    }
  }
  async #watch(userId) {
    const watch = this.#client.watchAgents({userIds: [userId]});
    this.#watches.push(watch);
    this.#watched.set(watch, undefined);
    for await (const {kind} of watch) this.#watched.set(watch, kind);
  }

  // For so long no control runs; calls that are begun and end meanwhile were taken by none. What is written before the
  // client knows of the end of its streams may have been sent, for all that anybody knows.
  async withoutControl(ms) {
    await until('the client knows that no control is there', async () => (await this.#call('user_0', 100, {})).endsWith(' NOT_SENT'));
    const from = performance.now();
    await sleep(ms);
    this.#withoutControl.push({from, to: performance.now()});
  }
  // Calls and waiting calls are answered again.
  async recovered() {
    for (const user of [...Array(USERS).keys()].map((i) => `user_${i}`)) {
      await until(`calls to ${user} are answered`, async () => (await this.#call(user, TIMEOUT_MS, {waitForAgentMs: TIMEOUT_MS})) === 'answered');
    }
    await until('a call that waits is answered', async () => (await this.#call('sleeper_0', WAIT_MS, {waitForAgentMs: WAIT_MS})) === 'answered');
  }
  // So far: calls, those that are open, and what came of the others.
  counts() {
    return {
      calls: this.#made, open: this.#open.size, overdue: this.#overdue.length, doubled: this.#doubledCount,
      after_deadline: this.#late.length, not_sent_though_run: this.#notSent.filter(({n}) => this.#runs[n] > 0).length,
      sent_and_not_run: this.#sent.filter(({n}) => this.#runs[n] === 0).length, outcomes: this.#outcomes,
      heap: process.memoryUsage().heapUsed,
    };
  }
  // Calls that came to nothing, though their time has passed.
  get #overdue() {
    const now = performance.now();
    return [...this.#open].filter(([, due]) => now > due + LOST_AFTER_MS).map(([n]) => n);
  }
  // What this process holds. Listeners: beyond those of the calls that are open.
  async held() {
    for (let i = 0; i < 3; ++i) {
      globalThis.gc?.();
      await sleep(50);
    }
    return {
      heap: process.memoryUsage().heapUsed, resources: process.getActiveResourcesInfo().length,
      listeners: getEventListeners(this.#ending.signal, 'abort').length - this.#open.size,
    };
  }
  async stop() {
    this.#stopped = true;
    for (const watch of this.#watches) await watch.return();
    await Promise.race([Promise.all(this.#work), sleep(WAIT_MS + LOST_AFTER_MS)]);
  }

  // `faults`: what was done, with its times by performance.now().
  async sum(faults) {
    // Each watch ends up with what is true: whoever is connected, then gone.
    this.#stopped = true;
    await until('all calls have come to something', () => this.#open.size === 0, WAIT_MS + LOST_AFTER_MS).catch(() => {});
    const query = loginQuery('sleeper_1', await this.#cluster.secret('sleeper_1'));
    const last = this.#cluster.scope.own(new FieldAgent(() => this.#cluster.edges[0].url(query), {answer: this.#answer}));
    await last.connected();
    const of = this.#watches.filter((_, i) => i % SLEEPERS === 1);
    await until('each watch tells of the last agent', () => of.every((watch) => ['connected', 'moved'].includes(this.#watched.get(watch))));
    last.destroy();
    await until('each watch tells that it has gone', () => of.every((watch) => this.#watched.get(watch) === 'disconnected'));
    await this.stop();

    const doubled = [];
    for (let n = 0; n < this.#made; ++n) if (this.#runs[n] > 1) doubled.push({n, runs: this.#runs[n]});
    const during = ({begun, ended}, some) => some.filter(({from, to}) => from <= ended && begun <= to + LATE_MS);
    const unseen = this.#sent.filter(({n}) => this.#runs[n] === 0);
    const neverTaken = unseen.filter((one) => during(one, faults).length === 0 ||
      this.#withoutControl.some(({from, to}) => from <= one.begun && one.ended <= to));
    // Of each, what was done last before it ended.
    for (const one of neverTaken) {
      const {name, to} = faults.filter(({from}) => from <= one.ended).at(-1) ?? {};
      Object.assign(one, {after: name, after_ms: Math.round(one.ended - to)});
    }
    return {
      calls: this.#made, outcomes: this.#outcomes, lost: [...this.#open.keys()], doubled, after_deadline: this.#late,
      not_sent_though_run: this.#notSent.filter(({n}) => this.#runs[n] > 0), sent_though_never_taken: neverTaken,
      sent_while_something_broke_and_not_run: unseen.length - neverTaken.length, warnings: this.#warnings,
      stalled_ms: Math.round(this.#stalledMs),
    };
  }
}
