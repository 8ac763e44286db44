import * as agents from './agents.js';
import type {Agent, AgentEvent, WatchAgentsOptions} from './agents.js';
import {Call} from './call.js';
import {Channels} from './channel.js';
import {Dispatcher} from './dispatcher.js';
import {closed, invalid} from './errors.js';
import {stringify} from './json.js';
import {positive, type ClientOptions} from './options.js';
import type {ToolResult} from './result.js';

const TIMEOUT_MS = 60_000;
const CONTROL_WAIT_MS = 5_000;
const CALLS_IN_FLIGHT_MAX = 20_000;
const CALLS_QUEUED_MAX = 100_000;
// For requests that only control answers.
const REQUEST_TIMEOUT_MS = 10_000;
const DRAIN_MS = 5_000;

/** Params as an object, or as the text of one JSON object, which reaches the agent untouched. */
export type ToolParams = object | string | Uint8Array;

export interface CallToolOptions {
  /** How long to wait for the answer, in milliseconds. The server cuts it to its own maximum (600,000). */
  timeoutMs?: number;
  /** The caller's own id for this call, up to 256 bytes, unique among the user's calls in flight. Default: one is made. */
  requestId?: string;
  /** Cancels the call, all the way to the agent. */
  signal?: AbortSignal;
  /**
   * How long to wait for an agent that is not connected, in milliseconds, within `timeoutMs`. Default 0: such a call
   * fails at once.
   */
  waitForAgentMs?: number;
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
  readonly #dispatcher: Dispatcher;
  readonly #timeoutMs: number;
  readonly #stringify: (params: unknown) => string | undefined;
  readonly #closing = new AbortController();

  /** @throws TypeError An option is wrong. */
  constructor(options: ClientOptions = {}) {
    this.#timeoutMs = positive('timeoutMs', options.timeoutMs, TIMEOUT_MS);
    this.#stringify = options.stringify ?? stringify;
    const limits = {
      controlWaitMs: positive('controlWaitMs', options.controlWaitMs, CONTROL_WAIT_MS),
      callsInFlightMax: positive('callsInFlightMax', options.callsInFlightMax, CALLS_IN_FLIGHT_MAX),
      callsQueuedMax: positive('callsQueuedMax', options.callsQueuedMax, CALLS_QUEUED_MAX),
    };
    this.#channels = new Channels(options);
    this.#dispatcher = new Dispatcher(this.#channels, limits, options.parse ?? JSON.parse);
  }

  /**
   * Runs one tool on the agent of one user and resolves with its answer; a tool that ran and failed is an answer too
   * (`success` false).
   *
   * Rejects with a {@link ToolwireError}: its class says what happened, `delivery` whether the tool may have run,
   * `safeToRetry` whether to call again. Toolwire itself repeats only calls that did not reach an agent.
   *
   * A call that is aborted before it was written is never sent; one that was written resolves with the tool's answer if
   * that came first, and else rejects with {@link CallCancelledError} and what is known of its delivery.
   */
  callTool<T = unknown>(
    userId: string, tool: string, params?: ToolParams, options: CallToolOptions = {},
  ): Promise<ToolResult<T>> {
    return new Promise((resolve, reject) => {
      if (typeof userId !== 'string') throw invalid('user_id', 'user_id must be a string');
      if (typeof tool !== 'string') throw invalid('tool', 'tool must be a string');
      const {timeoutMs = this.#timeoutMs, requestId = '', signal, waitForAgentMs = 0} = options;
      if (!(timeoutMs > 0)) throw invalid('timeout', 'timeout must be positive');
      if (!(waitForAgentMs >= 0)) throw invalid('wait_for_agent', 'waitForAgentMs must not be negative');
      this.#dispatcher.add(new Call(
        userId, tool, this.#textOf(params), requestId, timeoutMs, waitForAgentMs, signal, performance.now(),
        resolve as (result: ToolResult) => void, reject, this.#dispatcher.whenSettled));
    });
  }
  #textOf(params: ToolParams | undefined): string | Uint8Array {
    if (params === undefined || params === null) return '';
    if (typeof params === 'string' || params instanceof Uint8Array) return params;
    try {
      return this.#stringify(params) ?? '';
    } catch (error) {
      throw invalid('params', `params cannot be written as JSON: ${(error as Error).message}`);
    }
  }

  /** Whether a user's agent is connected, and where. Rejects with a {@link ToolwireError}. */
  async getAgent(userId: string): Promise<Agent> {
    this.#mustBeOpen();
    return agents.getAgent(this.#channels, userId, REQUEST_TIMEOUT_MS);
  }

  /**
   * The connected agents in the order of their user ids, fetched in pages of `pageSize` (default 100, at most 1,000) as
   * they are taken. Agents may come and go between pages. Throws a {@link ToolwireError}.
   */
  async *listAgents(options: {serverId?: string; pageSize?: number} = {}): AsyncGenerator<Agent, void, undefined> {
    this.#mustBeOpen();
    yield* agents.listAgents(this.#channels, options, REQUEST_TIMEOUT_MS);
  }

  /**
   * Agents as they connect, move and disconnect: first those that are connected, then `snapshot`, then changes, for as
   * long as they are taken. Connects again by itself, and then reports what has changed meanwhile; nothing is reported
   * twice. What the loop does not take in time waits at the server, which keeps some thousand events; of a watcher
   * slower than that it reports the difference later.
   *
   * Ends when the loop is left, by `signal`, or when the client is closed. Throws a {@link ToolwireError} only if
   * watching is refused for good.
   */
  async *watchAgents(options: WatchAgentsOptions = {}): AsyncGenerator<AgentEvent, void, undefined> {
    this.#mustBeOpen();
    const {signal} = options;
    const both = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    yield* agents.watchAgents(this.#channels, options, both);
  }

  /**
   * Ends the client. No more calls are taken; those under way may end by themselves for `drainMs` (milliseconds, default
   * 5,000; 0: none), then they reject with {@link ClientClosedError}, and control cancels those that were sent.
   * Afterwards nothing of the client keeps the process alive.
   */
  async close({drainMs = DRAIN_MS}: {drainMs?: number} = {}): Promise<void> {
    this.#closing.abort();
    await this.#dispatcher.close(drainMs);
    this.#channels.close();
  }
  /** `await using client = new ToolwireClient()`: {@link close} at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #mustBeOpen(): void {
    if (this.#closing.signal.aborted) throw closed('NOT_SENT');
  }
}
