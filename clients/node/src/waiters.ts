// Calls that wait for their agents.
import type {Followers} from './following.js';

// A call that waits again, because the agent was not there after all, waits so long first; doubled each time.
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

/** Gets whether the agent is there now. Called once. */
type Waiter = (connected: boolean) => void;

export class AgentWaiters {
  readonly #waiting = new Set<() => void>();

  constructor(private readonly followers: Followers) {}

  /**
   * Calls `waiter(true)` when the user's agent is connected, `waiter(false)` if it is not after `waitMs`. A call that
   * waits again, because the agent was not there after all, gives how many `times` that was, and then waits a little
   * first, but not past `waitMs`. Returns a function that ends the wait.
   */
  wait(userId: string, waitMs: number, times: number, waiter: Waiter): () => void {
    let pause: NodeJS.Timeout | undefined;
    const end = (connected: boolean): void => {
      if (!this.#waiting.delete(giveUp)) return;
      clearTimeout(timer);
      clearTimeout(pause);
      stop();
      waiter(connected);
    };
    // While it pauses the wait goes on: it may be ended, which leaves no timer, and is over after `waitMs`.
    const came = (): void => {
      if (times === 0) return end(true);
      stop();
      pause = setTimeout(() => end(true), Math.min(FIRST_PAUSE_MS * 2 ** times, LONGEST_PAUSE_MS));
    };
    const giveUp = (): void => end(false);
    const timer = setTimeout(() => end(pause !== undefined), waitMs);
    this.#waiting.add(giveUp);
    const stop = this.followers.follow(userId, {
      state: (_userId, agent) => agent && came(),
      // It learns what it knows already, that the agent is not connected, when its time is over.
      refused: () => {},
    });
    return giveUp;
  }

  close(): void {
    for (const giveUp of [...this.#waiting]) giveUp();
  }
}
