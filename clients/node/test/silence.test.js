// Controls that say nothing any more, and how calls are spread over those that do.
import assert from 'node:assert/strict';
import {startBalancer} from './fake_balancer.js';
import {HELLO, startFake} from './fake_control.js';
import {claim, clientWith, rejection, until} from './lib.js';

const fields = ({reason, delivery}) => [reason, delivery];
const answerOf = ({id, call}) => ({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}});
const SOON = {...HELLO, silenceMs: 300};
const bothTaken = (client, fakes) => until('both controls have a stream', async () => {
  await client.callTool('user_1', 'echo');
  return fakes.every(({calls}) => calls.length > 0);
});

const startStoppable = (scope) => startFake(scope, {hello: SOON});
// Controls behind one address.
async function startBehind(scope, count) {
  const fakes = [];
  for (let n = 0; n < count; ++n) fakes.push(await startFake(scope, {hello: SOON}));
  return {fakes, balancer: await startBalancer(scope, fakes.map(({port}) => port))};
}

claim('a control that says nothing while it has calls gets no new ones; those it has fail as SENT when it stays so', async (scope) => {
  const [first, second] = [await startStoppable(scope), await startStoppable(scope)];
  const client = clientWith(scope, {address: [first.address, second.address], silenceCloseMs: 1500});
  await bothTaken(client, [first, second]);
  first.stopped = true;
  const lost = [];
  await until('it has calls', () => {
    for (let n = 0; n < 10; ++n) lost.push(client.callTool('user_1', 'echo', {n: lost.length}).catch((error) => error));
    return first.calls.length > 3;
  });
  const streams = first.streamsBegun;
  let had;
  await until('it is passed over', async () => {
    had = first.calls.length;
    for (let n = 0; n < 10; ++n) lost.push(client.callTool('user_1', 'echo').catch((error) => error));
    await new Promise((resolve) => setTimeout(resolve, 50));
    return first.calls.length === had;
  });
  for (let n = 0; n < 100; ++n) assert.equal((await client.callTool('user_1', 'echo', {n})).result.n, n);
  assert.equal(first.calls.length, had);
  const outcomes = await Promise.all(lost);
  const failed = outcomes.filter((one) => one instanceof Error);
  assert.ok(failed.length >= 3);
  for (const one of failed) assert.deepEqual(fields(one), ['CONNECTION_LOST', 'SENT'], one.stack);
  assert.match(failed[0].message, /control said nothing for \d+ ms/);
  await until('another stream is tried', () => first.streamsBegun > streams);
});

claim('a control that goes on within silenceCloseMs answers its calls, and gets new ones', async (scope) => {
  const {fakes: [fake], balancer} = await startBehind(scope, 1);
  const client = clientWith(scope, {address: balancer.address, controlWaitMs: 60_000, silenceCloseMs: 60_000});
  await client.callTool('user_1', 'echo');
  balancer.stop(fake.port);
  const held = client.callTool('user_1', 'echo', {n: 1});
  await until('another connection is asked', () => balancer.connections > 1);
  const waiting = client.callTool('user_1', 'echo', {n: 2});
  balancer.goOn(fake.port);
  assert.equal((await held).result.n, 1);
  assert.equal((await waiting).result.n, 2);
  await until('one stream is left', () => fake.streams.size === 1);
  assert.equal((await client.callTool('user_1', 'echo', {n: 3})).result.n, 3);
});

claim('behind one address a silent control is left at once: new calls go over another connection, and none fails', async (scope) => {
  const {fakes: [first, second], balancer} = await startBehind(scope, 2);
  const client = clientWith(scope, {address: balancer.address, controlWaitMs: 2000, silenceCloseMs: 60_000});
  await client.callTool('user_1', 'echo');
  balancer.stop(first.port);
  const held = client.callTool('user_1', 'echo', {n: 0});
  await until('another control has a stream', () => second.streamsBegun === 1);
  for (let n = 0; n < 100; ++n) assert.equal((await client.callTool('user_1', 'echo', {n})).result.n, n);
  assert.equal(second.calls.length, 100);
  balancer.goOn(first.port);
  assert.equal((await held).result.n, 0);
  await until('the first stream is given up, as the other one has taken calls', () => first.streams.size === 0);
  assert.equal((await client.callTool('user_1', 'echo', {n: 1})).result.n, 1);
  assert.equal(first.calls.length, 2);
});

claim('behind one address a control that stays silent: the calls that it has end as SENT, all others are answered', async (scope) => {
  const {fakes: [first, second], balancer} = await startBehind(scope, 2);
  const client = clientWith(scope, {address: balancer.address, silenceCloseMs: 700});
  await client.callTool('user_1', 'echo');
  balancer.stop(first.port);
  const error = await rejection(client.callTool('user_1', 'echo'));
  assert.deepEqual(fields(error), ['CONNECTION_LOST', 'SENT']);
  assert.match(error.message, /control said nothing for \d+ ms/);
  assert.equal((await client.callTool('user_1', 'echo', {n: 1})).result.n, 1);
  assert.equal(second.streamsBegun, 1);
});

claim('a control that takes streams and then says nothing, for ever: few streams are opened', async (scope) => {
  const fake = await startFake(scope, {hello: {...HELLO, silenceMs: 50}, answer: () => []});
  const client = clientWith(scope, {address: fake.address, controlWaitMs: 60_000, silenceCloseMs: 60_000});
  const calls = Array.from({length: 10}, async (_, n) => {
    await new Promise((resolve) => setTimeout(resolve, 300 * n));
    return rejection(client.callTool('user_1', 'echo'));
  });
  await until('streams were opened for those that are silent', () => fake.streamsBegun === 5);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.equal(fake.streamsBegun, 5);
  await client.close({drainMs: 0});
  await Promise.all(calls);
});

claim('a call that is aborted while a message before it has not left is never written: NOT_SENT', async (scope) => {
  const fake = await startFake(scope);
  const balancer = await startBalancer(scope, [fake.port]);
  const client = clientWith(scope, {address: balancer.address});
  await client.callTool('user_1', 'echo');
  balancer.stop(fake.port);
  const large = client.callTool('user_1', 'echo', {text: 'x'.repeat(1 << 20)});
  const turns = async () => {
    for (let n = 0; n < 10; ++n) await new Promise(setImmediate);
  };
  await turns();
  const controller = new AbortController();
  const aborted = rejection(client.callTool('user_1', 'aborted', {}, {signal: controller.signal}));
  const kept = client.callTool('user_1', 'kept');
  await turns();
  controller.abort();
  assert.deepEqual(fields(await aborted), ['CALLER_CANCELLED', 'NOT_SENT']);
  balancer.goOn(fake.port);
  assert.equal((await large).success, true);
  assert.equal((await kept).success, true);
  assert.deepEqual(fake.calls.map(({call}) => call.tool), ['echo', 'echo', 'kept']);
});

claim('a single control that says nothing: new calls end after controlWaitMs, as NOT_SENT, and are never written', async (scope) => {
  const fake = await startStoppable(scope);
  const client = clientWith(scope, {address: fake.address, controlWaitMs: 300});
  await client.callTool('user_1', 'echo');
  fake.stopped = true;
  const held = rejection(client.callTool('user_1', 'echo', {}, {timeoutMs: 60_000}));
  await until('it is silent', async () => {
    const error = await client.callTool('user_1', 'probe', {}, {timeoutMs: 1000}).catch((one) => one);
    return error.reason === 'CONTROL_UNAVAILABLE' && /says nothing/.test(error.message);
  });
  const before = fake.calls.length;
  assert.deepEqual(fields(await rejection(client.callTool('user_1', 'late'))), ['CONTROL_UNAVAILABLE', 'NOT_SENT']);
  assert.equal(fake.calls.length, before);
  await client.close({drainMs: 0});
  assert.deepEqual(fields(await held), ['CLIENT_CLOSED', 'SENT']);
});

claim('signs of life are enough: a control with a slow tool is not silent', async (scope) => {
  const fake = await startFake(scope, {hello: SOON, answer: (calls, stream) => {
    let left = 15;
    const life = setInterval(() => {
      if (--left > 0) return stream.write({});
      clearInterval(life);
      stream.write({answers: calls.map(answerOf)});
    }, 75);
    return [];
  }});
  const client = clientWith(scope, {address: fake.address, silenceCloseMs: 1});
  assert.equal((await client.callTool('user_1', 'slow', {n: 1})).result.n, 1);
});

claim('a process that was not there to read does not take that for silence', async (scope) => {
  const fake = await startFake(scope, {hello: {...HELLO, silenceMs: 1000}, answer: (calls, stream) => {
    setImmediate(() => {
      for (const end = performance.now() + 3000; performance.now() < end; );
      stream.write({answers: calls.map(answerOf)});
    });
    return [];
  }});
  const client = clientWith(scope, {address: fake.address, silenceCloseMs: 1});
  assert.equal((await client.callTool('user_1', 'echo', {n: 1})).result.n, 1);
});

claim('a control that has no calls may say nothing for as long as it likes, and so may an older one', async (scope) => {
  for (const options of [{hello: {...HELLO, silenceMs: 20}}, {older: true}, {hello: {...HELLO, silenceMs: 0}}]) {
    const fake = await startFake(scope, {...options, answer: (calls, stream) => {
      if (options.hello?.silenceMs === 20) return calls.map(answerOf);
      setTimeout(() => stream.write({answers: calls.map(answerOf)}), 400);
      return [];
    }});
    const client = clientWith(scope, {address: fake.address, silenceCloseMs: 1});
    await client.callTool('user_1', 'echo');
    await new Promise((resolve) => setTimeout(resolve, 300));
    await client.callTool('user_1', 'echo');
    assert.equal(fake.streamsBegun, 1);
  }
});

claim('calls go where least is outstanding', async (scope) => {
  const held = [];
  const first = await startFake(scope, {answer: (calls, stream) => {
    const slow = calls.filter(({call}) => call.tool === 'slow');
    for (const one of slow) held.push(() => stream.write({answers: [answerOf(one)]}));
    return calls.filter((one) => !slow.includes(one)).map(answerOf);
  }});
  const second = await startFake(scope);
  const client = clientWith(scope, {address: [first.address, second.address]});
  await bothTaken(client, [first, second]);
  const slow = Array.from({length: 20}, () => client.callTool('user_1', 'slow'));
  await until('the first has its half', () => held.length === 10);
  const before = first.calls.length;
  for (let n = 0; n < 100; ++n) await client.callTool('user_1', 'echo');
  assert.equal(first.calls.length, before);
  for (const answer of held) answer();
  await Promise.all(slow);
});

claim('many calls of one turn are spread so that all controls have the same outstanding', async (scope) => {
  const fakes = [];
  for (let n = 0; n < 3; ++n) fakes.push(await startFake(scope, {answer: (calls) => calls.filter(({call}) => call.tool === 'warm').map(answerOf)}));
  const client = clientWith(scope, {address: fakes.map(({address}) => address)});
  await until('all have a stream', async () => {
    await client.callTool('user_1', 'warm');
    return fakes.every(({calls}) => calls.length > 0);
  });
  const held = ({calls}) => calls.filter(({call}) => call.tool === 'slow').length;
  const calls = Array.from({length: 300}, () => rejection(client.callTool('user_1', 'slow')));
  await until('all are written', () => fakes.reduce((sum, one) => sum + held(one), 0) === 300);
  assert.deepEqual(fakes.map(held), [100, 100, 100]);
  await client.close({drainMs: 0});
  await Promise.all(calls);
});
