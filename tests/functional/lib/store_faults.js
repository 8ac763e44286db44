// What may happen to a store, each for some seconds: to PostgreSQL, to its tables, to the pooler, to the disks, and to
// the processes that write. Each ends healed. `outages` hears what was away meanwhile, of what StoreUsers needs; what is
// not said there may disturb neither logins nor changes.
import {setTimeout as sleep} from 'node:timers/promises';
import {until} from './until.js';

const LOG = 'tool_execution_logs';
const CREDENTIALS = 'agent_credentials';
const TRIGGER = 'disturbs';
const SILENT_FOR_LOGINS_MS = 5500;
const SILENT_FOR_OTHERS_MS = 12_000;

export class StoreFaults {
  // Those that take PostgreSQL itself away: one at a time.
  ofServer = ['killBackend', 'freeze', 'stallStandby', 'restartFast', 'restartAtOnce', 'readOnly', 'failOver'];
  // The others may happen beside any.
  ofOthers = [
    'lockLog', 'lockCredential', 'lockCredentials', 'terminate', 'slowTrigger', 'raisingTrigger', 'killPooler', 'pausePooler',
    'killControl',
  ];
  #cluster;
  #pair;
  #pooler;
  #outages;
  #random;
  #users;
  #isLong;
  #spool;

  // `users`: whose credentials may be locked. `spool`: the SmallDisk of the data directory, if there is one. With
  // `isLong` some last longer than a statement may, and machines are lost. `only`: the names of those that there are to
  // be, instead of all.
  constructor({cluster, pair, pooler, outages, random, users, spool, isLong, only}) {
    this.#cluster = cluster;
    this.#pair = pair;
    this.#pooler = pooler;
    this.#outages = outages;
    this.#random = random;
    this.#users = users;
    this.#spool = spool;
    this.#isLong = isLong;
    if (isLong) this.ofServer.push('loseMachine');
    if (pair.primary.disk) this.ofServer.push('fillDisk');
    if (spool) this.ofOthers.push('fillSpool');
    for (const kind of ['ofServer', 'ofOthers']) this[kind] = this[kind].filter((name) => only?.includes(name) ?? true);
  }
  get names() {
    return [...this.ofServer, ...this.ofOthers];
  }
  // What may happen beside this one: rows that a process holds in memory alone die with it, and the rest would undo
  // each other.
  besides(name) {
    const apart = [['killControl', 'fillSpool'], ['killPooler', 'pausePooler'], ['slowTrigger', 'raisingTrigger']];
    const isApart = (one) => apart.some((pair) => pair.includes(one) && pair.includes(name));
    return this.ofOthers.filter((one) => one !== name && !isApart(one));
  }
  below(n) {
    return Math.floor(this.#random() * n);
  }
  #oneOf(all) {
    return all[this.below(all.length)];
  }
  // How many milliseconds it lasts.
  #last() {
    const short = 500 + this.below(3500);
    return this.#isLong && this.#random() < 0.15 ? short + 10_000 : short;
  }

  // A statement that may be repeated, on whichever server is the primary by then.
  #insist(sql) {
    return until(`PostgreSQL does "${sql}"`, async () => {
      await this.#pair.query(sql);
      return true;
    });
  }
  // `body` takes PostgreSQL away, or what else `what` says, and brings it back.
  async #away(name, what, body) {
    const outage = this.#outages.begin(name, what);
    try {
      await body(outage);
      await this.#pair.takesWrites();
    } finally {
      outage.over();
    }
  }

  // --- locks ---
  async #hold(sql, lastingMs) {
    const held = await this.#pair.primary.hold(this.#cluster.scope, `BEGIN; ${sql}`, {away: true});
    await sleep(lastingMs);
    await held.release();
  }
  lockLog() {
    const mode = this.#oneOf(['ACCESS EXCLUSIVE', 'ACCESS EXCLUSIVE', 'SHARE']);
    return this.#hold(`LOCK TABLE ${LOG} IN ${mode} MODE`, this.#last());
  }
  async lockCredential() {
    const userId = this.#oneOf(this.#users);
    const outage = this.#outages.begin('lockCredential', [userId]);
    await this.#hold(`UPDATE ${CREDENTIALS} SET platform = platform WHERE user_id = '${userId}'`, this.#last());
    outage.over();
  }
  // As CREATE INDEX takes it: the table can be read.
  async lockCredentials() {
    const outage = this.#outages.begin('lockCredentials', ['writes']);
    await this.#hold(`LOCK TABLE ${CREDENTIALS} IN SHARE MODE`, this.#last());
    outage.over();
  }

  // --- triggers of the log ---
  async #trigger(body, lastingMs) {
    await this.#insist(`CREATE OR REPLACE FUNCTION ${TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN ${body}; RETURN NEW; END$$`);
    await this.#insist(`CREATE OR REPLACE TRIGGER ${TRIGGER} BEFORE INSERT ON ${LOG}
      FOR EACH ROW EXECUTE FUNCTION ${TRIGGER}()`);
    await sleep(lastingMs);
    await this.#insist(`DROP TRIGGER IF EXISTS ${TRIGGER} ON ${LOG}`);
  }
  slowTrigger() {
    return this.#trigger(`PERFORM pg_sleep(${this.#oneOf([0.005, 0.05, 0.5])})`, this.#last());
  }
  // A row that is bad, a store that is, and a full disk, as far as the server's answer says.
  raisingTrigger() {
    const sqlstate = this.#oneOf(['P0001', '23514', 'XX001', '53100']);
    return this.#trigger(`RAISE EXCEPTION 'not now' USING ERRCODE = '${sqlstate}'`, this.#last());
  }

  // --- connections and processes ---
  async terminate() {
    for (let left = 1 + this.below(3); left > 0; --left) {
      await this.#pair.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
        .catch(() => {});  // The server is away by another fault, or another one has ended this.
      await sleep(this.below(1000));
    }
  }
  async killPooler() {
    const outage = this.#outages.begin('killPooler', ['pooler']);
    await this.#pooler.stop();
    await sleep(this.below(2000));
    await this.#pooler.start();
    outage.over();
  }
  // A transaction that stands still in it keeps the row of its agent's status locked.
  async pausePooler() {
    const outage = this.#outages.begin('pausePooler', ['pooler', 'rows of the pooler']);
    this.#pooler.pause();
    await sleep(this.#last());
    this.#pooler.resume();
    outage.over();
  }
  // One starts in its place, with the same options and the same data directory.
  async killControl() {
    const control = this.#oneOf(this.#cluster.controls);
    const outage = this.#outages.begin('killControl', [control]);
    this.#cluster.forget(control);
    await control.process.kill();
    outage.over();
    await sleep(this.below(1000));
    const {flags, pooled} = control;
    const next = await this.#cluster.addControl({flags});
    Object.assign(next, {flags, pooled, isNew: true});
    await this.#cluster.linked();
    next.isNew = false;
  }
  // One backend dies, so the server ends all others and recovers.
  killBackend() {
    return this.#away('killBackend', ['reads', 'writes'], async () => {
      const {primary} = this.#pair;
      const starts = () => primary.log.split('reinitializing').length;
      const before = starts();
      await until('PostgreSQL starts again', async () => {
        if (starts() > before) return true;
        const rows = await this.#pair.query(`SELECT pid FROM pg_stat_activity
          WHERE application_name = 'toolwire' AND backend_type = 'client backend'`);
        if (rows.length > 0) process.kill(Number(this.#oneOf(rows)[0]), 'SIGKILL');
        await sleep(200);
      });
    });
  }
  freeze() {
    return this.#away('freeze', ['reads', 'writes'], async () => {
      this.#pair.primary.freeze();
      await sleep(this.#last());
      this.#pair.primary.thaw();
    });
  }
  // The primary waits for it with each commit.
  stallStandby() {
    return this.#away('stallStandby', ['writes'], async () => {
      this.#pair.standby.freeze();
      await sleep(this.#last());
      this.#pair.standby.thaw();
    });
  }
  #restart(name, signal) {
    return this.#away(name, ['reads', 'writes'], async () => {
      await this.#pair.primary.stop(signal);
      await sleep(this.below(1500));
      await this.#pair.primary.start();
    });
  }
  restartFast() {
    return this.#restart('restartFast', 'SIGINT');
  }
  restartAtOnce() {
    return this.#restart('restartAtOnce', 'SIGQUIT');
  }
  readOnly() {
    return this.#away('readOnly', ['writes'], async () => {
      await this.#insist('ALTER SYSTEM SET default_transaction_read_only = on');
      await this.#insist('SELECT pg_reload_conf()');
      await sleep(this.#last());
      await this.#insist('ALTER SYSTEM RESET default_transaction_read_only');
      await this.#insist('SELECT pg_reload_conf()');
    });
  }
  // The pooler is led to the new primary as whoever watches over such pairs does it.
  async failOver() {
    const outage = this.#outages.begin('failOver', ['reads', 'writes']);
    await this.#pair.failOver(async () => {
      await this.#pooler.lead(this.#pair.primary);
      await this.#pair.takesWrites();
      outage.over();
    });
  }

  // The primary falls silent with all that is connected to it. Nothing tells that the standby has taken over, but that
  // each connection is cut which waits for too long: 5.5 s for logins, and 12 s for others.
  async loseMachine() {
    const [reads, writes] = ['reads', 'writes'].map((one) => this.#outages.begin('loseMachine', [one]));
    await this.#pair.failOver(async () => {
      await this.#pooler.lead(this.#pair.primary);
      await sleep(SILENT_FOR_LOGINS_MS);
      reads.over();
      await sleep(SILENT_FOR_OTHERS_MS - SILENT_FOR_LOGINS_MS);
      writes.over();
      await this.#pair.takesWrites();
    }, {silently: true});
  }

  // --- disks ---
  // Without room for its own log the server ends, and cannot start again before there is some.
  fillDisk() {
    return this.#away('fillDisk', ['writes'], async (outage) => {
      const {primary} = this.#pair;
      const said = primary.log.length;
      await primary.disk.fill();
      await sleep(this.#last());
      await primary.disk.free();
      const ended = /PANIC|reinitializing|terminating any other/.test(primary.log.slice(said));
      if (ended || !primary.running) outage.also('reads');
      await until('PostgreSQL runs again', async () => {
        if (!primary.running) await primary.start();
        return (await this.#pair.query('SELECT 1')).length === 1;
      });
    });
  }
  // Rows that a process holds in memory alone die with it: it is left alone until it has written them.
  async fillSpool() {
    await this.#spool.fill();
    await sleep(this.#last());
    await this.#spool.free();
    for (const member of [...this.#cluster.controls, ...this.#cluster.edges]) {
      const {process} = member;
      await until('the spool works again', () => {
        const of = (event) => process.logged(event).length;
        return of('audit spool failed, rows wait in memory only') <= of('audit spool works again');
      });
      const written = await member.metric('toolwire_audit_rows_written_total');
      const waiting = await member.metric('toolwire_audit_rows_waiting');
      await until('rows that are in memory only are written', async () =>
        await member.metric('toolwire_audit_rows_written_total') >= written + waiting);
    }
  }
}
