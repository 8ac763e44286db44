// An agent that does not give up: it dials again 1 s after each close, doubling to 60 s, at the next edge.
import {SeedAgent} from './seed_agent.js';
import {until, DEADLINE_MS} from './until.js';

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60_000;
const HEARTBEAT_MS = 30_000;

export class FieldAgent {
  // All its sessions, the newest last.
  sessions = [];
  #timer;
  #beats;
  #stopped = false;

  // `urlOf(attempt)` says where the attempt goes: the load balancer. `options` are those of SeedAgent.
  constructor(urlOf, options = {}) {
    this.urlOf = urlOf;
    this.options = {handshakeTimeout: 5000, ...options};
    this.#dial(0, FIRST_WAIT_MS);
    this.#beats = setInterval(() => this.current && this.session.heartbeat(), HEARTBEAT_MS);
  }

  #dial(attempt, wait) {
    const session = new SeedAgent(this.urlOf(attempt), this.options);
    this.sessions.push(session);
    session.end.then(() => {
      if (this.#stopped) return;
      const wasConnected = session.of('connected').length > 0;
      const pause = wasConnected ? FIRST_WAIT_MS : wait;
      this.#timer = setTimeout(() => this.#dial(attempt + 1, Math.min(2 * pause, LONGEST_WAIT_MS)), pause);
    });
  }

  get session() {
    return this.sessions.at(-1);
  }
  // Its live session, if it has one.
  get current() {
    return this.session.of('connected').length > 0 && !this.session.closeFrame ? this.session : undefined;
  }
  // Every call it ever got.
  get calls() {
    return this.sessions.flatMap((session) => session.calls);
  }
  connected(deadlineMs = 2 * DEADLINE_MS) {
    return until('the agent is connected', () => this.current, deadlineMs);
  }
  destroy() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#beats);
    this.session.destroy();
  }
}
