// The calls on one stream, by the ids that they have there.
import type {Call} from './call.js';

// A slot's first id comes again after so many others of the slot: an answer that comes twice or too late, or a cancel
// that waits, must not find another call. Few enough for ids to stay small integers.
const IDS_OF_A_SLOT = 1024;

/**
 * Not a Map: one that is filled and emptied all the time makes a new table every few hundred calls, and V8 has each old
 * table point to its successor. As soon as one of them is in the old generation, all that follow survive, with all the
 * calls they held, until the next full collection: that took a quarter of the client's CPU time.
 */
export class CallTable {
  readonly #slots: (Call | undefined)[] = [];
  // The next id of each free slot. A slot's ids are those that leave its index when divided by the stride.
  readonly #free: number[] = [];
  readonly #stride: number;

  /** `callsMax`: how many calls there are at most. */
  constructor(callsMax: number) {
    this.#stride = 2 ** Math.ceil(Math.log2(Math.min(callsMax, 2 ** 30)));
  }

  get size(): number {
    return this.#slots.length - this.#free.length;
  }

  /** Gives the call its `id`. */
  add(call: Call): void {
    call.id = this.#free.pop() ?? this.#stride + this.#slots.length;
    this.#slots[call.id % this.#stride] = call;
  }

  /** Takes out the call that has this `id`; `undefined`: none has. */
  take(id: number): Call | undefined {
    const slot = id % this.#stride;
    const call = this.#slots[slot];
    if (call?.id !== id) return undefined;
    this.#slots[slot] = undefined;
    const next = id + this.#stride;
    this.#free.push(next <= IDS_OF_A_SLOT * this.#stride + slot ? next : this.#stride + slot);
    return call;
  }

  /** Takes out all calls. */
  takeAll(): Call[] {
    const calls = [...this];
    for (const call of calls) this.take(call.id);
    return calls;
  }

  *[Symbol.iterator](): Generator<Call> {
    for (const call of this.#slots) if (call !== undefined) yield call;
  }
}
