// One control's address: a gRPC channel, which connects again by itself, and requests on it. The only file that knows
// how statuses travel.
import * as grpc from '@grpc/grpc-js';
import {booleanOption} from './checks.js';
import {v1} from './codec.js';
import {Drain} from './drain.js';
import {ToolwireError, closed, controlUnavailable, errorOf} from './errors.js';
import {addressesOf, metadataOf, tokenOf, type ConnectOptions} from './options.js';
import {Credentials, explain, mayGetToken, tlsOf} from './tls.js';

// Load balancers drop connections that are silent for a minute or more without a word; control allows a ping each 5 s.
const KEEPALIVE_MS = 20_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
// A control that starts again is available again within a second or two.
const FIRST_BACK_OFF_MS = 100;
const LONGEST_BACK_OFF_MS = 2_000;
// How often a channel that cannot connect asks whether there are other certificates.
const LOOK_MS = 1_000;
// HTTP/2 receives so much before it waits for us to read: large results at full speed.
const WINDOW_BYTES = 4 << 20;

const DETAIL_TYPE = 'type.googleapis.com/toolwire.v1.CallError';

/** One method: its path, and its messages as bytes. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly encode: (request: Request) => Buffer;
  readonly decode: (bytes: Buffer) => Response;
  /** Whether the request changes something, so that it must not be repeated when its outcome is unknown. */
  readonly changes?: boolean;
}

interface MessageClass<Plain, Message> {
  encode(message: Plain): {finish(): Uint8Array};
  decode(bytes: Uint8Array): Message;
}
export const method = <Request, Response>(
  path: string, request: MessageClass<Request, unknown>, response: MessageClass<never, Response>, changes?: boolean,
): Method<Request, Response> => ({
  path,
  encode: (message) => request.encode(message).finish() as Buffer,
  decode: (bytes) => response.decode(bytes),
  changes,
});

/** The typed detail of a failed request, if its trailers have one. */
function detailOf(metadata: grpc.Metadata | undefined): v1.CallError | undefined {
  const [packed] = metadata?.get('grpc-status-details-bin') ?? [];
  if (!Buffer.isBuffer(packed)) return undefined;
  try {
    const found = v1.StatusDetails.decode(packed).details.find(({typeUrl}) => typeUrl === DETAIL_TYPE);
    return found?.value ? v1.CallError.decode(found.value) : undefined;
  } catch {
    return undefined;  // A proxy's own detail.
  }
}

export const errorOfStatus = (status: Partial<grpc.StatusObject>): ToolwireError =>
  errorOf(status.code ?? grpc.status.UNKNOWN, status.details ?? '', detailOf(status.metadata));

export class Channel {
  readonly address: string;
  readonly #credentials: Credentials;
  readonly #options: grpc.ChannelOptions;
  readonly #token: () => string | undefined;
  // What `#client` was made with.
  #made: grpc.ChannelCredentials;
  #client: grpc.Client;
  #closed = false;

  constructor(
    address: string, credentials: Credentials, serverName: string | undefined, token: () => string | undefined,
  ) {
    this.address = address;
    this.#token = token;
    this.#credentials = credentials;
    this.#options = {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.keepalive_permit_without_calls': 1,
      'grpc.initial_reconnect_backoff_ms': FIRST_BACK_OFF_MS,
      'grpc.max_reconnect_backoff_ms': LONGEST_BACK_OFF_MS,
      'grpc.client_idle_timeout_ms': 2 ** 31 - 1,  // The client says when it is done.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,  // What may be repeated is for us to know.
      'grpc.per_rpc_retry_buffer_size': 0,  // So that a write is done when the socket has taken it.
      'grpc.enable_channelz': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc-node.flow_control_window': WINDOW_BYTES,
      ...(serverName ? {'grpc.ssl_target_name_override': serverName, 'grpc.default_authority': serverName} : {}),
      'grpc.enable_http_proxy': 0,  // It is meant for the web; proxies for it open no connection to a control.
    };
    this.#made = credentials.current;
    this.#client = new grpc.Client(address, this.#made, this.#options);
  }

  get connected(): boolean {
    return this.#client.getChannel().getConnectivityState(false) === grpc.connectivityState.READY;
  }

  // The client for what begins now: with other credentials, if there are any, unless it is connected. gRPC's channel has
  // the same for all its connections.
  #renewed(): grpc.Client {
    if (this.#closed || !this.#credentials.mayChange || this.connected) return this.#client;
    const credentials = this.#credentials.current;
    if (credentials === this.#made) return this.#client;
    const old = this.#client;
    this.#made = credentials;
    this.#client = new grpc.Client(this.address, credentials, this.#options);
    // What is still under way on its last connection goes on. Who waits for a state of it looks again.
    old.close();
    return this.#client;
  }

  /**
   * Connects, then calls `done` once; `failed` gets the reason of each attempt that failed. Returns a function that
   * ends the wait.
   */
  connect(done: () => void, failed: (why: string) => void): () => void {
    const looking = this.#credentials.mayChange ? setInterval(() => this.#renewed(), LOOK_MS).unref() : undefined;
    let stopped = false;
    const stop = (): void => {
      stopped = true;
      clearInterval(looking);
    };
    const look = (): void => {
      if (stopped) return;
      if (this.#closed) return stop();
      const channel = this.#renewed().getChannel();
      const state = channel.getConnectivityState(true);
      if (state === grpc.connectivityState.READY) {
        stop();
        return done();
      }
      if (state === grpc.connectivityState.TRANSIENT_FAILURE) this.#learnWhy((why) => stopped || failed(why));
      channel.watchConnectivityState(state, Infinity, look);
    };
    look();
    return stop;
  }
  // A request on a channel that could not connect fails at once, and says why.
  #learnWhy(done: (why: string) => void): void {
    const client = this.#client;
    client.makeUnaryRequest(
      '/toolwire.v1.ToolDispatch/GetAgent', () => Buffer.alloc(0), () => undefined, undefined, new grpc.Metadata(),
      {deadline: Date.now() + LONGEST_BACK_OFF_MS},
      (error) => client === this.#client && done(explain(error?.details ?? '', this.#credentials.secure)));
  }

  /** Connects within `timeoutMs`; says why not, if an attempt came to nothing or `ended` is aborted. */
  ready(timeoutMs: number, ended: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve) => {
      const end = (why?: string): void => {
        clearTimeout(timer);
        stop();
        resolve(why);
      };
      ended.addEventListener('abort', () => end('closed'), {once: true});
      const timer = setTimeout(() => end(`not connected within ${Math.round(timeoutMs)} ms`), timeoutMs);
      let stop = (): void => {};
      stop = this.connect(() => end(), end);
    });
  }

  /** One request and its response, within `timeoutMs`; `ended` cancels it. */
  unary<Request, Response>(
    {path, encode, decode}: Method<Request, Response>, request: Request, timeoutMs: number, ended: AbortSignal,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const options = {deadline: Date.now() + timeoutMs};
      const client = this.#renewed();
      const call = client.makeUnaryRequest(path, encode, decode, request, this.#metadata(), options, (error, response) => {
        if (error) reject(errorOfStatus(error));
        else resolve(response as Response);
      });
      ended.addEventListener('abort', () => call.cancel(), {once: true});
    });
  }

  /** A stream of responses; ends with its status as an error. */
  serverStream<Request, Response>(
    {path, encode, decode}: Method<Request, Response>, request: Request,
  ): grpc.ClientReadableStream<Response> {
    const stream = this.#renewed().makeServerStreamRequest(path, encode, decode, request, this.#metadata());
    return stream.on('error', () => {});  // For streams that end when they are no longer read.
  }

  bidiStream<Response>(path: string, decode: (bytes: Buffer) => Response): grpc.ClientDuplexStream<Buffer, Response> {
    return this.#renewed().makeBidiStreamRequest(path, (bytes: Buffer) => bytes, decode, this.#metadata());
  }

  // By hand, as gRPC refuses call credentials without TLS. A function that throws has no token to give: control's answer
  // says that it wants one.
  #metadata(): grpc.Metadata {
    try {
      return metadataOf(this.#token());
    } catch (error) {
      process.emitWarning(`token: ${error instanceof Error ? error.message : String(error)}`, 'ToolwireWarning');
      return metadataOf(undefined);
    }
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
  }
}

// The token, which goes to no address but those that may get one.
function guardedToken(options: ConnectOptions, addresses: readonly string[], secure: boolean): () => string | undefined {
  const token = tokenOf(options);
  const exposed = addresses.find((address) => !mayGetToken(address, secure, options.plainToken));
  if (exposed === undefined) return token;
  const refusal =
    `the token is not sent to ${exposed} without TLS: give tls (or TOOLWIRE_TLS=1, TOOLWIRE_CA), or say plainToken: true ` +
    '(TOOLWIRE_PLAIN_TOKEN=1) if a mesh or a tunnel encrypts what goes there';
  if (typeof options.token === 'function' || token()) throw new TypeError(refusal);
  // The environment may have one later.
  return () => {
    if (token()) throw new TypeError(refusal);
    return undefined;
  };
}

/** A request that is under way. */
interface UnderWay {
  /** It may have left. */
  sent: boolean;
  readonly ending: AbortController;
}

/** The channels to all controls, for requests that any of them can answer. */
export class Channels {
  readonly all: readonly Channel[];
  readonly #underWay = new Set<UnderWay>();
  #next = 0;
  #refusing = false;
  readonly #drain = new Drain();

  constructor(options: ConnectOptions) {
    booleanOption('plainToken', options.plainToken);
    const tls = tlsOf(options.tls);
    const credentials = new Credentials(tls);
    const addresses = addressesOf(options);
    const token = guardedToken(options, addresses, credentials.secure);
    this.all = addresses.map((address) => new Channel(address, credentials, tls?.serverName, token));
  }

  /** In the order in which to try them: another one first each time, those that are connected before the others. */
  inTurn(): Channel[] {
    const start = this.#next++ % this.all.length;
    const turned = [...this.all.slice(start), ...this.all.slice(0, start)];
    return [...turned.filter((one) => one.connected), ...turned.filter((one) => !one.connected)];
  }

  /**
   * One request to whichever control answers. If one cannot be reached the next is asked; if a request that changes
   * something has left, no other is.
   */
  async unary<Request, Response>(wanted: Method<Request, Response>, request: Request, timeoutMs: number): Promise<Response> {
    if (this.#refusing) throw closed('NOT_SENT');
    const one: UnderWay = {sent: false, ending: new AbortController()};
    this.#underWay.add(one);
    try {
      return await this.#ask(wanted, request, timeoutMs, one);
    } catch (error) {
      throw one.ending.signal.aborted ? closed(one.sent ? 'SENT' : 'NOT_SENT') : error;
    } finally {
      this.#underWay.delete(one);
      if (this.#underWay.size === 0 && this.#refusing) this.#drain.end();
    }
  }
  async #ask<Request, Response>(
    wanted: Method<Request, Response>, request: Request, timeoutMs: number, one: UnderWay,
  ): Promise<Response> {
    const ended = one.ending.signal;
    const giveUp = performance.now() + timeoutMs;
    const failures: string[] = [];
    for (const channel of this.inTurn()) {
      const left = giveUp - performance.now();
      if (left <= 0) break;
      const why = channel.connected ? undefined : await channel.ready(left, ended);
      if (this.#refusing) throw closed('NOT_SENT');
      if (why !== undefined) {
        failures.push(`${channel.address}: ${why}`);
        continue;
      }
      try {
        one.sent = true;
        return await channel.unary(wanted, request, Math.max(1, giveUp - performance.now()), ended);
      } catch (error) {
        // What control itself says of the agent or the store is the answer; without a reason it is the connection.
        if (!(error instanceof ToolwireError) || error.reason !== 'UNAVAILABLE' || wanted.changes) throw error;
        one.sent = false;
        failures.push(`${channel.address}: ${error.message}`);
      }
    }
    throw controlUnavailable(`no control is reachable: ${failures.join('; ')}`);
  }

  /** Takes no more requests, and ends those that have not left. */
  refuse(): void {
    this.#refusing = true;
    for (const one of this.#underWay) if (!one.sent) one.ending.abort();
  }
  /** After `refuse`: resolves when no request is under way, or after `drainMs`. */
  drained(drainMs: number): Promise<void> {
    if (this.#underWay.size === 0) this.#drain.end();
    return this.#drain.within(drainMs);
  }
  /** Ends all requests, and closes the channels. */
  close(): void {
    this.#refusing = true;
    for (const one of this.#underWay) one.ending.abort();
    for (const one of this.all) one.close();
  }
}
