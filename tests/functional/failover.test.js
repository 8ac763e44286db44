// PostgreSQL in the states of a failover, and backends that die in each phase of what the servers do: each is told in
// the log and by /readyz, nothing is lost, and all is well again after.
import assert from 'node:assert/strict';
import {code} from './lib/caller.js';
import {Postgres} from './lib/postgres.js';
import {output} from './lib/process.js';
import {claim, get} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

const KILLED = /SQLSTATE 57P01, terminating connection due to administrator command/;

class Rig {
  calls = 0;

  static async start(scope) {
    const rig = new Rig();
    rig.postgres = await Postgres.start(scope);
    const env = {DATABASE_URL: rig.postgres.url};
    // Time for a login to see each thing happen, on a machine that is slow.
    rig.tw = await scope.toolwire({topology: 'split', env, flags: {'login-timeout': 60_000}});
    rig.secret = (await output('toolwire', ['credentials', 'create', 'user_1'], {env})).trim();
    rig.caller = rig.tw.caller();
    await rig.logIn();
    await rig.call(5);
    await rig.isWell();
    return rig;
  }
  dial() {
    return this.tw.dial(this.tw.loginQuery('user_1', this.secret));
  }
  // Tries until an agent is in: an edge may learn a moment later that the database is back.
  async logIn() {
    await until('an agent logs in', () => {
      const agent = this.dial();
      return Promise.race([agent.connected().then(() => true, () => false), agent.closed().then(() => false, () => false)]);
    });
  }
  async call(count) {
    for (let i = 0; i < count; ++i) {
      const outcome = await this.caller.call('user_1', 'echo', {i});
      assert.equal(outcome.code, 0, outcome.message);
      ++this.calls;
    }
  }
  // Why the edge, or the control, says that its store is not ready.
  async why(kind) {
    const {status, body} = await get(this.tw.ports.metrics[kind === 'edge' ? 0 : 1], '/readyz');
    const {ready, why} = JSON.parse(body).checks.find(({name}) => name === 'store');
    assert.equal(ready || status === 503, true);
    return ready ? '' : why;
  }
  tells(kind, words) {
    return until(`/readyz of the ${kind} says ${words}`, async () => words.test(await this.why(kind)));
  }
  // In a line of this event.
  logs(kind, event, words) {
    return until(`the ${kind} logs ${event}: ${words}`, () => this.tw[kind].logged(event).some(({error}) => words.test(error)));
  }
  // Every call has its one row, both servers are ready, and the agent's status is written.
  async isWell() {
    const count = async () => (await this.postgres.query('SELECT count(*), count(DISTINCT call_id) FROM tool_execution_logs'))[0].map(Number);
    await until('every call has its row', async () => (await count())[0] >= this.calls);
    assert.deepEqual(await count(), [this.calls, this.calls]);
    for (const port of this.tw.ports.metrics) await until('it is ready', async () => (await get(port, '/readyz')).status === 200);
    await until('the status is written', async () =>
      (await this.postgres.query("SELECT status FROM agent_credentials WHERE user_id = 'user_1'"))[0][0] === 'connected');
  }
  // Ends backends of ours that wait for a lock in a statement with these words, until `over`.
  async killWaiting(words, over) {
    await until(`backends are killed: ${words}`, async () => {
      await this.postgres.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'toolwire' AND wait_event_type = 'Lock' AND query LIKE '%${words}%'`, this.postgres.socketUrl);
      return over();
    });
  }
  // Rows of this table kill the backend that writes them.
  makeDeadly(table, when) {
    return this.postgres.query(`CREATE OR REPLACE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
      CREATE TRIGGER deadly BEFORE ${when} ON ${table} FOR EACH ROW EXECUTE FUNCTION die()`);
  }
  makeHarmless(table) {
    return this.postgres.query(`DROP TRIGGER deadly ON ${table}`);
  }
}

claim('a server in recovery, and one that shuts down (57P03), are told in words; every row is written when it takes connections', async (scope) => {
  const rig = await Rig.start(scope);
  const {postgres} = rig;
  const refused = async (words) => {
    await rig.call(5);
    await until('a login is refused for that', async () => {
      assert.equal((await rig.dial().closed()).code, 1013, 'nobody can be checked');
      return rig.tw.edge.logged('credentials could not be checked').some(({error}) => words.test(error));
    });
    for (const kind of ['edge', 'control']) {
      await rig.tells(kind, words);
      await rig.logs(kind, 'database unavailable', words);
    }
    await rig.logs('control', 'audit store unavailable, rows wait', /./);
    await until('a list is refused for that', async () => {
      const listed = await rig.caller.admin('ListExecutions');
      assert.equal(listed.code, code.UNAVAILABLE);
      return words.test(listed.message);
    });
  };
  await postgres.stop();
  await postgres.startInRecovery();
  await refused(/FATAL: {2}the database system is not accepting connections/);
  await postgres.promote();
  await rig.logIn();
  await rig.isWell();

  // A session of somebody's keeps it from ending.
  const held = await postgres.hold(scope, 'BEGIN');
  await postgres.stopSmartly();
  postgres.endConnections();
  await refused(/FATAL: {2}the database system is shutting down/);
  await held.release();
  await within('PostgreSQL ends', postgres.ended);
  await postgres.start();
  await rig.logIn();
  await rig.call(5);
  await rig.isWell();
  for (const kind of ['edge', 'control']) await until('it says so', () => rig.tw[kind].logged('database back').length === 2);
}, {skip: Postgres.missing});

claim('a backend killed during a login check: the next one checks; all killed: 1013, told, and well again', async (scope) => {
  const rig = await Rig.start(scope);
  const words = 'shared_secret::text FROM agent_credentials';
  let held = await rig.postgres.hold(scope, 'BEGIN; LOCK TABLE agent_credentials');
  const [first] = await Promise.all([rig.dial(), rig.call(5)]);
  let waits = [];
  const pids = async () => (await rig.postgres.query(`SELECT pid FROM pg_stat_activity
    WHERE application_name = 'toolwire' AND wait_event_type = 'Lock' AND query LIKE '%${words}%'`, rig.postgres.socketUrl)).flat();
  await until('it is checked', async () => (waits = await pids()).length === 1);
  await rig.postgres.query(`SELECT pg_terminate_backend(${waits[0]})`, rig.postgres.socketUrl);
  await until('it is checked again', async () => (await pids()).some((pid) => pid !== waits[0]));
  await held.release();
  await first.connected().catch(() => rig.logIn());  // Where it took longer than a login may.
  await rig.isWell();

  held = await rig.postgres.hold(scope, 'BEGIN; LOCK TABLE agent_credentials');
  let closed;
  rig.dial().closed().then((end) => (closed = end));
  await rig.killWaiting(words, () => closed);
  assert.equal(closed.code, 1013);
  await rig.logs('edge', 'credentials could not be checked', KILLED);
  await rig.killWaiting(words, async () => /^checking credentials: /.test(await rig.why('edge')) && KILLED.test(await rig.why('edge')));
  await held.release();
  await rig.logIn();
  await rig.call(5);
  await rig.isWell();
}, {skip: Postgres.missing});

claim('backends killed while the tables are looked at: told as that, and well again', async (scope) => {
  const rig = await Rig.start(scope);
  const {postgres} = rig;
  // They are looked at again once something failed for another reason than the row.
  await rig.makeDeadly('tool_execution_logs', 'INSERT');
  await rig.call(5);
  await rig.logs('control', 'audit store unavailable, rows wait', KILLED);
  const held = await postgres.hold(scope, 'BEGIN; LOCK TABLE pg_catalog.pg_constraint');
  await rig.killWaiting('pg_constraint', async () => /^looking at the tables: /.test(await rig.why('control')) && KILLED.test(await rig.why('control')));
  await held.release();
  await rig.makeHarmless('tool_execution_logs');
  await rig.isWell();
}, {skip: Postgres.missing});

claim('backends killed while a status is written: agents stay, told, and the status is written then', async (scope) => {
  const rig = await Rig.start(scope);
  await rig.makeDeadly('agent_credentials', 'UPDATE');
  await rig.logIn();
  await rig.tells('edge', /^updating agents' status: /);
  await rig.tells('edge', KILLED);
  await rig.logs('edge', "agents' status waits", KILLED);
  await rig.call(5);
  assert.equal(JSON.parse((await rig.tw.http('/health')).body).status, 'healthy', 'agents are served, and come in');
  await rig.makeHarmless('agent_credentials');
  await rig.tw.edge.saw("agents' status is written again");
  await rig.isWell();
}, {skip: Postgres.missing});

claim('backends killed while audit rows are written: rows wait, told, and each is written once then', async (scope) => {
  const rig = await Rig.start(scope);
  await rig.makeDeadly('tool_execution_logs', 'INSERT');
  await rig.call(20);
  await rig.tells('control', /audit rows: /);
  await rig.tells('control', KILLED);
  await rig.logs('control', 'audit store unavailable, rows wait', KILLED);
  await rig.logIn();
  await rig.makeHarmless('tool_execution_logs');
  await rig.isWell();
  await rig.tw.control.saw('audit store back');
}, {skip: Postgres.missing});

claim('a backend killed during a list: the list is made by the next one; all killed: UNAVAILABLE with the reason', async (scope) => {
  const rig = await Rig.start(scope);
  const held = await rig.postgres.hold(scope, 'BEGIN; LOCK TABLE tool_execution_logs');
  let listed;
  rig.caller.admin('ListExecutions').then((answer) => (listed = answer));
  await rig.killWaiting('shown_ms', () => listed);
  assert.equal(listed.code, code.UNAVAILABLE);
  assert.match(listed.message, KILLED);
  await rig.call(5);
  await held.release();
  assert.equal((await rig.caller.admin('ListExecutions')).executions.length > 0, true);
  await rig.isWell();
}, {skip: Postgres.missing});
