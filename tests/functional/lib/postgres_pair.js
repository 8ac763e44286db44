// A primary and a standby of it that has every committed row, at two ports; either may become the primary.
import {Postgres} from './postgres.js';
import {until} from './until.js';

const SETTINGS = {
  wal_keep_size: '128MB', max_wal_size: '256MB',
  wal_retrieve_retry_interval: '100ms',  // A standby dials a primary that has just started again: by default after 5 s.
};

export class PostgresPair {
  // `diskBytes`: as of Postgres, for each.
  static async start(scope, {diskBytes} = {}) {
    const pair = new PostgresPair();
    pair.primary = await Postgres.start(scope, {certificates: null, settings: SETTINGS, diskBytes});
    pair.standby = await Postgres.standbyOf(scope, pair.primary, {settings: SETTINGS, diskBytes});
    // In the order in which they are named, which stays.
    pair.hosts = [pair.primary, pair.standby].map(({port}) => `127.0.0.1:${port}`).join(',');
    await pair.#wait();
    return pair;
  }

  // Of both; `attributes` as of libpq: primary, which may be read-only for a while, or read-write.
  urlFor(attributes) {
    return `postgresql://postgres:hunter2@${this.hosts}/postgres?target_session_attrs=${attributes}`;
  }
  // --- as of one server ---
  get url() {
    return this.urlFor('primary');
  }
  query(sql, url) {
    return this.primary.query(sql, url ?? this.primary.socketUrl);
  }

  // Waits until the primary takes what is written, and the standby confirms it.
  takesWrites() {
    return until('PostgreSQL takes what is written', async () =>
      (await this.query("SELECT pg_logical_emit_message(true, 'toolwire', '')")).length === 1);
  }
  // The primary waits for the standby from now on.
  async #wait() {
    await this.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
    await this.query('SELECT pg_reload_conf()');
    await this.#isWaitedFor();
  }
  #isWaitedFor() {
    return until('the primary waits for its standby', async () =>
      (await this.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")).length === 1);
  }

  // The primary is gone at once, and the standby takes its place. Then `led` hears of it, and waits for what it needs;
  // the server that was the primary comes back as a standby. With `silently` it is not gone before that: its
  // connections stay, and it answers nobody.
  async failOver(led, {silently = false} = {}) {
    await this.#isWaitedFor();
    const [old, next] = [this.primary, this.standby];
    if (silently) old.freeze();
    else await old.stop('SIGQUIT');
    await next.query('SELECT pg_promote(true, 60)', next.socketUrl);
    [this.primary, this.standby] = [next, old];
    await led();
    await old.stop('SIGQUIT');
    await old.follow(next);
    await this.#wait();
  }
}
