// All calls of a client: the queue of those that are not written, which stream takes them, and when they expire.
import {setMaxListeners} from 'node:events';
import {Call, CallState} from './call.js';
import type {Channels} from './channel.js';
import {DispatchStream, type CallSource} from './dispatch_stream.js';
import {type ToolwireError, closed, controlUnavailable, queueFull, timedOut} from './errors.js';
import {AgentWaiters} from './agents.js';

// One message holds so much, or one call: the other calls of the stream should not wait long for one message.
const MESSAGE_BYTES = 256 << 10;
// What a call takes beside its params, roughly.
const CALL_BYTES = 64;
// All deadlines are checked together this often, instead of a timer for each call: the server ends written calls on
// time, so this is only for calls that wait here and for servers that send nothing.
const TICK_MS = 100;

export interface DispatcherLimits {
  controlWaitMs: number;
  callsInFlightMax: number;
  callsQueuedMax: number;
}

export class Dispatcher implements CallSource {
  readonly #streams: DispatchStream[];
  readonly #waiters: AgentWaiters;
  readonly #limits: DispatcherLimits;
  // Calls in their order, from #head on; settled ones are passed over.
  #queue: Call[] = [];
  #head = 0;
  #active = 0;
  #scheduled = false;
  #started = false;
  #next = 0;
  #ticker: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;
  #ended = false;
  // When the last stream broke that had worked.
  #lostAt = 0;

  constructor(channels: Channels, limits: DispatcherLimits, parse: (text: string) => unknown) {
    this.#limits = limits;
    this.#streams = channels.all.map((channel) => new DispatchStream(channel, this, limits.callsInFlightMax, parse));
    this.#waiters = new AgentWaiters(channels);
  }

  /** Called by each call as it settles. */
  readonly whenSettled = (): void => {
    if (--this.#active === 0) this.#drained?.();
  };

  add(call: Call): void {
    ++this.#active;
    const requestId = call.requestId || undefined;
    if (this.#closing) return call.fail(closed('NOT_SENT', requestId));
    const {signal} = call;
    if (signal) {
      if (signal.aborted) return call.cancel('NOT_SENT');
      call.onAbort = () => this.#cancel(call);
      setMaxListeners(0, signal);  // One signal for many calls is no leak to warn of: each takes its listener away.
      signal.addEventListener('abort', call.onAbort, {once: true});
    }
    const waiting = this.#queue.length - this.#head;
    if (waiting >= this.#limits.callsQueuedMax) return call.fail(queueFull(waiting, requestId));
    this.#queue.push(call);
    this.#ticker ??= setInterval(() => this.#tick(performance.now()), TICK_MS);
    if (!this.#started) {
      this.#started = true;
      for (const stream of this.#streams) stream.start();
    }
    this.#schedule();
  }

  #cancel(call: Call): void {
    if (call.state !== CallState.Written) return call.cancel('NOT_SENT');
    call.cancelledAt = performance.now();
    call.stream!.cancel(call);
  }

  // --- from the queue to the streams ---
  // At the end of this turn of the event loop, so that the calls of one turn leave in one message.
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(this.#flush);
  }
  readonly #flush = (): void => {
    this.#scheduled = false;
    const now = performance.now();
    for (let tried = 0; tried < this.#streams.length && this.#head < this.#queue.length; ++tried) {
      const stream = this.#streams[this.#next++ % this.#streams.length]!;
      const room = stream.room;
      if (room <= 0) continue;
      const calls = this.#take(stream, room, now);
      if (calls.length > 0) stream.write(calls, now);
    }
  };
  #take(stream: DispatchStream, room: number, now: number): Call[] {
    const taken: Call[] = [];
    const left: Call[] = [];
    let bytes = 0;
    while (this.#head < this.#queue.length && taken.length < room) {
      const call = this.#queue[this.#head]!;
      const size = CALL_BYTES + call.paramsBytes;
      if (taken.length > 0 && bytes + size > MESSAGE_BYTES) break;
      ++this.#head;
      if (call.settled) continue;
      if (call.deadline <= now) {
        call.fail(timedOut(call.timeoutMs, 'NOT_SENT', call.requestId || undefined));
      } else if (call.refusedBy?.has(stream) && this.#elsewhere(call)) {
        left.push(call);
      } else {
        bytes += size;
        taken.push(call);
      }
    }
    if (left.length > 0) this.#putBack(left);
    else if (this.#head === this.#queue.length) this.#queue = [];
    else if (this.#head >= 4096 && 2 * this.#head >= this.#queue.length) this.#queue = this.#queue.slice(this.#head);
    else return taken;
    this.#head = 0;
    return taken;
  }
  #putBack(calls: readonly Call[]): void {
    for (const call of calls) call.state = CallState.Queued;
    this.#queue = [...calls, ...this.#queue.slice(this.#head)];
    this.#head = 0;
  }
  // Whether another control is connected that has not given this call back.
  #elsewhere(call: Call): boolean {
    return this.#streams.some((one) => one.open && !call.refusedBy?.has(one));
  }

  // --- what the streams say ---
  writable(): void {
    if (this.#head < this.#queue.length) this.#schedule();
  }

  givenBack(call: Call, error: ToolwireError, stream: DispatchStream): void {
    const now = performance.now();
    if (this.#closing) return call.fail(error);
    if (error.reason === 'AGENT_NOT_CONNECTED' && now < call.waitUntil) return this.#waitForAgent(call, error, now);
    if (error.reason !== 'EDGE_UNAVAILABLE' && error.reason !== 'CALLER_BUSY') return call.fail(error);
    (call.refusedBy ??= new Set()).add(stream);
    if (!this.#elsewhere(call)) return call.fail(error);
    this.#putBack([call]);
    this.#schedule();
  }
  unread(calls: readonly Call[]): void {
    this.#putBack(calls);
    this.#schedule();
  }

  broken(stream: DispatchStream, refused: ToolwireError | undefined): void {
    if (stream.answered) this.#lostAt = performance.now();
    if (refused && !this.#streams.some((one) => one.open)) {
      for (const call of this.#emptyQueue()) call.fail(refused);
    } else if (this.#head < this.#queue.length) {
      this.#schedule();
    }
  }

  // --- waiting ---
  #waitForAgent(call: Call, error: ToolwireError, now: number): void {
    call.state = CallState.Waiting;
    call.stopWaiting = this.#waiters.wait(call.userId, call.waitUntil - now, call.missedTimes++, (connected) => {
      call.stopWaiting = undefined;
      if (call.settled) return;
      if (!connected) return call.fail(error);
      if (this.#ended) return call.fail(closed('NOT_SENT', error.requestId));
      call.queuedAt = performance.now();
      this.#putBack([call]);
      this.#schedule();
    });
  }

  #tick(now: number): void {
    if (this.#active === 0 && !this.#closing) {
      clearInterval(this.#ticker);
      this.#ticker = undefined;
      return;
    }
    for (const stream of this.#streams) stream.expire(now);
    if (this.#head === this.#queue.length) return;
    const unreachable = !this.#streams.some((one) => one.open);
    const kept: Call[] = [];
    for (const call of this.#emptyQueue()) {
      const requestId = call.requestId || undefined;
      if (call.deadline <= now) call.fail(timedOut(call.timeoutMs, 'NOT_SENT', requestId));
      else if (unreachable && Math.max(call.queuedAt, this.#lostAt) + this.#limits.controlWaitMs <= now) {
        call.fail(controlUnavailable(`no control is reachable: ${this.#whyUnreachable}`, requestId));
      } else kept.push(call);
    }
    this.#queue = kept;
  }
  get #whyUnreachable(): string {
    return this.#streams.map(({channel, lastFailure}) => `${channel.address}: ${lastFailure || 'not connected yet'}`).join('; ');
  }
  // What was waiting and not settled; the queue is empty then.
  #emptyQueue(): Call[] {
    const calls = this.#queue.slice(this.#head).filter((call) => !call.settled);
    this.#queue = [];
    this.#head = 0;
    return calls;
  }

  // --- the end ---
  /** Takes no more calls; those that are here may end by themselves for `drainMs`, then they fail. */
  close(drainMs: number): Promise<void> {
    this.#closing ??= this.#drain(drainMs).then(() => {
      this.#ended = true;
      clearInterval(this.#ticker);
      for (const call of this.#emptyQueue()) call.fail(closed('NOT_SENT', call.requestId || undefined));
      this.#waiters.close();
      for (const stream of this.#streams) {
        const pending = [...stream.pending()];
        stream.close();
        for (const call of pending) call.fail(closed('SENT', call.requestId || undefined));
      }
    });
    return this.#closing;
  }
  async #drain(drainMs: number): Promise<void> {
    if (this.#active === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
      timer = setTimeout(resolve, drainMs);
    });
    clearTimeout(timer);
  }
}
