// Calls in the order in which they came. Not an array's shift, which moves what is behind: of 20,000 calls that come back
// one by one each must cost the same.
import type {Call} from './call.js';

// Up to here the calls that were taken out are not worth the copy of those that were not.
const KEPT_MAX = 4096;

export class CallQueue {
  #calls: Call[] = [];
  // Those before it were taken out.
  #head = 0;

  get length(): number {
    return this.#calls.length - this.#head;
  }
  get first(): Call | undefined {
    return this.#calls[this.#head];
  }

  push(call: Call): void {
    this.#calls.push(call);
  }
  /** Takes out the first call. */
  shift(): void {
    ++this.#head;
    if (this.#head === this.#calls.length) this.#calls = [];
    // Half of it at least, so that what is copied in all is less than what was pushed.
    else if (this.#head >= KEPT_MAX && 2 * this.#head >= this.#calls.length) this.#calls = this.#calls.slice(this.#head);
    else return;
    this.#head = 0;
  }

  /** Keeps those for which `wanted` says true. */
  keep(wanted: (call: Call) => boolean): void {
    this.#calls = this.#calls.filter((call, n) => n >= this.#head && wanted(call));
    this.#head = 0;
  }
  /** Takes out all. */
  takeAll(): Call[] {
    const calls = this.#calls.slice(this.#head);
    this.#calls = [];
    this.#head = 0;
    return calls;
  }
}
