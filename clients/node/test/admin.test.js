// Credentials, sessions and the audit log.
import assert from 'node:assert/strict';
import {adminOf, claim, clientOf, rejection, until} from './lib.js';

const all = async (iterator) => {
  const found = [];
  for await (const one of iterator) found.push(one);
  return found;
};

claim('a credential is made, used, rotated and revoked', async (scope) => {
  const tw = await scope.toolwire();
  const admin = adminOf(scope, tw);
  const {userId, secret} = await admin.createCredential('user_1', {platform: 'darwin'});
  assert.equal(userId, 'user_1');
  assert.match(secret, /^[0-9a-f]{64}$/);
  assert.equal((await rejection(admin.createCredential('user_1'))).code, 'ALREADY_EXISTS');
  const connect = (with_) => tw.dial(tw.loginQuery('user_1', with_));
  const agent = connect(secret);
  await agent.connected();

  const rotated = await admin.rotateCredential('user_1');
  assert.notEqual(rotated.secret, secret);
  assert.deepEqual([rotated.everywhere, rotated.edgesNotHeard], [true, []]);
  assert.equal((await agent.closed()).code, 1008);
  assert.equal((await connect(secret).closed()).code, 1008);
  const next = connect(rotated.secret);
  await next.connected();
  await until('control knows the new session', async () => (await clientOf(scope, tw).getAgent('user_1')).connected);
  const kept = await admin.rotateCredential('user_1', {keepSession: true});
  await next.roundTrip();

  assert.deepEqual(await admin.revokeCredential('user_1'), {sessionClosed: true, everywhere: true, edgesNotHeard: []});
  assert.equal((await next.closed()).code, 1008);
  assert.equal((await connect(kept.secret).closed()).code, 1008);
  assert.equal((await rejection(admin.rotateCredential('user_1'))).code, 'NOT_FOUND');
  const error = await rejection(admin.revokeCredential('nobody'));
  assert.deepEqual([error.code, error.httpStatus], ['NOT_FOUND', 404]);
});

claim('credentials are listed over pages, without secrets', async (scope) => {
  const tw = await scope.toolwire();
  const admin = adminOf(scope, tw);
  const users = Array.from({length: 5}, (_, n) => `user_${n}`);
  for (const user of users) await admin.createCredential(user);
  await admin.revokeCredential('user_3');
  for (const pageSize of [undefined, 2, 5]) {
    const found = await all(admin.listCredentials({pageSize}));
    assert.deepEqual(found.map(({userId}) => userId), users);
    assert.deepEqual(found.map(({revoked}) => revoked), [false, false, false, true, false]);
    assert.deepEqual(Object.keys(found[0]).sort(), ['createdAt', 'lastSeen', 'platform', 'revoked', 'status', 'userId']);
    assert.deepEqual([found[0].platform, found[0].status, found[0].lastSeen], ['linux', 'pending', undefined]);
    assert.ok(Math.abs(found[0].createdAt - Date.now()) < 3_600_000);
  }
});

claim('a session is disconnected, and its agent may come back', async (scope) => {
  const tw = await scope.toolwire({flags: {'server-id': 'edge-7'}});
  const admin = adminOf(scope, tw);
  const agent = await tw.agent('user_1');
  await until('control knows it', async () => (await clientOf(scope, tw).getAgent('user_1')).connected);
  assert.deepEqual(await admin.disconnectAgent('user_1'), {serverId: 'edge-7'});
  assert.equal((await agent.closed()).code, 4003);
  await tw.agent('user_1');
  assert.equal((await rejection(admin.disconnectAgent('nobody'))).code, 'NOT_FOUND');
});

claim('executions are listed by user and time, newest first, over pages', async (scope) => {
  const tw = await scope.toolwire();
  const admin = adminOf(scope, tw);
  const client = clientOf(scope, tw);
  for (const user of ['user_1', 'user_2']) {
    await tw.agent(user, {answer: ({params}) => (params.fail ? {success: false, error: 'failed'} : {success: true, result: params, executionTime: 3})});
  }
  for (let n = 0; n < 5; ++n) await client.callTool('user_1', 'echo', {n}, {requestId: `call_${n}`});
  await client.callTool('user_2', 'echo', {fail: true});
  await rejection(client.callTool('nobody', 'echo'));
  const rows = await until('all rows are there', async () => {
    const found = await all(admin.listExecutions());
    return found.length === 7 && found;
  });
  const mine = rows.filter(({userId}) => userId === 'user_1');
  assert.deepEqual(mine.map(({requestId}) => requestId), [4, 3, 2, 1, 0].map((n) => `call_${n}`));
  for (const pageSize of [1, 2, 5]) assert.deepEqual(await all(admin.listExecutions({userId: 'user_1', pageSize})), mine);
  const [newest] = mine;
  assert.deepEqual([newest.tool, String(newest.paramsJson), String(newest.resultJson), newest.success, newest.error, newest.executionTimeMs],
    ['echo', '{"n":4}', '{"n":4}', true, undefined, 3]);
  const [failed] = await all(admin.listExecutions({userId: 'user_2'}));
  assert.deepEqual([failed.success, failed.error, failed.resultJson.length, failed.executionTimeMs], [false, 'failed', 0, undefined]);
  assert.equal((await all(admin.listExecutions({userId: 'nobody'})))[0].error, 'AGENT_NOT_CONNECTED');

  const far = Date.now() + 3_600_000;
  assert.deepEqual(await all(admin.listExecutions({from: far})), []);
  assert.deepEqual(await all(admin.listExecutions({from: new Date(0), until: new Date(far)})), rows);
  assert.deepEqual(await all(admin.listExecutions({until: 1000})), []);
});

claim('requests after close are refused', async (scope) => {
  const tw = await scope.toolwire();
  const admin = adminOf(scope, tw);
  admin.close();
  assert.equal((await rejection(admin.createCredential('user_1'))).reason, 'CLIENT_CLOSED');
});
