// JSON of params: what JSON.stringify writes, and BigInt values as integers, which it does not write. Beside it, what
// JSON.stringify would leave out or empty without a word.
import {randomUUID} from 'node:crypto';
import {types} from 'node:util';

// Stands before the digits while they pass through JSON.stringify as a string; no text can hold it by chance.
const MARK = `bigint:${randomUUID()}:`;
const MARKED = new RegExp(`"${MARK}(-?\\d+)"`, 'g');

export function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const text = JSON.stringify(value, (_key, one: unknown) => (typeof one === 'bigint' ? MARK + one : one)) as string | undefined;
    return text?.replace(MARKED, '$1');
  }
}

/** What a value is, for messages that must not show it. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value !== 'object') return `a ${typeof value}`;
  let name: unknown;
  try {
    name = (value as {constructor?: {name?: unknown}}).constructor?.name;
  } catch {
    // A getter of its own.
  }
  return typeof name !== 'string' || name === '' || name === 'Object' ? 'an object' : `an instance of ${name}`;
}

/** A value that JSON cannot hold: where, as `.a[0].b`, and what it is. */
export interface Wrong {
  at: string;
  readonly what: string;
}

/**
 * The first value in this one that JSON.stringify would leave out or empty: functions, symbols, and without a toJSON what
 * has its content elsewhere than in properties (Map, Set, ArrayBuffer, Error, …), instances of classes that have no
 * property among them. The value must not hold itself.
 */
export function wrongIn(value: unknown): Wrong | undefined {
  if (typeof value === 'function' || typeof value === 'symbol') return {at: '', what: kindOf(value)};
  if (typeof value !== 'object' || value === null) return undefined;
  if (typeof (value as {toJSON?: unknown}).toJSON === 'function') return undefined;
  if (Array.isArray(value)) {
    for (let n = 0; n < value.length; ++n) {
      const wrong = wrongIn(value[n]);
      if (wrong) return found(wrong, `[${n}]`);
    }
    return undefined;
  }
  if (!isPlain(value) && (isContainer(value) || Object.keys(value).length === 0)) return {at: '', what: kindOf(value)};
  for (const key of Object.keys(value)) {
    const wrong = wrongIn((value as Record<string, unknown>)[key]);
    if (wrong) return found(wrong, `.${key}`);
  }
  return undefined;
}
// Made on the way back, so that nothing is made for values that are right.
function found(wrong: Wrong, step: string): Wrong {
  wrong.at = step + wrong.at;
  return wrong;
}

// Not by Object.prototype itself: objects may be of another realm, as in tests under Jest.
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

// Of any realm, and what is derived of them.
const isContainer = (value: object): boolean =>
  types.isMap(value) || types.isSet(value) || types.isWeakMap(value) || types.isWeakSet(value) ||
  types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value) || types.isPromise(value) || types.isRegExp(value) ||
  types.isNativeError(value);
