// Calls that go on while things break, and the sum at the end: each call has one outcome, was delivered at most once, and
// has left one audit row.
import assert from 'node:assert/strict';
import {setTimeout as sleep} from 'node:timers/promises';
import {Caller} from './caller.js';
import {until} from './until.js';

const CALL_TIMEOUT_MS = 5000;
const PAUSE_MS = 10;
const MADE_UP_FOR_MS = 1000;
const ROWS_DEADLINE_MS = 240_000;

// What a call came to, by how much its maker knows:
//   answered   the agent's answer came
//   failed     Toolwire said why there is none, or what the replaced server would have said
//   unknown    the caller's own connection broke, or nothing came in time: Toolwire said nothing
const byKind = {answered: 0, failed: 0, unknown: 0};

export class Traffic {
  calls = new Map();
  // Messages on response channels, by request id.
  responses = new Map();
  #cluster;
  #users;
  #workers = [];
  #callers = new Map();
  #streams = [];
  #stopped = false;
  #nextId = 0;
  #everyMs;

  // gRPC calls from `callers` workers, half unary and half on streams, through every control; and `backends` old ones.
  // `perSecond`: how many calls by gRPC are made in a second, if they take no longer; each old backend makes as many as
  // one of the workers.
  static async start(cluster, users, {callers = 6, backends = 2, perSecond} = {}) {
    const traffic = new Traffic();
    traffic.#cluster = cluster;
    traffic.#users = users;
    cluster.scope.own({close: () => traffic.stop()});  // Before what the calls need ends.
    if (backends > 0) await traffic.#listen();
    traffic.#everyMs = perSecond && 1000 * callers / perSecond;
    for (let i = 0; i < callers; ++i) traffic.#workers.push(traffic.#work((call) => traffic.#callByGrpc(i, call)));
    for (let i = 0; i < backends; ++i) {
      const backend = await cluster.oldBackend();
      traffic.#workers.push(traffic.#work((call) => traffic.#callByRedis(backend, call)));
    }
    return traffic;
  }

  async #listen() {
    const witness = await this.#cluster.redis.client();
    witness.on('pmessage', (_, channel) => {
      const id = channel.slice('response:'.length);
      this.responses.set(id, (this.responses.get(id) ?? 0) + 1);
    });
    await witness.psubscribe('response:*');
  }

  async #work(make) {
    const due = this.#everyMs ? this.#paces() : undefined;
    while (!this.#stopped && this.#cluster.controls.some((one) => one.running)) {
      const requestId = `call_${++this.#nextId}`;
      const call = {requestId, userId: this.#users[this.#nextId % this.#users.length], begunAt: Date.now()};
      this.calls.set(requestId, call);
      Object.assign(call, await make(call), {endedAt: Date.now()});
      await sleep(due ? due() : PAUSE_MS);
    }
  }
  // How long to wait before the next call, at an even pace; what was missed is made up for, but for calls of long ago.
  #paces() {
    let next = performance.now();
    return () => {
      const now = performance.now();
      next = Math.max(next + this.#everyMs, now - MADE_UP_FOR_MS);
      return Math.max(0, next - now);
    };
  }

  async #callByGrpc(worker, {requestId, userId}) {
    const living = this.#cluster.controls.filter((one) => one.running);
    const control = living[worker % living.length];
    const byStream = worker % 4 >= 2;
    let lane = this.#callers.get(worker);
    if (lane?.control !== control || lane.stream?.status) {
      const caller = lane?.control === control ? lane.caller : this.#cluster.scope.own(new Caller(control.ports.callers));
      lane = {control, caller, stream: byStream ? caller.dispatch() : undefined};
      if (lane.stream) this.#streams.push(lane.stream);
      this.#callers.set(worker, lane);
    }
    let outcome;
    try {
      outcome = await (lane.stream ?? lane.caller).call(userId, 'echo', {requestId}, {requestId, timeoutMs: CALL_TIMEOUT_MS});
    } catch (error) {  // The stream ended.
      return {way: 'grpc', kind: 'unknown', why: error.message};
    }
    if (outcome.code === 0) return {way: 'grpc', kind: 'answered', success: outcome.response.success};
    if (outcome.reason) return {way: 'grpc', kind: 'failed', why: outcome.reason};
    return {way: 'grpc', kind: 'unknown', why: `gRPC ${outcome.code}`};
  }

  async #callByRedis(backend, {requestId, userId}) {
    try {
      const {success, error} = await backend.sendToolCall(
        userId, {tool: 'echo', params: {requestId}, timeout: CALL_TIMEOUT_MS, requestId});
      return success ? {way: 'redis', kind: 'answered', success} : {way: 'redis', kind: 'failed', why: error};
    } catch (error) {
      if (error.message === 'Agent not connected') return {way: 'redis', kind: 'unsent', why: error.message};
      return {way: 'redis', kind: 'unknown', why: error.message};
    }
  }

  // Calls that ended after `since`, of one way.
  answeredSince(since, way) {
    return [...this.calls.values()].filter((call) => call.kind === 'answered' && call.way === way && call.endedAt > since);
  }
  // Waits until calls of every way that is used succeed again by themselves: each user has answered one that way. How
  // long that took since `since` is told.
  async recovered(since, what, ways = ['grpc', 'redis']) {
    for (const way of ways) {
      await until(`${what}: ${way} calls to every user succeed`, () => {
        const answering = new Set(this.answeredSince(since, way).map(({userId}) => userId));
        return this.#users.every((userId) => answering.has(userId));
      }, 120_000);
      const times = this.#users.map((userId) =>
        Math.min(...this.answeredSince(since, way).filter((call) => call.userId === userId).map(({endedAt}) => endedAt)));
      console.log(`${what}: calls by ${way} to every agent succeeded within ${Math.max(...times) - since} ms`);
    }
  }

  // No more calls; waits for those that are under way.
  async stop() {
    this.#stopped = true;
    await Promise.all(this.#workers);
  }

  // Checks the sum of everything that was called; `agents` are all that could have got calls. The rows by request id.
  async sum(agents, what) {
    await this.stop();
    const delivered = new Map();
    for (const {requestId} of agents.flatMap((agent) => agent.calls)) delivered.set(requestId, (delivered.get(requestId) ?? 0) + 1);
    const twice = [...delivered].filter(([, times]) => times > 1);
    assert.deepEqual(twice, [], 'delivered more than once');
    assert.deepEqual([...this.responses].filter(([, times]) => times > 1), [], 'published more than once');

    const repeated = this.#streams.flatMap(({answers}) => [...answers.values()]).filter((some) => some.length > 1);
    assert.deepEqual(repeated, [], 'answered more than once on a stream');

    const calls = [...this.calls.values()];
    // Of a call about which its maker was told nothing, and which no agent saw, nobody may ever have known.
    const needRow = calls.filter(({kind, requestId}) => kind === 'answered' || kind === 'failed' || delivered.has(requestId));
    const rows = await this.#rows(needRow);
    for (const {requestId, kind, way, success, why} of needRow) {
      const [row] = rows.get(requestId);
      if (kind === 'answered') assert.equal(row.success, success, `${requestId} by ${way} was answered; its row: ${row.error}`);
      if (kind === 'failed' && way === 'grpc') assert.deepEqual([row.success, row.error], [false, why], requestId);
    }
    const unsent = calls.filter(({kind}) => kind === 'unsent').filter(({requestId}) => rows.has(requestId));
    assert.deepEqual(unsent, [], 'rows of calls that were never made');
    this.#tell(what, calls, rows.size);
    return rows;
  }
  async #rows(needed) {
    let rows;
    await until('every call has its row', async () => {
      rows = new Map();
      for (const row of await this.#cluster.sql('SELECT request_id, success, error FROM tool_execution_logs')) {
        rows.set(row.request_id, [...(rows.get(row.request_id) ?? []), row]);
      }
      const without = needed.filter(({requestId}) => !rows.has(requestId));
      if (without.length > 0) throw new Error(`${without.length} without, such as ${JSON.stringify(without[0])}`);
      return true;
    }, ROWS_DEADLINE_MS);
    const twice = [...rows.values()].filter((some) => some.length > 1);
    assert.deepEqual(twice, [], 'calls with more than one row');
    for (const id of rows.keys()) assert.ok(this.calls.has(id) || !id.startsWith('call_'), `a row of a call nobody made: ${id}`);
    return rows;
  }
  #tell(what, calls, rows) {
    for (const way of ['grpc', 'redis']) {
      const some = calls.filter((call) => call.way === way);
      if (some.length === 0) continue;
      const kinds = {...byKind};
      const reasons = {};
      for (const {kind, why} of some) {
        kinds[kind] = (kinds[kind] ?? 0) + 1;
        if (why) reasons[why] = (reasons[why] ?? 0) + 1;
      }
      console.log(`${what}: ${some.length} calls by ${way}: ${JSON.stringify(kinds)} ${JSON.stringify(reasons)}`);
    }
    console.log(`${what}: ${rows} audit rows`);
  }
}
