// AbortSignals, of Node.js and of polyfills.
import {setMaxListeners} from 'node:events';

/** What of an AbortSignal is used, so that those of polyfills do as well. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** Calls `then` when the signal is aborted, once. Returns a function that stops listening. @internal */
export function onAbort(signal: AbortSignalLike, then: () => void): () => void {
  const stop = (): void => signal.removeEventListener('abort', listener);
  const listener = (): void => {
    stop();
    then();
  };
  // One signal for many calls and watches is no leak to warn of: each takes its listener away.
  if (signal instanceof EventTarget) setMaxListeners(0, signal);
  signal.addEventListener('abort', listener);
  return stop;
}

/** Why the signal was aborted; of polyfills that do not say, what Node.js gives. `undefined`: it was not. @internal */
export function reasonOf(signal: AbortSignalLike | undefined): unknown {
  if (!signal?.aborted) return undefined;
  return signal.reason === undefined ? new DOMException('This operation was aborted', 'AbortError') : signal.reason;
}
