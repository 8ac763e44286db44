// All calls of a client: the queue of those that are not written, which stream takes them, and when they expire.
import {Call, CallState} from './call.js';
import {CallQueue} from './call_queue.js';
import type {Channels} from './channel.js';
import {DispatchStream, type CallSource} from './dispatch_stream.js';
import {Drain} from './drain.js';
import {type ToolwireError, closed, controlUnavailable, queueFull, timedOut} from './errors.js';
import {AgentWaiters} from './agents.js';
import {onAbort} from './signals.js';

// One message holds so much, or one call: the other calls of the stream should not wait long for one message.
const MESSAGE_BYTES = 256 << 10;
// What a call takes beside its params, roughly.
const CALL_BYTES = 64;
// How many calls that only another control may have a stream looks at before it takes later ones: otherwise each answer
// would cost as much as there are of them.
const PASSED_MAX = 64;
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
  // Calls that are not written; settled ones are passed over. Those that come back, from a stream or from a wait, are
  // taken before all that were never taken.
  readonly #returned = new CallQueue();
  readonly #fresh = new CallQueue();
  #active = 0;
  #scheduled = false;
  #started = false;
  #next = 0;
  #ticker: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;
  readonly #drain = new Drain();
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
    if (--this.#active === 0 && this.#closing) this.#drain.end();
  };

  add(call: Call): void {
    // First, as a signal that is not Node.js' may throw.
    if (call.signal?.aborted === false && !this.#closing) {
      call.stopListening = onAbort(call.signal, () => this.#cancel(call));
    }
    ++this.#active;
    const requestId = call.requestId || undefined;
    if (this.#closing) return call.fail(closed('NOT_SENT', requestId));
    if (call.signal?.aborted) return call.cancel('NOT_SENT');
    const waiting = this.#queued;
    if (waiting >= this.#limits.callsQueuedMax) return call.fail(queueFull(waiting, requestId));
    this.#fresh.push(call);
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
    for (let tried = 0; tried < this.#streams.length && this.#queued > 0; ++tried) {
      const stream = this.#streams[this.#next++ % this.#streams.length]!;
      const room = stream.room;
      if (room <= 0) continue;
      const calls = this.#take(stream, room, now);
      if (calls.length > 0) stream.write(calls, now);
    }
  };
  #take(stream: DispatchStream, room: number, now: number): Call[] {
    const taken: Call[] = [];
    let bytes = 0;
    // Calls that are passed over go behind the others that came back: each is looked at once.
    let unseen = this.#returned.length;
    let passed = 0;
    while (taken.length < room) {
      const queue = unseen > 0 && passed < PASSED_MAX ? this.#returned : this.#fresh;
      const call = queue.first;
      if (!call) break;
      const size = CALL_BYTES + call.paramsBytes;
      if (taken.length > 0 && bytes + size > MESSAGE_BYTES) break;
      queue.shift();
      if (queue === this.#returned) --unseen;
      if (call.settled) continue;
      if (call.deadline <= now) {
        call.fail(timedOut(call.timeoutMs, 'NOT_SENT', call.requestId || undefined));
      } else if (call.refusedBy?.has(stream) && this.#elsewhere(call)) {
        this.#returned.push(call);
        ++passed;
      } else {
        bytes += size;
        taken.push(call);
      }
    }
    return taken;
  }
  get #queued(): number {
    return this.#returned.length + this.#fresh.length;
  }
  #putBack(calls: readonly Call[]): void {
    for (const call of calls) {
      call.state = CallState.Queued;
      this.#returned.push(call);
    }
    this.#schedule();
  }
  // Whether another control is connected that has not given this call back.
  #elsewhere(call: Call): boolean {
    return this.#streams.some((one) => one.open && !call.refusedBy?.has(one));
  }

  // --- what the streams say ---
  writable(): void {
    if (this.#queued > 0) this.#schedule();
  }

  givenBack(call: Call, error: ToolwireError, stream: DispatchStream): void {
    const now = performance.now();
    if (this.#closing) return call.fail(error);
    if (error.reason === 'AGENT_NOT_CONNECTED' && now < call.waitUntil) return this.#waitForAgent(call, error, now);
    if (error.reason !== 'EDGE_UNAVAILABLE' && error.reason !== 'CALLER_BUSY') return call.fail(error);
    (call.refusedBy ??= new Set()).add(stream);
    if (!this.#elsewhere(call)) return call.fail(error);
    this.#putBack([call]);
  }
  unread(calls: readonly Call[]): void {
    this.#putBack(calls);
  }

  broken(stream: DispatchStream, refused: ToolwireError | undefined): void {
    if (stream.answered) this.#lostAt = performance.now();
    if (refused && !this.#streams.some((one) => one.open)) {
      for (const call of this.#emptyQueue()) call.fail(refused);
    } else if (this.#queued > 0) {
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
    });
  }

  #tick(now: number): void {
    if (this.#active === 0 && !this.#closing) {
      clearInterval(this.#ticker);
      this.#ticker = undefined;
      return;
    }
    for (const stream of this.#streams) stream.expire(now);
    if (this.#queued === 0) return;
    const unreachable = !this.#streams.some((one) => one.open);
    const stays = (call: Call): boolean => {
      if (call.settled) return false;
      const requestId = call.requestId || undefined;
      if (call.deadline <= now) call.fail(timedOut(call.timeoutMs, 'NOT_SENT', requestId));
      else if (unreachable && Math.max(call.queuedAt, this.#lostAt) + this.#limits.controlWaitMs <= now) {
        call.fail(controlUnavailable(`no control is reachable: ${this.#whyUnreachable}`, requestId));
      }
      return !call.settled;
    };
    this.#returned.keep(stays);
    this.#fresh.keep(stays);
    // For those that a stream with room has not looked at, past PASSED_MAX.
    if (this.#returned.length > 0) this.#schedule();
  }
  get #whyUnreachable(): string {
    return this.#streams.map(({channel, lastFailure}) => `${channel.address}: ${lastFailure || 'not connected yet'}`).join('; ');
  }
  // What was waiting and not settled; the queue is empty then.
  #emptyQueue(): Call[] {
    return [...this.#returned.takeAll(), ...this.#fresh.takeAll()].filter((call) => !call.settled);
  }

  // --- the end ---
  /**
   * Takes no more calls; those that are here may end by themselves for `drainMs`, then they fail. Called again it may make
   * that time shorter.
   */
  close(drainMs: number): Promise<void> {
    if (this.#active === 0) this.#drain.end();
    const drained = this.#drain.within(drainMs);
    this.#closing ??= drained.then(() => {
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
}
