// All calls of a client: the queue of those that are not written, which stream takes them, and when they expire.
import {Call, CallState} from './call.js';
import {CallQueue} from './call_queue.js';
import type {Channels} from './channels.js';
import type {DispatchStream} from './dispatch_stream.js';
import {Drain} from './drain.js';
import {type ToolwireError, closed, controlUnavailable, queueFull, streamsFull, timedOut} from './errors.js';
import type {Followers} from './following.js';
import {Lane, type LaneOwner} from './lane.js';
import {onAbort} from './signals.js';
import {AgentWaiters} from './waiters.js';

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

// How many of `queued` calls the first of these streams takes, so that afterwards all have the same outstanding, as far as
// can be. `streams`: those with the least outstanding first.
function shareOfFirst(streams: readonly DispatchStream[], queued: number): number {
  let level = queued;
  let count = 0;
  let outstanding = 0;
  for (const stream of streams) {
    if (count > 0 && stream.outstanding >= level) break;
    outstanding += stream.outstanding;
    level = (queued + outstanding) / ++count;
  }
  return Math.max(1, Math.ceil(level - streams[0]!.outstanding));
}

export interface DispatcherLimits {
  controlWaitMs: number;
  callsInFlightMax: number;
  callsQueuedMax: number;
  silenceCloseMs: number;
}

export class Dispatcher implements LaneOwner {
  readonly #lanes: Lane[];
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
  #tickedAt = 0;
  #closing: Promise<void> | undefined;
  readonly #drain = new Drain();
  #ended = false;
  // When the last stream broke that had worked.
  #lostAt = 0;

  constructor(channels: Channels, followers: Followers, limits: DispatcherLimits, parse: (text: string) => unknown) {
    this.#limits = limits;
    this.#lanes = channels.all.map((channel) => new Lane(channel, this, limits.callsInFlightMax, parse));
    this.#waiters = new AgentWaiters(followers);
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
    if (!this.#ticker) {
      this.#tickedAt = performance.now();
      this.#ticker = setInterval(() => this.#tick(performance.now()), TICK_MS);
    }
    if (!this.#started) {
      this.#started = true;
      for (const lane of this.#lanes) lane.start();
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
    const ready = this.#ready(now);
    while (ready.length > 0 && this.#queued > 0) {
      const share = shareOfFirst(ready, this.#queued);
      const stream = ready.shift()!;
      const calls = this.#take(stream, Math.min(stream.room(now), share), now);
      if (calls.length > 0) stream.write(calls, now);
    }
  };
  // The streams with room, those with the least outstanding calls first; of equals another one each time. Those of controls
  // that left something else unanswered only if there are no others.
  #ready(now: number): DispatchStream[] {
    let ready: DispatchStream[] = [];
    const start = this.#next++;
    for (let n = 0; n < this.#lanes.length; ++n) {
      const {stream} = this.#lanes[(start + n) % this.#lanes.length]!;
      if (stream && stream.room(now) > 0) ready.push(stream);
    }
    if (ready.length < 2) return ready;
    if (ready.some(({channel}) => channel.silent)) {
      const answering = ready.filter(({channel}) => !channel.silent);
      if (answering.length > 0) ready = answering;
    }
    return ready.sort((a, b) => a.outstanding - b.outstanding);
  }
  #take(stream: DispatchStream, room: number, now: number): Call[] {
    const taken: Call[] = [];
    const bytesMax = stream.messageBytes(MESSAGE_BYTES);
    let bytes = 0;
    // Calls that are passed over go behind the others that came back: each is looked at once.
    let unseen = this.#returned.length;
    let passed = 0;
    while (taken.length < room) {
      const queue = unseen > 0 && passed < PASSED_MAX ? this.#returned : this.#fresh;
      const call = queue.first;
      if (!call) break;
      const size = CALL_BYTES + call.paramsBytes;
      if (taken.length > 0 && bytes + size > bytesMax) break;
      queue.shift();
      if (queue === this.#returned) --unseen;
      if (call.settled) continue;
      if (call.deadline <= now) {
        call.fail(timedOut(call.timeoutMs, 'NOT_SENT', call.requestId || undefined));
      } else if (call.refusedBy?.has(stream.channel) && this.#elsewhere(call)) {
        this.#returned.push(call);
        ++passed;
      } else if (stream.takes(call)) {
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
    return this.#lanes.some(({open, channel}) => open && !call.refusedBy?.has(channel));
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
    (call.refusedBy ??= new Set()).add(stream.channel);
    if (!this.#elsewhere(call)) return call.fail(error);
    this.#putBack([call]);
  }
  unread(calls: readonly Call[]): void {
    this.#putBack(calls);
  }

  lost(worked: boolean, hopeless: ToolwireError | undefined): void {
    if (worked) this.#lostAt = performance.now();
    if (hopeless && !this.#lanes.some(({stream}) => stream !== undefined)) {
      for (const call of this.#emptyQueue()) call.fail(hopeless);
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
      if (this.#ended) return call.fail(closed('NOT_SENT', error.requestId));
      if (!connected) return call.fail(error);
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
    const late = Math.max(0, now - this.#tickedAt - 2 * TICK_MS);
    this.#tickedAt = now;
    for (const lane of this.#lanes) lane.check(now, late, this.#limits.silenceCloseMs);
    if (this.#queued === 0) return;
    // While this process was not there nobody could be reached, and nothing waited for that.
    this.#lostAt += late;
    const unreachable = !this.#lanes.some(({open}) => open);
    const stays = (call: Call): boolean => {
      if (call.settled) return false;
      call.queuedAt += late;
      const requestId = call.requestId || undefined;
      if (call.deadline <= now) call.fail(timedOut(call.timeoutMs, 'NOT_SENT', requestId));
      else if (unreachable && Math.max(call.queuedAt, this.#lostAt) + this.#limits.controlWaitMs <= now) {
        call.fail(this.#unreachable(requestId));
      }
      return !call.settled;
    };
    this.#returned.keep(stays);
    this.#fresh.keep(stays);
    // For those that a stream with room has not looked at, past PASSED_MAX.
    if (this.#returned.length > 0) this.#schedule();
  }
  #unreachable(requestId: string | undefined): ToolwireError {
    const full = this.#lanes.map((lane) => lane.full).find((why) => why !== undefined);
    if (full !== undefined) return streamsFull(full, requestId);
    const why = this.#lanes.map(({channel, whyNot}) => `${channel.address}: ${whyNot}`).join('; ');
    return controlUnavailable(`no control is reachable: ${why}`, requestId);
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
      for (const lane of this.#lanes) {
        for (const call of lane.close()) call.fail(closed('SENT', call.requestId || undefined));
      }
    });
    return this.#closing;
  }
}
