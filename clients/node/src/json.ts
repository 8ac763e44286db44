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
    return withBigInts(value, (_key, one) => one);
  }
}
type Replacer = (this: unknown, key: string, one: unknown) => unknown;
function withBigInts(value: unknown, replacer: Replacer): string | undefined {
  const text = JSON.stringify(value, function (this: unknown, key, one: unknown) {
    const instead = replacer.call(this, key, one);
    return typeof instead === 'bigint' ? MARK + instead : instead;
  }) as string | undefined;
  return text?.replace(MARKED, '$1');
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

/** A value that JSON cannot hold; the message says where, as `.a[0].b`, and what it is. */
export class NotJson extends Error {
  constructor(readonly at: string, readonly what: string) {
    super(`params${at}: ${what}, which JSON cannot hold; give a plain object or a toJSON()`);
  }
}

/**
 * The same as `stringify`, of what JSON can hold, whether it is there or a toJSON returns it. Refused is what JSON.stringify
 * would leave out or empty: functions, symbols, what has its content elsewhere than in properties (Map, Set, ArrayBuffer,
 * Error, …), instances of classes that have no property among them.
 * @throws NotJson
 */
export function stringifyChecked(value: unknown): string | undefined {
  const text = stringify(value);  // First: that ends for what holds itself.
  const found = wrongIn(value);
  if (found === undefined) return text;
  // What a toJSON returns is seen by the one that writes it alone, and may be another thing each time.
  if (found.writesItself) return checkedAsWritten(value);
  throw new NotJson(found.at, found.what);
}

interface Found {
  at: string;
  readonly what: string;
  /** Not wrong, but not known either, as it has a toJSON of its own. */
  readonly writesItself: boolean;
}

// The first value in this one that is wrong, or that has a toJSON. The value must not hold itself.
function wrongIn(value: unknown): Found | undefined {
  if (typeof value === 'object' && value !== null && typeof (value as {toJSON?: unknown}).toJSON === 'function') {
    return writesWhatIsKnown(value) ? undefined : {at: '', what: '', writesItself: true};
  }
  if (isWrong(value)) return {at: '', what: kindOf(value), writesItself: false};
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value)) {
    for (let n = 0; n < value.length; ++n) {
      const found = wrongIn(value[n]);
      if (found) return within(found, `[${n}]`);
    }
    return undefined;
  }
  for (const key of Object.keys(value)) {
    const found = wrongIn((value as Record<string, unknown>)[key]);
    if (found) return within(found, `.${key}`);
  }
  return undefined;
}
// Made on the way back, so that nothing is made for values that are right.
function within(found: Found, step: string): Found {
  found.at = step + found.at;
  return found;
}

// Checks each value as it is written, after its toJSON.
function checkedAsWritten(value: unknown): string | undefined {
  const places = new Map<unknown, string>();
  return withBigInts(value, function (key, one) {
    // One that is made of its own properties has lost nothing.
    if (key === 'toJSON' && typeof one === 'function') return undefined;
    const holder = places.get(this);
    const at = holder === undefined ? '' : holder + (Array.isArray(this) ? `[${key}]` : `.${key}`);
    if (isWrong(one)) throw new NotJson(at, kindOf(one));
    if (typeof one === 'object' && one !== null) places.set(one, at);
    return one;
  });
}

// Those of Node.js that return text or a plain object, as they were before anybody changed them.
const {toJSON: dateToJson, toISOString} = Date.prototype;
const {toJSON: bufferToJson} = Buffer.prototype;
const writesWhatIsKnown = (value: object): boolean =>
  (types.isDate(value) && value.toJSON === dateToJson && value.toISOString === toISOString) ||
  (Buffer.isBuffer(value) && value.toJSON === bufferToJson);

// Whether JSON.stringify would leave it out or empty, itself and not what is in it.
function isWrong(value: unknown): boolean {
  if (typeof value === 'function' || typeof value === 'symbol') return true;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return !isPlain(value) && (isContainer(value) || Object.keys(value).length === 0);
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
