// One stream for all watches of users and all calls that wait, whatever comes and goes.
import assert from 'node:assert/strict';
import {createRequire} from 'node:module';
import {Readable} from 'node:stream';
import {Delivery, HELLO, Kind, Reason, present, startFake} from './fake_control.js';
import {claim, clientWith, rejection, until} from './lib.js';

const require = createRequire(import.meta.url);
const {Channels} = require('../dist/channels.js');
const {Followers} = require('../dist/following.js');

const absent = (userId) => ({kind: Kind.DISCONNECTED, agent: {userId}});
const notConnected = ({id}) => ({id, failure: {code: 14, message: 'no agent', detail: {reason: Reason.AGENT_NOT_CONNECTED, delivery: Delivery.NOT_SENT}}});
const answerOf = ({id, call}) => ({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}});

// A control that knows who is connected (`agents`: by user, their events), and tells all that follow.
async function startKnowing(scope, options = {}) {
  const agents = new Map();
  const asked = {users: 0, messages: 0};
  const delivered = new Set();
  const fake = await startFake(scope, {
    follow: (add, stream) => {
      ++asked.messages;
      asked.users += add.length;
      stream.write({events: add.map((userId) => agents.get(userId) ?? absent(userId))});
    },
    watch: (stream) => {
      const {userIds} = stream.request;
      asked.users += userIds.length;
      const wanted = [...agents].filter(([userId]) => userIds.length === 0 || userIds.includes(userId));
      stream.write({events: [...wanted.map(([, event]) => event), {kind: Kind.SNAPSHOT_COMPLETE}]});
    },
    answer: (calls) => calls.map((one) => {
      if (!agents.has(one.call.userId)) return notConnected(one);
      delivered.add(one.call.userId);
      return answerOf(one);
    }),
    ...options,
  });
  const tell = (event) => {
    for (const stream of fake.follows) if (stream.users.has(event.agent.userId)) stream.write({events: [event]});
    for (const stream of fake.watches) {
      const {userIds} = stream.request;
      if (userIds.length === 0 || userIds.includes(event.agent.userId)) stream.write({events: [event]});
    }
  };
  return Object.assign(fake, {
    agents, asked, delivered,
    comes: (userId, epoch = 1) => {
      const event = present(userId, epoch);
      if (agents.has(userId)) event.kind = Kind.MOVED;
      agents.set(userId, event);
      tell(event);
    },
    goes: (userId) => agents.delete(userId) && tell(absent(userId)),
  });
}
// What a watch reports, in the background.
function follow(client, options) {
  const seen = [];
  const run = async () => {
    for await (const {kind, agent} of client.watchAgents(options)) seen.push(agent ? `${kind} ${agent.userId}` : kind);
  };
  run().catch((error) => seen.push(error.reason));
  return seen;
}
const saw = (seen, event, times = 1) => until(`${event} is seen`, () => seen.filter((one) => one === event).length >= times);

claim('6,000 calls that wait for 6,000 users cost one stream and each user once, also if they come one by one', async (scope) => {
  // This one gives no signs of life while its test's process is busy.
  const fake = await startKnowing(scope, {hello: {...HELLO, silenceMs: 0}});
  const client = clientWith(scope, {address: fake.address, controlWaitMs: 60_000});
  const users = Array.from({length: 6000}, (_, n) => `user_${n}`);
  const calls = [];
  for (const [n, userId] of users.entries()) {
    calls.push(client.callTool(userId, 'echo', {n}, {waitForAgentMs: 600_000, timeoutMs: 600_000}));
    if (n % 3 === 0) await new Promise(setImmediate);
  }
  await until('all wait', () => fake.asked.users === 6000);
  assert.equal(fake.followsBegun, 1);
  assert.equal([...fake.follows][0].users.size, 6000);
  const events = users.map((userId) => present(userId));
  for (const event of events) fake.agents.set(event.agent.userId, event);
  const [stream] = fake.follows;
  for (let n = 0; n < events.length; n += 100) stream.write({events: events.slice(n, n + 100)});
  for (const [n, {result}] of (await Promise.all(calls)).entries()) assert.deepEqual(result, {n});
  assert.equal(fake.asked.users, 6000);
  assert.equal(fake.watchesBegun, 0);
  await until('nothing is followed', () => fake.follows.size === 0);
});

claim('a thousand watches of one user each, and calls that wait, share one stream; users are added and taken away on it', async (scope) => {
  const fake = await startKnowing(scope);
  fake.comes('user_0');
  const client = clientWith(scope, {address: fake.address});
  const watches = Array.from({length: 1000}, (_, n) => client.watchAgents({userIds: [`user_${n}`]}));
  assert.equal((await watches[0].next()).value.kind, 'connected');
  for (const one of watches) assert.equal((await one.next()).value.kind, 'snapshot');
  const waiting = client.callTool('waited for', 'echo', {n: 1}, {waitForAgentMs: 60_000});
  await until('it is followed', () => [...fake.follows][0].users.has('waited for'));
  assert.equal(fake.followsBegun, 1);
  assert.equal([...fake.follows][0].users.size, 1001);
  fake.comes('waited for');
  assert.equal((await waiting).result.n, 1);
  const next = watches[5].next();
  fake.comes('user_5');
  assert.deepEqual((await next).value.kind, 'connected');
  for (const one of watches.slice(1)) await one.return();
  await until('one is left', () => [...fake.follows][0].users.size === 1);
  await watches[0].return();
  await until('no stream is left', () => fake.follows.size === 0);
  assert.deepEqual([fake.followsBegun, fake.watchesBegun], [1, 0]);
});

claim('two watches of the same user: each reports all of it, and control is asked once', async (scope) => {
  const fake = await startKnowing(scope);
  fake.comes('user_1');
  const client = clientWith(scope, {address: fake.address});
  const first = follow(client, {userIds: ['user_1', 'user_1']});
  await saw(first, 'snapshot');
  const second = follow(client, {userIds: ['user_1', 'user_2']});
  await saw(second, 'snapshot');
  assert.deepEqual(second, ['connected user_1', 'snapshot']);
  fake.comes('user_1', 2);
  fake.goes('user_1');
  fake.comes('user_2');
  await saw(second, 'connected user_2');
  await saw(first, 'disconnected user_1');
  assert.deepEqual(first, ['connected user_1', 'snapshot', 'moved user_1', 'disconnected user_1']);
  assert.deepEqual(second, ['connected user_1', 'snapshot', 'moved user_1', 'disconnected user_1', 'connected user_2']);
  assert.equal(fake.asked.users, 2);
});

claim('a hundred watches of all users share one stream; one that begins later gets the same snapshot', async (scope) => {
  const fake = await startKnowing(scope);
  for (const user of ['a', 'b', 'c']) fake.comes(user);
  const client = clientWith(scope, {address: fake.address});
  const all = Array.from({length: 99}, () => follow(client));
  for (const one of all) await saw(one, 'snapshot');
  fake.goes('b');
  for (const one of all) await saw(one, 'disconnected b');
  all.push(follow(client));
  await saw(all.at(-1), 'snapshot');
  assert.deepEqual(all.at(-1), ['connected a', 'connected c', 'snapshot']);
  assert.deepEqual(all[0], ['connected a', 'connected b', 'connected c', 'snapshot', 'disconnected b']);
  assert.deepEqual([fake.watchesBegun, fake.followsBegun], [1, 0]);
});

for (const [kind, options] of [['users', {userIds: ['stays', 'goes', 'moves', 'comes']}], ['all', {}]]) {
  claim(`a watch of ${kind} whose stream breaks reports the difference afterwards, and nothing twice`, async (scope) => {
    const fake = await startKnowing(scope);
    for (const user of ['stays', 'goes', 'moves']) fake.comes(user);
    const client = clientWith(scope, {address: fake.address});
    const seen = follow(client, options);
    await saw(seen, 'snapshot');
    const before = seen.length;
    // Nobody is told.
    fake.agents.delete('goes');
    fake.agents.set('moves', present('moves', 2));
    fake.agents.set('comes', present('comes'));
    for (const stream of [...fake.follows, ...fake.watches]) stream.emit('error', {code: 14, details: 'broken'});
    await saw(seen, 'connected comes');
    await saw(seen, 'disconnected goes');
    await saw(seen, 'moved moves');
    assert.deepEqual(seen.slice(before).sort(), ['connected comes', 'disconnected goes', 'moved moves']);
  });
}

claim('at a control of the version before, watches and waiting calls stand on its WatchAgents', async (scope) => {
  const fake = await startKnowing(scope, {older: true});
  fake.comes('user_1');
  const client = clientWith(scope, {address: fake.address});
  const first = follow(client, {userIds: ['user_1', 'user_2']});
  await saw(first, 'snapshot');
  const waiting = Array.from({length: 500}, (_, n) =>
    client.callTool(`waits_${n}`, 'echo', {n}, {waitForAgentMs: 60_000, timeoutMs: 60_000}));
  await until('all are watched', () => [...fake.watches].some(({request}) => request.userIds.length === 502));
  const second = follow(client, {userIds: ['user_1', 'user_3']});
  await saw(second, 'snapshot');
  await until('one stream is left', () => fake.watches.size === 1);
  fake.comes('user_2');
  fake.goes('user_1');
  await saw(first, 'disconnected user_1');
  await saw(second, 'disconnected user_1');
  for (let n = 0; n < 500; ++n) fake.comes(`waits_${n}`);
  for (const [n, {result}] of (await Promise.all(waiting)).entries()) assert.deepEqual(result, {n});
  assert.deepEqual(first, ['connected user_1', 'snapshot', 'connected user_2', 'disconnected user_1']);
  assert.deepEqual(second, ['connected user_1', 'snapshot', 'disconnected user_1']);
  assert.ok(fake.asked.users < 20_000, `${fake.asked.users} users were asked for`);
  await client.close();
  await until('nothing is left', () => fake.watches.size === 0);
});

claim('a user whom the token may not follow fails its own watch alone, with what control says', async (scope) => {
  const fake = await startKnowing(scope, {follow: (add, stream) => {
    if (add.includes('secret')) return stream.emit('error', {code: 7, details: 'not yours'});
    stream.write({events: add.map(absent)});
  }});
  const client = clientWith(scope, {address: fake.address});
  const good = follow(client, {userIds: ['user_1']});
  await saw(good, 'snapshot');
  const bad = rejection(client.watchAgents({userIds: ['secret']}).next());
  const beside = follow(client, {userIds: ['user_2']});
  assert.equal((await bad).code, 'PERMISSION_DENIED');
  await saw(beside, 'snapshot');
  await until('the others are followed', () => [...fake.follows].some(({users}) => users.has('user_1')));
  for (const stream of fake.follows) stream.write({events: [present('user_1'), present('user_2')].filter(({agent}) => stream.users.has(agent.userId))});
  await saw(good, 'connected user_1');
  await saw(beside, 'connected user_2');
});

// A control that refuses these users, and each stream they are asked for on.
const refusing = (agents, code, ...users) => (add, stream) => {
  if (add.some((one) => users.includes(one))) return stream.emit('error', {code, details: `not ${users}`});
  stream.write({events: add.map((userId) => agents.get(userId) ?? absent(userId))});
};
for (const [code, name] of [[3, 'INVALID_ARGUMENT'], [7, 'PERMISSION_DENIED']]) {
  claim(`users that are asked for together with one that control refuses (${name}) go on: calls wait, watches report`, async (scope) => {
    let asked = 0;
    const fake = await startKnowing(scope, {follow: (add, stream) => {
      ++asked;
      // Before, so that it is not the token that is refused.
      if (code === 7) stream.write({events: []});
      refusing(fake.agents, code, 'bad 1', 'bad 2')(add, stream);
    }});
    fake.comes('there');
    const client = clientWith(scope, {address: fake.address});
    const before = follow(client, {userIds: ['there', 'watched']});
    await saw(before, 'snapshot');
    const users = Array.from({length: 40}, (_, n) => `user_${n}`);
    const calls = users.map((userId, n) => client.callTool(userId, 'echo', {n}, {waitForAgentMs: 300_000, timeoutMs: 300_000}));
    await until('all calls wait', () => fake.calls.length === 40);
    const bad = ['bad 1', 'bad 2'].map((userId) => rejection(client.watchAgents({userIds: [userId]}).next()));
    const beside = follow(client, {userIds: ['beside']});
    for (const error of await Promise.all(bad)) assert.equal(error.code, name);
    await saw(beside, 'snapshot');
    const isFollowed = (userId) => [...fake.follows].some((stream) => stream.users.has(userId));
    await until('all others are followed', () => [...users, 'watched', 'beside'].every(isFollowed));
    for (const userId of [...users, 'watched', 'beside']) fake.comes(userId);
    for (const [n, {result}] of (await Promise.all(calls)).entries()) assert.deepEqual(result, {n});
    await saw(before, 'connected watched');
    await saw(beside, 'connected beside');
    assert.deepEqual(before, ['connected there', 'snapshot', 'connected watched']);
    assert.ok(asked < 100, `${asked} times control was asked`);
    await until('those that were tried apart share one stream again', () => fake.follows.size === 1);
  });
}

claim('a user that was refused is asked for apart the next time: the stream of the others stays', async (scope) => {
  const fake = await startKnowing(scope, {follow: refusing(new Map(), 3, 'bad')});
  const client = clientWith(scope, {address: fake.address});
  assert.equal((await rejection(client.watchAgents({userIds: ['bad']}).next())).code, 'INVALID_ARGUMENT');
  const good = follow(client, {userIds: ['good']});
  await saw(good, 'snapshot');
  const [stream] = fake.follows;
  for (let n = 0; n < 5; ++n) await rejection(client.watchAgents({userIds: ['bad']}).next());
  assert.deepEqual([...fake.follows].filter(({users}) => users.has('good')), [stream]);
});

claim('who is followed with a refused user that nobody follows any more is not refused for it', async (scope) => {
  let refuse;
  const fake = await startKnowing(scope, {follow: (add, stream) => {
    if (!add.includes('bad')) return stream.write({events: add.map(absent)});
    refuse = () => stream.emit('error', {code: 3, details: 'bad'});
  }});
  const client = clientWith(scope, {address: fake.address});
  const bad = client.watchAgents({userIds: ['bad']});
  const ended = bad.next();
  const good = follow(client, {userIds: ['good']});
  await until('both are asked for', () => refuse);
  await bad.return();
  refuse();
  assert.equal((await ended).done, true);
  await saw(good, 'snapshot');
});

claim('a control that takes fewer users than a client has: all are followed, on several streams', async (scope) => {
  const fake = await startKnowing(scope, {follow: (add, stream) => {
    if (stream.users.size > 10) return stream.emit('error', {code: 3, details: 'more than 10 users'});
    stream.write({events: add.map(absent)});
  }});
  const client = clientWith(scope, {address: fake.address});
  const userIds = Array.from({length: 35}, (_, n) => `user_${n}`);
  const seen = userIds.map((userId) => follow(client, {userIds: [userId]}));
  for (const one of seen) await saw(one, 'snapshot');
  await until('all are', () => userIds.every((userId) => [...fake.follows].some(({users}) => users.has(userId))));
  const late = follow(client, {userIds: ['late']});
  await saw(late, 'snapshot');
  for (const one of seen) assert.deepEqual(one, ['snapshot']);
});

claim('a token that may not read: 500 calls that wait cost no stream each, and fail as their agents are absent', async (scope) => {
  const fake = await startKnowing(scope, {follow: (_add, stream) => stream.emit('error', {code: 7, details: 'no scope'})});
  const client = clientWith(scope, {address: fake.address});
  const calls = Array.from({length: 500}, (_, n) => rejection(client.callTool(`user_${n}`, 'echo', {}, {waitForAgentMs: 1000})));
  for (const error of await Promise.all(calls)) assert.equal(error.reason, 'AGENT_NOT_CONNECTED');
  assert.ok(fake.followsAsked < 50, `${fake.followsAsked} streams`);
});

claim('a user that is followed right after the last one of a stream was refused is told of, and those after it', async (scope) => {
  const fake = await startFake(scope, {follow: refusing(new Map(), 3, 'bad')});
  for (const later of [(then) => then(), queueMicrotask, process.nextTick, setImmediate, (then) => setTimeout(then, 1)]) {
    const channels = scope.own(new Channels({address: fake.address}));
    const followers = new Followers(channels, 10_000);
    const told = [];
    const stops = [];
    const begin = (userId) => stops.push(followers.follow(userId, {state: (id) => told.push(id), refused: () => told.push('refused')}));
    followers.follow('bad', {state() {}, refused: () => later(() => begin('in that turn'))});
    await until('it is told', () => told.includes('in that turn'));
    begin('later');
    await until('the next is as well', () => told.includes('later'));
    assert.deepEqual(told, ['in that turn', 'later']);
    for (const stop of stops) stop();
  }
  await until('nothing is left', () => fake.follows.size === 0);
});

claim('a stream that loses its last user as it is refused is replaced for one that is followed in the same turn', async (scope) => {
  const fake = await startFake(scope, {follow: refusing(new Map(), 7, 'bad')});
  for (const later of [(then) => then(), process.nextTick, setImmediate]) {
    const followers = new Followers(scope.own(new Channels({address: fake.address})), 10_000);
    const told = [];
    const stop = followers.follow('bad', {state() {}, refused() {
      stop();
      later(() => followers.follow('good', {state: (id) => told.push(id), refused: () => told.push('refused')}));
    }});
    await until('it is told', () => told.length > 0);
    assert.deepEqual(told, ['good']);
  }
});

claim('a token that may watch nobody: every watch ends with what control says', async (scope) => {
  const fake = await startFake(scope, {follow: (_add, stream) => stream.emit('error', {code: 7, details: 'no scope'}),
    watch: (stream) => stream.emit('error', {code: 7, details: 'no scope'})});
  const client = clientWith(scope, {address: fake.address});
  for (const options of [{userIds: ['user_1']}, {userIds: ['user_1', 'user_2']}, {}]) {
    assert.equal((await rejection(client.watchAgents(options).next())).code, 'PERMISSION_DENIED');
  }
  await until('no stream is left', () => fake.follows.size === 0);
});

claim('a loop that does not keep up learns the difference, and nothing piles up for it', async (scope) => {
  for (const options of [{userIds: ['busy', 'last']}, {}]) {
    const fake = await startKnowing(scope);
    fake.comes('busy');
    const client = clientWith(scope, {address: fake.address});
    const slow = client.watchAgents(options);
    assert.equal((await slow.next()).value.kind, 'connected');
    assert.equal((await slow.next()).value.kind, 'snapshot');
    for (let n = 2; n < 5000; ++n) fake.comes('busy', n);
    fake.goes('busy');
    fake.comes('last');
    const fast = follow(client, options);
    await saw(fast, 'connected last');
    const left = [];
    do left.push((await slow.next()).value);
    while (left.at(-1).agent.userId !== 'last');
    assert.ok(left.length < 1500, `${left.length} events`);
    const ofBusy = left.filter(({agent}) => agent.userId === 'busy');
    assert.equal(ofBusy.at(-1).kind, 'disconnected');
    await client.close();
  }
});

claim('more users than control takes on one stream are followed on several', async (scope) => {
  const fake = await startKnowing(scope);
  const client = clientWith(scope, {address: fake.address});
  const userIds = Array.from({length: 10_001}, (_, n) => `user_${n}`);
  const seen = follow(client, {userIds});
  await saw(seen, 'snapshot');
  assert.deepEqual([...fake.follows].map(({users}) => users.size).sort(), [1, 10_000]);
  fake.comes('user_10000');
  await saw(seen, 'connected user_10000');
});

claim('50 destroyed Readable.from(watch) of users leave no stream and no user', async (scope) => {
  const fake = await startKnowing(scope);
  const client = clientWith(scope, {address: fake.address});
  let snapshots = 0;
  const streams = Array.from({length: 50}, (_, n) =>
    Readable.from(client.watchAgents({userIds: [`user_${n}`]})).on('data', () => ++snapshots).on('error', () => {}));
  await until('all wait for the next event', () => snapshots === 50);
  assert.equal(fake.follows.size, 1);
  for (const [n, stream] of streams.entries()) stream.destroy(n % 2 === 0 ? undefined : new Error('enough'));
  await until('none does', () => fake.follows.size === 0);
  assert.equal(fake.followsBegun, 1);
});

claim('of two controls, one that does not answer is left for the other, and watches and waiting calls go on there', async (scope) => {
  const mute = await startFake(scope, {follow: () => {}, watch: () => {}});
  const fake = await startKnowing(scope);
  fake.comes('user_1');
  for (const address of [[mute.address, fake.address], [fake.address, mute.address]]) {
    const client = clientWith(scope, {address});
    assert.equal((await client.watchAgents({userIds: ['user_1']}).next()).value.kind, 'connected');
    assert.equal((await client.watchAgents().next()).value.kind, 'connected');
    await client.close();
  }
  assert.ok(mute.followsBegun + mute.watchesBegun > 0, 'it was asked');
});
