// Why an insert was slow: who held the lock that it waited for, the disk, the processors, or this very process. Whatever
// was seen to be slow is kept with when it was, and an insert is told what lay in its time.
import {open} from 'node:fs/promises';

const EVERY_MS = 100, LATE_MS = 200, SYNC_MS = 200, KEPT = 20_000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Of the writer's statements that take long: the lock with whoever is before them, or what else they wait for.
const waitsOf = (application) => `
  SELECT coalesce(a.wait_event_type || ':' || a.wait_event, 'a processor') || coalesce((
      SELECT string_agg(DISTINCT format(', behind %s: %s', coalesce(nullif(b.application_name, ''), b.backend_type),
        left(regexp_replace(b.query, '\\s+', ' ', 'g'), 80)), '')
      FROM unnest(CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) END) AS blocking (pid)
      JOIN pg_stat_activity b ON b.pid = blocking.pid), '') AS what, count(*)::int AS count
  FROM pg_stat_activity a
  WHERE a.state = 'active' AND a.application_name = '${application}' AND clock_timestamp() - a.query_start > interval '200 ms'
  GROUP BY 1`;

export class Causes {
  #seen = [];  // {from, to, what}, by performance.now().
  #watching = [];
  #ended = false;
  slowestSyncMs = 0;
  lateMs = 0;

  // `client` is used by nobody else meanwhile; `file` is on PostgreSQL's file system.
  watch(client, application, file) {
    this.#watching = [this.#waits(client, waitsOf(application)), this.#syncs(file), this.#lateness()];
    // `end` says what became of them; until then nobody waits for them, and a full disk would end the whole process.
    for (const one of this.#watching) one.catch(() => {});
  }
  async end() {
    this.#ended = true;
    await Promise.all(this.#watching);
  }
  // What was seen in that time, longest first, as the end of a sentence.
  between(from, to) {
    const of = {};
    for (const one of this.#seen) {
      const ms = Math.min(one.to, to) - Math.max(one.from, from);
      if (ms > 0) of[one.what] = (of[one.what] ?? 0) + ms;
    }
    const causes = Object.entries(of).sort((a, b) => b[1] - a[1]).map(([what, ms]) => `${what} (${(ms / 1000).toFixed(1)} s)`);
    return causes.length ? `; seen meanwhile: ${causes.join('; ')}` : '; nothing seen meanwhile';
  }

  #keep(what, from, to = performance.now()) {
    this.#seen.push({what, from, to});
    if (this.#seen.length > KEPT) this.#seen.shift();
  }
  async #waits(client, sql) {
    for (let last = performance.now(); !this.#ended; await sleep(EVERY_MS)) {
      const at = performance.now();
      const {rows} = await client.query(sql).catch((error) => ({rows: [{what: error.message}]}));
      for (const {what} of rows) this.#keep(`inserts waited for ${what}`, last, at);
      last = at;
    }
  }
  // As PostgreSQL writes its log: in a file that has its size already, so that no more than the page is to be synced.
  async #syncs(file) {
    const handle = await open(file, 'w');
    const page = Buffer.alloc(8192, 1);
    await handle.write(page, 0, page.length, 0);
    await handle.sync();
    for (; !this.#ended; await sleep(EVERY_MS)) {
      const from = performance.now();
      await handle.write(page, 0, page.length, 0);
      await handle.datasync();
      const took = performance.now() - from;
      this.slowestSyncMs = Math.max(this.slowestSyncMs, took);
      if (took > SYNC_MS) this.#keep('a sync of one page, by nobody of ours', from);
    }
    await handle.close();
  }
  async #lateness() {
    for (let at = performance.now(); !this.#ended; at = performance.now()) {
      await sleep(20);
      const late = performance.now() - at - 20;
      this.lateMs = Math.max(this.lateMs, late);
      if (late > LATE_MS) this.#keep('this process was late', at);
    }
  }
}
