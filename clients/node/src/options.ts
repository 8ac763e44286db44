// How to reach control, and the client's own limits.
import {readFileSync} from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import {addressOf, booleanOption, countOption, functionOption, msOption} from './checks.js';
import {stringify} from './json.js';
import type {TlsOptions} from './tls.js';

export interface ConnectOptions {
  /**
   * `host:port` of each control, or several in one string with commas between. Calls are spread over those that are
   * connected. Default: the environment's `TOOLWIRE_ADDRESS`, or else `127.0.0.1:50051`.
   */
  address?: string | readonly string[] | undefined;
  /**
   * Sent as `authorization: Bearer` with each request and stream; a function is called for each. Default, without
   * `tokenFile`: the environment's `TOOLWIRE_TOKEN`, if it is set.
   */
  token?: string | (() => string | undefined) | undefined;
  /**
   * The path of a file with the token, read again for each request and stream, so that it can be replaced while the
   * process runs. Not together with `token`. Default, without `token`: the environment's `TOOLWIRE_TOKEN_FILE`.
   */
  tokenFile?: string | undefined;
  /**
   * `true` is TLS with the CAs of Node.js, `false` none. Default: the files of the environment's `TOOLWIRE_CA`,
   * `TOOLWIRE_CERT` and `TOOLWIRE_KEY` and the name in `TOOLWIRE_TLS_SERVER_NAME`; `true` if `TOOLWIRE_TLS` is 1; else
   * none.
   */
  tls?: boolean | TlsOptions | undefined;
  /**
   * The token may be sent without TLS to other addresses than loopback, because a mesh or a tunnel encrypts what goes
   * there. Otherwise that is an error. Default: whether the environment's `TOOLWIRE_PLAIN_TOKEN` is 1.
   */
  plainToken?: boolean | undefined;
}

export interface ClientOptions extends ConnectOptions {
  /** How long a call waits for its answer unless it says otherwise, in milliseconds. Default 60,000. */
  timeoutMs?: number | undefined;
  /**
   * How long a call waits for a control while none is connected, in milliseconds; then it ends with
   * {@link ControlUnavailableError}. Default 5,000: longer than a control takes to start again, shorter than people
   * wait before they press the button once more.
   */
  controlWaitMs?: number | undefined;
  /**
   * How long a control may stay silent, in milliseconds. One that gives no sign of life for 2 seconds while it has calls
   * gets no new ones; when it is silent for so much longer its stream is closed, and its calls end with
   * {@link ConnectionLostError}. Default 10,000: a control that was moved or starved for some seconds goes on with its
   * calls.
   */
  silenceCloseMs?: number | undefined;
  /** Calls on their way on one connection; more wait here. Default 20,000, the server's own limit. */
  callsInFlightMax?: number | undefined;
  /**
   * Calls that may wait for a connection; more end with {@link CallerBusyError}. Default 100,000: five connections'
   * worth, about 100 MB with small params.
   */
  callsQueuedMax?: number | undefined;
  /**
   * The largest params of a call, in bytes; with more it ends with {@link InvalidRequestError} and is not sent. Default
   * 16 MiB, that of the server's `--payload-bytes-max`, with which it goes. The server cannot read a message that is much
   * larger, and ends the stream that it comes on, with all other calls there.
   */
  paramsBytesMax?: number | undefined;
  /** Writes params, which it gets unchecked. Default: `JSON.stringify`, with BigInt values as JSON integers. */
  stringify?: ((params: unknown) => string | undefined) | undefined;
  /** Reads results. Default: `JSON.parse`; plug another in for integers over 2^53. */
  parse?: ((text: string) => unknown) | undefined;
}

const DEFAULT_ADDRESS = '127.0.0.1:50051';
const TIMEOUT_MS = 60_000;
const CONTROL_WAIT_MS = 5_000;
const SILENCE_CLOSE_MS = 10_000;
const CALLS_IN_FLIGHT_MAX = 20_000;
const CALLS_QUEUED_MAX = 100_000;
const PARAMS_BYTES_MAX = 16 << 20;

/** The client's own options, checked and with their defaults. @internal */
export interface Limits {
  readonly timeoutMs: number;
  readonly controlWaitMs: number;
  readonly silenceCloseMs: number;
  readonly callsInFlightMax: number;
  readonly callsQueuedMax: number;
  readonly paramsBytesMax: number;
  readonly stringify: (params: unknown) => string | undefined;
  /** It is the application's. */
  readonly ownStringify: boolean;
  readonly parse: (text: string) => unknown;
}

/** @throws TypeError An option is wrong. @internal */
export const limitsOf = (options: ClientOptions): Limits => ({
  timeoutMs: msOption('timeoutMs', options.timeoutMs, TIMEOUT_MS),
  controlWaitMs: msOption('controlWaitMs', options.controlWaitMs, CONTROL_WAIT_MS),
  silenceCloseMs: msOption('silenceCloseMs', options.silenceCloseMs, SILENCE_CLOSE_MS),
  callsInFlightMax: countOption('callsInFlightMax', options.callsInFlightMax, CALLS_IN_FLIGHT_MAX),
  callsQueuedMax: countOption('callsQueuedMax', options.callsQueuedMax, CALLS_QUEUED_MAX),
  paramsBytesMax: countOption('paramsBytesMax', options.paramsBytesMax, PARAMS_BYTES_MAX),
  stringify: functionOption('stringify', options.stringify, stringify),
  ownStringify: options.stringify !== undefined,
  parse: functionOption('parse', options.parse, JSON.parse),
});

/** What is wrong with options that nothing but their values shows: no file is read. @throws TypeError @internal */
export function checkValues(options: ClientOptions): void {
  limitsOf(options);
  addressesOf(options);
  booleanOption('plainToken', options.plainToken);
}

/** @internal */
export function addressesOf({address}: ConnectOptions): string[] {
  const given = address ?? (process.env.TOOLWIRE_ADDRESS || DEFAULT_ADDRESS);
  if (typeof given !== 'string' && !Array.isArray(given)) throw new TypeError('address: host:port, or an array of them');
  const several: readonly unknown[] = typeof given === 'string' ? given.split(',') : given;
  const all = several.filter((one) => typeof one !== 'string' || one.trim() !== '').map(addressOf);
  if (all.length === 0) throw new TypeError('address: at least one host:port');
  return [...new Set(all)];
}

/**
 * A token as it was given, without the white space around it; nothing if there is none. What cannot be one never reaches
 * gRPC, whose error would show it, nor a message of ours.
 */
function tokenIn(where: string, given: unknown): string | undefined {
  const token = String(given ?? '').trim();
  if (token === '') return undefined;
  if (!/^[\x21-\x7e]+$/.test(token)) throw new TypeError(`${where} does not hold a token, and nothing else`);
  return token;
}

// The token of a file as it is now, or else as it was when the file last held one: it may be in the middle of being
// replaced, and control decides whether the old one is still good.
function tokenOfFile(path: string): () => string {
  // It would be in the message that there is no such file.
  if (/^tw_[\w-]{43}$|^eyJ[\w-]*\.[\w-]*\.[\w-]*$/.test(path)) {
    throw new TypeError('tokenFile: a token itself; give the path of its file');
  }
  const where = `tokenFile: ${path}`;
  const read = (): string => {
    const token = tokenIn(where, readFileSync(path, 'utf8'));
    if (token === undefined) throw new TypeError(`${where} does not hold a token, and nothing else`);
    return token;
  };
  let last = read();
  return () => {
    try {
      last = read();
    } catch {
      // Control says so once it does not know the old one any more.
    }
    return last;
  };
}

/** The token for a request that begins now. @throws TypeError An option is wrong. @internal */
export function tokenOf({token, tokenFile}: ConnectOptions): () => string | undefined {
  if (token !== undefined && tokenFile !== undefined) throw new TypeError('token and tokenFile: give one or the other');
  if (typeof token === 'function') return () => tokenIn('what the function returned', token());
  if (token !== undefined) {
    const given = tokenIn('token', token);
    return () => given;
  }
  if (tokenFile !== undefined && typeof tokenFile !== 'string') throw new TypeError('tokenFile: the path of a file');
  const file = tokenFile ?? process.env.TOOLWIRE_TOKEN_FILE;
  if (file) return tokenOfFile(file);
  const ofEnvironment = (): string | undefined => tokenIn('TOOLWIRE_TOKEN', process.env.TOOLWIRE_TOKEN);
  ofEnvironment();  // Now, if it is wrong.
  return ofEnvironment;
}

/** @internal */
export function metadataOf(token: string | undefined): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (token) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}
