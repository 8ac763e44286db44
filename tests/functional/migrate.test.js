// `toolwire migrate`: the tables, prepared and checked before servers need them.
import assert from 'node:assert/strict';
import {readdir} from 'node:fs/promises';
import {OLD_TABLES} from './lib/old_tables.js';
import {Postgres} from './lib/postgres.js';
import {Process, output, run} from './lib/process.js';
import {claim, get} from './lib/toolwire.js';
import {until} from './lib/until.js';

const STEPS = ['table toolwire_audit_calls', 'column status_epoch of agent_credentials', 'column call_id of tool_execution_logs', 'column caller of tool_execution_logs',
  'index toolwire_audit_call_id', 'index toolwire_audit_user_time', 'index toolwire_audit_time'];

const objects = (text) => text.trim().split('\n').map((line) => JSON.parse(line));

claim('tables of the replaced server are shown, extended, and complete for the servers that start after', async (scope) => {
  const postgres = await Postgres.start(scope);
  await postgres.query(OLD_TABLES);
  const env = {DATABASE_URL: postgres.url};
  const shown = await output('toolwire', ['migrate', '--dry-run'], {env});
  assert.deepEqual([...shown.matchAll(/^would add (.*)$/gm)].map(([, what]) => what), STEPS);
  assert.match(shown, /CREATE UNIQUE INDEX CONCURRENTLY .*;\n    locks .*reads and writes go on/);
  assert.match(shown, /was not changed; tool_execution_logs has about 0 rows/);
  const planned = objects(await output('toolwire', ['migrate', '--dry-run', '--json'], {env}));
  assert.deepEqual(planned.slice(0, -1).map(({step, done}) => [step, done]), STEPS.map((step) => [step, false]));
  assert.deepEqual([planned.at(-1).steps, planned.at(-1).ready], [7, false]);

  const done = await run('toolwire', ['migrate'], {env});
  assert.equal(done.code, 0, done.stderr);
  assert.equal(done.stderr, '', 'nothing had to be waited for');
  assert.equal(done.stdout.replace(/at 127.*\/postgres/, 'at HOST'),
    `${STEPS.map((step) => `added ${step}\n`).join('')}PostgreSQL at HOST is ready\n`);
  assert.match(await output('toolwire', ['migrate'], {env}), /is ready: nothing to do\n$/);
  assert.deepEqual(objects(await output('toolwire', ['migrate', '--json'], {env})).map(({steps, ready}) => [steps, ready]), [[0, true]]);
  const tw = await scope.toolwire({topology: 'split', env, migrate: false});
  await tw.stop();
  assert.ok(!tw.logText.includes('database index built') && !tw.logText.includes('tables made'), 'servers have nothing left to do');
  assert.ok(!`${shown}${done.stdout}${tw.logText}`.includes('hunter2'), "the database's password is nowhere");
}, {skip: Postgres.missing});

claim('migrations at once all end well, and one waits for a database that starts later', async (scope) => {
  const postgres = await Postgres.start(scope);
  await postgres.query(OLD_TABLES);
  await postgres.stop();
  const early = await run('toolwire', ['migrate', '--timeout', '0', '--database-url', postgres.url]);
  assert.equal(early.code, 3);
  assert.match(early.stderr, /is unavailable/);
  const all = Array.from({length: 3}, () => new Process('toolwire', ['migrate', '--database-url', postgres.url]));
  await until('one reports that it waits', () => all.some(({stderr}) => /is unavailable.*tried again/.test(stderr)));
  await postgres.start();
  for (const one of all) {
    assert.equal((await one.exited()).code, 0, one.stderr);
    assert.match(one.stdout, /is ready/);
    assert.ok(!one.stderr.includes('hunter2'));
  }
}, {skip: Postgres.missing});

claim('SQLite is prepared in its directory; a dry run makes none; without a store it is refused', async (scope) => {
  const directory = await scope.directory();
  const data = `${directory}/data`;
  assert.match(await output('toolwire', ['migrate', '--dry-run', '--data-dir', data]), /would add tables/);
  assert.deepEqual(await readdir(directory), []);
  assert.match(await output('toolwire', ['migrate'], {env: {TOOLWIRE_DATA_DIR: data}}), /toolwire\.db is ready\n$/);
  assert.match(await output('toolwire', ['migrate', '--data-dir', data], {env: {DATABASE_URL: 'postgresql://nowhere'}}),
    /toolwire\.db is ready: nothing to do\n$/, 'a flag counts more than the environment');
  const nowhere = await run('toolwire', ['migrate']);
  assert.deepEqual([nowhere.code, nowhere.stdout], [2, '']);
  assert.match(nowhere.stderr, /^toolwire migrate: name the store: --database-url/);
});

claim('servers beside tables that are not ready say so in one line, log agents in, and write every row once they are', async (scope) => {
  const postgres = await Postgres.start(scope);
  await postgres.query(`${OLD_TABLES}; INSERT INTO agent_credentials (user_id, shared_secret, platform) VALUES ('user_1', 'plain-secret', 'linux')`);
  const tw = await scope.toolwire({topology: 'split', env: {DATABASE_URL: postgres.url}, migrate: false});
  const agent = tw.dial(tw.loginQuery('user_1', 'plain-secret'));
  await agent.connected();
  for (let i = 0; i < 5; ++i) await tw.caller().call('user_1', 'echo', {i});
  await until('it is logged', () => tw.logText.match(/"event":"database is not ready".*run toolwire migrate/g)?.length === 2);
  const ready = () => Promise.all(tw.ports.metrics.map(async (port) => {
    const {status, body} = await get(port, '/readyz');
    return {status, store: JSON.parse(body).checks.find(({name}) => name === 'store')};
  }));
  for (const {status, store} of await ready()) {
    assert.equal(status, 503);
    assert.match(store.why, /run toolwire migrate/);
    assert.match(store.since, /^20.*Z$/);
  }
  assert.equal(JSON.parse((await tw.http('/health')).body).status, 'healthy', 'agents are served, and come in');
  assert.equal((await run('toolwire', ['migrate'], {env: {DATABASE_URL: postgres.url}})).code, 0);
  await until('all are ready', async () => (await ready()).every(({status}) => status === 200));
  assert.equal(tw.logText.match(/"event":"database is not ready"/g).length, 2, 'once by each server');
  await until('all rows are there', async () => (await postgres.query('SELECT count(DISTINCT call_id), count(*) FROM tool_execution_logs'))[0].join() === '5,5');
}, {skip: Postgres.missing});
