// Who is connected: asking, listing, watching, waiting.
import {setTimeout as sleep} from 'node:timers/promises';
import type * as grpc from '@grpc/grpc-js';
import {errorOfStatus, method, type Channels} from './channel.js';
import {pageSizeField, optionalNameField} from './checks.js';
import {dateOf, numberOf, v1} from './codec.js';
import {closed, ToolwireError} from './errors.js';
import {onAbort, type AbortSignalLike} from './signals.js';

/** One user's agent. */
export interface Agent {
  userId: string;
  /** Without a live agent all fields but `userId` are absent. */
  connected: boolean;
  /** The id of the edge that holds the session (`SERVER_ID`). */
  serverId?: string | undefined;
  /** The lease's number: a later connection of the same user has a greater one. */
  epoch?: number | undefined;
  connectedAt?: Date | undefined;
}

export type AgentEvent =
  | {
      /**
       * `connected`: also each agent that is connected when the watch begins. `disconnected`: the session ended and none
       * replaced it. `moved`: a newer session replaced the one known before.
       */
      kind: 'connected' | 'disconnected' | 'moved';
      agent: Agent;
    }
  | {
      /** All agents that were connected when the watch began have been reported. Once for each watch. */
      kind: 'snapshot';
      agent?: undefined;
    };

export interface WatchAgentsOptions {
  /** Only these users; all if absent or empty. */
  userIds?: readonly string[] | undefined;
  /** Ends the iteration, as if nothing came any more. */
  signal?: AbortSignalLike | undefined;
}

export interface ListAgentsOptions {
  /** Only agents of this edge; all if absent. */
  serverId?: string | undefined;
  /** Agents fetched at a time: default 100, at most 1,000. */
  pageSize?: number | undefined;
}

const GET = method('/toolwire.v1.ToolDispatch/GetAgent', v1.GetAgentRequest, v1.Agent);
const LIST = method('/toolwire.v1.ToolDispatch/ListAgents', v1.ListAgentsRequest, v1.ListAgentsResponse);
const WATCH = method('/toolwire.v1.ToolDispatch/WatchAgents', v1.WatchAgentsRequest, v1.WatchAgentsResponse);
const {Kind} = v1.WatchAgentsResponse;

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
// Statuses that will be the same the next time.
const FINAL = new Set(['INVALID_ARGUMENT', 'UNAUTHENTICATED', 'PERMISSION_DENIED', 'UNIMPLEMENTED']);

const agentOf = ({userId, connected, serverId, epoch, connectedAt}: v1.IAgent): Agent =>
  connected
    ? {userId: userId!, connected: true, serverId: serverId!, epoch: numberOf(epoch), connectedAt: dateOf(connectedAt)}
    : {userId: userId!, connected: false};

/** @internal */
export const getAgent = async (channels: Channels, userId: string, timeoutMs: number): Promise<Agent> =>
  agentOf(await channels.unary(GET, {userId}, timeoutMs));

/** @internal */
export async function* listAgents(
  channels: Channels, options: ListAgentsOptions, timeoutMs: number,
): AsyncGenerator<Agent, void, undefined> {
  const serverId = optionalNameField('server_id', options.serverId);
  const pageSize = pageSizeField(options.pageSize);
  for (let pageToken = ''; ; ) {
    const page = await channels.unary(LIST, {serverId, pageSize, pageToken}, timeoutMs);
    for (const agent of page.agents) yield agentOf(agent);
    pageToken = page.nextPageToken;
    if (pageToken === '') return;
  }
}

type Watching = grpc.ClientReadableStream<v1.WatchAgentsResponse>;

// The events of streams to whichever control answers, one stream after the other; `begun` is called for each new one.
// The consumer's pace is the stream's: what it does not take stays with the server, within HTTP/2's window.
async function* watchForEver(
  channels: Channels, userIds: readonly string[], signal: AbortSignal, begun: () => void,
): AsyncGenerator<v1.WatchAgentsResponse.IEvent, void, undefined> {
  for (let pause = FIRST_PAUSE_MS; !signal.aborted; ) {
    const [channel] = channels.inTurn();
    const stream: Watching = channel!.serverStream(WATCH, {userIds: [...userIds]});
    const stop = (): void => stream.cancel();
    signal.addEventListener('abort', stop, {once: true});
    begun();
    let heard = false;
    try {
      for await (const {events} of stream as AsyncIterable<v1.WatchAgentsResponse>) {
        pause = FIRST_PAUSE_MS;
        heard = true;
        yield* events;
      }
    } catch (error) {
      const known = errorOfStatus(error as grpc.ServiceError);
      // A stream that was accepted ends with its token; the next one may have a newer token.
      const tokenEnded = heard && known.code === 'UNAUTHENTICATED';
      if (!signal.aborted && !tokenEnded && FINAL.has(known.code)) throw known;
    } finally {
      signal.removeEventListener('abort', stop);
      stream.cancel();
    }
    await sleep(pause * (0.5 + Math.random()), undefined, {signal}).catch(() => {});
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}

// Events as they happen, over all streams that it takes; after a break, what has changed meanwhile.
async function* changes(
  channels: Channels, userIds: readonly string[], signal: AbortSignal,
): AsyncGenerator<AgentEvent, void, undefined> {
  const known = new Map<string, Agent>();
  // Users of the present stream's snapshot while it comes in; those of `known` that are not among them have gone.
  let snapshot: Set<string> | undefined;
  let reported = false;
  for await (const event of watchForEver(channels, userIds, signal, () => (snapshot = new Set()))) {
    if (event.kind === Kind.SNAPSHOT_COMPLETE) {
      for (const userId of [...known.keys()].filter((one) => !snapshot?.has(one))) {
        known.delete(userId);
        yield {kind: 'disconnected', agent: {userId, connected: false}};
      }
      snapshot = undefined;
      if (!reported) yield {kind: 'snapshot'};
      reported = true;
      continue;
    }
    const agent = agentOf(event.agent!);
    const before = known.get(agent.userId);
    if (event.kind === Kind.DISCONNECTED) {
      snapshot?.delete(agent.userId);
      if (known.delete(agent.userId)) yield {kind: 'disconnected', agent: {userId: agent.userId, connected: false}};
    } else if (agent.connected) {
      snapshot?.add(agent.userId);
      known.set(agent.userId, agent);
      if (!before) yield {kind: 'connected', agent};
      else if (before.epoch !== agent.epoch || before.serverId !== agent.serverId) yield {kind: 'moved', agent};
    }
  }
}

/**
 * One watch, from its first `next` to its end. Not a generator: the `return` of one waits for a `next` that is under way,
 * and so for the next event.
 * @internal
 */
export class AgentWatch implements AsyncGenerator<AgentEvent, void, undefined> {
  readonly #ending = new AbortController();
  readonly #events: AsyncGenerator<AgentEvent, void, undefined>;

  /** `open`: the client's watches that have begun; `undefined` once it is closed. */
  constructor(
    channels: Channels, userIds: readonly string[], signal: AbortSignalLike | undefined,
    open: () => Set<AgentWatch> | undefined,
  ) {
    this.#events = this.#follow(channels, userIds, signal, open);
  }

  async *#follow(
    channels: Channels, userIds: readonly string[], signal: AbortSignalLike | undefined,
    open: () => Set<AgentWatch> | undefined,
  ): AsyncGenerator<AgentEvent, void, undefined> {
    const others = open();
    if (!others) throw closed('NOT_SENT');
    if (signal?.aborted) return;
    const stopListening = signal ? onAbort(signal, () => this.end()) : undefined;
    others.add(this);
    try {
      yield* changes(channels, userIds, this.#ending.signal);
    } finally {
      others.delete(this);
      stopListening?.();
    }
  }

  /** Ends its stream, and the iteration. */
  end(): void {
    this.#ending.abort();
  }
  next(): Promise<IteratorResult<AgentEvent, void>> {
    return this.#events.next();
  }
  return(): Promise<IteratorResult<AgentEvent, void>> {
    this.end();
    return this.#events.return();
  }
  throw(error: unknown): Promise<IteratorResult<AgentEvent, void>> {
    this.end();
    return this.#events.throw(error);
  }
  [Symbol.asyncIterator](): this {
    return this;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/** Gets whether the agent is there now. Called once. */
type Waiter = (connected: boolean) => void;

/**
 * Calls that wait for their agents. One watch serves them all: it watches the users that calls wait for, and is
 * opened anew when there are others.
 * @internal
 */
export class AgentWaiters {
  readonly #waiting = new Map<string, Set<Waiter>>();
  #watch: AbortController | undefined;
  #watched = new Set<string>();
  #scheduled = false;

  constructor(private readonly channels: Channels) {}

  /**
   * Calls `waiter(true)` when the user's agent is connected, `waiter(false)` if it is not after `waitMs`. A call that
   * waits again, because the agent was not there after all, gives how many `times` that was, and then waits a little
   * first. Returns a function that ends the wait.
   */
  wait(userId: string, waitMs: number, times: number, waiter: Waiter): () => void {
    const timer = setTimeout(() => this.#call(userId, one, false), waitMs);
    const one: Waiter = (connected) => {
      clearTimeout(timer);
      if (!connected || times === 0) return waiter(connected);
      setTimeout(() => waiter(true), Math.min(FIRST_PAUSE_MS * 2 ** times, LONGEST_PAUSE_MS, waitMs));
    };
    const waiting = this.#waiting.get(userId);
    if (waiting) waiting.add(one);
    else this.#waiting.set(userId, new Set([one]));
    if (!this.#watched.has(userId) && !this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => this.#rewatch());
    }
    return () => this.#call(userId, one, false);
  }

  #call(userId: string, one: Waiter, connected: boolean): void {
    const waiting = this.#waiting.get(userId);
    if (!waiting?.delete(one)) return;
    if (waiting.size === 0) this.#forget(userId);
    one(connected);
  }
  #callAll(userId: string): void {
    const waiting = this.#waiting.get(userId);
    if (!waiting) return;
    this.#forget(userId);
    for (const one of waiting) one(true);
  }
  #forget(userId: string): void {
    this.#waiting.delete(userId);
    if (this.#waiting.size === 0) this.#stop();
  }
  #stop(): void {
    this.#watch?.abort();
    this.#watch = undefined;
    this.#watched.clear();
  }

  #rewatch(): void {
    this.#scheduled = false;
    if (this.#waiting.size === 0) return;
    this.#stop();
    const watch = (this.#watch = new AbortController());
    this.#watched = new Set(this.#waiting.keys());
    void this.#follow([...this.#watched], watch);
  }
  async #follow(userIds: string[], watch: AbortController): Promise<void> {
    try {
      for await (const {kind, agent} of watchForEver(this.channels, userIds, watch.signal, () => {})) {
        if (kind !== Kind.CONNECTED && kind !== Kind.MOVED) continue;
        if (this.#watch === watch && agent?.userId) {
          this.#watched.delete(agent.userId);  // A call that waits again wants a new snapshot.
          this.#callAll(agent.userId);
        }
      }
    } catch (error) {
      if (!(error instanceof ToolwireError) || this.#watch !== watch) return;
      // Control refuses the watch: the waiters get `false` when their time is over.
    }
  }

  close(): void {
    for (const [userId, waiting] of [...this.#waiting]) {
      for (const one of [...waiting]) this.#call(userId, one, false);
    }
    this.#stop();
  }
}
