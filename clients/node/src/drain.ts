// Waiting for what is under way, when something is closed.
import {LONGEST_MS} from './checks.js';

/** Waits until nothing is left. The shortest time that is given ends the wait of all. @internal */
export class Drain {
  readonly #over: Promise<void>;
  /** Nothing is left. */
  end!: () => void;

  constructor() {
    this.#over = new Promise((resolve) => (this.end = resolve));
  }

  /** Resolves when nothing is left, or after `drainMs`; with one past what a timer takes, such as Infinity, only then. */
  async within(drainMs: number): Promise<void> {
    const timer = drainMs > LONGEST_MS ? undefined : setTimeout(this.end, drainMs);
    await this.#over;
    clearTimeout(timer);
  }
}
