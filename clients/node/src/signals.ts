// AbortSignals, of Node.js and of polyfills.
import {setMaxListeners} from 'node:events';

/** What of an AbortSignal is used, so that those of polyfills do as well. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

// What a polyfill throws while something ends, which may be in the middle of a stream's message. Nobody else may feel it.
// It is said once, as it would come with each call.
let warned = false;
function warn(error: unknown): void {
  if (warned) return;
  warned = true;
  process.emitWarning(`signal: ${error instanceof Error ? error.message : 'it threw'}`, 'ToolwireWarning');
}

/**
 * Calls `then` when the signal is aborted, once. Returns a function that stops listening, and never throws.
 * @throws Whatever the signal throws as it is listened to.
 * @internal
 */
export function onAbort(signal: AbortSignalLike, then: () => void): () => void {
  let over = false;
  const stop = (): void => {
    over = true;
    try {
      signal.removeEventListener('abort', listener);
    } catch (error) {
      warn(error);
    }
  };
  const listener = (): void => {
    if (over) return;  // It could not be taken away.
    stop();
    then();
  };
  // One signal for many calls and watches is no leak to warn of: each takes its listener away.
  if (signal instanceof EventTarget) setMaxListeners(0, signal);
  signal.addEventListener('abort', listener);
  return stop;
}

/**
 * Why the signal was aborted; of polyfills that do not say, what Node.js gives. `undefined`: it was not, or cannot say. Never
 * throws.
 * @internal
 */
export function reasonOf(signal: AbortSignalLike | undefined): unknown {
  try {
    if (!signal?.aborted) return undefined;
    return signal.reason === undefined ? new DOMException('This operation was aborted', 'AbortError') : signal.reason;
  } catch (error) {
    warn(error);
    return undefined;
  }
}
