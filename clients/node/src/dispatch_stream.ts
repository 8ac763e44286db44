// One Dispatch stream at a time to one control: opens it again when it breaks, and knows what is on it.
import * as grpc from '@grpc/grpc-js';
import {Call, CallState} from './call.js';
import {CallTable} from './call_table.js';
import {errorOfStatus, type Channel} from './channel.js';
import {RequestWriter, numberOf, v1} from './codec.js';
import {ToolwireError, connectionLost, errorOf, timedOut} from './errors.js';
import {ToolResult} from './result.js';

const PATH = '/toolwire.v1.ToolDispatch/Dispatch';
const decodeReply = (bytes: Buffer): v1.DispatchReply => v1.DispatchReply.decode(bytes);

// How grpc-js says that the server's HTTP/2 layer refused a stream, as it does while it shuts down: by that protocol
// nothing of such a stream was read. With any other status the calls would count as sent.
const REFUSED_BY_HTTP2 = 'Stream refused by server';

// Before a stream is opened again, so that a control that stops has gone; doubled as long as streams end before their
// first answer.
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
// How much longer than its deadline a call waits for the server's word, which knows whether it was sent.
const GRACE_MS = 1_000;
// The same after a cancel: control itself waits 1 s for a silent edge.
const CANCEL_GRACE_MS = 2_000;

/** What a stream reports to, and asks of, the owner of the calls. */
export interface CallSource {
  /** The stream can take calls. */
  writable(stream: DispatchStream): void;
  /** Control answered that the call did not reach an agent; it may be tried again elsewhere. */
  givenBack(call: Call, error: ToolwireError, stream: DispatchStream): void;
  /** Calls that were written, and that control never took from the stream. */
  unread(calls: readonly Call[]): void;
  /** The stream is gone; what it held is settled or given back. `refused`: trying again will not help. */
  broken(stream: DispatchStream, refused: ToolwireError | undefined): void;
}

export class DispatchStream {
  /** Why there is no stream, for people. */
  lastFailure = '';
  readonly #inFlight: CallTable;
  readonly #writers = [new RequestWriter(), new RequestWriter()];
  readonly #deserialize: (text: string) => unknown;
  #stream: grpc.ClientDuplexStream<Buffer, v1.DispatchReply> | undefined;
  #written = 0;
  #writing = 0;
  #cancels: number[] = [];
  #answered = false;
  // Its token is no longer good: control takes no new calls, answers those that it has, and ends it.
  #tokenEnded = false;
  #pauseMs = FIRST_PAUSE_MS;
  #pause: NodeJS.Timeout | undefined;
  #stopConnecting: (() => void) | undefined;
  #closed = false;

  constructor(
    readonly channel: Channel,
    private readonly source: CallSource,
    private readonly callsMax: number,
    parse: (text: string) => unknown,
  ) {
    this.#inFlight = new CallTable(callsMax);
    this.#deserialize = parse;
  }

  get open(): boolean {
    return this.#stream !== undefined;
  }
  /** Whether the present stream, or the last one if there is none, has carried an answer. */
  get answered(): boolean {
    return this.#answered;
  }
  /** How many calls it takes now. */
  get room(): number {
    return this.#stream && this.#mayWrite && !this.#tokenEnded ? this.callsMax - this.#inFlight.size : 0;
  }

  // Two messages at a time, and what comes meanwhile goes into the next one. With one, a single caller would wait: HTTP/2
  // says that it has written a call when its answer is already there.
  get #mayWrite(): boolean {
    return this.#writing < this.#writers.length;
  }

  /** Connects, and does so again whenever the stream breaks, until `close`. */
  start(): void {
    this.#stopConnecting = this.channel.connect(() => this.#begin(), (why) => (this.lastFailure = why));
  }

  /** Writes these calls, at most `room`, in one message with the cancels that wait. */
  write(calls: readonly Call[], now: number): void {
    for (const call of calls) {
      call.stream = this;
      this.#inFlight.add(call);
      call.state = CallState.Written;
    }
    // In turn, as messages are done in the order in which they were written.
    const message = this.#writers[this.#written++ % this.#writers.length]!.write(calls, this.#cancels, now);
    if (this.#cancels.length > 0) this.#cancels = [];
    ++this.#writing;
    const stream = this.#stream!;
    stream.write(message, () => {
      if (this.#stream !== stream) return;
      --this.#writing;
      if (this.#cancels.length > 0) this.write([], performance.now());
      else this.source.writable(this);
    });
  }

  /** Cancels this call, which was written here, at control. */
  cancel(call: Call): void {
    this.#cancels.push(call.id);
    if (this.#stream && this.#mayWrite) this.write([], performance.now());
  }

  #begin(): void {
    if (this.#closed) return;
    const stream = this.channel.bidiStream(PATH, decodeReply);
    this.#stream = stream;
    this.#writing = 0;
    this.#cancels = [];
    this.#answered = false;
    this.#tokenEnded = false;
    stream.on('data', ({answers}: v1.DispatchReply) => {
      this.#answered = true;
      this.#pauseMs = FIRST_PAUSE_MS;
      for (const answer of answers) this.#take(answer);
      // There is room again, if there was none.
      if (this.#mayWrite) this.source.writable(this);
    });
    stream.on('error', () => {});  // Reported by `status`.
    stream.on('status', (status) => this.#ended(stream, status));
    this.source.writable(this);
  }

  #take({id, response, failure}: v1.IDispatchAnswer): void {
    const call = this.#inFlight.take(numberOf(id));
    if (!call) return;
    if (call.settled) return;  // It did not wait for this.
    if (response) {
      call.succeed(new ToolResult(
        response.requestId!, response.success!, response.resultJson as Buffer, response.error || undefined,
        response.executionTimeMs == null ? undefined : numberOf(response.executionTimeMs), this.#deserialize));
      return;
    }
    const error = errorOf(failure?.code ?? grpc.status.INTERNAL, failure?.message || 'an answer without an outcome', failure?.detail);
    if (error.reason === 'UNAUTHENTICATED' && error.delivery === 'NOT_SENT' && call.cancelledAt === undefined) {
      this.#tokenEnded = true;
      this.source.unread([call]);  // For the next stream, perhaps with a newer token.
    } else if (error.reason === 'CALLER_CANCELLED') call.cancel(error.delivery);
    else if (call.cancelledAt !== undefined || error.delivery === 'SENT') call.fail(error);
    else this.source.givenBack(call, error, this);
  }

  #ended(stream: grpc.ClientDuplexStream<Buffer, v1.DispatchReply>, status: grpc.StatusObject): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    const error = errorOfStatus(status);
    this.lastFailure = status.details || error.code;
    // A control that ends a stream in good order has answered every call that it took; one that refuses a stream says so
    // before the first answer.
    const again = status.details === REFUSED_BY_HTTP2 || error.reason === 'CALLER_BUSY';
    const refused = !this.#answered && (again || error.delivery === 'NOT_SENT');
    const hopeless = refused && !again;
    const orderly = refused || status.code === grpc.status.OK || (error.reason === 'UNAUTHENTICATED' && error.delivery === 'NOT_SENT');
    const unread: Call[] = [];
    for (const call of this.#inFlight.takeAll()) {
      if (call.settled) continue;
      if (!orderly) {
        if (call.cancelledAt === undefined) call.fail(connectionLost(this.lastFailure, call.requestId || undefined));
        else call.cancel('SENT');
      } else if (call.cancelledAt !== undefined) {
        call.cancel('NOT_SENT');
      } else {
        unread.push(call);
      }
    }
    if (unread.length > 0) this.source.unread(unread);
    if (!this.#closed) this.#openAgain();
    this.source.broken(this, hopeless ? error : undefined);
  }
  #openAgain(): void {
    const wait = this.#pauseMs * (0.5 + Math.random());
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
    this.#pause = setTimeout(() => this.start(), wait);
  }

  /** Fails calls that control should have settled by now. */
  expire(now: number): void {
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
    this.#closed = true;
    this.#stopConnecting?.();
    clearTimeout(this.#pause);
    this.#inFlight.takeAll();
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.cancel();
  }
}
