// A stream on which control says who is connected: opened to whichever control answers, again whenever it ends, and to
// another one when this one says nothing any more.
import * as grpc from '@grpc/grpc-js';
import {setTimeout as sleep} from 'node:timers/promises';
import {errorOfStatus, isUnimplemented, method, type Channel} from './channel.js';
import type {Channels} from './channels.js';
import {v1} from './codec.js';
import {ToolwireError} from './errors.js';

const WATCH = method('/toolwire.v1.ToolDispatch/WatchAgents', v1.WatchAgentsRequest, v1.WatchAgentsResponse);
const GET = method('/toolwire.v1.ToolDispatch/GetAgent', v1.GetAgentRequest, v1.Agent);
const decode = (bytes: Buffer): v1.WatchAgentsResponse => v1.WatchAgentsResponse.decode(bytes);

// Before a stream is opened again; doubled as long as nothing comes of it.
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
// A control that answers no question for so long is left for another, if there is one; doubled each time.
const FIRST_PATIENCE_MS = 3_000;
const LONGEST_PATIENCE_MS = 60_000;
// How often an empty request is written: a proxy takes a stream for dead whose caller says nothing for a minute, and control
// pings connections that are silent for half of one.
const WORD_MS = 20_000;
const NOTHING = Buffer.alloc(0);  // As a FollowRequest.
// How often it is looked whether control has said something.
const TICK_MS = 100;
// The question whether a control answers at all, while another is silent: how long it may take, and about whom it is.
const ANSWER_MS = 1_000;
const ANYONE = 'anyone';
// A stream on which nothing at all came for so long is silent as well: a proxy has it, and no control behind it. A control says
// hello at once, or the first states.
const FIRST_WORD_MS = 10_000;
// Statuses that will be the same the next time; and those of them that say that a control is there.
const FINAL = new Set(['INVALID_ARGUMENT', 'UNAUTHENTICATED', 'PERMISSION_DENIED', 'UNIMPLEMENTED']);
const ITS_WORD = new Set(['INVALID_ARGUMENT', 'UNAUTHENTICATED', 'PERMISSION_DENIED']);

/** What one stream to control is for. */
export interface Questions {
  /** The stream begins, or begins anew: nothing is answered. */
  begin(session: Session): void;
  readonly event: (event: v1.WatchAgentsResponse.IEvent) => void;
  /** Answers are due. */
  readonly waiting: boolean;
  /** What has no answer is refused for good. `heard`: other things were answered on this stream. */
  refuse(error: ToolwireError, heard: boolean): void;
}

/** One stream, as its questions see it. */
export interface Session {
  readonly channel: Channel;
  /** Its control has FollowAgents. */
  readonly follows: boolean;
  write(request: v1.IFollowRequest): void;
  /** Opens a stream in place of this one, with these users. */
  watch(userIds: readonly string[]): void;
}

type FollowStream = grpc.ClientDuplexStream<Buffer, v1.WatchAgentsResponse>;
type Stream = grpc.ClientReadableStream<v1.WatchAgentsResponse> | FollowStream;

/**
 * Whether control keeps its promise of signs of life on one stream. While it does not, another connection is asked, and the
 * first that answers takes its place.
 */
class Vigil {
  #heardAt = performance.now();
  #tickedAt = this.#heardAt;
  #promisedMs = FIRST_WORD_MS;
  #spoke = false;
  #asking: AbortController | undefined;
  readonly #ticker = setInterval(() => this.#tick(performance.now()), TICK_MS).unref();
  readonly #stopListening: () => void;
  #connection: number;

  /** `leave` is called once at most: with who answers instead, or with nobody after `silenceCloseMs` more. */
  constructor(
    private readonly channels: Channels,
    private readonly channel: Channel,
    private readonly silenceCloseMs: number,
    private readonly leave: (instead: Channel | undefined) => void,
  ) {
    this.#connection = channel.connection;
    this.#stopListening = channel.onStopped((connection) => connection === this.#connection && this.#suspect());
  }

  /** A stream was opened. */
  opened(): void {
    this.#connection = this.channel.connection;
    this.#heardAt = performance.now();
  }
  heard(hello: v1.IStreamHello | null | undefined): void {
    this.#heardAt = performance.now();
    if (hello || !this.#spoke) this.#promisedMs = hello?.silenceMs || Infinity;
    this.#spoke = true;
    this.#asking?.abort();
    this.#asking = undefined;
  }
  #tick(now: number): void {
    // How long this process was not there to read, which is no silence.
    this.#heardAt += Math.max(0, now - this.#tickedAt - 2 * TICK_MS);
    this.#tickedAt = now;
    const silence = now - this.#heardAt;
    if (silence > this.#promisedMs) this.#suspect();
    if (silence > this.#promisedMs + this.silenceCloseMs) this.#end(undefined);
  }
  #suspect(): void {
    if (this.#asking) return;
    const asking = new AbortController();
    this.#asking = asking;
    this.channel.stopped(this.#connection);
    void this.#ask(asking.signal);
  }
  async #ask(signal: AbortSignal): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      const channel = await this.channels.connected(signal);
      const answers = channel !== undefined && await isThere(channel, signal);
      if (signal.aborted) return;
      if (answers) return this.#end(channel);
      await sleep(pause, undefined, {signal}).catch(() => {});
    }
  }
  #end(instead: Channel | undefined): void {
    this.end();
    this.leave(instead);
  }
  end(): void {
    clearInterval(this.#ticker);
    this.#stopListening();
    this.#asking?.abort();
  }
}

// Whether its control answers.
async function isThere(channel: Channel, signal: AbortSignal): Promise<boolean> {
  const {connection} = channel;
  try {
    await channel.unary(GET, {userId: ANYONE}, ANSWER_MS, signal);
  } catch (error) {
    if (!(error instanceof ToolwireError) || !ITS_WORD.has(error.code)) {
      if (signal.aborted) return false;
      channel.missed();
      channel.leave(connection);
      return false;
    }
  }
  channel.heard();
  return true;
}

/** Keeps a stream open to whichever control answers, until its owner ends it. */
export class FollowConnection {
  readonly #ending = new AbortController();
  #stream: Stream | undefined;
  #vigil: Vigil | undefined;
  // Who answered while the control of this stream was silent.
  #instead: Channel | undefined;
  #patienceMs = FIRST_PATIENCE_MS;
  #heard = false;

  constructor(
    private readonly channels: Channels,
    private readonly questions: Questions,
    private readonly everyone: boolean,
    private readonly silenceCloseMs: number,
  ) {
    void this.#run();
  }

  async #run(): Promise<void> {
    const {signal} = this.#ending;
    for (let pause = FIRST_PAUSE_MS; !signal.aborted; ) {
      const channel = this.#instead ?? await this.channels.connected(signal);
      this.#instead = undefined;
      if (!channel || signal.aborted) return;
      this.#heard = false;
      const status = await this.#session(channel);
      if (signal.aborted) return;
      if (this.#heard) pause = FIRST_PAUSE_MS;
      if (this.#instead) continue;
      if (!this.everyone && !channel.older && isUnimplemented(status)) {
        channel.older = true;
        continue;
      }
      const error = errorOfStatus(status);
      // A stream that was accepted ends with its token; the next one may have a newer token.
      const tokenEnded = this.#heard && error.code === 'UNAUTHENTICATED';
      if (FINAL.has(error.code) && !tokenEnded) this.questions.refuse(error, this.#heard);
      // An older control may be another one the next time.
      channel.older = false;
      await sleep(pause * (0.5 + Math.random()), undefined, {signal}).catch(() => {});
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
  }

  #session(channel: Channel): Promise<grpc.StatusObject> {
    return new Promise((resolve) => {
      const several = this.channels.all.length > 1;
      let patience: NodeJS.Timeout | undefined;
      let word: NodeJS.Timeout | undefined;
      const leave = (): void => {
        channel.missed();
        this.#patienceMs = Math.min(2 * this.#patienceMs, LONGEST_PATIENCE_MS);
        this.#stream?.cancel();
      };
      const wait = (): void => {
        clearTimeout(patience);
        if (several && this.questions.waiting) patience = setTimeout(leave, this.#patienceMs);
      };
      const vigil = new Vigil(this.channels, channel, this.silenceCloseMs, (instead) => {
        this.#instead = instead;
        this.#stream?.cancel();
      });
      this.#vigil = vigil;
      const open = (stream: Stream): void => {
        const before = this.#stream;
        this.#stream = stream;
        vigil.opened();
        before?.cancel();
        stream.on('data', ({events, hello}: v1.WatchAgentsResponse) => {
          if (this.#stream !== stream) return;
          channel.heard();
          vigil.heard(hello);
          if (events.length === 0) return;
          this.#heard = true;
          this.#patienceMs = FIRST_PATIENCE_MS;
          for (const event of events) this.questions.event(event);
          wait();
        });
        stream.on('error', () => {});  // Reported by `status`.
        stream.on('status', (status: grpc.StatusObject) => {
          if (this.#stream !== stream) return;
          this.#stream = undefined;
          clearTimeout(patience);
          clearInterval(word);
          vigil.end();
          resolve(status);
        });
      };
      const follows = !this.everyone && !channel.older;
      if (follows) {
        const stream = channel.followStream(decode);
        open(stream);
        word = setInterval(() => stream.write(NOTHING), WORD_MS).unref();
      }
      this.questions.begin({
        channel,
        follows,
        write: (request) => {
          (this.#stream as FollowStream | undefined)?.write(v1.FollowRequest.encode(request).finish() as Buffer);
          wait();
        },
        watch: (userIds) => {
          open(channel.serverStream(WATCH, {userIds: [...userIds]}));
          wait();
        },
      });
    });
  }

  end(): void {
    this.#ending.abort();
    this.#vigil?.end();
    this.#stream?.cancel();
  }
}
