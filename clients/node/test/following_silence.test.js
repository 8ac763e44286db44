// Streams that follow agents at controls that say nothing any more, though no call is in flight.
import assert from 'node:assert/strict';
import {startBalancer} from './fake_balancer.js';
import {Delivery, HELLO, Kind, Reason, present, startFake} from './fake_control.js';
import {claim, clientWith, until} from './lib.js';

const SOON = {...HELLO, silenceMs: 400};
const notConnected = ({id}) => ({id, failure: {code: 14, message: 'no agent', detail: {reason: Reason.AGENT_NOT_CONNECTED, delivery: Delivery.NOT_SENT}}});
const answerOf = ({id, call}) => ({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}});
const WAITS = {waitForAgentMs: 300_000, timeoutMs: 300_000};

// Controls that know who is connected. `comes(userId)` tells it to those that follow.
async function startControls(scope, count, {hello = SOON, ...options} = {}) {
  const agents = new Map();
  const fakes = [];
  for (let n = 0; n < count; ++n) {
    fakes.push(await startFake(scope, {
      followHello: hello, ...options,
      follow: (add, stream) => stream.write({events: add.map((userId) => agents.get(userId) ?? {kind: Kind.DISCONNECTED, agent: {userId}})}),
      watch: (stream) => stream.write({events: [...agents.values(), {kind: Kind.SNAPSHOT_COMPLETE}]}),
      answer: (calls) => calls.map((one) => (agents.has(one.call.userId) ? answerOf(one) : notConnected(one))),
    }));
  }
  const comes = (userId) => {
    agents.set(userId, present(userId));
    for (const {follows, stopped} of fakes) {
      if (stopped) continue;
      for (const stream of follows) if (stream.users.has(userId)) stream.write({events: [present(userId)]});
    }
  };
  return {fakes, comes};
}
const following = (fakes) => fakes.find(({follows}) => follows.size > 0);
async function untilFollowed(fakes, userId) {
  await until('it is followed', () => fakes.some(({follows}) => [...follows].some(({users}) => users.has(userId))));
  return following(fakes);
}

claim('calls that wait leave a control that is stopped, though no call is in flight, for another address', async (scope) => {
  const {fakes, comes} = await startControls(scope, 2);
  const client = clientWith(scope, {address: fakes.map(({address}) => address), silenceCloseMs: 300_000});
  const waiting = Array.from({length: 20}, (_, n) => client.callTool(`user_${n}`, 'echo', {n}, WAITS));
  const first = await untilFollowed(fakes, 'user_19');
  const second = fakes.find((one) => one !== first);
  first.stopped = true;
  await until('they are followed at the other', () => [...second.follows].some(({users}) => users.size === 20));
  for (let n = 0; n < 20; ++n) comes(`user_${n}`);
  for (const [n, {result}] of (await Promise.all(waiting)).entries()) assert.deepEqual(result, {n});
});

claim('behind one address they leave it for another connection; a watch reports nothing twice', async (scope) => {
  const {fakes, comes} = await startControls(scope, 2);
  const balancer = await startBalancer(scope, fakes.map(({port}) => port));
  const client = clientWith(scope, {address: balancer.address, silenceCloseMs: 300_000});
  comes('there');
  const seen = [];
  const watch = client.watchAgents({userIds: ['there', 'comes']});
  const reports = (async () => {
    for await (const {kind, agent} of watch) seen.push(agent ? `${kind} ${agent.userId}` : kind);
  })();
  await until('the snapshot is there', () => seen.includes('snapshot'));
  const waiting = client.callTool('user_1', 'echo', {n: 1}, WAITS);
  const first = await untilFollowed(fakes, 'user_1');
  first.stopped = true;
  const second = fakes.find((one) => one !== first);
  await until('they are followed at the other', () => [...second.follows].some(({users}) => users.size === 3));
  comes('user_1');
  comes('comes');
  assert.equal((await waiting).result.n, 1);
  await until('it is reported', () => seen.includes('connected comes'));
  await watch.return();
  await reports;
  assert.deepEqual(seen, ['connected there', 'snapshot', 'connected comes']);
});

claim('the next call goes over the other connection too, though nothing was due on the first', async (scope) => {
  const {fakes, comes} = await startControls(scope, 2);
  const balancer = await startBalancer(scope, fakes.map(({port}) => port));
  const client = clientWith(scope, {address: balancer.address, silenceCloseMs: 300_000});
  comes('there');
  await client.callTool('there', 'echo', {n: 0});
  const waiting = client.callTool('user_1', 'echo', {n: 1}, WAITS);
  const first = await untilFollowed(fakes, 'user_1');
  const second = fakes.find((one) => one !== first);
  first.stopped = true;
  await until('they are followed at the other', () => second.follows.size === 1);
  for (let n = 0; n < 20; ++n) assert.equal((await client.callTool('there', 'echo', {n})).result.n, n);
  comes('user_1');
  assert.equal((await waiting).result.n, 1);
});

claim('a control that goes on is followed again, when there is no other', async (scope) => {
  const {fakes: [fake], comes} = await startControls(scope, 1);
  const balancer = await startBalancer(scope, [fake.port]);
  const client = clientWith(scope, {address: balancer.address, silenceCloseMs: 300, controlWaitMs: 300_000});
  const waiting = client.callTool('user_1', 'echo', {n: 1}, WAITS);
  await untilFollowed([fake], 'user_1');
  balancer.stop(fake.port);
  await until('others are asked', () => balancer.connections > 2);
  balancer.goOn(fake.port);
  await until('one stream follows', () => fake.follows.size === 1 && [...fake.follows][0].users.has('user_1'));
  comes('user_1');
  assert.equal((await waiting).result.n, 1);
});

claim('signs of life are enough, and so is none of a control that promised none', async (scope) => {
  for (const hello of [SOON, undefined]) {
    const {fakes: [fake], comes} = await startControls(scope, 1, {hello});
    const client = clientWith(scope, {address: fake.address, silenceCloseMs: 1});
    const waiting = client.callTool('user_1', 'echo', {n: 1}, WAITS);
    await untilFollowed([fake], 'user_1');
    await new Promise((resolve) => setTimeout(resolve, 1500));
    comes('user_1');
    assert.equal((await waiting).result.n, 1);
    assert.equal(fake.followsAsked, 1);
  }
});

claim('a process that was not there to read does not take that for silence of what it follows', async (scope) => {
  const {fakes: [fake], comes} = await startControls(scope, 1, {hello: {...HELLO, silenceMs: 1500}});
  const client = clientWith(scope, {address: fake.address, silenceCloseMs: 1});
  const waiting = client.callTool('user_1', 'echo', {n: 1}, WAITS);
  await untilFollowed([fake], 'user_1');
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (const end = performance.now() + 4000; performance.now() < end; );
  await new Promise((resolve) => setTimeout(resolve, 500));
  comes('user_1');
  assert.equal((await waiting).result.n, 1);
  assert.equal(fake.followsAsked, 1);
});

claim('a stream that a proxy takes and no control does is left for another connection, also behind one address', async (scope) => {
  const fake = await startFake(scope, {followHello: HELLO});
  fake.stopped = true;
  const client = clientWith(scope, {address: fake.address});
  const watch = client.watchAgents({userIds: ['user_1']});
  const first = watch.next();
  await until('it is asked', () => fake.followsAsked === 1);
  fake.stopped = false;
  assert.equal((await first).value.kind, 'snapshot');
  assert.equal(fake.followsAsked, 2);
  await watch.return();
});
