// What enters the client is checked here, once, at its public edge. Behind it every time is a number of milliseconds that
// a timer and a protobuf Duration can hold, every name is text that UTF-8 can hold, and params are text or bytes that
// nobody changes any more.
//
// What is wrong with a field of a request is an InvalidRequestError that names the field, as if control had said it. What
// no control ever sees (options, signals, the kind of params, lists of users to watch) is a TypeError.
import {isDate, isUint8Array} from 'node:util/types';
import {invalid} from './errors.js';
import {NotJson, kindOf, stringifyChecked} from './json.js';
import type {AbortSignalLike} from './signals.js';

/**
 * The longest time that a timer of Node.js takes, 24 days; one that is given more fires at once. The server's own maximum
 * of a call is shorter, so longer times, and Infinity, are cut to this one.
 */
export const LONGEST_MS = 2 ** 31 - 1;
/** What the server takes as the name of a user, a tool or a call, in bytes of UTF-8. */
const NAME_BYTES_MAX = 256;
// UTF-8 takes at most three bytes for each unit of UTF-16.
const SURELY_SHORT = Math.floor(NAME_BYTES_MAX / 3);
const CONTROL_CHARACTER = /[\x00-\x1f\x7f]/;
const INT32_MAX = 2 ** 31 - 1;
// What a protobuf Timestamp can hold: the years 1 to 9999.
const FIRST_MOMENT_MS = Date.parse('0001-01-01T00:00:00Z');
const LAST_MOMENT_MS = Date.parse('9999-12-31T23:59:59.999Z');

// In TypeScript's library since es2024, in Node.js since 20.0.
const isWellFormed = (text: string): boolean => (text as unknown as {isWellFormed(): boolean}).isWellFormed();

// A value as messages show it: numbers and short texts as they are, of all else the kind.
function shown(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string' && value.length <= 40) return JSON.stringify(value);
  return kindOf(value);
}

// --- options ---

/** The options of a method: an object, or nothing. A number in their place would be taken for none. */
export function optionsOf<Options extends object>(value: Options | undefined): Partial<Options> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null) throw new TypeError(`options: an object, not ${shown(value)}`);
  return value;
}

/** A time of the options, above 0. */
export function msOption(name: string, value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value !== 'number' || !(value > 0)) {
    throw new TypeError(`${name}: a positive number of milliseconds, not ${shown(value)}`);
  }
  return Math.min(value, LONGEST_MS);
}

/** A limit of the options: 1 or more, or Infinity for none. */
export function countOption(name: string, value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (value !== Infinity && !(Number.isInteger(value) && (value as number) > 0)) {
    throw new TypeError(`${name}: a positive integer or Infinity, not ${shown(value)}`);
  }
  return value as number;
}

export function functionOption<F>(name: string, value: F | undefined, otherwise: F): F {
  if (value === undefined) return otherwise;
  if (typeof value !== 'function') throw new TypeError(`${name}: a function, not ${shown(value)}`);
  return value;
}

export function booleanOption(name: string, value: unknown): boolean | undefined {
  if (value !== undefined && typeof value !== 'boolean') throw new TypeError(`${name}: true or false, not ${shown(value)}`);
  return value;
}

/** How long `close` waits: 0 or more, Infinity for as long as it takes. */
export function drainOption(value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value !== 'number' || !(value >= 0)) {
    throw new TypeError(`drainMs: a number of milliseconds, 0 or more, not ${shown(value)}`);
  }
  return value;
}

// `host:port`, by name, IPv4 or [IPv6], also as gRPC writes it, with `dns:`, `ipv4:` or `ipv6:`; or `unix:path`.
const ADDRESS = /^(?:(?:dns:(?:\/\/[^/]*\/)?|ipv4:)?[^\s/:@[\]?#]+|(?:dns:(?:\/\/[^/]*\/)?|ipv6:)?\[[\da-fA-F:.]+(?:%[^\]\s]+)?\]):(\d{1,5})$/;
const SOCKET = /^unix(?:-abstract)?:./;

/** One control's address. */
export function addressOf(given: unknown): string {
  const address = typeof given === 'string' ? given.trim() : '';
  const port = Number(ADDRESS.exec(address)?.[1] ?? 0);
  if (SOCKET.test(address) || (port > 0 && port <= 0xffff)) return address;
  // Of what stands before an @ nothing may reach a message: it may be a password.
  const said = typeof given === 'string' ? JSON.stringify(address.replace(/^.*@/s, '…@')) : kindOf(given);
  const scheme = /^(https?|grpcs?):\/\//i.exec(address);
  throw new TypeError(`address: host:port, not ${said}` + (scheme ? `; without ${scheme[1]}://, TLS is the option tls` : ''));
}

/** An AbortSignal, of Node.js or a polyfill's. */
export function signalOption(value: unknown): AbortSignalLike | undefined {
  if (value === undefined || value === null) return undefined;
  const signal = value as Partial<AbortSignalLike>;
  if (typeof signal.aborted !== 'boolean' || typeof signal.addEventListener !== 'function' ||
      typeof signal.removeEventListener !== 'function') {
    throw new TypeError(`signal: an AbortSignal, not ${shown(value)}`);
  }
  return value as AbortSignalLike;
}

/**
 * The users of a watch, in a list of its own. All that control takes as the id of a user, as one that it refuses would
 * break the stream of others.
 */
export function userIdsOption(value: unknown): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new TypeError(`userIds: an array, not ${shown(value)}`);
  for (const [n, one] of value.entries()) {
    const wrong = wrongUserId(one);
    if (wrong) throw new TypeError(`userIds[${n}] ${wrong}`);
  }
  return [...value] as string[];
}

// --- fields of requests ---

function wrongName(value: unknown): string | undefined {
  if (typeof value !== 'string') return `must be a string, not ${shown(value)}`;
  if (!isWellFormed(value)) return 'has half of a surrogate pair, which UTF-8 cannot hold';
  if (value.length > SURELY_SHORT && Buffer.byteLength(value) > NAME_BYTES_MAX) {
    return `is longer than ${NAME_BYTES_MAX} bytes`;
  }
  return undefined;
}

function wrongUserId(value: unknown): string | undefined {
  const wrong = wrongName(value);
  if (wrong !== undefined) return wrong;
  if (value === '') return 'must not be empty';
  return CONTROL_CHARACTER.test(value as string) ? 'must not contain control characters' : undefined;
}

/** The name of a user, a tool, a call or an edge. Whether it may be empty is for the server to say. */
export function nameField(field: string, value: unknown): string {
  const wrong = wrongName(value);
  if (wrong) throw invalid(field, `${field} ${wrong}`);
  return value as string;
}
export const optionalNameField = (field: string, value: unknown): string | undefined =>
  value === undefined ? undefined : nameField(field, value);

/** A time of a request, above 0, or from 0 on if `zero`. */
export function msField(field: string, name: string, value: unknown, zero = false): number {
  if (typeof value !== 'number' || !(zero ? value >= 0 : value > 0)) {
    throw invalid(field, `${name} must be a number of milliseconds, ${zero ? '0 or more' : 'above 0'}, not ${shown(value)}`);
  }
  return Math.min(value, LONGEST_MS);
}

/** How many rows a page has; whether it may be negative is for the server to say. */
export function pageSizeField(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (value !== Infinity && !Number.isInteger(value)) throw invalid('page_size', `pageSize must be an integer, not ${shown(value)}`);
  return Math.max(-INT32_MAX, Math.min(value as number, INT32_MAX));
}

/** A Date, or Unix time in milliseconds, as the latter. */
export function momentField(field: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const ms = isDate(value) ? value.getTime() : value;
  if (typeof ms !== 'number' || Number.isNaN(ms)) {
    throw invalid(field, `${field} must be a Date or a number of milliseconds, not ${isDate(value) ? 'an invalid Date' : shown(value)}`);
  }
  return Math.max(FIRST_MOMENT_MS, Math.min(ms, LAST_MOMENT_MS));
}

/** One of a few words, or nothing. */
export function wordField<Word extends string>(field: string, value: unknown, words: readonly Word[]): Word | undefined {
  if (value !== undefined && !words.includes(value as Word)) {
    throw invalid(field, `${field} must be one of ${words.join(', ')}, not ${shown(value)}`);
  }
  return value as Word | undefined;
}

// --- params ---

/** Params as they are sent. */
export interface SentParams {
  readonly params: string | Uint8Array;
  readonly bytes: number;
}

/**
 * Params as text or bytes of their own, at most `bytesMax`. `write` makes text of objects; `own`: it is the application's,
 * and takes what it likes.
 */
export function paramsField(
  given: unknown, write: (params: unknown) => unknown, own: boolean, bytesMax: number,
): SentParams {
  if (given === undefined || given === null) return {params: '', bytes: 0};
  if (isUint8Array(given)) {
    checkBytes(given.length, bytesMax);
    // Who gave them may change them while the call waits.
    return {params: Buffer.from(given), bytes: given.length};
  }
  const params = typeof given === 'string' ? given : textOf(given, write, own);
  const bytes = Buffer.byteLength(params);
  checkBytes(bytes, bytesMax);
  if (bytes !== params.length && !isWellFormed(params)) {
    throw invalid('params_json', 'params have half of a surrogate pair, which UTF-8 cannot hold');
  }
  return {params, bytes};
}

function checkBytes(bytes: number, bytesMax: number): void {
  if (bytes > bytesMax) throw invalid('params_json', `params are ${bytes} bytes, more than ${bytesMax} (paramsBytesMax)`);
}

function textOf(given: unknown, write: (params: unknown) => unknown, own: boolean): string {
  const isObject = typeof given === 'object' && (own || !Array.isArray(given));
  if (!isObject) throw new TypeError(`params: an object or the text of one, not ${kindOf(given)}`);
  let text: unknown;
  try {
    text = own ? write(given) : stringifyChecked(given);
  } catch (error) {
    if (error instanceof NotJson) throw new TypeError(error.message);
    throw invalid('params', `params cannot be written as JSON: ${error instanceof Error ? error.message : shown(error)}`);
  }
  if (typeof text !== 'string') {
    throw new TypeError(`params: ${own ? 'the option stringify' : 'their toJSON()'} returned ${kindOf(text)}`);
  }
  if (!own && !text.startsWith('{')) throw new TypeError(`params: an object, not ${kindOf(given)}`);
  return text;
}
