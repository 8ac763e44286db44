// One call between callTool and its outcome.
import {cancelled, type ToolwireError} from './errors.js';
import type {SentParams} from './checks.js';
import type {ToolResult} from './result.js';
import {reasonOf, type AbortSignalLike} from './signals.js';

/**
 * Where a call is. It moves to the right only, but for `waiting` and for calls that a control has given back: these are
 * queued again.
 */
export enum CallState {
  Queued,
  /** Handed to a stream: from here on it may have left. */
  Written,
  /** No agent yet; it is queued again when there is one. */
  Waiting,
  Settled,
}

export class Call {
  state = CallState.Queued;
  /** The stream it was last written to, and its id there. */
  stream: {cancel(call: Call): void} | undefined;
  id = 0;
  /** When it came into the queue, ms of the monotonic clock; so are all times. */
  queuedAt: number;
  readonly deadline: number;
  /** Until when it waits for its agent. */
  readonly waitUntil: number;
  readonly params: string | Uint8Array;
  readonly paramsBytes: number;
  /** The channels whose control gave it back. */
  refusedBy: Set<unknown> | undefined;
  /** Set while it waits for its agent. */
  stopWaiting: (() => void) | undefined;
  /** How often its agent was there and then was not. */
  missedTimes = 0;
  cancelledAt: number | undefined;
  /** Control once said that it came too late, which it did not. */
  misjudged = false;
  /** Set while its signal is listened to. */
  stopListening: (() => void) | undefined;

  constructor(
    readonly userId: string,
    readonly tool: string,
    sent: SentParams,
    readonly requestId: string,
    readonly timeoutMs: number,
    waitForAgentMs: number,
    readonly signal: AbortSignalLike | undefined,
    now: number,
    private readonly resolve: (result: ToolResult) => void,
    private readonly reject: (error: ToolwireError) => void,
    private readonly whenSettled: () => void,
  ) {
    this.queuedAt = now;
    this.deadline = now + timeoutMs;
    this.waitUntil = now + Math.min(waitForAgentMs, timeoutMs);
    this.params = sent.params;
    this.paramsBytes = sent.bytes;
  }

  get settled(): boolean {
    return this.state === CallState.Settled;
  }
  succeed(result: ToolResult): void {
    if (this.#settle()) this.resolve(result);
  }
  fail(error: ToolwireError): void {
    if (this.#settle()) this.reject(error);
  }
  /** Ends a call that was cancelled; with `delivery` as it is known. */
  cancel(delivery: 'SENT' | 'NOT_SENT'): void {
    this.fail(cancelled(delivery, reasonOf(this.signal), this.requestId || undefined));
  }
  #settle(): boolean {
    if (this.state === CallState.Settled) return false;
    this.state = CallState.Settled;
    this.stopListening?.();
    this.stopWaiting?.();
    this.whenSettled();
    return true;
  }
}
