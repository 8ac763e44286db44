// Who is connected: GetAgent, ListAgents, WatchAgents.
import assert from 'node:assert/strict';
import {code} from './lib/caller.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

claimInBoth('GetAgent returns whether a user\'s agent is connected, where, since when, and its epoch', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'server-id': 'edge-7'}});
  const caller = tw.caller();
  const absent = {userId: 'user_1', connected: false, serverId: '', epoch: '0', connectedAt: null};
  assert.deepEqual(await caller.ask('GetAgent', {userId: 'user_1'}), absent);
  const before = Date.now();
  const first = await tw.agent('user_1');
  const agent = await until('it is connected', async () => {
    const got = await caller.ask('GetAgent', {userId: 'user_1'});
    return got.connected && got;
  });
  assert.equal(agent.serverId, 'edge-7');
  const since = Number(agent.connectedAt.seconds) * 1000 + agent.connectedAt.nanos / 1e6;
  assert.ok(since >= before - 1 && since <= Date.now() + 1);
  await tw.agent('user_1');
  await until('a newer connection has a greater epoch', async () =>
    BigInt((await caller.ask('GetAgent', {userId: 'user_1'})).epoch) > BigInt(agent.epoch));
  assert.equal((await first.closed()).code, 4001);
  assert.equal((await caller.ask('GetAgent', {userId: 'user_1'})).connected, true);
});

claim('GetAgent without a user is a wrong request', async (scope) => {
  const tw = await scope.toolwire();
  await assert.rejects(tw.caller().ask('GetAgent', {}), (error) => error.code === code.INVALID_ARGUMENT);
});

claim('ids longer than any user\'s, or with control characters, are a wrong request of GetAgent and WatchAgents', async (scope) => {
  const tw = await scope.toolwire();
  const caller = tw.caller();
  for (const userId of ['u'.repeat(257), 'u'.repeat(1 << 20), 'u\n', 'u\u0000']) {
    await assert.rejects(caller.ask('GetAgent', {userId}), (error) => error.code === code.INVALID_ARGUMENT && error.message.length < 200);
    const watch = scope.own(caller.watch(['user_1', userId]));
    assert.equal((await watch.ended()).code, code.INVALID_ARGUMENT);
  }
  assert.equal((await caller.ask('GetAgent', {userId: 'u'.repeat(256)})).connected, false);
  assert.deepEqual(await scope.own(caller.watch(['u'.repeat(256)])).snapshot(), []);
});

async function pages(caller, pageSize) {
  const out = [];
  let pageToken = '';
  do {
    const page = await caller.ask('ListAgents', {pageSize, pageToken});
    out.push(page);
    pageToken = page.nextPageToken;
  } while (pageToken);
  return out;
}

claimInBoth('ListAgents pages through 250 agents in the order of their ids', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const file = await tw.secrets('user_', 250);
  const load = scope.process('toolwire', ['agent', '--url', tw.url(), '--count', 250, '--credentials', file, '--log-format', 'json']);
  const caller = tw.caller();
  await until('all are connected', async () => (await caller.ask('ListAgents', {})).totalConnected === '250');
  const expected = Array.from({length: 250}, (_, i) => `user_${i}`).sort();
  for (const [pageSize, sizes] of [[0, [100, 100, 50]], [100, [100, 100, 50]], [125, [125, 125]], [250, [250]], [1000, [250]], [2000, [250]]]) {
    const got = await pages(caller, pageSize);
    assert.deepEqual(got.map(({agents}) => agents.length), sizes, `pages of ${pageSize}`);
    assert.deepEqual(got.flatMap(({agents}) => agents.map(({userId}) => userId)), expected);
    assert.ok(got.every(({totalConnected}) => totalConnected === '250'));
    assert.ok(got.every(({agents}) => agents.every(({connected, serverId}) => connected && serverId)));
  }
  await load.stop();
  await until('none is connected', async () => (await caller.ask('ListAgents', {})).totalConnected === '0');
  assert.deepEqual((await caller.ask('ListAgents', {})).agents, []);
});

claim('a page token is a place, not an agent: the agent behind it may have gone', async (scope) => {
  const tw = await scope.toolwire();
  const agents = {};
  for (const user of ['a', 'b', 'c', 'd']) agents[user] = await tw.agent(user);
  const caller = tw.caller();
  const first = await caller.ask('ListAgents', {pageSize: 2});
  assert.deepEqual(first.agents.map(({userId}) => userId), ['a', 'b']);
  await agents.b.close();
  await until('it has gone', async () => (await caller.ask('ListAgents', {})).totalConnected === '3');
  const second = await caller.ask('ListAgents', {pageSize: 2, pageToken: first.nextPageToken});
  assert.deepEqual(second.agents.map(({userId}) => userId), ['c', 'd']);
  assert.equal(second.nextPageToken, '');
});

claim('a negative page size is a wrong request', async (scope) => {
  const tw = await scope.toolwire();
  await assert.rejects(tw.caller().ask('ListAgents', {pageSize: -1}), (error) => error.code === code.INVALID_ARGUMENT);
});

claimInBoth('WatchAgents starts with who is connected, then reports who connects, moves and disconnects', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await tw.agent('early');
  const caller = tw.caller();
  await until('it is known', async () => (await caller.ask('GetAgent', {userId: 'early'})).connected);
  const watch = scope.own(caller.watch());
  assert.deepEqual((await watch.snapshot()).map(({kind, agent}) => [kind, agent.userId]), [['CONNECTED', 'early']]);

  await tw.agent('user_1');
  const connected = await watch.saw('CONNECTED', 'user_1');
  assert.equal(connected.agent.connected, true);
  const second = await tw.agent('user_1');
  const moved = await watch.saw('MOVED', 'user_1');
  assert.ok(BigInt(moved.agent.epoch) > BigInt(connected.agent.epoch));
  await second.close();
  const gone = await watch.saw('DISCONNECTED', 'user_1');
  assert.equal(gone.agent.connected, false);
  assert.equal(gone.agent.epoch, moved.agent.epoch, 'the newer session ended, not the replaced one');
  const kinds = watch.events.filter(({agent}) => agent?.userId === 'user_1').map(({kind}) => kind);
  assert.deepEqual(kinds, ['CONNECTED', 'MOVED', 'DISCONNECTED']);
});

claim('WatchAgents reports only the users that were asked for', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_0');
  const caller = tw.caller();
  const watch = scope.own(caller.watch(['user_1', 'user_2']));
  assert.deepEqual(await watch.snapshot(), []);
  await tw.agent('other');
  await tw.agent('user_2');
  await watch.saw('CONNECTED', 'user_2');
  assert.deepEqual(watch.events.filter(({agent}) => agent).map(({agent}) => agent.userId), ['user_2']);
});

claimInBoth('a watch ends when control stops', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const watch = scope.own(tw.caller().watch());
  await watch.snapshot();
  await tw.stop();
  assert.equal((await watch.ended()).code, code.UNAVAILABLE);
});
