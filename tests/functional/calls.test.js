// Every row of the outcome table: what a call without an answer ends with, and what the caller learns of its delivery.
// The same for both ways of calling, and for one process or two.
import assert from 'node:assert/strict';
import {code, resultOf, toStruct} from './lib/caller.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

// The two ways of calling, with one interface.
const waysOf = (tw) => {
  const caller = tw.caller();
  return {CallTool: caller, Dispatch: caller.dispatch()};
};
const inBothWays = async (tw, body) => {
  for (const [way, calls] of Object.entries(waysOf(tw))) await body(calls, way);
};

function assertFailed(outcome, expected, what = '') {
  const {reason, delivery, code: got} = outcome;
  assert.deepEqual({code: got, reason, delivery}, {code: expected[0], reason: expected[1], delivery: expected[2]}, what);
  assert.ok(outcome.message.length > 0, 'a sentence for people');
}
const NOT_CONNECTED = [code.UNAVAILABLE, 'AGENT_NOT_CONNECTED', 'NOT_SENT'];
const EDGE_UNAVAILABLE = [code.UNAVAILABLE, 'EDGE_UNAVAILABLE', 'NOT_SENT'];
const BUSY = [code.RESOURCE_EXHAUSTED, 'AGENT_BUSY', 'NOT_SENT'];
const CALLER_BUSY = [code.RESOURCE_EXHAUSTED, 'CALLER_BUSY', 'NOT_SENT'];
const TIMEOUT_SENT = [code.DEADLINE_EXCEEDED, 'CALL_TIMEOUT', 'SENT'];
const TIMEOUT_NOT_SENT = [code.DEADLINE_EXCEEDED, 'CALL_TIMEOUT', 'NOT_SENT'];
const LOST = [code.ABORTED, 'AGENT_LOST', 'SENT'];
const DUPLICATE = [code.ALREADY_EXISTS, 'DUPLICATE_REQUEST', 'NOT_SENT'];
const INVALID = [code.INVALID_ARGUMENT, 'INVALID_REQUEST', 'NOT_SENT'];
const CANCELLED_SENT = [code.CANCELLED, 'CALLER_CANCELLED', 'SENT'];

const silent = {answer: () => undefined};
const milliseconds = (duration) => Number(duration.seconds) * 1000 + duration.nanos / 1e6;

claimInBoth('no agent is connected: UNAVAILABLE, AGENT_NOT_CONNECTED, NOT_SENT, at once', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await tw.agent('someone else');
  await inBothWays(tw, async (calls, way) => {
    const outcome = await calls.call('user_1', 'echo', {}, {requestId: `id of ${way}`, timeoutMs: 600_000});
    assertFailed(outcome, NOT_CONNECTED, way);
    assert.ok(milliseconds(outcome.retryAfter) > 0, 'says when to try again');
    assert.equal(outcome.requestId, `id of ${way}`);
  });
});

claim('the failed call carries a google.rpc.Status whose code and message are those of the gRPC status', async (scope) => {
  const tw = await scope.toolwire();
  const {status, code: got, message} = await tw.caller().call('user_1', 'echo');
  assert.equal(status.code, got);
  assert.equal(status.message, message);
  assert.equal(status.details.length, 1);
  assert.equal(status.details[0].typeUrl, 'type.googleapis.com/toolwire.v1.CallError');
});

claimInBoth('an agent that has left: AGENT_NOT_CONNECTED', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1');
  const caller = tw.caller();
  assert.equal((await caller.call('user_1', 'echo')).code, 0);
  await agent.close();
  assertFailed(await caller.call('user_1', 'echo'), NOT_CONNECTED);
});

claimInBoth('a request id that is in flight for the user: ALREADY_EXISTS, and the first call goes on', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  await tw.agent('user_2');
  await inBothWays(tw, async (calls, way) => {
    const before = agent.calls.length;
    const first = calls.call('user_1', 'one', {}, {requestId: 'same'});
    await agent.called(before + 1);
    assertFailed(await calls.call('user_1', 'two', {}, {requestId: 'same'}), DUPLICATE, way);
    assert.equal((await calls.call('user_2', 'echo', {}, {requestId: 'same'})).code, 0, 'another user\'s is another id');
    agent.respond('same', {success: true, result: 'first'});
    assert.equal(resultOf(await first), 'first');
    assert.equal(agent.calls.length, before + 1);
  });
});

claimInBoth('the limit of calls in flight for one agent: at it all run, past it RESOURCE_EXHAUSTED, AGENT_BUSY', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'agent-calls-max': 3}});
  const agent = await tw.agent('user_1', silent);
  await tw.agent('user_2');
  await inBothWays(tw, async (calls, way) => {
    const before = agent.calls.length;
    const running = [1, 2, 3].map(() => calls.call('user_1', 'slow'));
    await agent.called(before + 3);
    const outcome = await calls.call('user_1', 'one too many');
    assertFailed(outcome, BUSY, way);
    assert.ok(milliseconds(outcome.retryAfter) > 0);
    assert.equal((await calls.call('user_2', 'echo')).code, 0, 'other agents are not concerned');
    for (const {requestId} of agent.calls.slice(before)) agent.respond(requestId, {success: true});
    for (const one of running) assert.equal((await one).code, 0);
  });
  assert.equal(await tw.metric('toolwire_edge_limit_hits_total', {limit: 'agent_calls'}), 2);
});

claimInBoth('the limit of calls in flight on the edge: past it UNAVAILABLE, EDGE_UNAVAILABLE', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'edge-calls-max': 2}});
  const agents = [await tw.agent('user_1', silent), await tw.agent('user_2', silent)];
  await tw.agent('user_3');
  await inBothWays(tw, async (calls, way) => {
    const before = agents[0].calls.length;
    const running = [calls.call('user_1', 'slow'), calls.call('user_2', 'slow')];
    for (const agent of agents) await agent.called(before + 1);
    assertFailed(await calls.call('user_3', 'echo'), EDGE_UNAVAILABLE, way);
    for (const agent of agents) agent.respond(agent.calls.at(-1).requestId, {success: true});
    for (const one of running) assert.equal((await one).code, 0);
    assert.equal((await calls.call('user_3', 'echo')).code, 0);
  });
});

claimInBoth('an agent that does not read: AGENT_BUSY once its queue is full, other agents go on, nothing is lost', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'session-queue-bytes-max': 1 << 20}});
  const agent = await tw.agent('user_1', {answer: ({requestId}) => ({success: true, result: requestId})});
  await tw.agent('user_2');
  const calls = tw.caller().dispatch();
  agent.pause();
  const params = {padding: 'x'.repeat(200_000)};
  const outcomes = [];
  let busy;
  for (let sent = 0; !busy && sent < 500; ++sent) {
    const requestId = `r${sent}`;
    outcomes.push([requestId, calls.call('user_1', 'echo', params, {requestId}).then((one) => {
      if (one.reason === 'AGENT_BUSY') busy = one;
      return one;
    })]);
    assert.equal((await calls.call('user_2', 'echo')).code, 0);
  }
  assertFailed(busy, BUSY);
  agent.resume();
  for (const [requestId, outcome] of outcomes) {
    const settled = await outcome;
    if (settled.code === 0) assert.equal(resultOf(settled), requestId);
    else assertFailed(settled, BUSY);
  }
  assert.ok((await tw.metric('toolwire_edge_limit_hits_total', {limit: 'session_queue_bytes'})) > 0);
  await tw.idle();
});

claimInBoth('the time is over after the frame left: DEADLINE_EXCEEDED, CALL_TIMEOUT, SENT', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  await inBothWays(tw, async (calls, way) => {
    const before = agent.calls.length;
    const outcome = await calls.call('user_1', 'slow', {}, {timeoutMs: 1000});
    assertFailed(outcome, TIMEOUT_SENT, way);
    assert.equal(outcome.retryAfter, null, 'trying again is not the answer');
    await agent.called(before + 1);
  });
  await tw.idle();
});

claimInBoth('the time is over before the frame left: CALL_TIMEOUT, NOT_SENT, and the agent never gets it', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1');
  const calls = tw.caller().dispatch();
  agent.pause();
  const large = {padding: 'x'.repeat(4 << 20)};
  const ahead = [1, 2, 3, 4].map(() => calls.call('user_1', 'large', large));  // More than sockets buffer.
  assertFailed(await calls.call('user_1', 'behind', {}, {timeoutMs: 200}), TIMEOUT_NOT_SENT);
  agent.resume();
  for (const one of ahead) assert.equal((await one).code, 0);
  await agent.roundTrip();
  assert.deepEqual(agent.calls.map(({tool}) => tool), ['large', 'large', 'large', 'large']);
});

claimInBoth('without a timeout the default counts, and a longer one than the maximum is cut to it', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'call-timeout-default': 100, 'call-timeout-max': 150}});
  await tw.agent('user_1', silent);
  await inBothWays(tw, async (calls, way) => {
    assertFailed(await calls.call('user_1', 'slow'), TIMEOUT_SENT, way);
    assertFailed(await calls.call('user_1', 'slow', {}, {timeoutMs: 86_400_000}), TIMEOUT_SENT, way);
  });
});

claimInBoth('the deadline of the gRPC call counts when it is the smaller one', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  const outcome = await tw.caller().call('user_1', 'slow', {}, {timeoutMs: 600_000, grpcDeadlineMs: 1500});
  assert.equal(outcome.code, code.DEADLINE_EXCEEDED);
  await agent.called();
  await tw.idle();
  const [row] = await tw.auditRows(1);
  assert.equal(row.error, 'CALL_TIMEOUT');
});

claimInBoth('the agent is lost after the frame left, and no answer comes: ABORTED, AGENT_LOST, SENT', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await inBothWays(tw, async (calls, way) => {
    const agent = await tw.agent('user_1', silent);
    const outcome = calls.call('user_1', 'slow');
    await agent.called();
    agent.destroy();
    assertFailed(await outcome, LOST, way);
  });
  await tw.idle();
});

claimInBoth('the answer may come through the agent\'s next connection', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await inBothWays(tw, async (calls, way) => {
    const lost = await tw.agent('user_1', silent);
    const outcome = calls.call('user_1', 'slow', {}, {requestId: `over ${way}`});
    await lost.called();
    lost.destroy();
    const next = await tw.agent('user_1', silent);
    next.respond(`over ${way}`, {success: true, result: way});
    assert.equal(resultOf(await outcome), way);
    await next.close();
  });
  assert.equal(await tw.metric('toolwire_control_stray_answers_matched_total'), 2);
});

claimInBoth('calls in flight survive the replacement of their agent\'s connection', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const calls = tw.caller().dispatch();
  const first = await tw.agent('user_1', silent);
  const outcomes = Array.from({length: 10}, (_, i) => calls.call('user_1', 'slow', {}, {requestId: `r${i}`}));
  await first.called(10);
  const second = await tw.agent('user_1', silent);
  for (const {requestId} of first.calls) second.respond(requestId, {success: true, result: requestId});
  for (const [i, outcome] of outcomes.entries()) assert.equal(resultOf(await outcome), `r${i}`);
});

claimInBoth('the caller cancels: the call ends, and what is known of its delivery is in the audit log', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  const caller = tw.caller();
  const unary = caller.start({userId: 'user_1', tool: 'slow', requestId: 'unary'});
  await agent.called();
  unary.cancel();
  assert.equal((await unary.outcome).code, code.CANCELLED);
  const stream = caller.dispatch();
  stream.send({calls: [{id: 7, userId: 'user_1', tool: 'slow', requestId: 'stream'}]});
  await agent.called(2);
  stream.cancel(7);
  assertFailed(await stream.answer(7), CANCELLED_SENT);
  await tw.idle();
  const rows = await tw.auditRows(2);
  assert.deepEqual(rows.map(({requestId, success, error}) => [requestId, success, error]).sort(), [
    ['stream', false, 'CALLER_CANCELLED'],
    ['unary', false, 'CALLER_CANCELLED'],
  ]);
  agent.respond('unary', {success: true});
  agent.respond('stream', {success: true});
  await agent.roundTrip();
  assert.equal(stream.answers.get('7').length, 1);
});

const nested = (depth) => '{"a":'.repeat(depth - 1) + '{}' + '}'.repeat(depth - 1);

claimInBoth('a wrong request: INVALID_ARGUMENT, INVALID_REQUEST, NOT_SENT, and the name of the field', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1');
  const user = {userId: 'user_1', tool: 'echo'};
  const wrong = [
    ['user_id', {tool: 'echo'}],
    ['user_id', {userId: 'x'.repeat(257), tool: 'echo'}],
    ['user_id', {userId: 'user\n', tool: 'echo'}],
    ['user_id', {userId: 'ü'.repeat(129), tool: 'echo'}],
    ['tool', {userId: 'user_1'}],
    ['tool', {userId: 'user_1', tool: 'x'.repeat(257)}],
    ['request_id', {...user, requestId: 'x'.repeat(257)}],
    ...['[]', '1', '"x"', 'null', 'true', ' ', '{', '{}{}', '{"a":1,}', "{'a':1}", '{"a":01}', '{"a":.5}', '{"a":NaN}', '{"a":"\n"}',
      '{"a":"\\x"}', '\u{feff}{}', '{"a":1}\u0000', '// {}', '{"a":tru}']
      .map((text) => ['params_json', {...user, paramsJson: Buffer.from(text)}]),
    ['params_json', {...user, paramsJson: Buffer.from([...Buffer.from('{"a":"'), 0xff, ...Buffer.from('"}')])}],
    ['params_json', {...user, paramsJson: Buffer.from('{"a":"\xed\xa0\x80"}', 'latin1')}],
    ['params_json', {...user, paramsJson: Buffer.from(nested(513))}],
    ['params', {...user, params: toStruct({a: 1}), paramsJson: Buffer.from('{}')}],
    ['timeout', {...user, timeout: {seconds: -1}}],
    ['timeout', {...user, timeout: {nanos: -1}}],
    ['timeout', {...user, timeout: {seconds: 0, nanos: 0}}],
  ];
  const caller = tw.caller();
  const stream = caller.dispatch();
  for (const [index, [field, request]] of wrong.entries()) {
    const what = `${field}: ${JSON.stringify(request).slice(0, 200)}`;
    const unary = await caller.start(request).outcome;
    assertFailed(unary, INVALID, what);
    assert.equal(unary.field, field, what);
    const {paramsJson, ...rest} = request;
    const asParams = rest.params === undefined ? {...rest, params: paramsJson} : undefined;
    if (!asParams) continue;  // `send` takes one form only.
    stream.send({calls: [{id: index, ...asParams}]});
    const streamed = await stream.answer(index);
    assertFailed(streamed, INVALID, what);
    assert.equal(streamed.field, field, what);
  }
  assert.deepEqual(agent.calls, [], 'none of them reached the agent');
});

claimInBoth('at their limits, requests are right', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const longest = 'ü'.repeat(128);
  const agent = await tw.agent(longest);
  const caller = tw.caller();
  const outcome = await caller.call(longest, 'x'.repeat(256), nested(512), {requestId: 'y'.repeat(256), timeoutMs: 10_000});
  assert.equal(outcome.code, 0, outcome.message);
  assert.equal(agent.calls[0].tool, 'x'.repeat(256));
  assert.equal(outcome.response.resultJson.toString(), nested(512), 'also the result is that deep');
});

// JavaScript programs send such names: protobufjs writes a lone surrogate as three bytes that are not UTF-8.
const NOT_UTF8 = [
  {userId: '\ud800', tool: 'echo'}, {userId: 'user_1', tool: '\ud800'}, {userId: 'user_1', tool: 'echo', requestId: '\ud800'},
];

claim('names that are not UTF-8 are a wrong request: INVALID_ARGUMENT', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const caller = tw.caller();
  for (const request of NOT_UTF8) {
    assert.equal((await caller.start(request).outcome).code, code.INVALID_ARGUMENT, JSON.stringify(request));
  }
});

claim('a name that is not UTF-8 does not end the stream it comes on', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const stream = tw.caller().dispatch();
  for (const [id, request] of NOT_UTF8.entries()) {
    stream.send({calls: [{id: 1000 + id, ...request}]});
    assert.equal((await stream.answer(1000 + id)).code, code.INVALID_ARGUMENT, JSON.stringify(request));
    assert.equal((await stream.call('user_1', 'echo')).code, 0);
  }
  assert.deepEqual(tw.control.lines.filter((line) => !line.startsWith('{')), [], 'the log is JSON only');
});

claim('the limit of calls on one stream: at it all run, past it RESOURCE_EXHAUSTED, CALLER_BUSY', async (scope) => {
  const tw = await scope.toolwire({flags: {'stream-calls-max': 2}});
  const agent = await tw.agent('user_1', silent);
  const caller = tw.caller();
  const stream = caller.dispatch();
  const running = [stream.call('user_1', 'slow'), stream.call('user_1', 'slow')];
  await agent.called(2);
  assert.equal(await tw.metric('toolwire_control_limit_hits_total', {limit: 'stream_calls'}), 0);
  assertFailed(await stream.call('user_1', 'slow'), CALLER_BUSY);
  assert.equal(await tw.metric('toolwire_control_limit_hits_total', {limit: 'stream_calls'}), 1);
  const other = caller.dispatch().call('user_1', 'slow');
  await agent.called(3);
  for (const {requestId} of agent.calls) agent.respond(requestId, {success: true});
  for (const one of [...running, other]) assert.equal((await one).code, 0);
});

claim('a caller that does not read its answers: past the limit no more of its calls are read, others go on, nothing is lost', async (scope) => {
  const [limit, size] = [4 << 20, 64 << 10];
  const tw = await scope.toolwire({flags: {'stream-unread-bytes-max': limit}});
  const agent = await tw.agent('user_1', {answer: () => ({success: true, result: 'x'.repeat(size)})});
  const deaf = tw.caller().dispatch();
  deaf.pause();
  const hits = () => tw.metric('toolwire_control_limit_hits_total', {limit: 'stream_unread_bytes'});
  const outcomes = [];
  await until('its calls wait', async () => {
    if (outcomes.length < 400) outcomes.push(deaf.call('user_1', `tool_${outcomes.length}`));
    return (await hits()) >= 1;
  });
  const waiting = outcomes.length;
  assert.ok(waiting > limit / size, `${waiting} calls`);
  outcomes.push(deaf.call('user_1', 'tool_that_waits'));
  assert.equal((await tw.caller().call('user_1', 'other')).code, 0);
  assert.ok(!agent.calls.some(({tool}) => tool === 'tool_that_waits'));
  deaf.resume();
  for (const outcome of await Promise.all(outcomes)) assert.equal(outcome.code, 0);
});

claim('the limit of open streams: past it a stream ends with RESOURCE_EXHAUSTED', async (scope) => {
  const tw = await scope.toolwire({flags: {'streams-max': 2}});
  await tw.agent('user_1');
  const caller = tw.caller();
  const open = [caller.dispatch(), caller.dispatch()];
  for (const stream of open) assert.equal((await stream.call('user_1', 'echo')).code, 0);
  assert.equal((await caller.dispatch().ended()).code, code.RESOURCE_EXHAUSTED);
  assert.equal(await tw.metric('toolwire_control_limit_hits_total', {limit: 'streams'}), 1);
  open[0].end();
  assert.equal((await open[0].ended()).code, 0);
  await until('its place is free', async () => (await tw.metric('toolwire_control_streams')) === 1);
  assert.equal((await caller.dispatch().call('user_1', 'echo')).code, 0);
});

claim('with one, two or all of the threads that gRPC has: many callers and streams at once, and a clean stop', async (scope) => {
  for (const threads of [1, 2, 0]) {
    const tw = await scope.toolwire({flags: {'grpc-threads': threads}});
    await tw.agent('user_1');
    const callers = Array.from({length: 8}, () => tw.caller());
    const calls = callers.flatMap((caller) => {
      const stream = caller.dispatch();
      return Array.from({length: 50}, (_, i) => (i % 2 ? stream : caller).call('user_1', 'echo', {i}));
    });
    for (const [i, outcome] of (await Promise.all(calls)).entries()) assert.deepEqual(resultOf(outcome), {i: i % 50});
    assert.deepEqual(await Promise.all(callers.map(async (caller) => (await caller.ask('ListAgents', {})).totalConnected)),
      callers.map(() => '1'));
    await tw.stop();
  }
});
