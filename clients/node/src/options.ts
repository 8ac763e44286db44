// How to reach control, and the client's own limits.
import {readFileSync} from 'node:fs';
import * as grpc from '@grpc/grpc-js';

/** TLS to control. Certificates and keys are PEM: a Buffer, the text itself, or the path of a file. */
export interface TlsOptions {
  /** Trusted roots; those of Node.js if absent. */
  ca?: string | Buffer;
  /** The client's certificate, for mutual TLS; `key` belongs to it. */
  cert?: string | Buffer;
  key?: string | Buffer;
  /** The name that the server's certificate must have; the host of the address if absent. */
  serverName?: string;
}

export interface ConnectOptions {
  /**
   * `host:port` of each control, or several in one string with commas between. Calls are spread over those that are
   * connected. Default: the environment's `TOOLWIRE_ADDRESS`, or else `127.0.0.1:50051`.
   */
  address?: string | readonly string[];
  /** Sent as `authorization: Bearer` with each request. Default: the environment's `TOOLWIRE_TOKEN`, if it is set. */
  token?: string;
  /** `true` is TLS with the roots of Node.js. Default: none. */
  tls?: boolean | TlsOptions;
}

export interface ClientOptions extends ConnectOptions {
  /** How long a call waits for its answer unless it says otherwise, in milliseconds. Default 60,000. */
  timeoutMs?: number;
  /**
   * How long a call waits for a control while none is connected, in milliseconds; then it ends with
   * {@link ControlUnavailableError}. Default 5,000: longer than a control takes to start again, shorter than people
   * wait before they press the button once more.
   */
  controlWaitMs?: number;
  /** Calls on their way on one connection; more wait here. Default 20,000, the server's own limit. */
  callsInFlightMax?: number;
  /**
   * Calls that may wait for a connection; more end with {@link CallerBusyError}. Default 100,000: five connections'
   * worth, about 100 MB with small params.
   */
  callsQueuedMax?: number;
  /** Writes params. Default: `JSON.stringify`, with BigInt values as JSON integers. */
  stringify?: (params: unknown) => string | undefined;
  /** Reads results. Default: `JSON.parse`; plug another in for integers over 2^53. */
  parse?: (text: string) => unknown;
}

const DEFAULT_ADDRESS = '127.0.0.1:50051';

/** @internal */
export function addressesOf({address}: ConnectOptions): string[] {
  const given = address ?? (process.env.TOOLWIRE_ADDRESS || DEFAULT_ADDRESS);
  const all = (typeof given === 'string' ? given.split(',') : [...given]).map((one) => one.trim()).filter(Boolean);
  if (all.length === 0) throw new TypeError('address: at least one host:port');
  return [...new Set(all)];
}

const pem = (given: string | Buffer | undefined): Buffer | null => {
  if (given === undefined) return null;
  if (typeof given !== 'string') return given;
  return given.includes('-----BEGIN') ? Buffer.from(given) : readFileSync(given);
};

/** @internal */
export function credentialsOf({tls}: ConnectOptions): grpc.ChannelCredentials {
  if (!tls) return grpc.credentials.createInsecure();
  const {ca, cert, key} = tls === true ? ({} as TlsOptions) : tls;
  return grpc.credentials.createSsl(pem(ca), pem(key), pem(cert));
}

/** @internal */
export const serverNameOf = ({tls}: ConnectOptions): string | undefined =>
  typeof tls === 'object' ? tls.serverName : undefined;

/** @internal */
export function metadataOf({token = process.env.TOOLWIRE_TOKEN}: ConnectOptions): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (token) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/** A positive number of the options, or its default. @internal */
export function positive(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!(value > 0)) throw new TypeError(`${name}: a positive number, not ${value}`);
  return value;
}
