// Who is connected, as control tells it on streams that all watches and waiting calls of a client share.
import {agentOf, type Agent} from './agents.js';
import type {Channels} from './channels.js';
import {v1} from './codec.js';
import type {ToolwireError} from './errors.js';
import {FollowConnection, type Questions, type Session} from './follow_connection.js';

const {Kind} = v1.WatchAgentsResponse;

// What control takes on one stream (`--watch-users-max`), and how many of them one message holds here.
const USERS_MAX = 10_000;
const MESSAGE_USERS = 1_000;
// An older control is asked for all users again when there are new ones: not at once, and for a fifth of the time at most.
const FIRST_REWATCH_MS = 20;
const REWATCH_SHARE = 4;
// Streams at once that find out which users are refused.
const TRIALS_MAX = 4;
// So many refused users are remembered.
const REFUSED_MAX = 1_000;

/** Who wants to know of a user, or of all. */
export interface Follower {
  /** The user's agent as it is now; `undefined`: there is none. */
  state(userId: string, agent: Agent | undefined): void;
  /** Control does not let this user be followed, or nobody at all. Nothing more is told of the user. */
  refused(error: ToolwireError): void;
}

/** One user, as long as somebody follows. */
interface Followed {
  agent: Agent | undefined;
  /** `agent` is what the present stream said. */
  known: boolean;
  readonly followers: Set<Follower>;
  /** The stream it is on; `undefined` while it waits for a trial. */
  shard: Shard | undefined;
  /** It was refused with others, was answered in a trial, and is with others again. */
  tried: boolean;
}
type Users = ReadonlyMap<string, Followed>;

/** What a shard tells its owner. */
interface ShardOwner {
  /** Nobody is on it any more. */
  ended(shard: Shard): void;
  /** These users were on it, and control refused one of them, or all; `heard`: it answers on this stream. */
  refused(shard: Shard, users: Users, error: ToolwireError, heard: boolean): void;
  /** Control has answered each user. */
  answered(shard: Shard): void;
}

/** Up to 10,000 users on one stream. */
class Shard implements Questions {
  readonly users = new Map<string, Followed>();
  // What the next message says.
  readonly #adding = new Set<string>();
  readonly #removing = new Set<string>();
  // Users that were asked for on this stream and are not answered.
  readonly #unanswered = new Set<string>();
  #scheduled = false;
  #connection: FollowConnection | undefined;
  #session: Session | undefined;
  // Of an older control: when the present watch began, how long its snapshot took, who is in it.
  #watchedAt = 0;
  #snapshotMs = 0;
  #rewatch: NodeJS.Timeout | undefined;

  constructor(
    private readonly channels: Channels,
    private readonly silenceCloseMs: number,
    private readonly owner: ShardOwner,
  ) {}

  get waiting(): boolean {
    return this.#unanswered.size > 0;
  }

  add(userId: string, followed: Followed): void {
    followed.shard = this;
    this.users.set(userId, followed);
    this.#removing.delete(userId);
    this.#adding.add(userId);
    this.#schedule();
  }
  remove(userId: string): void {
    this.users.delete(userId);
    this.#unanswered.delete(userId);
    if (!this.#adding.delete(userId)) this.#removing.add(userId);
    this.#schedule();
    this.#tellIfAnswered();
  }

  // All that one turn of the event loop wants in one message.
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.users.size === 0) return this.end();
      this.#connection ??= new FollowConnection(this.channels, this, false, this.silenceCloseMs);
      if (this.#session) this.#say();
    });
  }
  #say(): void {
    if (!this.#session!.follows) return this.#watchAgain();
    // First what goes, so that there is never more than may be.
    for (const remove of inParts(this.#removing)) this.#session!.write({remove});
    for (const add of inParts(this.#adding)) {
      for (const one of add) this.#unanswered.add(one);
      this.#session!.write({add});
    }
    this.#removing.clear();
    this.#adding.clear();
  }
  #watchAgain(): void {
    this.#removing.clear();
    if (this.#adding.size === 0 || this.#rewatch) return;
    const pause = Math.max(FIRST_REWATCH_MS, this.#watchedAt + REWATCH_SHARE * this.#snapshotMs - performance.now());
    this.#rewatch = setTimeout(() => {
      this.#rewatch = undefined;
      if (this.#session && this.users.size > 0) this.#watch();
    }, this.#watchedAt === 0 ? 0 : pause);
  }
  #watch(): void {
    this.#adding.clear();
    this.#unanswered.clear();
    for (const userId of this.users.keys()) this.#unanswered.add(userId);
    this.#watchedAt = performance.now();
    this.#session!.watch([...this.users.keys()]);
  }

  begin(session: Session): void {
    this.#session = session;
    this.#removing.clear();
    this.#unanswered.clear();
    for (const [userId, followed] of this.users) {
      followed.known = false;
      this.#adding.add(userId);
    }
    if (session.follows) this.#say();
    else this.#watch();
  }
  readonly event = ({kind, agent}: v1.WatchAgentsResponse.IEvent): void => {
    if (kind === Kind.SNAPSHOT_COMPLETE) {
      this.#snapshotMs = performance.now() - this.#watchedAt;
      // A watch names those alone that are connected.
      for (const userId of [...this.#unanswered]) this.#answer(userId, undefined);
      return;
    }
    const userId = agent?.userId;
    if (userId) this.#answer(userId, kind === Kind.DISCONNECTED || !agent.connected ? undefined : agentOf(agent));
  };
  #answer(userId: string, agent: Agent | undefined): void {
    this.#unanswered.delete(userId);
    const followed = this.users.get(userId);
    if (!followed) return;
    followed.agent = agent;
    followed.known = true;
    for (const one of [...followed.followers]) one.state(userId, agent);
    this.#tellIfAnswered();
  }
  #tellIfAnswered(): void {
    if (this.#session && this.users.size > 0 && this.#unanswered.size + this.#adding.size === 0) this.owner.answered(this);
  }

  // One of those that are not answered is to blame, or all are. The others go on without them.
  refuse(error: ToolwireError, heard: boolean): void {
    this.#session = undefined;
    const suspects = new Map<string, Followed>();
    for (const userId of this.#unanswered) {
      const followed = this.users.get(userId)!;
      followed.shard = undefined;
      suspects.set(userId, followed);
      this.users.delete(userId);
      this.#adding.delete(userId);
    }
    this.#unanswered.clear();
    this.#schedule();
    this.owner.refused(this, suspects, error, heard);
  }

  end(): void {
    clearTimeout(this.#rewatch);
    this.#connection?.end();
    this.#connection = undefined;
    this.#session = undefined;
    this.owner.ended(this);
  }
}

function* inParts(userIds: ReadonlySet<string>): Generator<string[]> {
  const all = [...userIds];
  for (let n = 0; n < all.length; n += MESSAGE_USERS) yield all.slice(n, n + MESSAGE_USERS);
}

const halves = (users: Users): [Users, Users] => {
  const all = [...users];
  const half = all.length >> 1;
  return [new Map(all.slice(0, half)), new Map(all.slice(half))];
};

/** All agents, as long as somebody watches them. */
class Everyone implements Questions {
  readonly agents = new Map<string, Agent>();
  readonly followers = new Map<Follower, () => void>();
  /** Each agent that is connected is known. */
  complete = false;
  // Those of the present stream's snapshot while it comes in; who is not among them has gone.
  #snapshot: Set<string> | undefined;
  readonly #connection: FollowConnection;

  constructor(channels: Channels, silenceCloseMs: number, private readonly gone: () => void) {
    this.#connection = new FollowConnection(channels, this, true, silenceCloseMs);
  }

  get waiting(): boolean {
    return this.#snapshot?.size === 0;
  }
  begin(session: Session): void {
    this.#snapshot = new Set();
    this.complete = false;
    session.watch([]);
  }
  readonly event = ({kind, agent}: v1.WatchAgentsResponse.IEvent): void => {
    if (kind === Kind.SNAPSHOT_COMPLETE) {
      for (const userId of [...this.agents.keys()]) if (!this.#snapshot?.has(userId)) this.#state(userId, undefined);
      this.#snapshot = undefined;
      this.complete = true;
      for (const whenComplete of [...this.followers.values()]) whenComplete();
      return;
    }
    const userId = agent?.userId;
    if (!userId) return;
    const connected = kind !== Kind.DISCONNECTED && agent.connected;
    if (connected) this.#snapshot?.add(userId);
    else this.#snapshot?.delete(userId);
    this.#state(userId, connected ? agentOf(agent) : undefined);
  };
  #state(userId: string, agent: Agent | undefined): void {
    if (agent) this.agents.set(userId, agent);
    else if (!this.agents.delete(userId)) return;
    for (const one of [...this.followers.keys()]) one.state(userId, agent);
  }
  refuse(error: ToolwireError): void {
    for (const one of [...this.followers.keys()]) one.refused(error);
  }
  end(): void {
    this.#connection.end();
    this.gone();
  }
}

/**
 * The streams that one client follows agents on. Users that were refused together are tried apart, by halves, until those
 * alone are left that control refuses.
 */
export class Followers implements ShardOwner {
  readonly #followed = new Map<string, Followed>();
  readonly #shards = new Set<Shard>();
  #everyone: Everyone | undefined;
  // Streams of trials, and how many users each began with.
  readonly #trials = new Map<Shard, number>();
  readonly #untried: Users[] = [];
  // Users that were refused alone, which are tried apart the next time, before they may end a stream of others.
  readonly #refused = new Set<string>();

  /** `silenceCloseMs`: how long a stream is kept that breaks control's promise of signs of life, while nobody else answers. */
  constructor(private readonly channels: Channels, private readonly silenceCloseMs: number) {}

  /**
   * Tells `follower` the state of this user, as soon as it is known, and each change. Returns a function that ends that.
   * Nothing is told before this has returned.
   */
  follow(userId: string, follower: Follower): () => void {
    const known = this.#followed.get(userId);
    const followed: Followed = known ?? {agent: undefined, known: false, followers: new Set(), shard: undefined, tried: false};
    const {followers} = followed;
    followers.add(follower);
    if (!known) {
      this.#followed.set(userId, followed);
      if (this.#refused.has(userId)) this.#try([new Map([[userId, followed]])]);
      else this.#shard().add(userId, followed);
    } else if (followed.known) {
      queueMicrotask(() => followers.has(follower) && follower.state(userId, followed.agent));
    }
    return () => {
      if (!followers.delete(follower) || followers.size > 0) return;
      this.#followed.delete(userId);
      followed.shard?.remove(userId);
    };
  }
  // One with room.
  #shard(): Shard {
    for (const shard of this.#shards) if (shard.users.size < USERS_MAX) return shard;
    const made = new Shard(this.channels, this.silenceCloseMs, this);
    this.#shards.add(made);
    return made;
  }

  // --- what shards say ---
  ended(shard: Shard): void {
    this.#shards.delete(shard);
    if (this.#trials.delete(shard)) this.#tryNext();
  }
  refused(shard: Shard, users: Users, error: ToolwireError, heard: boolean): void {
    // Otherwise it is the token that is refused, whoever is asked for: a control names the field of what is wrong with users.
    const ofUsers = error.code === 'INVALID_ARGUMENT' ||
      (error.code === 'PERMISSION_DENIED' && (heard || error.field !== undefined || this.#trials.has(shard)));
    // Who is left of several may have been asked for with one that nobody follows any more.
    const alone = this.#trials.get(shard) === 1;
    if (ofUsers && !alone) {
      this.#try(users.size > 1 ? halves(users) : [users]);
    } else {
      for (const [userId, followed] of users) {
        if (ofUsers) this.#remember(userId);
        this.#refuse(userId, followed, error);
      }
    }
    this.answered(shard);
  }
  #remember(userId: string): void {
    this.#refused.delete(userId);
    this.#refused.add(userId);
    for (const oldest of this.#refused) {
      if (this.#refused.size <= REFUSED_MAX) break;
      this.#refused.delete(oldest);
    }
  }
  #refuse(userId: string, {followers}: Followed, error: ToolwireError): void {
    if (this.#followed.get(userId)?.followers === followers) this.#followed.delete(userId);
    const all = [...followers];
    followers.clear();
    for (const one of all) one.refused(error);
  }

  // --- trials ---
  #try(groups: readonly Users[]): void {
    this.#untried.push(...groups);
    this.#tryNext();
  }
  #tryNext(): void {
    while (this.#trials.size < TRIALS_MAX) {
      const users = this.#untried.shift();
      if (!users) return;
      const wanted = [...users].filter(([, {followers}]) => followers.size > 0);
      if (wanted.length === 0) continue;
      const trial = new Shard(this.channels, this.silenceCloseMs, this);
      this.#trials.set(trial, wanted.length);
      for (const [userId, followed] of wanted) trial.add(userId, followed);
    }
  }
  // Who is left on a trial goes back to the others. Once only: whoever is refused with others again, as when control takes
  // fewer users than this client thinks, stays where it is.
  answered(shard: Shard): void {
    if (!this.#trials.delete(shard)) return;
    for (const [userId, followed] of [...shard.users]) {
      this.#refused.delete(userId);
      if (followed.tried) continue;
      followed.tried = true;
      shard.remove(userId);
      this.#shard().add(userId, followed);
    }
    this.#tryNext();
  }

  /** The same for all users; those that are known already are the agents of what it returns. */
  followAll(follower: Follower, whenComplete: () => void): {known: ReadonlyMap<string, Agent>; complete: boolean; stop: () => void} {
    const everyone = (this.#everyone ??= new Everyone(this.channels, this.silenceCloseMs, () => (this.#everyone = undefined)));
    everyone.followers.set(follower, whenComplete);
    const stop = (): void => {
      if (everyone.followers.delete(follower) && everyone.followers.size === 0) everyone.end();
    };
    return {known: everyone.agents, complete: everyone.complete, stop};
  }
}
