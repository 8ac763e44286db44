// The five messages of the agents' protocol, as agents in the field speak it.
import assert from 'node:assert/strict';
import {resultOf} from './lib/caller.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

claim('an agent with its credentials in the URL gets `connected` with its user, the time and the server', async (scope) => {
  const tw = await scope.toolwire({flags: {'server-id': 'ws-server-1'}});
  const before = Date.now();
  const agent = await tw.agent('user_1');
  const [frame] = agent.frames;
  assert.deepEqual(Object.keys(frame).sort(), ['serverId', 'timestamp', 'type', 'userId']);
  assert.equal(frame.type, 'connected');
  assert.equal(frame.userId, 'user_1');
  assert.equal(frame.serverId, 'ws-server-1');
  assert.equal(typeof frame.timestamp, 'number');
  assert.ok(frame.timestamp >= before - 1 && frame.timestamp <= Date.now() + 1, 'milliseconds since 1970');
});

claim('a heartbeat is acknowledged with the time', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  agent.send({type: 'heartbeat', timestamp: 1234567890});
  const ack = await until('an acknowledgment comes', () => agent.of('heartbeat_ack')[0]);
  assert.deepEqual(Object.keys(ack).sort(), ['timestamp', 'type']);
  assert.equal(typeof ack.timestamp, 'number');
  assert.ok(Math.abs(ack.timestamp - Date.now()) < 60_000);
});

claimInBoth('a call reaches the agent as `tool_call`, its `tool_response` comes back as the answer', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', {
    answer: () => ({success: true, result: {content: 'hello'}, error: null, executionTime: 123}),
  });
  const outcome = await tw.caller().call('user_1', 'read_file', {path: '/home/user/file.txt'}, {requestId: 'req_xxx'});
  assert.deepEqual(agent.calls, [
    {type: 'tool_call', requestId: 'req_xxx', tool: 'read_file', params: {path: '/home/user/file.txt'}},
  ]);
  assert.equal(outcome.code, 0);
  assert.deepEqual(resultOf(outcome), {content: 'hello'});
  const {resultJson, ...rest} = outcome.response;
  assert.deepEqual(
    {requestId: rest.requestId, success: rest.success, error: rest.error, executionTimeMs: rest.executionTimeMs},
    {requestId: 'req_xxx', success: true, error: '', executionTimeMs: '123'});
});

claim('a response without executionTime, result or error is an answer too', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1', {answer: () => ({success: true})});
  const {response} = await tw.caller().call('user_1', 'touch');
  assert.equal(response.success, true);
  assert.equal(response.resultJson.length, 0);
  assert.equal(response.error, '');
  assert.equal(response.executionTimeMs, undefined);
});

claim('a response may name its fields in any order, with more of them, and null for what it has not', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1', {
    answer: ({requestId}, agent) => {
      agent.sendText(`{ "executionTime" : null, "extra": [1, {"a": 2}], "error":null,
        "result" : null, "success":true, "requestId":"${requestId}", "type" : "tool_response" }`);
    },
  });
  const outcome = await tw.caller().call('user_1', 'any');
  assert.equal(outcome.response.success, true);
  assert.equal(outcome.response.resultJson.toString(), 'null');
});

claim('a tool that failed is an answer: status OK, success false and its error', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1', {answer: () => ({success: false, error: 'ENOENT: no such file', executionTime: 1})});
  const outcome = await tw.caller().call('user_1', 'read_file', {path: 'missing'});
  assert.equal(outcome.code, 0);
  assert.equal(outcome.response.success, false);
  assert.equal(outcome.response.error, 'ENOENT: no such file');
});

// How an answer goes on after its request id, and what its caller is told.
const UNREADABLE = [
  ['}', /success is not a boolean/],
  [',"success":"true"}', /success is not a boolean/],
  [',"success":null}', /success is not a boolean/],
  [',"success":1}', /success is not a boolean/],
  [',"success":true,"executionTime":"12"}', /executionTime is neither a number nor null/],
  [',"success":false,"error":{"message":"no"}}', /error is neither a string nor null/],
  [',"success":true,"result":NaN}', /result is not valid JSON/],
  [',"success":true,"result":{"a":[1', /result is not valid JSON/],
  [`,"success":true,"result":${'['.repeat(600)}${']'.repeat(600)}}`, /result is nested too deep/],
  [',"success":tr', /success is not valid JSON/],
  ['', /not a JSON object/],
];

claimInBoth('an answer that cannot be read ends its call at once, names the field, and takes no other call along', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  let rest;
  const agent = await tw.agent('user_1', {
    answer: ({requestId, tool}, self) => {
      if (tool === 'bad') self.sendText(`{"type":"tool_response","requestId":"${requestId}"${rest}`);
    },
  });
  const caller = tw.caller();
  const good = caller.call('user_1', 'good', {}, {requestId: 'good'});
  await agent.called();
  for (const [text, message] of [...UNREADABLE, ...UNREADABLE]) {
    rest = text;
    const outcome = await caller.call('user_1', 'bad', {}, {requestId: 'bad', timeoutMs: 300_000});
    assert.equal(outcome.reason, 'AGENT_LOST', text);
    assert.equal(outcome.delivery, 'SENT', text);
    assert.match(outcome.message, message, text);
  }
  agent.respond('good', {success: true, result: 'still here'});
  assert.equal(resultOf(await good), 'still here');
  assert.equal(await tw.metric('toolwire_edge_bad_frames_total'), 0);
  assert.equal(await tw.metric('toolwire_edge_bad_answers_total'), 2 * UNREADABLE.length);
});

// Answers that are broken before their request id, with that of another call in the result.
const BROKEN_BEFORE = [
  ['{"error":null,"executionTime":NaN,"requestId":ID,"result":{"requestId":"good"},"success":true,"type":"tool_response"}', /executionTime is not valid JSON/],
  ['{"executionTime":1,"result":{"requestId":"good","n":[1,-Infinity]},"requestId":ID,"success":true}', /result is not valid JSON/],
  ['{"result":"C:\\Users\\x, \\"requestId\\":\\"good\\"","success":true,"requestId":ID}', /result is not valid JSON/],
  ['{"type":"tool_response","result":"two\nlines","requestId":ID', /result is not valid JSON/],
  ["{'type': 'tool_response', 'success': True, 'requestId': ID, 'result': {'requestId': 'good'}}", /not a JSON object/],
  ['{"success":,"requestId":"other","requestId":ID}', /success is not valid JSON/],
];

claimInBoth('an answer that is broken before its request id ends its call at once, and no other', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  let broken;
  const agent = await tw.agent('user_1', {
    answer: ({requestId, tool}, self) => {
      if (tool === 'bad') self.sendText(broken.replace('ID', JSON.stringify(requestId)));
    },
  });
  const caller = tw.caller();
  const good = caller.call('user_1', 'good', {}, {requestId: 'good'});
  await agent.called();
  for (const [text, message] of [...BROKEN_BEFORE, ...BROKEN_BEFORE]) {
    broken = text;
    const outcome = await caller.call('user_1', 'bad', {}, {timeoutMs: 300_000});
    assert.deepEqual([outcome.reason, outcome.delivery], ['AGENT_LOST', 'SENT'], text);
    assert.match(outcome.message, message, text);
  }
  agent.respond('good', {success: true, result: 'still here'});
  assert.equal(resultOf(await good), 'still here');
  assert.equal(await tw.metric('toolwire_edge_bad_frames_total'), 0);
});

claim('request ids may be any string', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  const caller = tw.caller();
  for (const requestId of ['V1StGXR8_Z5jdHi6B-myT', 'req_1', '"quoted"\\', 'Ünïcödé ✓', ' ', '../../etc', 'a\nb\u0000c', 'x'.repeat(256)]) {
    const outcome = await caller.call('user_1', 'echo', {}, {requestId});
    assert.equal(outcome.code, 0, JSON.stringify(requestId));
    assert.equal(outcome.response.requestId, requestId);
    assert.equal(agent.calls.at(-1).requestId, requestId);
  }
});

claim('a call without a request id gets one, different for every call', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  const caller = tw.caller();
  const ids = [];
  for (let i = 0; i < 20; ++i) ids.push((await caller.call('user_1', 'echo')).response.requestId);
  assert.equal(new Set(ids).size, 20);
  assert.ok(ids.every((id) => id.length > 0));
  assert.deepEqual(agent.calls.map((call) => call.requestId), ids);
});

claim('frames of unknown types are counted and ignored, however many', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  for (let i = 0; i < 30; ++i) agent.send({type: 'progress', requestId: 'r', percent: i});
  agent.send({type: 'tool_call', requestId: 'r', tool: 't', params: {}});  // The server's own, which it does not take.
  await agent.roundTrip();
  assert.deepEqual(agent.frames.map(({type}) => type), ['connected', 'heartbeat_ack']);
  assert.equal(await tw.metric('toolwire_edge_unknown_frames_total'), 31);
  assert.equal((await tw.caller().call('user_1', 'echo')).code, 0);
});

claim('late, repeated and unknown answers are harmless', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', {answer: () => undefined});
  const caller = tw.caller();
  const outcome = caller.call('user_1', 'slow', {}, {requestId: 'late', timeoutMs: 1000});
  await agent.called();
  assert.equal((await outcome).reason, 'CALL_TIMEOUT');
  for (let i = 0; i < 50; ++i) {
    agent.respond('late', {success: true, result: 1});
    agent.respond('never asked', {success: true, result: 2});
  }
  await agent.roundTrip();
  agent.answer = () => ({success: true, result: 'fresh'});
  const again = await caller.call('user_1', 'quick', {}, {requestId: 'late'});
  assert.equal(resultOf(again), 'fresh');
  agent.respond('late', {success: true, result: 3});
  await agent.roundTrip();
  assert.equal(await tw.metric('toolwire_edge_stray_answers_total'), 101);
});

claim('user ids survive the URL: spaces, unicode, slashes, plus signs and percent signs', async (scope) => {
  const tw = await scope.toolwire();
  const caller = tw.caller();
  for (const userId of ['user 42', 'ユーザー', 'a/b', 'a+b', '100%', 'q?a=b&c=d#e', "o'brien", 'me@example.org']) {
    const agent = await tw.agent(userId);
    assert.equal(agent.frames[0].userId, userId);
    assert.equal((await caller.call(userId, 'echo', {n: 1})).code, 0, userId);
  }
});

claim('a plus sign in the query stands for a space, as browsers and URLSearchParams write it', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user 42');
  const agent = tw.dial('?' + new URLSearchParams({userId: 'user 42', secret}));
  assert.equal((await agent.connected()).userId, 'user 42');
});

claim('the path of the URL and other parameters do not matter', async (scope) => {
  const tw = await scope.toolwire();
  const agent = tw.dial(`/agents/ws?v=2&secret=${await tw.secret('user_1')}&userId=user_1&userId=other`);
  assert.equal((await agent.connected()).userId, 'user_1');
});

claim('the secret may come as Authorization Bearer, or both as Basic', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user 42');
  const bearer = tw.dial('?userId=user%2042', {headers: {Authorization: `Bearer ${secret}`}});
  assert.equal((await bearer.connected()).userId, 'user 42');
  const pair = Buffer.from(`user 42:${secret}`).toString('base64');
  const basic = tw.dial('', {headers: {Authorization: `Basic ${pair}`}});
  assert.equal((await basic.connected()).userId, 'user 42');
});

claim('binary frames that hold JSON text are taken like text frames', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', {
    answer: ({requestId, params}, self) => {
      self.sendBinary(Buffer.from(JSON.stringify({type: 'tool_response', requestId, success: true, result: params})));
    },
  });
  agent.sendBinary(Buffer.from('{"type":"heartbeat"}'));
  await until('the heartbeat is acknowledged', () => agent.of('heartbeat_ack').length === 1);
  assert.deepEqual(resultOf(await tw.caller().call('user_1', 'echo', {a: 'ü'})), {a: 'ü'});
});

claim('answers sent right after the upgrade, before `connected`, are not lost and do no harm', async (scope) => {
  const tw = await scope.toolwire();
  const agent = tw.dial(tw.loginQuery('user_1', await tw.secret('user_1')));
  await until('the socket is open', () => agent.opened);
  agent.respond('from before', {success: true});
  agent.heartbeat();
  await until('the heartbeat is acknowledged', () => agent.of('heartbeat_ack').length === 1);
  assert.equal(agent.frames[0].type, 'connected');
});
