// Whoever needs credentials while the store is disturbed: agents that log in, one after the other, and operators who
// revoke credentials and create new ones. Each waits until it has what it wants, and how long that took is kept.
import {setTimeout as sleep} from 'node:timers/promises';
import {Caller, code} from './caller.js';
import {SeedAgent} from './seed_agent.js';
import {loginQuery} from './toolwire.js';
import {until} from './until.js';

const AGAIN_MS = 100;     // Until the next attempt.
const TICK_MS = 20;
const BETWEEN_CHANGES_MS = 1000;
const GIVE_UP_MS = 120_000;
const REVOKED = 1008;     // Also of a login whose secret is not right.

export class StoreUsers {
  // What each came to: {what, userId, begun, ended, ms, tries}; `ms` without the times in which something it needs was
  // away.
  done = [];
  // Attempts that failed though all that they need was there: {what, userId, at, said}.
  failed = [];
  // What must never be: an agent with a secret that was revoked is let in.
  wrong = [];
  #cluster;
  #outages;
  #secrets = new Map();
  #callers = new Map();
  #work = [];
  #stopped = false;

  // What outages are of: `reads` or `writes` of PostgreSQL, `pooler`, `rows of the pooler` that its transactions may hold
  // locked, a user whose row is locked, or a process.
  static async start(cluster, outages, {loginsPerSecond = 5, loginUsers, operatorUsers}) {
    const users = new StoreUsers();
    users.#cluster = cluster;
    users.#outages = outages;
    cluster.scope.own({close: () => users.stop()});
    for (const userId of [...loginUsers, ...operatorUsers]) users.#secrets.set(userId, await cluster.secret(userId));
    users.#work.push(users.#logins(loginUsers, 1000 / loginsPerSecond));
    for (const userId of operatorUsers) users.#work.push(users.#operator(userId));
    return users;
  }
  async stop() {
    this.#stopped = true;
    await Promise.all(this.#work);
  }

  // Those that took longer.
  over(ms) {
    return this.done.filter((one) => one.ms > ms);
  }
  // Of each kind how many there were, the slowest, and how many took longer than a second.
  sum() {
    const kinds = {};
    for (const {what, ms} of this.done) {
      const kind = (kinds[what] ??= {count: 0, slowest_ms: 0, over_1_s: 0});
      ++kind.count;
      kind.slowest_ms = Math.max(kind.slowest_ms, Math.round(ms));
      if (ms > 1000) ++kind.over_1_s;
    }
    return kinds;
  }

  // --- what they have in common ---
  // Tries until `attempt` returns something that is true. An attempt returns [that, what it heard, what it needed].
  async #until(what, userId, attempt) {
    const begun = Date.now();
    const needs = new Set();
    for (let tries = 1; ; ++tries) {
      const at = Date.now();
      const [value, said, needed] = await attempt();
      const ended = Date.now();
      for (const one of needed) needs.add(one);
      if (!value) {
        const isExcused = this.#outages.during(at, ended, needed).length > 0;
        if (!isExcused) this.failed.push({what, userId, at, ms: ended - at, said});
        if (ended > begun + GIVE_UP_MS) throw new Error(`${what} of ${userId} came to nothing: ${said}`);
        await sleep(AGAIN_MS);
        continue;
      }
      this.done.push({what, userId, begun, ended, tries, ms: this.#outages.presentMs(begun, ended, [...needs])});
      return value;
    }
  }
  #oneOf(all) {
    return all[Math.floor(Math.random() * all.length)];
  }

  // --- agents ---
  // The agent, or why it is not in.
  async #dial(userId, secret, edge) {
    const agent = new SeedAgent(edge.url(loginQuery(userId, secret)), {handshakeTimeout: 10_000});
    await until('a login is decided', () => agent.of('connected')[0] || agent.closeFrame);
    if (agent.of('connected')[0]) return {agent};
    return {said: `${agent.closeFrame.code} ${agent.closeFrame.reason}`, code: agent.closeFrame.code};
  }
  #needsOfLogin = (userId, edge) => ['reads', edge, ...(edge.pooled ? ['pooler'] : [])];
  login(userId) {
    const edge = this.#oneOf(this.#cluster.edges);
    return this.#until('login', userId, async () => {
      const {agent, said} = await this.#dial(userId, this.#secrets.get(userId), edge);
      return [agent, said, this.#needsOfLogin(userId, edge)];
    });
  }
  async #logins(userIds, everyMs) {
    const free = [...userIds];
    const pending = new Set();
    for (let next = Date.now(); !this.#stopped; await sleep(TICK_MS)) {
      if (Date.now() < next) continue;
      next = Math.max(next + everyMs, Date.now() - everyMs);
      const userId = free.shift();
      if (!userId) continue;  // All wait.
      const login = this.login(userId).then(async (agent) => {
        await agent.close();
        free.push(userId);
      });
      pending.add(login);
      void login.then(() => pending.delete(login));
    }
    await Promise.all(pending);
  }

  // --- operators ---
  #caller(control) {
    if (!this.#callers.has(control)) {
      this.#callers.set(control, this.#cluster.scope.own(new Caller(control.ports.callers)));
    }
    return this.#callers.get(control);
  }
  // Asks one control after the other. Until a new control is linked, edges do not hear of it what was revoked.
  #change(method, userId, isDone = (answer) => !answer.code) {
    return this.#until(method, userId, async () => {
      const control = this.#oneOf(this.#cluster.controls.filter((one) => one.running && !one.isNew));
      const answer = await this.#caller(control).admin(method, {userId});
      const needed = ['reads', 'writes', 'rows of the pooler', userId, control, ...(control.pooled ? ['pooler'] : [])];
      return [isDone(answer) && answer, `${answer.code} ${answer.message}`, needed];
    });
  }
  async #operator(userId) {
    while (!this.#stopped) {
      const agent = await this.login(userId);
      const begun = Date.now();
      const revoked = await this.#change('RevokeCredential', userId);
      await until('the session of a revoked credential is closed', () => agent.closeFrame, GIVE_UP_MS);
      const {code: closed} = agent.closeFrame;
      if (closed !== REVOKED) this.wrong.push({userId, why: `its session was closed with ${closed}`});
      const needed = ['reads', 'writes', 'pooler', userId, ...this.#cluster.controls];
      const ended = Date.now();
      const ms = this.#outages.presentMs(begun, ended, needed);
      this.done.push({what: 'session closed', userId, begun, ended, tries: 1, ms});
      const missed = {what: 'RevokeCredential', userId, at: begun, ms, said: 'not everywhere'};
      if (!revoked.everywhere) this.failed.push(missed);
      await this.#isRefused(userId);
      await this.#create(userId);
      await sleep(BETWEEN_CHANGES_MS * (0.5 + Math.random()));
    }
  }
  async #isRefused(userId) {
    const edge = this.#oneOf(this.#cluster.edges);
    const decided = await this.#until('login refused', userId, async () => {
      const {agent, said, code: closed} = await this.#dial(userId, this.#secrets.get(userId), edge);
      agent?.destroy();
      const isDecided = agent || closed === REVOKED;
      return [isDecided && {isIn: agent !== undefined}, said, this.#needsOfLogin(userId, edge)];
    });
    if (decided.isIn) this.wrong.push({userId, why: 'it logged in with a secret that was revoked'});
  }
  // The answer to one that was done may have been lost: then there is a credential, and nobody has its secret.
  async #create(userId) {
    const isThere = (answer) => !answer.code || answer.code === code.ALREADY_EXISTS;
    let made = await this.#change('CreateCredential', userId, isThere);
    if (made.code) made = await this.#change('RotateCredential', userId);
    this.#secrets.set(userId, made.secret);
  }
}
