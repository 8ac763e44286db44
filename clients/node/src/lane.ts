// The way to one control: a Dispatch stream that takes calls, opened again when it breaks, and those that only finish.
import type {Call} from './call.js';
import type {Channel} from './channel.js';
import {DispatchStream, SILENT, STOPPING, type CallSource, type End, type StreamOwner} from './dispatch_stream.js';
import type {ToolwireError} from './errors.js';

// Before a stream is opened again, so that a control that stops has gone; doubled as long as streams end before they
// have worked.
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
// A control that stops is soon another one, and calls wait.
const STOPPING_PAUSE_MS = 250;
// A stream that no control has taken after so long, as behind a proxy without one, is opened anew on another connection;
// doubled each time, as connections cost a control that stands still.
const FIRST_TAKEN_MS = 2_000;
const LONGEST_TAKEN_MS = 10_000;
// So many silent streams are kept for the calls on them; with as many no other one is opened.
const SILENT_MAX = 4;

/** What the lane's owner does. */
export interface LaneOwner extends CallSource {
  /** There is no stream for new calls now. `worked`: the last one did. `hopeless`: trying again will not help. */
  lost(worked: boolean, hopeless: ToolwireError | undefined): void;
}

export class Lane implements StreamOwner {
  #stream: DispatchStream | undefined;
  // Those that take no more calls, for good or because they are silent.
  readonly #others = new Set<DispatchStream>();
  #lastFailure = '';
  #full = false;  // That was why.
  #pauseMs = FIRST_PAUSE_MS;
  #takenMs = FIRST_TAKEN_MS;
  #pause: NodeJS.Timeout | undefined;
  #stopConnecting: (() => void) | undefined;
  readonly #stopListening: () => void;
  #closed = false;

  constructor(
    readonly channel: Channel,
    private readonly owner: LaneOwner,
    private readonly callsMax: number,
    private readonly parse: (text: string) => unknown,
  ) {
    this.#stopListening = channel.onStopped((connection) => this.#stopped(connection));
  }

  /** The stream for new calls; it may not be `open`. */
  get stream(): DispatchStream | undefined {
    return this.#stream;
  }
  get open(): boolean {
    return this.#stream?.open ?? false;
  }
  /** Why no calls go there, if control has as many streams of this caller as it may have. */
  get full(): string | undefined {
    return this.#full ? this.#lastFailure : undefined;
  }
  /** Why no calls go there, for people. */
  get whyNot(): string {
    const why = this.#lastFailure || (this.#stream?.whyNot ?? 'not connected yet');
    const wasSilent = [...this.#others].some(({silent}) => silent);
    return wasSilent && why !== SILENT ? `${SILENT}; another connection: ${why}` : why;
  }

  /** Connects, and does so again whenever the stream breaks, until `close`. */
  start(): void {
    this.#stopConnecting = this.channel.connect(() => this.#begin(), (why) => {
      this.#lastFailure = why;
      this.#full = false;
    });
  }
  #begin(): void {
    if (this.#closed) return;
    this.#stream = new DispatchStream(this.channel, this.owner, this, this.#takenMs, this.callsMax, this.parse);
    this.#takenMs = Math.min(2 * this.#takenMs, LONGEST_TAKEN_MS);
  }

  taken(): void {
    this.#lastFailure = '';
    this.#full = false;
    this.#takenMs = FIRST_TAKEN_MS;
  }
  draining(stream: DispatchStream): void {
    if (stream !== this.#stream) return;
    this.#setAside(stream);
    // Behind the same address another control may take calls already.
    this.#startAgain(STOPPING_PAUSE_MS);
    this.owner.lost(stream.worked, undefined);
  }
  silent(stream: DispatchStream): void {
    if (stream !== this.#stream || this.#others.size >= SILENT_MAX) return;
    this.#setAside(stream);
    // On another connection, which may be one to another control. At once, but if that goes on and on.
    if (stream.worked) this.start();
    else this.#startAgain(LONGEST_PAUSE_MS);
    this.owner.lost(stream.worked, undefined);
  }
  // Where something else is silent the next call would be lost. A stream that has calls notices that itself.
  #stopped(connection: number): void {
    const stream = this.#stream;
    if (stream?.connection !== connection || stream.outstanding > 0) return;
    this.#stream = undefined;
    this.#lastFailure = SILENT;
    stream.close();
    this.start();
    this.owner.lost(stream.worked, undefined);
  }
  #setAside(stream: DispatchStream): void {
    this.#others.add(stream);
    this.#stream = undefined;
    this.#lastFailure = stream.whyNot;
  }
  recovered(stream: DispatchStream): void {
    if (!this.#others.has(stream) || !stream.open) return;
    const instead = this.#stream;
    if (instead?.open) return stream.finish();
    this.#stopStarting();
    this.#others.delete(stream);
    this.#stream = stream;
    this.#lastFailure = '';
    // It has not been taken, or has gone silent itself.
    if (instead?.outstanding) this.#others.add(instead);
    else instead?.close();
  }
  misjudged(stream: DispatchStream): void {
    if (stream !== this.#stream) return;
    this.#setAside(stream);
    this.start();
    this.owner.lost(stream.worked, undefined);
  }
  ended(stream: DispatchStream, {why, worked, hopeless, full}: End): void {
    if (this.#others.delete(stream) || stream !== this.#stream) return;
    this.#stream = undefined;
    this.#lastFailure = why;
    this.#full = full;
    if (worked) this.#pauseMs = FIRST_PAUSE_MS;
    if (!this.#closed) this.#startAgain(why === STOPPING ? STOPPING_PAUSE_MS : LONGEST_PAUSE_MS);
    this.owner.lost(worked, hopeless);
  }
  #startAgain(longestMs: number): void {
    const wait = Math.min(this.#pauseMs, longestMs) * (0.5 + Math.random());
    this.#pauseMs = Math.min(2 * this.#pauseMs, longestMs);
    this.#pause = setTimeout(() => this.start(), wait);
  }

  /** See DispatchStream's. */
  check(now: number, late: number, silenceCloseMs: number): void {
    for (const stream of this.#all) stream.check(now, late, silenceCloseMs);
  }
  get #all(): DispatchStream[] {
    return this.#stream ? [this.#stream, ...this.#others] : [...this.#others];
  }

  #stopStarting(): void {
    this.#stopConnecting?.();
    clearTimeout(this.#pause);
  }

  /** Ends all streams, for good. Returns the calls that were on them, which are the caller's to settle. */
  close(): Call[] {
    this.#closed = true;
    this.#stopListening();
    this.#stopStarting();
    const calls = this.#all.flatMap((stream) => [...stream.pending()]);
    for (const stream of this.#all) stream.close();
    return calls;
  }
}
