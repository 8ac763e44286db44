import * as agents from './agents.js';
import type {Agent, AgentEvent, ListAgentsOptions, WatchAgentsOptions} from './agents.js';
import {Call} from './call.js';
import {Channels} from './channels.js';
import {
  drainOption, msField, nameField, optionsOf, paramsField, signalOption, userIdsOption, type SentParams,
} from './checks.js';
import {Dispatcher} from './dispatcher.js';
import {Followers} from './following.js';
import {limitsOf, type ClientOptions, type Limits} from './options.js';
import type {ToolResult} from './result.js';
import type {AbortSignalLike} from './signals.js';
import {AgentWatch} from './watch.js';

// For requests that only control answers.
const REQUEST_TIMEOUT_MS = 10_000;
const DRAIN_MS = 5_000;

/**
 * An object that JSON can hold. Not so: arrays, functions, and instances of Map, Set, ArrayBuffer, DataView and the like,
 * of which JSON.stringify makes `{}`. The same holds for what is in it, which is checked when the call is made.
 */
export type ParamsObject = (object | {readonly [name: string]: unknown}) & {
  readonly [Symbol.iterator]?: never;
  readonly [Symbol.toStringTag]?: never;
  readonly [Symbol.hasInstance]?: never;
  readonly [Symbol.toPrimitive]?: never;
};

/** Params as an object, or as the text of one JSON object, which reaches the agent untouched; empty text is `{}`. */
export type ToolParams = ParamsObject | string | Uint8Array;

export interface CallToolOptions {
  /** How long to wait for the answer, in milliseconds. The server cuts it, also Infinity, to its own maximum (600,000). */
  timeoutMs?: number | undefined;
  /** The caller's own id for this call, up to 256 bytes, unique among the user's calls in flight. Default: one is made. */
  requestId?: string | undefined;
  /** Cancels the call, all the way to the agent. */
  signal?: AbortSignalLike | undefined;
  /**
   * How long to wait for an agent that is not connected, in milliseconds, within `timeoutMs`. Default 0: such a call
   * fails at once.
   */
  waitForAgentMs?: number | undefined;
}

/**
 * Calls tools on the agents of users. Make one for a process and keep it: all calls share one stream to each control,
 * which is opened by the first call and opened again when it breaks.
 *
 * A call belongs to the client until it is written to a stream, and moves to another stream if one breaks; a call that
 * was written is never repeated.
 */
export class ToolwireClient {
  readonly #channels: Channels;
  readonly #followers: Followers;
  readonly #dispatcher: Dispatcher;
  readonly #limits: Limits;
  readonly #watches = new Set<AgentWatch>();
  #closed = false;

  /** @throws TypeError An option is wrong. */
  constructor(given?: ClientOptions) {
    const options = optionsOf(given);
    this.#limits = limitsOf(options);
    this.#channels = new Channels(options);
    this.#followers = new Followers(this.#channels, this.#limits.silenceCloseMs);
    this.#dispatcher = new Dispatcher(this.#channels, this.#followers, this.#limits, this.#limits.parse);
  }

  /**
   * Runs one tool on the agent of one user and resolves with its answer; a tool that ran and failed is an answer too
   * (`success` false).
   *
   * Rejects with a {@link ToolwireError}: its class says what happened, `delivery` whether the tool may have run,
   * `safeToRetry` whether to call again. Toolwire itself repeats only calls that did not reach an agent. Params that JSON
   * cannot hold, and a signal that is none, are a TypeError, before anything is sent.
   *
   * A call that is aborted before it was written is never sent; one that was written resolves with the tool's answer if
   * that came first, and else rejects with {@link CallCancelledError} and what is known of its delivery.
   */
  callTool<T = unknown>(
    userId: string, tool: string, params?: ToolParams, options?: CallToolOptions,
  ): Promise<ToolResult<T>> {
    return new Promise((resolve, reject) => {
      const {timeoutMs = this.#limits.timeoutMs, requestId = '', signal, waitForAgentMs = 0} = optionsOf(options);
      this.#dispatcher.add(new Call(
        nameField('user_id', userId), nameField('tool', tool), this.#sentOf(params), nameField('request_id', requestId),
        msField('timeout', 'timeout', timeoutMs), msField('wait_for_agent', 'waitForAgentMs', waitForAgentMs, true),
        signalOption(signal), performance.now(), resolve as (result: ToolResult) => void, reject,
        this.#dispatcher.whenSettled));
    });
  }
  #sentOf(params: unknown): SentParams {
    const {stringify, ownStringify, paramsBytesMax} = this.#limits;
    return paramsField(params, stringify, ownStringify, paramsBytesMax);
  }

  /** Whether a user's agent is connected, and where. Rejects with a {@link ToolwireError}. */
  async getAgent(userId: string): Promise<Agent> {
    return agents.getAgent(this.#channels, nameField('user_id', userId), REQUEST_TIMEOUT_MS);
  }

  /**
   * The connected agents in the order of their user ids, fetched in pages of `pageSize` (default 100, at most 1,000) as
   * they are taken. Agents may come and go between pages. Throws a {@link ToolwireError}.
   */
  listAgents(options?: ListAgentsOptions): AsyncGenerator<Agent, void, undefined> {
    return agents.listAgents(this.#channels, optionsOf(options), REQUEST_TIMEOUT_MS);
  }

  /**
   * Agents as they connect, move and disconnect: first those that are connected, then `snapshot`, then changes, for as
   * long as they are taken. Connects again by itself, and then reports what has changed meanwhile; nothing is reported
   * twice. What the loop does not take in time waits here, up to a thousand changes; of a watcher slower than that the
   * difference is reported later. All watches of a client share one stream to control, and one for those of all users.
   *
   * Ends when the loop is left, by `signal`, or when the client is closed; `return` of the iterator ends it at once, also
   * while a `next` is under way. Throws a {@link ToolwireError} only if watching is refused for good.
   *
   * @throws TypeError `options` is no object, `userIds` no array of user ids, or `signal` no signal.
   */
  watchAgents(options?: WatchAgentsOptions): AsyncGenerator<AgentEvent, void, undefined> {
    const {userIds, signal} = optionsOf(options);
    return new AgentWatch(userIdsOption(userIds), signalOption(signal), () =>
      this.#closed ? undefined : {watches: this.#watches, followers: this.#followers});
  }

  /**
   * Ends the client. No more calls are taken; those under way may end by themselves for `drainMs` (milliseconds, default
   * 5,000; 0: none; Infinity: as long as it takes), then they reject with {@link ClientClosedError}, and control cancels those that were sent.
   * Afterwards nothing of the client keeps the process alive.
   */
  async close(options?: {drainMs?: number | undefined}): Promise<void> {
    const drainMs = drainOption(optionsOf(options).drainMs, DRAIN_MS);
    this.#closed = true;
    for (const watch of this.#watches) watch.end();
    this.#channels.refuse();
    await Promise.all([this.#dispatcher.close(drainMs), this.#channels.drained(drainMs)]);
    this.#channels.close();
  }
  /** `await using client = new ToolwireClient()`: {@link close} at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
