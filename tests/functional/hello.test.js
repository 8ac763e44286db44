// What callers' streams know of control: its first word, signs of life, that it stops; and calls that come too late.
import assert from 'node:assert/strict';
import {code, healthWatch, resultOf} from './lib/caller.js';
import {FLAG, FRAME, RawCaller, frame, message, requestHeaders} from './lib/raw_http2.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

const silent = {answer: () => undefined};

claimInBoth('control says hello before anything is written, and says nothing of it to who does not ask', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'stream-calls-max': 77, 'payload-bytes-max': 1 << 20}});
  await tw.agent('user_1');
  const stream = tw.caller().dispatch({hello: true});
  const hello = await until('the hello comes', () => stream.hello);
  assert.ok(stream.begun, 'with the initial metadata');
  assert.match(hello.version, /^\d+\.\d+/);
  assert.match(hello.startId, /^[0-9a-f]{32}$/);
  assert.deepEqual(
    [hello.callsMax, hello.messageBytesMax, hello.paramsBytesMax, hello.silenceMs], [77, String(3 << 20), String(1 << 20), 2000]);
  const other = tw.caller().dispatch();
  assert.equal((await other.call('user_1', 'echo')).code, 0);
  assert.equal(other.hello, undefined);
  assert.equal(other.messages, 1);
  const again = tw.caller().dispatch({hello: true});
  assert.equal((await until('the hello comes', () => again.hello)).startId, hello.startId, 'of the same start');
});

claim('a stream with a call in flight has signs of life, one without has none', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'stream-life-interval': 50}});
  const agent = await tw.agent('user_1', silent);
  const caller = tw.caller();
  const [idle, old, stream] = [caller.dispatch({hello: true}), caller.dispatch(), caller.dispatch({hello: true})];
  assert.equal((await until('the hello comes', () => stream.hello)).silenceMs, 200);
  await until('the hello comes', () => idle.hello);
  const calls = [stream.call('user_1', 'slow'), old.call('user_1', 'slow')];
  await agent.called(2);
  await until('signs of life', () => stream.signs >= 3);
  for (const {requestId} of agent.calls) agent.respond(requestId, {success: true});
  for (const call of calls) assert.equal((await call).code, 0);
  assert.deepEqual([idle.signs, old.signs, old.messages], [0, 0, 1]);
  assert.ok((await tw.metric('toolwire_control_life_signs_total')) >= 3);
});

claimInBoth('at SIGTERM control says draining, answers what is in flight, takes nothing more and ends the stream with OK', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  const caller = tw.caller();
  const [stream, idle, old] = [caller.dispatch({hello: true}), caller.dispatch({hello: true}), caller.dispatch()];
  await until('the hello comes', () => stream.hello && idle.hello);
  const running = stream.call('user_1', 'slow', {}, {requestId: 'running'});
  await agent.called();
  tw.control.signal('SIGTERM');
  await until('it says so', () => stream.draining && idle.draining);
  assert.equal((await idle.ended()).code, 0);
  const late = [stream.call('user_1', 'late'), old.call('user_1', 'late'), caller.call('user_1', 'late')];
  for (const outcome of await Promise.all(late)) {
    assert.deepEqual(
      [outcome.code, outcome.reason, outcome.delivery, outcome.message],
      [code.UNAVAILABLE, 'EDGE_UNAVAILABLE', 'NOT_SENT', 'this control is stopping']);
  }
  const refused = await caller.dispatch({hello: true}).ended();
  assert.deepEqual([refused.code, refused.details], [code.UNAVAILABLE, 'this control is stopping']);
  agent.respond('running', {success: true, result: 'in time'});
  assert.equal(resultOf(await running), 'in time');
  assert.equal((await stream.ended()).code, 0);
  await tw.stop();
  assert.ok(!agent.calls.some(({tool}) => tool === 'late'));
});

claim('a control that was stopped runs no call of callers who have gone, nor one whose time is up', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agent = await tw.agent('user_1');
  const [goes, unary, stays] = [tw.caller(), tw.caller(), tw.caller()];
  const streams = [goes.dispatch(), goes.dispatch({hello: true})];
  for (const stream of streams) assert.equal((await stream.call('user_1', 'echo')).code, 0);
  assert.equal((await unary.call('user_1', 'echo')).code, 0);
  const patient = stays.dispatch({hello: true});
  await until('the hello comes', () => patient.hello);
  const clockMs = () => Math.round(performance.now()) + 1;
  patient.send({clockMs: clockMs()});
  await until('control has read its clock', () => patient.clockRead);

  tw.control.pause();
  for (const stream of streams) stream.send({calls: [1, 2, 3, 4, 5].map((id) => ({id, userId: 'user_1', tool: 'gone', timeoutMs: 60_000}))});
  patient.send({calls: [{id: 1, userId: 'user_1', tool: 'overdue', timeoutMs: 1000}], clockMs: clockMs()});
  const given = [1, 2, 3].map(() => unary.call('user_1', 'gone', {}, {grpcDeadlineMs: 500}));
  for (const outcome of await Promise.all(given)) assert.equal(outcome.code, code.DEADLINE_EXCEEDED);
  for (const stream of streams) stream.break();
  // Its deadline tells that time has passed, and that what the others gave up is on its way.
  assert.equal((await unary.call('user_1', 'echo', {}, {grpcDeadlineMs: 1500})).code, code.DEADLINE_EXCEEDED);
  tw.control.resume();

  const overdue = await patient.answer(1);
  assert.deepEqual([overdue.reason, overdue.delivery], ['CALL_TIMEOUT', 'NOT_SENT'], overdue.message);
  await until('the others are gone', async () =>
    (await tw.metric('toolwire_control_call_streams')) === 1 && (await tw.metric('toolwire_control_unary_calls')) === 0);
  await tw.idle();
  assert.equal((await patient.call('user_1', 'echo')).code, 0);
  assert.deepEqual([...new Set(agent.calls.map(({tool}) => tool))], ['echo']);
  assert.equal((await tw.metric('toolwire_control_messages_held_total')) >= 1, true);
});

claim('a control that was stopped for a quarter of a second runs no call of callers who have gone, nor one that a later message cancels', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agent = await tw.agent('user_1');
  const [goes, unary, stays] = [tw.caller(), tw.caller(), tw.caller()];
  const gone = goes.dispatch({hello: true});
  const patient = stays.dispatch({hello: true});
  for (const stream of [gone, patient]) assert.equal((await stream.call('user_1', 'echo')).code, 0);
  assert.equal((await unary.call('user_1', 'echo')).code, 0);

  tw.control.pause();
  const calls = (tool) => [1, 2, 3].map((id) => ({id, userId: 'user_1', tool, timeoutMs: 60_000}));
  gone.send({calls: calls('gone')});
  patient.send({calls: calls('cancelled')});
  patient.cancel(1, 2);
  assert.equal((await unary.call('user_1', 'gone', {}, {grpcDeadlineMs: 50})).code, code.DEADLINE_EXCEEDED);
  gone.break();
  // Its deadline tells that time has passed, and that what the others gave up is on its way.
  assert.equal((await unary.call('user_1', 'gone', {}, {grpcDeadlineMs: 200})).code, code.DEADLINE_EXCEEDED);
  tw.control.resume();

  for (const id of [1, 2]) {
    const cancelled = await patient.answer(id);
    assert.deepEqual([cancelled.reason, cancelled.delivery], ['CALLER_CANCELLED', 'NOT_SENT'], cancelled.message);
  }
  assert.equal((await patient.answer(3)).code, 0);
  await until('the others are gone', async () =>
    (await tw.metric('toolwire_control_call_streams')) === 1 && (await tw.metric('toolwire_control_unary_calls')) === 0);
  await tw.idle();
  assert.equal((await patient.call('user_1', 'echo')).code, 0);
  assert.deepEqual(agent.calls.map(({tool}) => tool).filter((tool) => tool !== 'echo'), ['cancelled']);
});

claim('control pings no caller that sends messages', async (scope) => {
  const tw = await scope.toolwire();
  const raw = scope.own(new RawCaller(tw.ports.callers));
  await raw.greet();
  await raw.write(frame(FRAME.headers, FLAG.endHeaders, 1, requestHeaders('Dispatch')));
  const clock = message(Buffer.from([0x18, 1]));
  const emptyCall = message(Buffer.from([0x0a, 4, 8, 1, 0x12, 0]));  // With the id 1.
  for (let i = 0; i < 20; ++i) {
    const answers = raw.frames.filter(({type}) => type === FRAME.data).length;
    await raw.write(frame(FRAME.data, 0, 1, clock), frame(FRAME.data, 0, 1, emptyCall));
    await until('the call is refused', () => raw.frames.filter(({type}) => type === FRAME.data).length > answers);
  }
  assert.deepEqual(raw.frames.filter(({type, flags}) => type === FRAME.ping && !(flags & FLAG.ack)), []);
});

claim('a unary call with 50 ms has the detail of its failure before the deadline of its own gRPC', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  await tw.agent('user_1', silent);
  const caller = tw.caller();
  await caller.call('user_1', 'slow', {}, {timeoutMs: 1});  // The connection is there.
  const shortest = await until('one is answered in time', async () => {
    const outcome = await caller.call('user_1', 'slow', {}, {grpcDeadlineMs: 50});
    return outcome.delivery && outcome;
  });
  assert.deepEqual([shortest.code, shortest.reason], [code.DEADLINE_EXCEEDED, 'CALL_TIMEOUT']);
});

claim('an edge that is stopped costs a unary call no word on its delivery', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agent = await tw.agent('user_1', silent);
  const caller = tw.caller();
  const first = caller.call('user_1', 'slow', {}, {timeoutMs: 500});
  await agent.called();
  await first;
  tw.edge.pause();
  const outcome = await until('one is answered in time', async () => {
    const one = await caller.call('user_1', 'slow', {}, {grpcDeadlineMs: 300});
    return one.delivery && one;
  });
  tw.edge.resume();
  assert.deepEqual([outcome.code, outcome.reason, outcome.delivery], [code.DEADLINE_EXCEEDED, 'CALL_TIMEOUT', 'SENT']);
});

claim('a grpc-timeout of 11,000 years is as none', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  const raw = scope.own(new RawCaller(tw.ports.callers));
  await raw.greet();
  const request = Buffer.concat(['user_1', 'echo'].map((text, i) => Buffer.concat([Buffer.from([(i + 1) << 3 | 2, text.length]), Buffer.from(text)])));
  await raw.write(
    frame(FRAME.headers, FLAG.endHeaders, 1, requestHeaders('CallTool', {'grpc-timeout': '99999999H'})),
    frame(FRAME.data, FLAG.endStream, 1, message(request)));
  await agent.called();
  await until('it is answered', async () => (await tw.metric('toolwire_control_calls_answered_total')) === 1);
  assert.equal(await tw.metric('toolwire_control_calls_failed_total'), 0);
});

claim('a request with text that is not UTF-8 is INVALID_ARGUMENT and says why, for every unary method', async (scope) => {
  const tw = await scope.toolwire();
  const caller = tw.caller();
  const bad = Buffer.from([0x0a, 2, 0xc3, 0x28]);
  for (const method of ['GetAgent', 'CallTool']) {
    const error = await new Promise((done) => caller.client.makeUnaryRequest(
      `/toolwire.v1.ToolDispatch/${method}`, () => bad, (bytes) => bytes, {}, done));
    assert.equal(error.code, code.INVALID_ARGUMENT, method);
    assert.match(error.details, /UTF-8/, method);
    assert.equal(error.metadata.get('grpc-status-details-bin').length, 1, method);
  }
});

claim('an open watch of the health service makes no stop longer', async (scope) => {
  // The quickest of a few, as others use this machine.
  const quickest = async (watches) => {
    const took = [];
    for (let i = 0; i < 3; i++) {
      const tw = await scope.toolwire({topology: 'split'});
      const caller = tw.caller();
      if (watches) await healthWatch(caller);
      const begun = performance.now();
      tw.control.signal('SIGTERM');
      await tw.control.exited();
      took.push(performance.now() - begun);
      await tw.stop();
    }
    return Math.min(...took);
  };
  const without = await quickest(false);
  const withWatch = await quickest(true);
  assert.ok(withWatch < without + 1500, `${withWatch} ms, without a watch ${without} ms`);
});
