// A PgBouncer that restarts, in the middle of `toolwire migrate` and under calls: nothing depends on a session.
import assert from 'node:assert/strict';
import {setTimeout as sleep} from 'node:timers/promises';
import {Cluster} from './lib/cluster.js';
import {Gate} from './lib/gate.js';
import {OLD_TABLES} from './lib/old_tables.js';
import {PgBouncer} from './lib/pgbouncer.js';
import {Postgres} from './lib/postgres.js';
import {output} from './lib/process.js';
import {redisMissing} from './lib/redis.js';
import {claim, get} from './lib/toolwire.js';
import {until} from './lib/until.js';

const TABLES = `${OLD_TABLES};
  INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, success)
  SELECT 'user_1', 'r' || i, 't', '{}', true FROM generate_series(1, 100) AS i`;
const SNAPSHOT = 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_database';
const MODES = ['session', 'transaction'];

// A PgBouncer that reaches PostgreSQL over its socket; in transaction mode its clients share a few connections.
const overSocket = ({directory, port}, mode) => ({server: {host: directory, port}, mode, ...(mode === 'transaction' && {poolSize: 3})});

// What a migration prints on standard error from now on.
function news(migrate) {
  const seen = migrate.stderr.length;
  return (what) => until(`migrate says ${what}`, () => {
    if (migrate.ended) throw Object.assign(new Error(`it ended: ${migrate.stderr}`), {final: true});
    return what.test(migrate.stderr.slice(seen));
  });
}

async function endsWell(migrate, postgres) {
  assert.equal((await migrate.exited()).code, 0, migrate.stderr);
  migrate.stopped = true;
  const added = [...migrate.stdout.matchAll(/^added (.*)$/gm)].map(([, what]) => what);
  assert.equal(new Set(added).size, 7, 'each step is told');
  assert.equal(added.length, 7, 'and once');
  assert.match(await output('toolwire', ['migrate'], {env: {DATABASE_URL: postgres.url}}), /is ready: nothing to do\n$/);
  assert.deepEqual(await postgres.query('SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid'), []);
  assert.deepEqual(await postgres.query("SELECT pid FROM pg_locks WHERE locktype = 'advisory'"), []);
  for (const line of migrate.stderr.split('\n').filter(Boolean)) assert.match(line, /^toolwire migrate: /, 'no library says anything');
  assert.ok(!`${migrate.stdout}${migrate.stderr}`.includes('hunter2'), "the database's password is nowhere");
}

// The index that is being built, once the server waits there for a transaction.
const beingBuilt = (postgres) => until('an index is being built', async () => (await postgres.query(
  `SELECT i.indexrelid FROM pg_index i JOIN pg_stat_progress_create_index p ON p.index_relid = i.indexrelid
   WHERE NOT i.indisvalid AND p.current_locker_pid <> 0`))[0]?.[0]);

for (const mode of MODES) {
  claim(`migrate goes on after a PgBouncer in ${mode} mode restarted while it waited for a lock, and while it built an index`, async (scope) => {
    const postgres = await Postgres.start(scope);
    await postgres.query(TABLES);
    const bouncer = await PgBouncer.start(scope, overSocket(postgres, mode));
    const lock = await postgres.hold(scope, 'BEGIN; LOCK TABLE tool_execution_logs IN ACCESS SHARE MODE');
    const migrate = scope.process('toolwire', ['migrate'], {env: {DATABASE_URL: bouncer.url}});
    await news(migrate)(/55P03.*held by psql.*tried again/);
    let says = news(migrate);
    await bouncer.stop();
    await says(/is unavailable.*tried again/);
    says = news(migrate);
    await bouncer.start();
    await says(/55P03.*held by psql.*tried again/);

    const snapshot = await postgres.hold(scope, SNAPSHOT);
    await lock.release();
    const index = await beingBuilt(postgres);
    says = news(migrate);
    await bouncer.stop();
    await says(/(broke|is unavailable).*tried again/);
    await bouncer.start();
    await snapshot.release();
    await endsWell(migrate, postgres);
    assert.deepEqual(await postgres.query(`SELECT indisvalid FROM pg_index WHERE indexrelid = ${index}`), [['t']],
      'what the server went on building is kept');
  }, {skip: PgBouncer.missing});

  claim(`every row is written once while a PgBouncer in ${mode} mode is killed and started under calls`, async (scope) => {
    const cluster = await Cluster.start(scope, {edges: 0, controls: 0, ownPostgres: true});
    const bouncer = await PgBouncer.start(scope, overSocket(cluster.postgres, mode));
    const flags = {'database-url': bouncer.url};
    await cluster.addEdge({flags});
    for (let i = 0; i < 3; ++i) await cluster.addControl({flags});
    await cluster.linked();
    await cluster.agent('user_1');
    let done = 0;
    let ending = false;
    const traffic = cluster.callers().map(async (caller) => {
      while (!ending) {
        const outcome = await caller.call('user_1', 'echo', {done});
        assert.equal(outcome.code, 0, outcome.message);
        ++done;
        await sleep(5);
      }
    });
    const more = (count) => {
      const before = done;
      return until(`${count} more calls`, () => done >= before + count);
    };
    for (let i = 0; i < 3; ++i) {
      await bouncer.stop();
      await more(50);
      await bouncer.start();
      await cluster.rowsOnceThere(done);
      await more(50);
    }
    ending = true;
    await Promise.all(traffic);
    const rows = await cluster.rowsOnceThere(done);
    assert.equal(rows.length, done);
    assert.equal(new Set(rows.map(({call_id}) => call_id)).size, done);
    await cluster.agent('user_2');
    for (const {ports} of [...cluster.edges, ...cluster.controls]) {
      await until('the process is ready', async () => (await get(ports.metrics, '/readyz')).status === 200);
    }
    await cluster.stop();
    assert.deepEqual(await cluster.sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory'"), []);
  }, {skip: redisMissing ?? PgBouncer.missing});
}

claim('an index that the server goes on building after the connection broke is waited for, not dropped', async (scope) => {
  const postgres = await Postgres.start(scope);
  await postgres.query(TABLES);
  const gate = scope.backend(await Gate.start({to: {port: postgres.port}}));
  const url = new URL(postgres.url);
  url.port = gate.port;
  const snapshot = await postgres.hold(scope, SNAPSHOT);
  const migrate = scope.process('toolwire', ['migrate'], {env: {DATABASE_URL: url.href}});
  const index = await beingBuilt(postgres);
  const says = news(migrate);
  gate.cut();
  await says(/the connection broke.*tried again/);
  await says(/waiting for/);
  assert.deepEqual(await postgres.query("SELECT query FROM pg_stat_activity WHERE query LIKE 'DROP INDEX%'"), []);
  await snapshot.release();
  await endsWell(migrate, postgres);
  assert.deepEqual(await postgres.query(`SELECT indisvalid FROM pg_index WHERE indexrelid = ${index}`), [['t']]);
}, {skip: Postgres.missing});
