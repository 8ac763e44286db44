// The calls on one stream, by the numbers that they have there.
import type {Call} from './call.js';

// A number comes again after so many that were given, of whichever slot: an answer that comes twice, or too late, must
// not find another call. Small enough for numbers to stay small integers.
const ROUNDS = 1024;

/**
 * Not a Map: one that is filled and emptied all the time makes a new table every few hundred calls, and V8 has each old
 * table point to its successor. As soon as one of them is in the old generation, all that follow survive, with all the
 * calls they held, until the next full collection: that took a quarter of the client's CPU time.
 */
export class CallTable {
  readonly #slots: (Call | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #stride: number;
  #round = 0;

  /** `callsMax`: how many calls there are at most. */
  constructor(callsMax: number) {
    this.#stride = 2 ** Math.ceil(Math.log2(Math.min(callsMax, 2 ** 30)));
  }

  get size(): number {
    return this.#slots.length - this.#free.length;
  }

  /** Gives the call its `id`. */
  add(call: Call): void {
    const slot = this.#free.pop() ?? this.#slots.length;
    this.#slots[slot] = call;
    this.#round = (this.#round % ROUNDS) + 1;
    call.id = this.#round * this.#stride + slot;
  }

  /** Takes out the call that has this `id`; `undefined`: none has. */
  take(id: number): Call | undefined {
    const slot = id % this.#stride;
    const call = this.#slots[slot];
    if (call?.id !== id) return undefined;
    this.#slots[slot] = undefined;
    this.#free.push(slot);
    return call;
  }

  *[Symbol.iterator](): Generator<Call> {
    for (const call of this.#slots) if (call !== undefined) yield call;
  }

  clear(): void {
    this.#slots.length = 0;
    this.#free.length = 0;
  }
}
