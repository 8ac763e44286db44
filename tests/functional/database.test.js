// The store of production: both servers over one PostgreSQL, with the tables of the replaced server.
import assert from 'node:assert/strict';
import {code} from './lib/caller.js';
import {OLD_TABLES} from './lib/old_tables.js';
import {Postgres} from './lib/postgres.js';
import {output, run} from './lib/process.js';
import {claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

const TABLES = `${OLD_TABLES};
  INSERT INTO agent_credentials (user_id, shared_secret, platform) VALUES ('user_1', 'plain-secret', 'linux')`;

claim('agents of the replaced server log in, are called and audited, also after the database was unavailable', async (scope) => {
  const postgres = await Postgres.start(scope);
  await postgres.query(TABLES);
  const env = {DATABASE_URL: postgres.url};
  const tw = await scope.toolwire({topology: 'split', env});
  const caller = tw.caller();
  const status = async () => (await postgres.query("SELECT status FROM agent_credentials WHERE user_id = 'user_1'"))[0][0];
  const rows = () => postgres.query('SELECT tool_name, success, params FROM tool_execution_logs ORDER BY id');

  const first = tw.dial(tw.loginQuery('user_1', 'plain-secret'));
  await first.connected();
  await caller.call('user_1', 'one', {a: 1});
  await until('the call is audited', async () => (await rows()).length === 1);
  assert.deepEqual(await rows(), [['one', 't', '{"a": 1}']]);
  await until('the status is written', async () => (await status()) === 'connected');

  await postgres.stop('SIGQUIT');
  await caller.call('user_1', 'two');
  assert.equal((await tw.dial(tw.loginQuery('user_1', 'plain-secret')).closed()).code, 1013, 'nobody can be checked');
  const {code: exitCode, stderr} = await run('toolwire', ['audit'], {env});
  assert.equal(exitCode, 3);
  assert.match(stderr, /is unavailable/);
  await postgres.start();
  await until('the call of meanwhile is audited', async () => (await rows()).length === 2);

  const secret = (await output('toolwire', ['credentials', 'create', 'user_2'], {env})).trim();
  // As agents do: the edge may learn a second later than control that the database is available again.
  await until('an agent logs in again', () => {
    const second = tw.dial(tw.loginQuery('user_2', secret));
    const isIn = second.connected().then(() => true, () => false);
    return Promise.race([isIn, second.closed().then(() => false, () => false)]);
  });
  assert.match(await output('toolwire', ['credentials', 'list'], {env}), /user_2\tconnected/);
  assert.match(await output('toolwire', ['audit'], {env}), /user_1 {2}one {2}ok/);
  await tw.stop();
  assert.equal(await status(), 'disconnected');
  assert.ok(!`${tw.logText}${stderr}`.includes('hunter2'), "the database's password is nowhere");
}, {skip: Postgres.missing});

claim('a credential of the replaced server whose user id new ones may not have is rotated and revoked over gRPC', async (scope) => {
  const postgres = await Postgres.start(scope);
  await postgres.query(`${TABLES}; INSERT INTO agent_credentials (user_id, shared_secret, platform) VALUES (E'tab\\tuser', 'old', 'linux')`);
  const caller = (await scope.toolwire({topology: 'split', env: {DATABASE_URL: postgres.url}})).caller();
  const secret = async () => (await postgres.query("SELECT shared_secret FROM agent_credentials WHERE platform = 'linux' ORDER BY user_id"))[0][0];
  assert.equal((await caller.admin('CreateCredential', {userId: 'new\tuser'})).code, code.INVALID_ARGUMENT);
  assert.match((await caller.admin('RotateCredential', {userId: 'tab\tuser'})).secret, /^[0-9a-f]{64}$/);
  assert.match(await secret(), /^sha256:/);
  assert.equal((await caller.admin('RevokeCredential', {userId: 'tab\tuser'})).code ?? 0, 0);
  assert.match(await secret(), /^revoked:/);
}, {skip: Postgres.missing});

claim('rows of the replaced server of 12 MB each are listed, each of them as cut', async (scope) => {
  const postgres = await Postgres.start(scope);
  await postgres.query(TABLES);
  const env = {DATABASE_URL: postgres.url};
  await output('toolwire', ['migrate'], {env});
  // Kept as 140 kB each, of which only the server's own work shows the length; and one that is kept as it is.
  await postgres.query(`INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success)
    SELECT 'user_1', 'r', 't', '{}', jsonb_build_object('t', repeat('x', 12000000)), true FROM generate_series(1, 49);
    INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success)
    SELECT 'user_1', 'r', 't', '{}', jsonb_agg(md5(i::text)), true FROM generate_series(1, 330000) AS i`);
  const rows = (await output('toolwire', ['audit', '--limit', '50', '--json'], {env})).trim().split('\n').map((line) => JSON.parse(line));
  assert.equal(rows.length, 50);
  for (const {params, result} of rows) {
    assert.equal(params, '{}');
    assert.equal(JSON.parse(result).toolwire_truncated, true);
  }
  const caller = (await scope.toolwire({topology: 'split', env})).caller();
  const listed = await caller.admin('ListExecutions', {pageSize: 50});
  assert.equal(listed.executions.length, 50);
}, {skip: Postgres.missing});
