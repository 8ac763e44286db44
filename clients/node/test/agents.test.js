// Who is connected: asking, listing, watching.
import assert from 'node:assert/strict';
import {claim, claimInBoth, clientOf, deferred, freePort, rejection, startControl, until} from './lib.js';

// What a watch reports, as `kind userId`, in the background.
function follow(client, options) {
  const seen = {events: [], raw: []};
  seen.ended = (async () => {
    for await (const event of client.watchAgents(options)) {
      seen.raw.push(event);
      seen.events.push(event.agent ? `${event.kind} ${event.agent.userId}` : event.kind);
    }
  })();
  seen.ended.catch(() => {});
  return seen;
}
const saw = (seen, event, count = 1) =>
  until(`${event} is seen`, () => seen.events.filter((one) => one === event).length >= count);

claimInBoth('getAgent: whether a user is connected, and where', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'server-id': 'edge-7'}});
  const client = clientOf(scope, tw);
  assert.deepEqual(await client.getAgent('user_1'), {userId: 'user_1', connected: false});
  const before = Date.now();
  await tw.agent('user_1');
  const agent = await until('it is connected', async () => {
    const one = await client.getAgent('user_1');
    return one.connected && one;
  });
  assert.deepEqual({...agent, epoch: 0, connectedAt: 0}, {userId: 'user_1', connected: true, serverId: 'edge-7', epoch: 0, connectedAt: 0});
  assert.ok(agent.epoch > 0);
  assert.ok(agent.connectedAt >= before - 1000 && agent.connectedAt <= Date.now() + 1000);
  const error = await rejection(client.getAgent(''));
  assert.deepEqual([error.reason, error.field], ['INVALID_REQUEST', 'user_id']);
});

claim('listAgents: every agent once, over pages, in order', async (scope) => {
  const tw = await scope.toolwire({flags: {'server-id': 'here'}});
  const users = Array.from({length: 7}, (_, n) => `user_${n}`);
  for (const user of users) await tw.agent(user);
  const client = clientOf(scope, tw);
  const all = async (options) => {
    const found = [];
    for await (const {userId} of client.listAgents(options)) found.push(userId);
    return found;
  };
  for (const pageSize of [undefined, 1, 3, 7, 1000]) assert.deepEqual(await all({pageSize}), users);
  assert.deepEqual(await all({serverId: 'here'}), users);
  assert.deepEqual(await all({serverId: 'elsewhere'}), []);
  await assert.rejects(all({pageSize: -1}), {reason: 'INVALID_REQUEST', field: 'page_size'});
});

claimInBoth('watchAgents: a snapshot, then what changes; leaving the loop ends the stream', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await tw.agent('user_1');
  const client = clientOf(scope, tw);
  const seen = follow(client);
  await saw(seen, 'snapshot');
  assert.deepEqual(seen.events, ['connected user_1', 'snapshot']);
  const agent = await tw.agent('user_2');
  await saw(seen, 'connected user_2');
  await tw.agent('user_1');
  await saw(seen, 'moved user_1');
  const [first, last] = seen.raw.filter((event) => event.agent?.userId === 'user_1').map((event) => event.agent.epoch);
  assert.ok(last > first);
  await agent.close();
  await saw(seen, 'disconnected user_2');
  assert.deepEqual(seen.raw.at(-1).agent, {userId: 'user_2', connected: false});

  for await (const {kind} of client.watchAgents({userIds: ['user_1', 'user_9']})) {
    if (kind === 'snapshot') break;
  }
  const controller = new AbortController();
  const aborted = follow(client, {signal: controller.signal, userIds: ['user_9']});
  await saw(aborted, 'snapshot');
  controller.abort();
  await aborted.ended;
  assert.deepEqual(aborted.events, ['snapshot']);
  await client.close();
  await seen.ended;
  await until('the streams are gone', async () => (await tw.metric('toolwire_control_streams')) === 0);
});

claim('a watch whose control is killed reports the difference afterwards, and nothing that is not so', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agents = {};
  for (const user of ['stays', 'goes', 'moves']) agents[user] = await tw.agent(user);
  const port = await freePort();
  let control = await startControl(scope, tw, port);
  const client = clientOf(scope, control);
  const seen = follow(client);
  await saw(seen, 'snapshot');
  const before = seen.events.length;
  for (let round = 0; round < 2; ++round) {
    await control.kill();
    if (round === 0) {
      await agents.goes.close();
      await tw.agent('moves');
      await tw.agent('comes');
    }
    control = await startControl(scope, tw, port);
    if (round === 0) {
      await saw(seen, 'disconnected goes');
      await saw(seen, 'moved moves');
      await saw(seen, 'connected comes');
    }
  }
  await tw.agent('last');
  await saw(seen, 'connected last');
  assert.deepEqual(seen.events.slice(before).sort(), ['connected comes', 'connected last', 'disconnected goes', 'moved moves']);
});

claim('a watcher that does not keep up receives everything all the same', async (scope) => {
  const tw = await scope.toolwire();
  const client = clientOf(scope, tw);
  const go = deferred();
  const known = new Set();
  const watching = (async () => {
    for await (const {kind, agent} of client.watchAgents()) {
      if (kind === 'snapshot') await go.promise;
      else if (kind === 'disconnected') known.delete(agent.userId);
      else known.add(agent.userId);
    }
  })();
  const stays = Array.from({length: 20}, (_, n) => `stays_${n}`);
  for (const user of stays) await tw.agent(user);
  for (let n = 0; n < 20; ++n) await (await tw.agent('comes and goes')).close();
  go.resolve();
  await until('all are known', () => known.size === stays.length && stays.every((user) => known.has(user)));
  await client.close();
  await watching;
});
