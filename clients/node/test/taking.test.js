// A stream takes calls when control has said hello on it, and as long as it does not stop.
import assert from 'node:assert/strict';
import {createRequire} from 'node:module';
import {HELLO, Delivery, Reason, startFake} from './fake_control.js';
import {WAYS, hangs, startProxy} from './fake_proxy.js';
import {claim, clientWith, rejection, until} from './lib.js';

const require = createRequire(import.meta.url);
const grpc = require('@grpc/grpc-js');
const compat = require('../dist/compat.js');
const {toolwire: {v1}} = require('../generated/proto.js');

const fields = ({reason, delivery}) => [reason, delivery];
const someCalls = (client, count = 20) => Array.from({length: count}, (_, n) => client.callTool('user_1', 'echo', {n}));
const allAnswered = async (calls) => {
  for (const [n, {result}] of (await Promise.all(calls)).entries()) assert.deepEqual(result, {n});
};

for (const [way, end] of Object.entries(WAYS)) {
  claim(`behind a proxy without a control (${way}) nothing is written: calls are NOT_SENT, wait, and reach the next control`, async (scope) => {
    const proxy = await startProxy(scope, end);
    const client = clientWith(scope, {address: proxy.address, controlWaitMs: 60_000});
    const calls = someCalls(client);
    await until('it has asked twice', () => proxy.requests.filter((one) => one.endsWith('/Dispatch')).length >= 2);
    assert.equal(proxy.bytes, 0);
    await proxy.stop();
    const fake = await startFake(scope, {port: proxy.port});
    await allAnswered(calls);
    assert.equal(fake.calls.length, 20);
  });

  claim(`behind a proxy without a control (${way}) a call ends after controlWaitMs, as NOT_SENT; compat says that it was not sent`, async (scope) => {
    const proxy = await startProxy(scope, end);
    const client = clientWith(scope, {address: proxy.address, controlWaitMs: 300});
    const began = performance.now();
    const error = await rejection(client.callTool('user_1', 'echo'));
    assert.deepEqual(fields(error), ['CONTROL_UNAVAILABLE', 'NOT_SENT'], error.stack);
    assert.ok(performance.now() - began >= 300, 'it has waited');
    compat.configure({address: proxy.address, controlWaitMs: 100});
    scope.own({close: compat.disconnect});
    assert.equal((await rejection(compat.sendToolCall('user_1', {tool: 'echo'}))).message, 'Agent not connected');
    await compat.disconnect();
  });
}

claim('calls are written after the hello, and none before', async (scope) => {
  const waiting = [];
  const fake = await startFake(scope, {hello: null, dispatch: (stream) => void waiting.push(stream)});
  const client = clientWith(scope, {address: fake.address});
  const calls = someCalls(client, 3);
  await until('its stream is there', () => waiting.length === 1);
  await client.getAgent('user_1');
  assert.equal(waiting[0].metadata.get('toolwire-hello')[0], '1');
  // It is asked whether it is an older one, and is none.
  await until('it is asked', () => fake.questions.length > 0);
  await client.getAgent('user_1');
  assert.equal(fake.messages.length, 0);
  waiting[0].write({hello: HELLO});
  await allAnswered(calls);
});

claim('a stream that no control takes is opened again, and what waits is written to the one that is taken', async (scope) => {
  const fake = await startFake(scope, {dispatch: (_stream, {streamsBegun}) => streamsBegun === 1});
  const client = clientWith(scope, {address: fake.address, controlWaitMs: 60_000});
  await allAnswered(someCalls(client, 3));
  assert.equal(fake.streamsBegun, 2);
});

claim('a control of the version before, which never says hello, is known by its answer on the stream itself', async (scope) => {
  const fake = await startFake(scope, {older: true});
  const client = clientWith(scope, {address: fake.address});
  await allAnswered(someCalls(client, 3));
  await allAnswered(someCalls(client, 3));
  assert.equal(fake.streamsBegun, 1);
  assert.deepEqual(fake.questions.map(({id, call}) => [Number(id), call.userId, call.tool]), [[0, '', 'toolwire-hello']]);
  assert.equal(fake.followsAsked, 0);
  assert.deepEqual(fake.messages.map(({clockMs}) => Number(clockMs)), fake.messages.map(() => 0));
});

claim('a control that says hello is asked nothing', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  await allAnswered(someCalls(client, 3));
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.deepEqual(fake.questions, []);
});

claim('an older control that starts again is asked at once, and a newer one in its place is known by its hello', async (scope) => {
  const first = await startFake(scope, {older: true});
  const client = clientWith(scope, {address: first.address, controlWaitMs: 60_000});
  await allAnswered(someCalls(client, 3));
  first.stop();
  const second = await startFake(scope, {port: first.port});
  await until('the client has noticed', () => second.streamsBegun > 0);
  await allAnswered(someCalls(client, 3));
  assert.ok(second.messages.every(({clockMs}) => Number(clockMs) > 0));
});

claim('a stand-in that answers FollowAgents with UNIMPLEMENTED and holds Dispatch is not taken for an older control: nothing is SENT', async (scope) => {
  const proxy = await startProxy(scope, (stream, {':path': path}) => {
    if (path.endsWith('/Dispatch')) return;
    stream.respond({':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12', 'grpc-message': 'unknown method'}, {endStream: true});
  });
  const client = clientWith(scope, {address: proxy.address, controlWaitMs: 2000});
  const errors = await Promise.all(someCalls(client, 3).map(rejection));
  for (const error of errors) assert.deepEqual(fields(error), ['CONTROL_UNAVAILABLE', 'NOT_SENT'], error.stack);
  assert.doesNotMatch(proxy.text, /user_1/);
});

claim('a proxy that keeps streams and requests without an answer is not taken for an older control', async (scope) => {
  const proxy = await startProxy(scope, hangs);
  const client = clientWith(scope, {address: proxy.address, controlWaitMs: 2000});
  const error = await rejection(client.callTool('user_1', 'echo'));
  assert.deepEqual(fields(error), ['CONTROL_UNAVAILABLE', 'NOT_SENT']);
  assert.match(error.message, /no control has taken the stream/);
  assert.doesNotMatch(proxy.text, /user_1/);
});

claim('a control that stops gets no new calls; those it has are awaited, and the others go to the next stream', async (scope) => {
  const held = [];
  const fake = await startFake(scope, {
    answer: (calls, stream) => {
      const kept = calls.filter(({call}) => call.tool === 'slow');
      for (const {id} of kept) held.push(() => stream.write({answers: [{id, response: {requestId: 'r', success: true, resultJson: Buffer.from('1')}}]}));
      return calls.filter((one) => !kept.includes(one)).map(({id, call}) => ({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}}));
    },
  });
  const client = clientWith(scope, {address: fake.address});
  const slow = client.callTool('user_1', 'slow');
  await until('control has it', () => held.length === 1);
  const [first] = fake.streams;
  first.write({draining: true});
  await until('another stream is there', () => fake.streams.size === 2);
  await allAnswered(someCalls(client));
  held[0]();
  assert.equal((await slow).result, 1);
  first.end();
  await allAnswered(someCalls(client));
  assert.equal(fake.streamsBegun, 2);
});

claim('a single control that stops: calls wait for the next one', async (scope) => {
  let stops = false;
  const fake = await startFake(scope, {dispatch: (stream) => stops && stream.write({hello: HELLO, draining: true})});
  const client = clientWith(scope, {address: fake.address, controlWaitMs: 60_000});
  await allAnswered(someCalls(client));
  stops = true;
  const [first] = fake.streams;
  first.write({draining: true});
  await until('the client has noticed, and asked again', () => fake.streamsBegun > 1);
  const calls = someCalls(client);
  await until('it asks on', () => fake.streamsBegun > 3);
  assert.equal(fake.calls.length, 20);
  fake.stop();
  await startFake(scope, {port: fake.port});
  await allAnswered(calls);
});

claim('a control that stops for good: after controlWaitMs "this control is stopping", NOT_SENT', async (scope) => {
  const fake = await startFake(scope, {hello: null, dispatch: (stream) => {
    stream.write({hello: HELLO, draining: true});
  }});
  const client = clientWith(scope, {address: fake.address, controlWaitMs: 500});
  const error = await rejection(client.callTool('user_1', 'echo'));
  assert.deepEqual(fields(error), ['CONTROL_UNAVAILABLE', 'NOT_SENT']);
  assert.match(error.message, /this control is stopping/);
  assert.deepEqual(fake.calls, []);
});

// The metadata of a status with this reason, NOT_SENT.
function metadataOf(reason) {
  const value = v1.CallError.encode({reason, delivery: Delivery.NOT_SENT}).finish();
  const metadata = new grpc.Metadata();
  metadata.set('grpc-status-details-bin',
    Buffer.from(v1.StatusDetails.encode({details: [{typeUrl: 'type.googleapis.com/toolwire.v1.CallError', value}]}).finish()));
  return metadata;
}

claim('a control that has as many streams of this caller as it may: calls wait for a place, and past controlWaitMs they are CALLER_BUSY', async (scope) => {
  let full = true;
  const fake = await startFake(scope, {dispatch: (stream) => {
    if (full) stream.emit('error', {code: 8, details: 'too many streams of calls are open', metadata: metadataOf(Reason.CALLER_BUSY)});
    return full;
  }});
  const impatient = clientWith(scope, {address: fake.address, controlWaitMs: 300});
  const error = await rejection(impatient.callTool('user_1', 'echo'));
  assert.deepEqual(fields(error), ['CALLER_BUSY', 'NOT_SENT'], error.stack);
  assert.match(error.message, /too many streams of calls are open/);
  const calls = someCalls(clientWith(scope, {address: fake.address, controlWaitMs: 60_000}));
  const begun = fake.streamsBegun;
  await until('it asks on', () => fake.streamsBegun > begun + 2);
  full = false;
  await allAnswered(calls);
  await fake.stop();
  await until('when it has gone, that is why', async () =>
    (await rejection(impatient.callTool('user_1', 'echo'))).reason === 'CONTROL_UNAVAILABLE');
});

claim('a control that stops and takes no new streams: calls wait for the next one, or for controlWaitMs', async (scope) => {
  let stops = true;
  const metadata = metadataOf(Reason.EDGE_UNAVAILABLE);
  const fake = await startFake(scope, {dispatch: (stream) => {
    if (stops) stream.emit('error', {code: 14, details: 'this control is stopping', metadata});
    return stops;
  }});
  const impatient = clientWith(scope, {address: fake.address, controlWaitMs: 500});
  const error = await rejection(impatient.callTool('user_1', 'echo'));
  assert.deepEqual(fields(error), ['CONTROL_UNAVAILABLE', 'NOT_SENT']);
  assert.match(error.message, /this control is stopping/);
  const calls = someCalls(clientWith(scope, {address: fake.address, controlWaitMs: 60_000}));
  const begun = fake.streamsBegun;
  await until('it asks on', () => fake.streamsBegun > begun + 2);
  stops = false;
  await allAnswered(calls);
});

claim('what a client says first on a stream is its clock, before any call', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  await client.callTool('user_1', 'echo');
  assert.ok(Number(fake.messages[0].clockMs) > 0);
  assert.deepEqual(fake.messages[0].calls, []);
});

claim('a control that stops between its hello and the first clock gets no call: those whose time is up are NOT_SENT, the others go to the next stream', async (scope) => {
  const fake = await startFake(scope);
  fake.readsClocks = false;
  const client = clientWith(scope, {address: fake.address, controlWaitMs: 60_000});
  const overdue = Array.from({length: 5}, () => rejection(client.callTool('user_1', 'echo', {}, {timeoutMs: 300})));
  const patient = someCalls(client);
  for (const error of await Promise.all(overdue)) assert.deepEqual(fields(error), ['CALL_TIMEOUT', 'NOT_SENT']);
  assert.deepEqual(fake.calls, []);
  assert.equal(fake.messages.length, 1, 'its clock');
  fake.readsClocks = true;
  await allAnswered(patient);
  assert.deepEqual([fake.streamsBegun, fake.calls.length], [2, 20]);
});

claim('a control that ends, drains or breaks the stream after its hello, before it has read the clock, gets no call', async (scope) => {
  const ways = [
    (stream) => stream.end(),
    (stream) => stream.write({draining: true}),
    (stream) => stream.emit('error', {code: 14, details: 'gone'}),
    (stream) => stream.emit('error', {code: 13, details: 'broken'}),
    // Not even with the answer to a question, which says that it is there.
    (stream) => stream.write({answers: [{id: 0, failure: {code: 3, message: 'user_id must not be empty'}}]}),
  ];
  for (const way of ways) {
    const fake = await startFake(scope, {answer: (calls, stream) => {
      if (calls.length === 0 && stream === first) way(stream);
      return calls.map(({id, call}) => ({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}}));
    }, dispatch: (stream) => void (first ??= stream)});
    let first;
    fake.readsClocks = false;
    const calls = someCalls(clientWith(scope, {address: fake.address, controlWaitMs: 60_000}));
    await until('it has the clock', () => fake.messages.length > 0);
    fake.readsClocks = true;
    await allAnswered(calls);
    assert.equal(fake.calls.length, 20);
    assert.ok(fake.streamsBegun >= 2);
  }
});

claim('why a call waits in vain: control has said hello, and no more', async (scope) => {
  const fake = await startFake(scope);
  fake.readsClocks = false;
  const error = await rejection(clientWith(scope, {address: fake.address, controlWaitMs: 300}).callTool('user_1', 'echo'));
  assert.deepEqual(fields(error), ['CONTROL_UNAVAILABLE', 'NOT_SENT']);
  assert.match(error.message, /connected, but control has said nothing since its hello/);
});

claim('a control of the version before, which says hello and nothing of clocks, gets calls right after its hello', async (scope) => {
  const fake = await startFake(scope, {hello: {...HELLO, saysClockRead: false}});
  await allAnswered(someCalls(clientWith(scope, {address: fake.address})));
  assert.equal(fake.streamsBegun, 1);
});

claim('calls that a stopping control answers NOT_SENT go to the next one', async (scope) => {
  const stopped = (reason) => ({code: 14, message: 'this control is stopping', detail: {reason, delivery: Delivery.NOT_SENT}});
  let answered = 0;
  const fake = await startFake(scope, {answer: (calls, stream, _cancels) => {
    if (answered >= 20) return calls.map(({id, call}) => ({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}}));
    answered += calls.length;
    stream.write({draining: true});
    return calls.map(({id}, n) => ({id, failure: stopped([0, 2, 12][n % 3])}));
  }});
  const client = clientWith(scope, {address: fake.address, controlWaitMs: 60_000});
  await allAnswered(someCalls(client));
  assert.equal(fake.calls.length, 40);
});

claim('each message carries the clock of its sender, which only goes on', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  for (let n = 0; n < 5; ++n) await client.callTool('user_1', 'echo');
  const clocks = fake.messages.map(({clockMs}) => Number(clockMs));
  assert.equal(clocks.length, 6, 'and one before the first call');
  assert.ok(clocks.every((one) => Number.isInteger(one) && one > 0 && one <= performance.now() + 1), clocks.join());
  assert.deepEqual(clocks, clocks.toSorted((a, b) => a - b));
});

claim('a call over what control said that it reads fails alone, before it is written', async (scope) => {
  for (const limits of [{paramsBytesMax: 10_000}, {messageBytesMax: 12_000}]) {
    const fake = await startFake(scope, {hello: {...HELLO, ...limits}});
    const client = clientWith(scope, {address: fake.address});
    const sent = async (bytes) => client.callTool('user_1', 'echo', JSON.stringify({x: 'x'.repeat(bytes)}));
    const [before, tooLarge, after] = [sent(9_000), rejection(sent(12_001)), sent(9_000)];
    const error = await tooLarge;
    assert.deepEqual([error.reason, error.delivery, error.field], ['INVALID_REQUEST', 'NOT_SENT', 'params_json']);
    await Promise.all([before, after]);
    assert.equal(fake.calls.length, 2);
    assert.equal(fake.streamsBegun, 1);
  }
});

claim('no more calls are on a stream than its control said that it takes', async (scope) => {
  let most = 0;
  const waiting = [];
  const fake = await startFake(scope, {hello: {...HELLO, callsMax: 4}, answer: (calls, stream) => {
    for (const {id, call} of calls) waiting.push({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}});
    most = Math.max(most, waiting.length);
    setImmediate(() => stream.write({answers: waiting.splice(0, 1)}));
    for (let n = 1; n < calls.length; ++n) setImmediate(() => stream.write({answers: waiting.splice(0, 1)}));
  }});
  await allAnswered(someCalls(clientWith(scope, {address: fake.address}), 50));
  assert.equal(most, 4);
});
