// One control's address: a gRPC channel, which connects again by itself, requests on it, and what is known of its health.
// The only file that knows how statuses travel.
import * as grpc from '@grpc/grpc-js';
import {v1} from './codec.js';
import {type ToolwireError, errorOf} from './errors.js';
import {metadataOf} from './options.js';
import {type Credentials, explain} from './tls.js';

// Load balancers drop connections that are silent for a minute or more without a word; control allows a ping each 5 s.
const KEEPALIVE_MS = 20_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
// A control that starts again is available again within a second or two.
const FIRST_BACK_OFF_MS = 100;
const LONGEST_BACK_OFF_MS = 2_000;
// An attempt that neither connects nor fails is given up after so long: the kernel's own end comes after two minutes, and
// a control that was stopped takes connections without ever using them.
const CONNECT_MS = 10_000;
// See cancelsLater.
const CANCEL_LATER_MS = 50;
// For so long a control that left something unanswered is asked after all others.
const SILENT_MS = 30_000;
// How often a channel that cannot connect asks whether there are other certificates.
const LOOK_MS = 1_000;
// HTTP/2 receives so much before it waits for us to read: large results at full speed.
const WINDOW_BYTES = 4 << 20;

const DISPATCH_PATH = '/toolwire.v1.ToolDispatch/Dispatch';
const FOLLOW_PATH = '/toolwire.v1.ToolDispatch/FollowAgents';
// With it on a stream control says hello, and gives signs of life.
const HELLO_WORD = 'toolwire-hello';
// How grpc-js begins what it says of an answer that is a proxy's, as it has no status of gRPC.
const NOT_GRPC = 'Received HTTP status code';

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

/** A control's own word that it has no such method; a proxy that has no such page is none. */
export const isUnimplemented = ({code, details}: Partial<grpc.StatusObject>): boolean =>
  code === grpc.status.UNIMPLEMENTED && !details?.startsWith(NOT_GRPC);

export const errorOfStatus = (status: Partial<grpc.StatusObject>): ToolwireError =>
  errorOf(status.code ?? grpc.status.UNKNOWN, status.details ?? '', detailOf(status.metadata));

// Of a stream that is cancelled in the turn of the event loop in which it begins, Node.js' HTTP/2 (of 20.20 at least) may
// write frames for ever, and never returns. So it is cancelled a little later.
function cancelsLater<Call extends {cancel(): void}>(call: Call): Call {
  const cancel = call.cancel.bind(call);
  let young = true;
  let wanted = false;
  const timer = setTimeout(() => {
    young = false;
    if (wanted) cancel();
  }, CANCEL_LATER_MS).unref();
  call.cancel = () => {
    if (!young) return cancel();
    wanted = true;
    timer.ref();
  };
  return call;
}

const unpacked = (bytes: Buffer): Buffer => bytes;

export class Channel {
  readonly address: string;
  #silentUntil = 0;
  /** Its control knows nothing of `FollowAgents`, when last asked. */
  older = false;
  /** Its control took the last stream of calls without a hello. */
  neverGreets = false;
  readonly #whenStopped = new Set<(connection: number) => void>();
  readonly #credentials: Credentials;
  readonly #options: grpc.ChannelOptions;
  readonly #token: () => string | undefined;
  // What `#client` was made with.
  #made: grpc.ChannelCredentials;
  #client: grpc.Client;
  #connection = 0;
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

  /**
   * Something that was asked of it is not answered for longer than a control takes. It is the last to be asked until it
   * says something, or some time has passed.
   */
  get silent(): boolean {
    return this.#silentUntil > 0 && performance.now() < this.#silentUntil;
  }
  /** Anything came from its control. */
  heard(): void {
    this.#silentUntil = 0;
  }
  /** An answer is overdue. */
  missed(): void {
    this.#silentUntil = performance.now() + SILENT_MS;
  }
  /** Which of its connections is the present one, by a number. */
  get connection(): number {
    return this.#connection;
  }
  /**
   * What begins from now on gets another connection than this one: behind one address may be several controls. What is
   * under way on it goes on.
   */
  leave(connection: number): void {
    if (connection === this.#connection && !this.#closed) this.#replace(this.#credentials.current);
  }
  /** On this connection its control does not even give the signs of life that it promised. */
  stopped(connection: number): void {
    this.missed();
    this.leave(connection);
    for (const then of [...this.#whenStopped]) then(connection);
  }
  /** Calls `then` each time that a connection of it is `stopped`. Returns a function that ends that. */
  onStopped(then: (connection: number) => void): () => void {
    this.#whenStopped.add(then);
    return () => this.#whenStopped.delete(then);
  }

  // The client for what begins now: with other credentials, if there are any, unless it is connected. gRPC's channel has
  // the same for all its connections.
  #renewed(): grpc.Client {
    if (this.#closed || !this.#credentials.mayChange || this.connected) return this.#client;
    const credentials = this.#credentials.current;
    if (credentials !== this.#made) this.#replace(credentials);
    return this.#client;
  }
  #replace(credentials: grpc.ChannelCredentials): void {
    const old = this.#client;
    this.#made = credentials;
    this.#client = new grpc.Client(this.address, credentials, this.#options);
    ++this.#connection;
    // What is still under way on its last connection goes on. Who waits for a state of it looks again.
    old.close();
  }

  /**
   * Connects, then calls `done` once; `failed` gets the reason of each attempt that failed. Returns a function that
   * ends the wait.
   */
  connect(done: () => void, failed: (why: string) => void): () => void {
    const looking = this.#credentials.mayChange ? setInterval(() => this.#renewed(), LOOK_MS).unref() : undefined;
    let stopped = false;
    let attempt: NodeJS.Timeout | undefined;
    const stop = (): void => {
      stopped = true;
      clearInterval(looking);
      clearTimeout(attempt);
    };
    const giveUp = (client: grpc.Client): void => {
      if (this.#client !== client) return;
      failed(`not connected within ${CONNECT_MS} ms`);
      this.#replace(this.#credentials.current);
    };
    const look = (): void => {
      clearTimeout(attempt);
      if (stopped) return;
      if (this.#closed) return stop();
      const client = this.#renewed();
      const channel = client.getChannel();
      const state = channel.getConnectivityState(true);
      if (state === grpc.connectivityState.READY) {
        stop();
        return done();
      }
      if (state === grpc.connectivityState.TRANSIENT_FAILURE) this.#learnWhy((why) => stopped || failed(why));
      else attempt = setTimeout(() => giveUp(client), CONNECT_MS);
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

  /** One request and its response, within `timeoutMs`; `ended` cancels it. */
  unary<Request, Response>(
    {path, encode, decode}: Method<Request, Response>, request: Request, timeoutMs: number, ended: AbortSignal,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const options = {deadline: Date.now() + timeoutMs};
      const client = this.#renewed();
      const call = cancelsLater(client.makeUnaryRequest(path, encode, decode, request, this.#metadata(), options, (error, response) => {
        ended.removeEventListener('abort', cancel);
        if (error) reject(errorOfStatus(error));
        else resolve(response as Response);
      }));
      const cancel = (): void => call.cancel();
      ended.addEventListener('abort', cancel);
    });
  }

  /** A stream of responses, with a hello first if control knows of that; ends with its status as an error. */
  serverStream<Request, Response>(
    {path, encode, decode}: Method<Request, Response>, request: Request,
  ): grpc.ClientReadableStream<Response> {
    const stream = cancelsLater(this.#renewed().makeServerStreamRequest(path, encode, decode, request, this.#streamMetadata()));
    return stream.on('error', () => {});  // For streams that end when they are no longer read.
  }

  /** A stream of calls. */
  dispatchStream<Response>(decode: (bytes: Buffer) => Response): grpc.ClientDuplexStream<Buffer, Response> {
    return this.#bidiStream(DISPATCH_PATH, decode);
  }
  /** A stream to follow users, which no older control has. */
  followStream<Response>(decode: (bytes: Buffer) => Response): grpc.ClientDuplexStream<Buffer, Response> {
    return this.#bidiStream(FOLLOW_PATH, decode);
  }
  #bidiStream<Response>(path: string, decode: (bytes: Buffer) => Response): grpc.ClientDuplexStream<Buffer, Response> {
    return cancelsLater(this.#renewed().makeBidiStreamRequest(path, unpacked, decode, this.#streamMetadata()));
  }
  #streamMetadata(): grpc.Metadata {
    const metadata = this.#metadata();
    metadata.set(HELLO_WORD, '1');
    return metadata;
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
