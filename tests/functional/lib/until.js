// Waiting for what must come true, without fixed sleeps: conditions are polled until a generous deadline.
import {setTimeout as sleep} from 'node:timers/promises';

// How long anything may take before a test fails. Long, because sanitizer builds on a busy machine are slow; tests
// that pass never wait for it.
export const DEADLINE_MS = 120_000;

// Polls `condition` until it returns something truthy, and returns that. A condition that throws counts as not yet
// true, unless the error is `final`; the last error is in the message.
export async function until(claim, condition, deadlineMs = DEADLINE_MS) {
  const giveUp = Date.now() + deadlineMs;
  let lastError;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      lastError = undefined;
    } catch (error) {
      if (error.final) throw new Error(`${claim}: ${error.message}`);
      lastError = error;
    }
    if (Date.now() >= giveUp) {
      throw new Error(`not within ${deadlineMs} ms: ${claim}` + (lastError ? ` (last error: ${lastError.message})` : ''));
    }
    await sleep(10);
  }
}

// `promise`, or an error that says what was waited for.
export async function within(claim, promise, deadlineMs = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadlineMs} ms: ${claim}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// A promise with its two ends in the open.
export function deferred() {
  const out = {};
  out.promise = new Promise((resolve, reject) => Object.assign(out, {resolve, reject}));
  return out;
}
