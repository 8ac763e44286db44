// How watches end: at once, and without leaving anything.
import assert from 'node:assert/strict';
import {createRequire} from 'node:module';
import {Readable} from 'node:stream';
import {Kind, startFake} from './fake_control.js';
import {claim, clientWith, freePort, until} from './lib.js';

const {AgentWatch} = createRequire(import.meta.url)('../dist/watch.js');

claim('a watch whose iterator is returned during next() closes its stream at once', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  const watch = client.watchAgents();
  assert.equal((await watch.next()).value.kind, 'snapshot');
  const waiting = watch.next();
  assert.equal(fake.watches.size, 1);
  assert.deepEqual(await watch.return(), {done: true, value: undefined});
  assert.deepEqual(await waiting, {done: true, value: undefined});
  await until('its stream is gone', () => fake.watches.size === 0);
  assert.deepEqual(await watch.next(), {done: true, value: undefined});
  assert.equal(fake.watchesBegun, 1);
});

claim('50 destroyed streams of watches leave none open', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  let snapshots = 0;
  const streams = Array.from({length: 50}, () =>
    Readable.from(client.watchAgents()).on('data', () => ++snapshots).on('error', () => {}));
  await until('all wait for the next event', () => snapshots === 50 && fake.watches.size === 1);
  for (const [n, stream] of streams.entries()) stream.destroy(n % 2 === 0 ? undefined : new Error('enough'));
  await until('none does', () => fake.watches.size === 0);
  assert.equal(fake.watchesBegun, 1);
});

claim('a watch that waits for a control ends at once as well', async (scope) => {
  const client = clientWith(scope, {address: `127.0.0.1:${await freePort()}`});
  const watch = client.watchAgents();
  const waiting = watch.next();
  await watch.return();
  assert.equal((await waiting).done, true);
});

claim('a watch that is returned before its first next() never begins', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  const watch = client.watchAgents();
  await watch.return();
  assert.equal((await watch.next()).done, true);
  await client.getAgent('user_1');
  assert.equal(fake.watchesBegun, 0);
});

claim('more than ten watches print no warning, and end when the client is closed', async (scope) => {
  const fake = await startFake(scope, {watch: (stream) => stream.write({events: [
    {kind: Kind.CONNECTED, agent: {userId: 'user_1', connected: true, serverId: 'e', epoch: 1}}, {kind: Kind.SNAPSHOT_COMPLETE}]})});
  const client = clientWith(scope, {address: fake.address});
  const warnings = [];
  const warned = (warning) => warnings.push(warning.name);
  process.on('warning', warned);
  scope.own({close: () => process.off('warning', warned)});
  let snapshots = 0;
  const ended = Array.from({length: 30}, async () => {
    const kinds = [];
    for await (const {kind} of client.watchAgents()) {
      kinds.push(kind);
      if (kind === 'snapshot') ++snapshots;
    }
    return kinds;
  });
  await until('all watch', () => snapshots === 30 && fake.watches.size === 1);
  await client.getAgent('user_1');
  await client.close();
  for (const kinds of await Promise.all(ended)) assert.deepEqual(kinds, ['connected', 'snapshot']);
  await until('none does', () => fake.watches.size === 0);
  await new Promise(setImmediate);
  assert.deepEqual(warnings, []);
  await assert.rejects(client.watchAgents().next(), {reason: 'CLIENT_CLOSED'});
});

claim('a user list that is changed after watchAgents is watched as it was', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  const userIds = ['user_1'];
  const watch = client.watchAgents({userIds});
  userIds.push('user_2');
  await watch.next();
  assert.deepEqual([...fake.follows].map(({users}) => [...users]), [['user_1']]);
  await watch.return();
});

// By how often a map is gone through from its beginning, past all that was taken out.
claim('a loop that is 20,000 agents behind takes each of them with the same work', async () => {
  const agents = new Map(Array.from({length: 20_000}, (_, n) => [`user_${n}`, {userId: `user_${n}`, connected: true, serverId: 'e', epoch: 1}]));
  const followers = {followAll: () => ({known: agents, complete: true, stop: () => {}})};
  const watch = new AgentWatch([], undefined, () => ({watches: new Set(), followers}));
  assert.equal((await watch.next()).value.kind, 'connected');
  let begun = 0;
  const plain = {entries: Map.prototype.entries, [Symbol.iterator]: Map.prototype[Symbol.iterator]};
  for (const way of Reflect.ownKeys(plain)) {
    Map.prototype[way] = function() {
      ++begun;
      return plain[way].call(this);
    };
  }
  const seen = new Set(['user_0']);
  try {
    for (;;) {
      const {value} = await watch.next();
      if (value.kind === 'snapshot') break;
      seen.add(value.agent.userId);
      // What changes while the rest waits is told as well, behind it or in its place.
      if (seen.size === 10_000) for (const id of ['user_5', 'user_19999']) watch.state(id, {...agents.get(id), epoch: 2});
    }
  } finally {
    Object.assign(Map.prototype, plain);
  }
  assert.equal(seen.size, 20_000);
  assert.ok(begun < 20, `${begun} times`);
  assert.deepEqual((await watch.next()).value, {kind: 'moved', agent: {...agents.get('user_5'), epoch: 2}});
  await watch.return();
});
