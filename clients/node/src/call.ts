// One call between callTool and its outcome.
import {cancelled, type ToolwireError} from './errors.js';
import type {ToolResult} from './result.js';

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
  readonly paramsBytes: number;
  /** The streams whose control gave it back. */
  refusedBy: Set<unknown> | undefined;
  /** Set while it waits for its agent. */
  stopWaiting: (() => void) | undefined;
  /** How often its agent was there and then was not. */
  missedTimes = 0;
  cancelledAt: number | undefined;
  /** Set while its signal is listened to. */
  onAbort: (() => void) | undefined;

  constructor(
    readonly userId: string,
    readonly tool: string,
    readonly params: string | Uint8Array,
    readonly requestId: string,
    readonly timeoutMs: number,
    waitForAgentMs: number,
    readonly signal: AbortSignal | undefined,
    now: number,
    private readonly resolve: (result: ToolResult) => void,
    private readonly reject: (error: ToolwireError) => void,
    private readonly whenSettled: () => void,
  ) {
    this.queuedAt = now;
    this.deadline = now + timeoutMs;
    this.waitUntil = now + Math.min(waitForAgentMs, timeoutMs);
    this.paramsBytes = typeof params === 'string' ? Buffer.byteLength(params) : params.length;
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
    this.fail(cancelled(delivery, this.signal?.reason, this.requestId || undefined));
  }
  #settle(): boolean {
    if (this.state === CallState.Settled) return false;
    this.state = CallState.Settled;
    if (this.onAbort) {
      this.signal!.removeEventListener('abort', this.onAbort);
      this.onAbort = undefined;
    }
    this.stopWaiting?.();
    this.whenSettled();
    return true;
  }
}
