// One iteration over agents as they come and go.
import type {Agent, AgentEvent} from './agents.js';
import {closed, type ToolwireError} from './errors.js';
import type {Follower, Followers} from './following.js';
import {onAbort, type AbortSignalLike} from './signals.js';

// So many changes wait for the loop, each on its own. Of more than that it learns the difference alone.
const QUEUED_MAX = 1_024;

type Result = IteratorResult<AgentEvent, void>;
interface Change {
  readonly userId: string;
  readonly agent: Agent | undefined;
}
interface Waiting {
  resolve(result: Result): void;
  reject(error: unknown): void;
}
const DONE: Result = {done: true, value: undefined};
const SNAPSHOT = 'snapshot';

/**
 * One watch, from its first `next` to its end. Not a generator: the `return` of one waits for a `next` that is under way,
 * and so for the next event.
 * @internal
 */
export class AgentWatch implements AsyncGenerator<AgentEvent, void, undefined>, Follower {
  #state: 'new' | 'open' | 'ended' = 'new';
  #error: ToolwireError | undefined;
  readonly #waiting: Waiting[] = [];
  #stops: (() => void)[] = [];
  #stopListening: (() => void) | undefined;
  // What the loop was told.
  readonly #told = new Map<string, Agent>();
  // What is to be looked at, in order: changes, or, when there are too many, users and what is now said of them.
  #changes: (Change | typeof SNAPSHOT)[] = [];
  #late: Map<string, Agent | undefined> | undefined;
  // One for all of it: a new one would look anew at the place of each user that was taken out, which is quadratic.
  #lateUsers: IterableIterator<[string, Agent | undefined]> | undefined;
  // How many of `#late` come before the snapshot is complete.
  #beforeSnapshot = Infinity;
  // Users of whom nothing is known yet; `undefined` when the snapshot was told, or stands among the changes.
  #unknown: Set<string> | undefined;

  /** `open`: the client's watches that have begun; `undefined` once it is closed. */
  constructor(
    private readonly users: readonly string[],
    private readonly signal: AbortSignalLike | undefined,
    private readonly open: () => {watches: Set<AgentWatch>; followers: Followers} | undefined,
  ) {}

  #begin(): void {
    this.#state = 'ended';
    const client = this.open();
    if (!client) throw closed('NOT_SENT');
    if (this.signal?.aborted) return;
    // First, as a signal that is not Node.js' may throw.
    const stop = this.signal ? onAbort(this.signal, () => this.end()) : undefined;
    this.#stopListening = () => {
      client.watches.delete(this);
      stop?.();
    };
    client.watches.add(this);
    this.#state = 'open';
    this.#unknown = new Set(this.users);
    this.#follow(client.followers);
  }
  #follow(followers: Followers): void {
    if (this.users.length > 0) {
      this.#stops = [...new Set(this.users)].map((userId) => followers.follow(userId, this));
      return;
    }
    const {known, complete, stop} = followers.followAll(this, () => this.#complete());
    this.#stops = [stop];
    for (const [userId, agent] of known) this.state(userId, agent);
    if (complete) this.#complete();
  }
  #complete(): void {
    if (!this.#unknown) return;
    this.#unknown = undefined;
    if (this.#late) this.#beforeSnapshot = this.#late.size;
    else this.#changes.push(SNAPSHOT);
    this.#wake();
  }

  // --- what is known ---
  state(userId: string, agent: Agent | undefined): void {
    if (this.#state !== 'open') return;
    if (this.#late) {
      this.#late.set(userId, agent);
    } else {
      this.#changes.push({userId, agent});
      if (this.#changes.length > QUEUED_MAX) this.#fallBehind();
    }
    if (this.#unknown?.delete(userId) && this.#unknown.size === 0) this.#complete();
    this.#wake();
  }
  #fallBehind(): void {
    const late = (this.#late = new Map<string, Agent | undefined>());
    for (const one of this.#changes.splice(0)) {
      if (one === SNAPSHOT) this.#beforeSnapshot = late.size;
      else late.set(one.userId, one.agent);
    }
  }
  refused(error: ToolwireError): void {
    if (this.#state !== 'open') return;
    this.#error = error;
    this.end();
  }

  // --- what the loop takes ---
  #take(): AgentEvent | undefined {
    for (;;) {
      if (this.#late && this.#beforeSnapshot <= 0) {
        this.#beforeSnapshot = Infinity;
        return {kind: 'snapshot'};
      }
      const change = this.#next();
      if (change === SNAPSHOT) return {kind: 'snapshot'};
      if (!change) return undefined;
      const event = this.#difference(change);
      if (event) return event;
    }
  }
  #next(): Change | typeof SNAPSHOT | undefined {
    if (!this.#late) return this.#changes.shift();
    const next = (this.#lateUsers ??= this.#late.entries()).next();
    if (!next.done) {
      const [userId, agent] = next.value;
      this.#late.delete(userId);
      --this.#beforeSnapshot;
      return {userId, agent};
    }
    this.#late = this.#lateUsers = undefined;
    return this.#changes.shift();
  }
  #difference({userId, agent}: Change): AgentEvent | undefined {
    const before = this.#told.get(userId);
    if (!agent) {
      return this.#told.delete(userId) ? {kind: 'disconnected', agent: {userId, connected: false}} : undefined;
    }
    this.#told.set(userId, agent);
    if (!before) return {kind: 'connected', agent};
    return before.epoch !== agent.epoch || before.serverId !== agent.serverId ? {kind: 'moved', agent} : undefined;
  }
  #wake(): void {
    while (this.#waiting.length > 0) {
      const value = this.#take();
      if (!value) return;
      this.#waiting.shift()!.resolve({done: false, value});
    }
  }

  // --- its end ---
  /** Ends its part of the streams, and the iteration. */
  end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    for (const stop of this.#stops.splice(0)) stop();
    this.#stopListening?.();
    this.#changes = [];
    this.#late = this.#lateUsers = undefined;
    this.#told.clear();
    for (const {resolve, reject} of this.#waiting.splice(0)) {
      const error = this.#error;
      this.#error = undefined;
      if (error) reject(error);
      else resolve(DONE);
    }
  }

  async next(): Promise<Result> {
    if (this.#state === 'new') this.#begin();
    const value = this.#state === 'open' && this.#waiting.length === 0 ? this.#take() : undefined;
    if (value) return {done: false, value};
    if (this.#state === 'open') return new Promise((resolve, reject) => this.#waiting.push({resolve, reject}));
    const error = this.#error;
    this.#error = undefined;
    if (error) throw error;
    return DONE;
  }
  async return(): Promise<Result> {
    this.end();
    return DONE;
  }
  async throw(error: unknown): Promise<Result> {
    this.end();
    throw error;
  }
  [Symbol.asyncIterator](): this {
    return this;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
