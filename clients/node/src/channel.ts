// One control's address: a gRPC channel, which connects again by itself, and requests on it. The only file that knows
// how statuses travel.
import * as grpc from '@grpc/grpc-js';
import {v1} from './codec.js';
import {ToolwireError, controlUnavailable, errorOf} from './errors.js';
import {addressesOf, credentialsOf, metadataOf, serverNameOf, type ConnectOptions} from './options.js';

// Load balancers drop connections that are silent for a minute or more without a word; control allows a ping each 5 s.
const KEEPALIVE_MS = 20_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
// A control that starts again is available again within a second or two.
const FIRST_BACK_OFF_MS = 100;
const LONGEST_BACK_OFF_MS = 2_000;
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
  readonly #client: grpc.Client;
  readonly #metadata: grpc.Metadata;

  constructor(address: string, options: ConnectOptions, credentials: grpc.ChannelCredentials) {
    this.address = address;
    this.#metadata = metadataOf(options);
    const serverName = serverNameOf(options);
    this.#client = new grpc.Client(address, credentials, {
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
    });
  }

  get connected(): boolean {
    return this.#client.getChannel().getConnectivityState(false) === grpc.connectivityState.READY;
  }

  /**
   * Connects, then calls `done` once; `failed` gets the reason of each attempt that failed. Returns a function that
   * ends the wait.
   */
  connect(done: () => void, failed: (why: string) => void): () => void {
    const channel = this.#client.getChannel();
    let stopped = false;
    const look = (): void => {
      if (stopped) return;
      const state = channel.getConnectivityState(true);
      if (state === grpc.connectivityState.SHUTDOWN) return;
      if (state === grpc.connectivityState.READY) return done();
      if (state === grpc.connectivityState.TRANSIENT_FAILURE) this.#learnWhy((why) => stopped || failed(why));
      channel.watchConnectivityState(state, Infinity, look);
    };
    look();
    return () => (stopped = true);
  }
  // A request on a channel that could not connect fails at once, and says why.
  #learnWhy(done: (why: string) => void): void {
    this.#client.makeUnaryRequest(
      '/toolwire.v1.ToolDispatch/GetAgent', () => Buffer.alloc(0), () => undefined, undefined, new grpc.Metadata(),
      {deadline: Date.now() + LONGEST_BACK_OFF_MS}, (error) => done((error?.details ?? '').replace(/ Resolution note: $/, '')));
  }

  /** Connects within `timeoutMs`; says why not, if an attempt came to nothing. */
  ready(timeoutMs: number): Promise<string | undefined> {
    return new Promise((resolve) => {
      const end = (why?: string): void => {
        clearTimeout(timer);
        stop();
        resolve(why);
      };
      const timer = setTimeout(() => end(`not connected within ${Math.round(timeoutMs)} ms`), timeoutMs);
      let stop = (): void => {};
      stop = this.connect(() => end(), end);
    });
  }

  /** One request and its response, within `timeoutMs`. */
  unary<Request, Response>(
    {path, encode, decode}: Method<Request, Response>, request: Request, timeoutMs: number,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const options = {deadline: Date.now() + timeoutMs};
      this.#client.makeUnaryRequest(path, encode, decode, request, this.#metadata, options, (error, response) => {
        if (error) reject(errorOfStatus(error));
        else resolve(response as Response);
      });
    });
  }

  /** A stream of responses; ends with its status as an error. */
  serverStream<Request, Response>(
    {path, encode, decode}: Method<Request, Response>, request: Request,
  ): grpc.ClientReadableStream<Response> {
    const stream = this.#client.makeServerStreamRequest(path, encode, decode, request, this.#metadata);
    return stream.on('error', () => {});  // For streams that end when they are no longer read.
  }

  bidiStream<Response>(path: string, decode: (bytes: Buffer) => Response): grpc.ClientDuplexStream<Buffer, Response> {
    return this.#client.makeBidiStreamRequest(path, (bytes: Buffer) => bytes, decode, this.#metadata);
  }

  close(): void {
    this.#client.close();
  }
}

/** The channels to all controls, for requests that any of them can answer. */
export class Channels {
  readonly all: readonly Channel[];
  #next = 0;

  constructor(options: ConnectOptions) {
    const credentials = credentialsOf(options);
    this.all = addressesOf(options).map((address) => new Channel(address, options, credentials));
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
    const giveUp = performance.now() + timeoutMs;
    const failures: string[] = [];
    for (const channel of this.inTurn()) {
      const left = giveUp - performance.now();
      if (left <= 0) break;
      const why = channel.connected ? undefined : await channel.ready(left);
      if (why !== undefined) {
        failures.push(`${channel.address}: ${why}`);
        continue;
      }
      try {
        return await channel.unary(wanted, request, Math.max(1, giveUp - performance.now()));
      } catch (error) {
        // What control itself says of the agent or the store is the answer; without a reason it is the connection.
        if (!(error instanceof ToolwireError) || error.reason !== 'UNAVAILABLE' || wanted.changes) throw error;
        failures.push(`${channel.address}: ${error.message}`);
      }
    }
    throw controlUnavailable(`no control is reachable: ${failures.join('; ')}`);
  }

  close(): void {
    for (const one of this.all) one.close();
  }
}
