// One Dispatch stream to one control, from its opening to its end, and the calls on it.
import * as grpc from '@grpc/grpc-js';
import {Call, CallState} from './call.js';
import {CallTable} from './call_table.js';
import {errorOfStatus, type Channel} from './channel.js';
import {RequestWriter, numberOf, v1} from './codec.js';
import {ToolwireError, connectionLost, errorOf, invalid, timedOut} from './errors.js';
import {ToolResult} from './result.js';

const decodeReply = (bytes: Buffer): v1.DispatchReply => v1.DispatchReply.decode(bytes);

// How grpc-js says that the server's HTTP/2 layer refused a stream, as it does while it shuts down: by that protocol
// nothing of such a stream was read. With any other status the calls would count as sent.
const REFUSED_BY_HTTP2 = 'Stream refused by server';

// A control says hello at once. After so long it is asked whether it is an older one, which never does: longer than a
// message takes around the world.
const HELLO_MS = 250;
// The question: a call without a user, which every control answers, INVALID_REQUEST, and none runs. Whoever answers it on
// the stream has taken the stream. No other call has its id, 0. An older control has a row of it in its log.
const QUESTION = v1.DispatchRequest.encode({calls: [{id: 0, call: {tool: 'toolwire-hello'}}]}).finish() as Buffer;
// A stream that stood for so long has worked, even if nobody called.
const WORKED_MS = 5_000;
// How much longer than its deadline a call waits for the server's word, which knows whether it was sent.
const GRACE_MS = 1_000;
// The same after a cancel: control itself waits 1 s for a silent edge.
const CANCEL_GRACE_MS = 2_000;
// What a call takes beside its params and names, roughly.
const CALL_BYTES = 64;

// Behind a message of so much, or one that the socket has not taken for so long, no other one is written: those calls
// would be neither here, where they can be taken back, nor at control.
const BEHIND_BYTES_MAX = 64 << 10;
const BEHIND_MS = 5;

// A call is due from when on control has it, which nothing says: that it is on its way takes no longer than at this rate.
const SLOWEST_BYTES_PER_MS = 64;

// Control judges how late a message is by what it has seen of this process's clock in the last minute.
const CLOCK_MS = 20_000;

export const STOPPING = 'this control is stopping';
export const SILENT = 'it says nothing';

/** What a stream reports to, and asks of, the owner of the calls. */
export interface CallSource {
  /** The stream can take calls. */
  writable(stream: DispatchStream): void;
  /** Control answered that the call did not reach an agent; it may be tried again elsewhere. */
  givenBack(call: Call, error: ToolwireError, stream: DispatchStream): void;
  /** Calls that were written, and that control never took from the stream. */
  unread(calls: readonly Call[]): void;
}

/** How a stream ended. */
export interface End {
  /** For people. */
  readonly why: string;
  /** It has carried an answer, or stood long enough for one. */
  readonly worked: boolean;
  /** Control's word on the stream as such, if opening it again will not help. */
  readonly hopeless: ToolwireError | undefined;
  /** Control has as many streams of this caller as it may have. */
  readonly full: boolean;
}

/** What a stream tells who opened it. */
export interface StreamOwner {
  /** A control has taken it. */
  taken(stream: DispatchStream): void;
  /** Control takes no more calls from it. */
  draining(stream: DispatchStream): void;
  /** Control says nothing on it, though calls are due. */
  silent(stream: DispatchStream): void;
  /** Control says something again on a stream that was silent. */
  recovered(stream: DispatchStream): void;
  /** It takes no more calls, as control is wrong about this process's clock; another stream begins anew. */
  misjudged(stream: DispatchStream): void;
  /** It is gone; what it held is settled or given back. */
  ended(stream: DispatchStream, end: End): void;
}

enum State {
  /** Opened, and not taken by a control yet, or it has not read this process's clock: no call is written. */
  Opened,
  Taken,
  /** No more calls: those on it are awaited. */
  Draining,
  Ended,
}

export class DispatchStream {
  /** Which connection of its channel it is on. */
  readonly connection: number;
  #state = State.Opened;
  #takenAt = 0;
  #inFlight: CallTable;
  readonly #writers = [new RequestWriter(), new RequestWriter()];
  readonly #stream: grpc.ClientDuplexStream<Buffer, v1.DispatchReply>;
  readonly #givingUp: NodeJS.Timeout;
  readonly #asking: NodeJS.Timeout;
  #clock: NodeJS.Timeout | undefined;
  #written = 0;
  // Messages that are written and not said to be with the socket; the bytes of the last one, and when that was.
  #writing = 0;
  #lastBytes = 0;
  #lastAt = 0;
  #cancels: number[] = [];
  #answered = false;
  // Its token is no longer good: control takes no new calls, answers those that it has, and ends it.
  #tokenEnded = false;
  // What control said of itself; of an older one nothing is known.
  #hello: v1.IStreamHello | undefined;
  #messageBytesMax = Infinity;
  #paramsBytesMax = Infinity;
  #silenceMs = Infinity;
  // From when on control must have calls, 0: it has none. When it last said something, as of the last check; and whether it
  // has since. Not by the clock, which a lone caller would read several times for each call.
  #dueAt = 0;
  #heardAt = performance.now();
  #heard = false;
  #silent = false;
  // It takes no more calls, as another stream does.
  #finishing = false;
  // Until then no call is overdue: what came while this process was not there is still to be read.
  #lenientUntil = 0;

  /** `takenMs`: so long it may stand before a control takes it. */
  constructor(
    readonly channel: Channel,
    private readonly source: CallSource,
    private readonly owner: StreamOwner,
    takenMs: number,
    private callsMax: number,
    private readonly parse: (text: string) => unknown,
  ) {
    this.#inFlight = new CallTable(callsMax);
    const stream = channel.dispatchStream(decodeReply);
    this.connection = channel.connection;
    this.#stream = stream;
    stream.on('data', (reply: v1.DispatchReply) => this.#read(reply));
    stream.on('error', () => {});  // Reported by `status`.
    stream.on('status', (status: grpc.StatusObject) => this.#ended(status));
    this.#givingUp = setTimeout(() => this.#giveUp(), takenMs);
    this.#asking = setTimeout(() => stream.write(QUESTION), channel.neverGreets ? 0 : HELLO_MS);
  }

  /** Whether calls may go there: control has taken it, does not stop, and is not silent. */
  get open(): boolean {
    return this.#state === State.Taken && !this.#silent && !this.#finishing;
  }
  /** Control has calls, and says nothing. */
  get silent(): boolean {
    return this.#silent;
  }
  /** How many calls it takes now. */
  room(now: number): number {
    return this.open && this.#mayWrite(now) && !this.#tokenEnded ? this.callsMax - this.#inFlight.size : 0;
  }
  /** How many calls were written and not answered. */
  get outstanding(): number {
    return this.#inFlight.size;
  }
  /** It has carried an answer, or stood long enough for one. */
  get worked(): boolean {
    return this.#answered || (this.#takenAt > 0 && performance.now() - this.#takenAt > WORKED_MS);
  }
  /** Why no calls go there, for people. */
  get whyNot(): string {
    if (this.#state === State.Draining) return STOPPING;
    if (this.#finishing) return 'its stream is opened anew';
    if (this.#silent) return SILENT;
    return `connected, but ${this.#hello ? 'control has said nothing since its hello' : 'no control has taken the stream'}`;
  }

  // Two messages at a time, and what comes meanwhile goes into the next one. With one, a single caller would wait: HTTP/2
  // says that it has written a call when its answer is already there.
  #mayWrite(now: number): boolean {
    if (this.#writing === 0) return true;
    return this.#writing < this.#writers.length && this.#lastBytes <= BEHIND_BYTES_MAX && now - this.#lastAt < BEHIND_MS;
  }

  // --- until control has taken it ---
  #giveUp(): void {
    this.channel.leave(this.connection);
    this.#ended({code: grpc.status.UNAVAILABLE, details: this.whyNot, metadata: new grpc.Metadata()});
    this.#stream.cancel();
  }
  #taken(): void {
    this.#state = State.Taken;
    this.#takenAt = performance.now();
    this.#stopWaiting();
    this.channel.neverGreets = !this.#hello;
    if (this.#hello) this.#clock = setInterval(() => this.#tell(), CLOCK_MS).unref();
    this.owner.taken(this);
    this.source.writable(this);
  }
  #stopWaiting(): void {
    clearInterval(this.#clock);
    clearTimeout(this.#givingUp);
    clearTimeout(this.#asking);
  }
  #greeted(hello: v1.IStreamHello): void {
    this.#hello = hello;
    // What an older version of it does not say is 0.
    if (hello.callsMax && hello.callsMax < this.callsMax) {
      this.callsMax = hello.callsMax;
      if (this.#inFlight.size === 0) this.#inFlight = new CallTable(this.callsMax);
    }
    this.#messageBytesMax = numberOf(hello.messageBytesMax) || Infinity;
    this.#paramsBytesMax = numberOf(hello.paramsBytesMax) || Infinity;
    this.#silenceMs = hello.silenceMs || Infinity;
    if (this.#state !== State.Opened) return;
    clearTimeout(this.#asking);
    this.#tell();
    if (!hello.saysClockRead) this.#taken();
  }

  // Says what its clock is. Before the first call, and while there are none: otherwise the first ones after a control stood
  // still would count as in time. Where control says that it has read the first one, calls wait for that: those that were
  // written while it stood still, in between, would count as in time as well.
  #tell(): void {
    this.#writeAlone();
  }
  #writeAlone(): void {
    const now = performance.now();
    if (this.#mayWrite(now)) this.write([], now);
  }

  // --- calls ---
  /** Whether control would read this call; one that it would not fails by this, and alone. */
  takes(call: Call): boolean {
    const {userId, tool, requestId} = call;
    const bytes = call.paramsBytes + 3 * (userId.length + tool.length + requestId.length) + 2 * CALL_BYTES;
    let wrong: string | undefined;
    if (call.paramsBytes > this.#paramsBytesMax) {
      wrong = `params are ${call.paramsBytes} bytes, more than the ${this.#paramsBytesMax} that control takes`;
    } else if (bytes > this.#messageBytesMax) {
      wrong = `params are ${call.paramsBytes} bytes, too many for a message of the ${this.#messageBytesMax} that control reads`;
    }
    if (wrong !== undefined) call.fail(invalid('params_json', wrong));
    return wrong === undefined;
  }
  /** How many bytes of calls go into one message. */
  messageBytes(wanted: number): number {
    return Math.min(wanted, this.#messageBytesMax / 2);
  }

  /** Writes these calls, at most `room`, in one message with the cancels that wait. */
  write(calls: readonly Call[], now: number): void {
    for (const call of calls) {
      call.stream = this;
      this.#inFlight.add(call);
      call.state = CallState.Written;
    }
    // In turn, as messages are done in the order in which they were written. An older control does not ask for the clock.
    const clockMs = this.#hello ? Math.floor(now) + 1 : 0;
    const message = this.#writers[this.#written++ % this.#writers.length]!.write(calls, this.#cancels, now, clockMs);
    if (this.#cancels.length > 0) this.#cancels = [];
    ++this.#writing;
    this.#lastBytes = message.length;
    this.#lastAt = now;
    if (this.#dueAt === 0 && calls.length > 0) this.#dueAt = now + message.length / SLOWEST_BYTES_PER_MS;
    this.#stream.write(message, this.#wrote);
  }
  readonly #wrote = (): void => {
    if (this.#state === State.Ended) return;
    --this.#writing;
    if (this.#cancels.length > 0) this.write([], performance.now());
    else this.source.writable(this);
  };

  /** Cancels this call, which was written here, at control. */
  cancel(call: Call): void {
    this.#cancels.push(call.id);
    if (this.#state !== State.Ended) this.#writeAlone();
  }

  // --- what control says ---
  #read({answers, hello, draining, clockRead}: v1.DispatchReply): void {
    if (this.#state === State.Ended) return;
    this.#heard = true;
    this.channel.heard();
    if (hello) this.#greeted(hello);
    if (draining) this.#drain();
    // An answer is a control's word as well.
    if (answers.length > 0) this.#answered = true;
    for (const answer of answers) this.#take(answer);
    if (this.#state === State.Opened && (clockRead || (answers.length > 0 && !this.#hello))) this.#taken();
    if (this.#silent) {
      this.#silent = false;
      this.owner.recovered(this);
    }
    if (this.#inFlight.size === 0) {
      this.#dueAt = 0;
      if (this.#finishing) return void this.#stream.end();
    }
    // There is room again, if there was none.
    if (this.#writing < this.#writers.length) this.source.writable(this);
  }
  /** Takes no more calls, and ends when those that it has are answered. */
  finish(): void {
    this.#finishing = true;
    clearInterval(this.#clock);
  }
  #drain(): void {
    if (this.#state >= State.Draining) return;
    this.#state = State.Draining;
    this.#stopWaiting();
    this.owner.draining(this);
  }

  #take({id, response, failure}: v1.IDispatchAnswer): void {
    const call = this.#inFlight.take(numberOf(id));
    if (!call) return;
    if (call.settled) return;  // It did not wait for this.
    if (response) {
      call.succeed(new ToolResult(
        response.requestId!, response.success!, response.resultJson as Buffer, response.error || undefined,
        response.executionTimeMs == null ? undefined : numberOf(response.executionTimeMs), this.parse));
      return;
    }
    const error = errorOf(failure?.code ?? grpc.status.INTERNAL, failure?.message || 'an answer without an outcome', failure?.detail);
    const back = error.delivery === 'NOT_SENT' && call.cancelledAt === undefined;
    if (back && error.reason === 'UNAUTHENTICATED') {
      this.#tokenEnded = true;
      this.source.unread([call]);  // For the next stream, perhaps with a newer token.
    } else if (back && this.#isStopping(error)) {
      this.#drain();
      this.source.unread([call]);  // For the next control.
    } else if (back && this.#isMisjudged(call, error)) {
      call.misjudged = true;
      this.finish();
      this.owner.misjudged(this);
      this.source.unread([call]);
    } else if (error.reason === 'CALLER_CANCELLED') call.cancel(error.delivery);
    else if (call.cancelledAt !== undefined || error.delivery === 'SENT') call.fail(error);
    else this.source.givenBack(call, error, this);
  }
  // Whether it says of a call that it takes none any more. While it stops, its edges go as well.
  #isStopping({code, reason}: ToolwireError): boolean {
    if (code !== 'UNAVAILABLE') return false;
    return reason === 'CONTROL_UNAVAILABLE' || reason === 'UNAVAILABLE' ||
      (reason === 'EDGE_UNAVAILABLE' && this.#state === State.Draining);
  }

  // Whether control says that a call came too late of which, by the clock here, not half of the time is over. This clock stands
  // still while a virtual machine or a laptop is suspended: for control all that is sent afterwards is as late as that took.
  // Once for each call, as control's own limit of a call's time may be shorter.
  #isMisjudged(call: Call, error: ToolwireError): boolean {
    if (error.reason !== 'CALL_TIMEOUT' || call.misjudged) return false;
    return call.deadline - performance.now() > call.timeoutMs / 2;
  }

  #ended(status: Partial<grpc.StatusObject>): void {
    if (this.#state === State.Ended) return;
    const taken = this.#state !== State.Opened;
    const stopping = this.#state === State.Draining;
    this.#state = State.Ended;
    this.#stopWaiting();
    const error = errorOfStatus(status);
    const why = stopping ? STOPPING : status.details || error.code;
    // A control that ends a stream in good order has answered every call that it took; one that refuses a stream says so
    // before the first answer.
    const full = error.reason === 'CALLER_BUSY';
    const again = full || status.details === REFUSED_BY_HTTP2;
    const refused = !this.#answered && (again || error.delivery === 'NOT_SENT');
    const orderly = !taken || refused || status.code === grpc.status.OK ||
      (error.reason === 'UNAUTHENTICATED' && error.delivery === 'NOT_SENT');
    const unread: Call[] = [];
    for (const call of this.#inFlight.takeAll()) {
      if (call.settled) continue;
      if (!orderly) {
        if (call.cancelledAt === undefined) call.fail(connectionLost(why, call.requestId || undefined));
        else call.cancel('SENT');
      } else if (call.cancelledAt !== undefined) {
        call.cancel('NOT_SENT');
      } else {
        unread.push(call);
      }
    }
    if (unread.length > 0) this.source.unread(unread);
    // A control that is not available for the moment, as while it stops, is soon another one.
    const hopeless = refused && !again && !stopping && error.code !== 'UNAVAILABLE';
    this.owner.ended(this, {why, worked: this.worked, hopeless: hopeless ? error : undefined, full});
  }

  // --- time ---
  /**
   * Fails calls that control should have settled by now, and the stream if nothing at all came of it for too long.
   * `late`: how long this process was not there to read, which is no silence.
   */
  check(now: number, late: number, silenceCloseMs: number): void {
    // Not again and again, where this process is always late.
    if (late > 0 && now > this.#lenientUntil + GRACE_MS) this.#lenientUntil = now + GRACE_MS;
    if (now >= this.#lenientUntil) this.#failOverdue(now);
    if (this.#writing === 0 && this.#dueAt > now) this.#dueAt = now;
    this.#heardAt = this.#heard ? now : this.#heardAt + late;
    this.#heard = false;
    if (this.#dueAt === 0) return;
    const silence = now - Math.max(this.#heardAt, this.#dueAt);
    if (silence <= this.#silenceMs) return;
    if (!this.#silent) {
      this.#silent = true;
      this.channel.stopped(this.connection);
      this.owner.silent(this);
    }
    if (silence > this.#silenceMs + silenceCloseMs) {
      this.#ended({code: grpc.status.UNAVAILABLE, details: `control said nothing for ${Math.round(silence)} ms`});
      this.#stream.cancel();
    }
  }

  #failOverdue(now: number): void {
    for (const call of this.#inFlight) {
      if (call.settled) continue;
      if (call.cancelledAt !== undefined && now > call.cancelledAt + CANCEL_GRACE_MS) call.cancel('SENT');
      else if (now > call.deadline + GRACE_MS) call.fail(timedOut(call.timeoutMs, 'SENT', call.requestId || undefined));
    }
  }

  /** The calls that are written and not settled. */
  *pending(): Generator<Call> {
    for (const call of this.#inFlight) if (!call.settled) yield call;
  }

  /** Breaks the stream, for good; control cancels what is on it. The calls are the caller's to settle. */
  close(): void {
    if (this.#state === State.Ended) return;
    this.#state = State.Ended;
    this.#stopWaiting();
    this.#inFlight.takeAll();
    this.#stream.cancel();
  }
}
