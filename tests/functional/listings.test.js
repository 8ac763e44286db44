// Operators' lists over gRPC from PostgreSQL: those that nobody waits for end there, and slow ones hold up no change.
import assert from 'node:assert/strict';
import {code} from './lib/caller.js';
import {Postgres} from './lib/postgres.js';
import {output} from './lib/process.js';
import {claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

const LISTS = {
  ListExecutions: {table: 'tool_execution_logs', words: 'shown_ms', command: 'audit'},
  ListCredentials: {table: 'agent_credentials', words: 'ORDER BY c.user_id', command: 'credentials list'},
};

async function start(scope) {
  const postgres = await Postgres.start(scope);
  const env = {DATABASE_URL: postgres.url};
  const tw = await scope.toolwire({topology: 'split', env});
  await output('toolwire', ['credentials', 'create', 'user_1'], {env});
  // Statements of this list that run at the server.
  const running = async (words) => Number((await postgres.query(
    `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'toolwire' AND state = 'active' AND query LIKE '%${words}%'`))[0][0]);
  const begins = (words) => until('the list runs at the server', async () => (await running(words)) > 0);
  const ends = (words) => until('the server has ended the list', async () => (await running(words)) === 0);
  const cancelled = () => postgres.log.match(/canceling statement due to user request/g)?.length ?? 0;
  return {postgres, tw, running, begins, ends, cancelled};
}

for (const [method, {table, words, command}] of Object.entries(LISTS)) {
  claim(`${method} ends in PostgreSQL when its caller cancels, and when the caller's process dies`, async (scope) => {
    const {postgres, tw, begins, ends, cancelled} = await start(scope);
    const caller = tw.caller();
    const held = await postgres.hold(scope, `BEGIN; LOCK TABLE ${table}`);
    const list = caller.startAdmin(method);
    await begins(words);
    list.cancel();
    assert.equal((await list.outcome).code, code.CANCELLED);
    await ends(words);
    await until('it was cancelled, before its time limit', () => cancelled() === 1);

    const process = scope.process('toolwire', [...command.split(' '), '--address', `127.0.0.1:${tw.ports.callers}`]);
    await begins(words);
    await process.kill();
    await ends(words);
    await until('it was cancelled, before its time limit', () => cancelled() === 2);
    await held.release();
    assert.equal((await caller.admin(method)).code ?? 0, 0);
  }, {skip: Postgres.missing});
}

claim('a credential is revoked while eight slow lists run; those end once nobody waits for them', async (scope) => {
  const {postgres, tw, running, begins, ends, cancelled} = await start(scope);
  const caller = tw.caller();
  const {words, table} = LISTS.ListExecutions;
  const held = await postgres.hold(scope, `BEGIN; LOCK TABLE ${table}`);
  const lists = Array.from({length: 8}, () => caller.startAdmin('ListExecutions'));
  await begins(words);
  assert.equal((await caller.admin('RevokeCredential', {userId: 'user_1'})).code ?? 0, 0);
  assert.match((await postgres.query("SELECT shared_secret FROM agent_credentials WHERE user_id = 'user_1'"))[0][0], /^revoked:/);
  assert.ok((await running(words)) > 0, 'a list still waits');
  for (const list of lists) list.cancel();
  for (const list of lists) assert.equal((await list.outcome).code, code.CANCELLED);
  await ends(words);
  assert.ok(cancelled() > 0);
  await held.release();
  assert.equal((await caller.admin('ListExecutions')).code ?? 0, 0);
}, {skip: Postgres.missing});
