// The way to one control: a Dispatch stream that takes calls, opened again when it breaks, and those that only finish.
import type {Call} from './call.js';
import type {Channel} from './channel.js';
import {DispatchStream, STOPPING, type CallSource, type End, type StreamOwner} from './dispatch_stream.js';
import type {ToolwireError} from './errors.js';

// Before a stream is opened again, so that a control that stops has gone; doubled as long as streams end before they
// have worked.
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
// A control that stops is soon another one, and calls wait.
const STOPPING_PAUSE_MS = 250;

/** What the lane's owner does. */
export interface LaneOwner extends CallSource {
  /** There is no stream for new calls now. `worked`: the last one did. `hopeless`: trying again will not help. */
  lost(worked: boolean, hopeless: ToolwireError | undefined): void;
}

export class Lane implements StreamOwner {
  #stream: DispatchStream | undefined;
  // Those that take no more calls.
  readonly #draining = new Set<DispatchStream>();
  #lastFailure = '';
  #pauseMs = FIRST_PAUSE_MS;
  #pause: NodeJS.Timeout | undefined;
  #stopConnecting: (() => void) | undefined;
  #closed = false;

  constructor(
    readonly channel: Channel,
    private readonly owner: LaneOwner,
    private readonly callsMax: number,
    private readonly parse: (text: string) => unknown,
  ) {}

  /** The stream for new calls; it may not be `open`. */
  get stream(): DispatchStream | undefined {
    return this.#stream;
  }
  get open(): boolean {
    return this.#stream?.open ?? false;
  }
  /** Why no calls go there, for people. */
  get whyNot(): string {
    return this.#lastFailure || (this.#stream?.whyNot ?? 'not connected yet');
  }

  /** Connects, and does so again whenever the stream breaks, until `close`. */
  start(): void {
    this.#stopConnecting = this.channel.connect(() => this.#begin(), (why) => (this.#lastFailure = why));
  }
  #begin(): void {
    if (this.#closed) return;
    this.#stream = new DispatchStream(this.channel, this.owner, this, this.callsMax, this.parse);
  }

  taken(): void {
    this.#lastFailure = '';
  }
  draining(stream: DispatchStream): void {
    if (stream !== this.#stream) return;
    this.#draining.add(stream);
    this.#stream = undefined;
    this.#lastFailure = stream.whyNot;
    // Behind the same address another control may take calls already.
    this.#startAgain(STOPPING_PAUSE_MS);
    this.owner.lost(stream.worked, undefined);
  }
  ended(stream: DispatchStream, {why, worked, hopeless}: End): void {
    if (this.#draining.delete(stream) || stream !== this.#stream) return;
    this.#stream = undefined;
    this.#lastFailure = why;
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
    return this.#stream ? [this.#stream, ...this.#draining] : [...this.#draining];
  }

  /** Ends all streams, for good. Returns the calls that were on them, which are the caller's to settle. */
  close(): Call[] {
    this.#closed = true;
    this.#stopConnecting?.();
    clearTimeout(this.#pause);
    const calls = this.#all.flatMap((stream) => [...stream.pending()]);
    for (const stream of this.#all) stream.close();
    return calls;
  }
}
