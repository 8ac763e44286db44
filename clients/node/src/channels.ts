// The channels to all controls: which of them is asked, and requests that any of them can answer.
import {booleanOption} from './checks.js';
import {Channel, type Method} from './channel.js';
import {Drain} from './drain.js';
import {ToolwireError, closed, controlUnavailable} from './errors.js';
import {addressesOf, tokenOf, type ConnectOptions} from './options.js';
import {Credentials, mayGetToken, tlsOf} from './tls.js';

// How long an address that neither connects nor refuses keeps a request waiting before the next one is tried beside it.
const CONNECT_AHEAD_MS = 250;
// How long a control may take for an answer before another is asked as well; its own waits for other processes are shorter.
const ANSWER_AHEAD_MS = 1_000;

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

  /**
   * In the order in which to try them: another one first each time, those that are connected before the others, and those
   * that are silent last.
   */
  inTurn(): Channel[] {
    const start = this.#next++ % this.all.length;
    const turned = [...this.all.slice(start), ...this.all.slice(0, start)];
    const rank = (one: Channel): number => (one.silent ? 2 : one.connected ? 0 : 1);
    return turned.sort((a, b) => rank(a) - rank(b));
  }

  /**
   * One request to whichever control answers. If one cannot be reached the next is asked; if it is slow, the next beside
   * it. Of a request that changes something only one leaves.
   */
  async unary<Request, Response>(wanted: Method<Request, Response>, request: Request, timeoutMs: number): Promise<Response> {
    if (this.#refusing) throw closed('NOT_SENT');
    const one: UnderWay = {sent: false, ending: new AbortController()};
    this.#underWay.add(one);
    try {
      return await new Asking(this.inTurn(), wanted, request, timeoutMs, one).outcome;
    } finally {
      this.#underWay.delete(one);
      if (this.#underWay.size === 0 && this.#refusing) this.#drain.end();
    }
  }

  /** Connects to whichever control can be, for a stream; `undefined` once `signal` is aborted. */
  connected(signal: AbortSignal): Promise<Channel | undefined> {
    return new Promise((resolve) => {
      const attempts = new Attempts(this.inTurn(), (channel) => end(channel), () => {});
      const abort = (): void => end(undefined);
      const end = (channel: Channel | undefined): void => {
        attempts.stop();
        signal.removeEventListener('abort', abort);
        resolve(channel);
      };
      if (signal.aborted) return end(undefined);
      signal.addEventListener('abort', abort);
      attempts.start();
    });
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

/** Connects to channels in their order, the next one beside those that take their time. */
class Attempts {
  readonly #stops: (() => void)[] = [];
  #next = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** `failed` is called for each attempt of each channel that came to nothing: they go on. */
  constructor(
    private readonly channels: readonly Channel[],
    private readonly ready: (channel: Channel) => void,
    private readonly failed: (channel: Channel, why: string) => void,
  ) {}

  start(): void {
    this.next();
  }
  /** Tries the next channel now, if there is one. */
  next(): void {
    clearTimeout(this.#timer);
    const channel = this.channels[this.#next++];
    if (!channel || this.#stopped) return;
    if (channel.connected) return this.ready(channel);
    this.#timer = setTimeout(() => this.next(), CONNECT_AHEAD_MS);
    let told = false;
    this.#stops.push(channel.connect(() => this.ready(channel), (why) => {
      this.failed(channel, why);
      if (!told) this.next();
      told = true;
    }));
  }
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const stop of this.#stops) stop();
  }
}

/** One request, until one control has answered it. */
class Asking<Request, Response> {
  readonly outcome: Promise<Response>;
  readonly #attempts: Attempts;
  readonly #giveUp: number;
  readonly #failures = new Map<Channel, string>();
  readonly #asked = new Set<Channel>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #others = new AbortController();
  #waiting = 0;
  #resolve!: (response: Response) => void;
  #reject!: (error: unknown) => void;
  #over = false;

  constructor(
    private readonly channels: readonly Channel[],
    private readonly wanted: Method<Request, Response>,
    private readonly request: Request,
    timeoutMs: number,
    private readonly one: UnderWay,
  ) {
    this.#giveUp = performance.now() + timeoutMs;
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#attempts = new Attempts(channels, (channel) => void this.#send(channel), (channel, why) => this.#failed(channel, why));
    one.ending.signal.addEventListener('abort', () => this.#end(() => this.#reject(closed(one.sent ? 'SENT' : 'NOT_SENT'))));
    this.#after(timeoutMs, () => {
      if (!one.sent) this.#unreachable(` within ${Math.round(timeoutMs)} ms`);
    });
    this.#attempts.start();
  }

  #after(ms: number, then: () => void): NodeJS.Timeout {
    const timer = setTimeout(then, ms);
    this.#timers.add(timer);
    return timer;
  }
  #end(settle: () => void): void {
    if (this.#over) return;
    this.#over = true;
    this.#attempts.stop();
    for (const timer of this.#timers) clearTimeout(timer);
    settle();
    this.#others.abort();
  }

  async #send(channel: Channel): Promise<void> {
    if (this.#over || this.#asked.has(channel) || (this.wanted.changes && this.one.sent)) return;
    this.#asked.add(channel);
    this.#failures.delete(channel);
    this.one.sent = true;
    ++this.#waiting;
    if (this.wanted.changes) this.#attempts.stop();
    const {connection} = channel;
    let late = false;
    const slow = this.#after(ANSWER_AHEAD_MS, () => {
      late = true;
      if (this.wanted.changes) return;
      channel.missed();
      this.#attempts.next();
    });
    try {
      const response = await channel.unary(
        this.wanted, this.request, Math.max(1, this.#giveUp - performance.now()), this.#others.signal);
      channel.heard();
      this.#end(() => this.#resolve(response));
    } catch (error) {
      // Not a word in all that time: behind the same address another connection may have a control that answers.
      if (late && error instanceof ToolwireError && error.code === 'DEADLINE_EXCEEDED' && error.reason === error.code) {
        channel.missed();
        channel.leave(connection);
      }
      if (this.#over) return;
      // What control itself says of the agent or the store is the answer; without a reason it is the connection.
      if (!(error instanceof ToolwireError) || error.reason !== 'UNAVAILABLE' || this.wanted.changes) {
        if (error instanceof ToolwireError && error.reason !== error.code) channel.heard();
        return this.#end(() => this.#reject(error));
      }
      this.one.sent = this.#waiting > 1;
      this.#failed(channel, error.message);
      this.#attempts.next();
    } finally {
      --this.#waiting;
      clearTimeout(slow);
      this.#timers.delete(slow);
    }
  }

  #failed(channel: Channel, why: string): void {
    this.#failures.set(channel, why);
    if (this.#failures.size === this.channels.length) this.#unreachable('');
  }
  #unreachable(when: string): void {
    const why = this.channels.map((channel) => `${channel.address}: ${this.#failures.get(channel) ?? `${this.#asked.has(channel) ? 'no answer' : 'not connected'}${when}`}`);
    this.#end(() => this.#reject(controlUnavailable(`no control is reachable: ${why.join('; ')}`)));
  }
}
