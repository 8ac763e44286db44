// Params and results of every size and shape: byte for byte, or refused; never altered.
import assert from 'node:assert/strict';
import {code, fromValue, resultOf, toStruct} from './lib/caller.js';
import {claim, claimInBoth} from './lib/toolwire.js';

const MiB = 1 << 20;

// An agent that writes its frames by hand: what it got as `params` goes back as `result`, byte for byte.
const byteEcho = {
  answer: ({requestId}, agent) => {
    const text = agent.texts.at(-1);
    const params = text.slice(text.indexOf('"params":') + '"params":'.length, -1);
    agent.sendText(`{"type":"tool_response","requestId":${JSON.stringify(requestId)},"success":true,"result":${params},"executionTime":1}`);
  },
};

// A JSON object of exactly `bytes` bytes.
const objectOfSize = (bytes) => Buffer.from(`{"data":"${'x'.repeat(bytes - 11)}"}`);

const ODD = {
  'an integer over 2^53': '{"n":9007199254740993}',
  'integers of 30 digits': '{"n":123456789012345678901234567890,"m":-999999999999999999999999999999}',
  'numbers over and under what doubles hold': '{"n":1e400,"m":-1E+400,"s":1e-400}',
  'more digits than doubles keep': '{"pi":3.14159265358979323846264338327950288419716939937510,"one":1.000,"e":1E5,"zero":-0}',
  'duplicate keys': '{"a":1,"a":2,"a":{"a":3,"a":4}}',
  'key order': '{"z":1,"a":2,"10":3,"9":4}',
  'white space': '{ "a" :\t1 ,\r\n "b" : [ 1 , 2 ] }',
  'lone surrogates': '{"high":"\\ud800","low":"\\udfff","swapped":"\\udc00\\ud800"}',
  'NUL escapes': '{"nul":"a\\u0000b","\\u0000":1}',
  'every escape': '{"e":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00"}',
  'unescaped unicode': '{"ü€😀":"\u2028\u2029\u007f\ufffe"}',
  'deep nesting': `${'{"a":['.repeat(200)}1${']}'.repeat(200)}`,
  'an empty key and empty values': '{"":"","a":{},"b":[]}',
  'what looks like a frame': '{"type":"tool_response","requestId":"other","success":false}',
  'what looks like the end of a frame': '{"a":"\\"}}],\\"type\\":\\"heartbeat\\"}"}',
};

claimInBoth('odd JSON reaches the agent and comes back unchanged, byte for byte', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', byteEcho);
  const caller = tw.caller();
  const stream = caller.dispatch();
  for (const [name, params] of Object.entries(ODD)) {
    for (const calls of [caller, stream]) {
      const outcome = await calls.call('user_1', 'echo', params, {requestId: 'r', timeoutMs: 20_000});
      assert.equal(outcome.code, 0, `${name}: ${outcome.message}`);
      assert.equal(agent.texts.at(-1), `{"type":"tool_call","requestId":"r","tool":"echo","params":${params}}`, name);
      assert.equal(outcome.response.resultJson.toString(), params, name);
    }
  }
});

claim('results that are no objects come back as they are', async (scope) => {
  const tw = await scope.toolwire();
  let result;
  await tw.agent('user_1', {
    answer: ({requestId}, agent) =>
      agent.sendText(`{"type":"tool_response","requestId":"${requestId}","success":true,"result":${result}}`),
  });
  const caller = tw.caller();
  for (result of ['null', 'true', '0', '-0.0e-0', '12345678901234567890', '""', '"\\ud800"', '[]', '[ 1,2 ]', '1e999']) {
    const outcome = await caller.call('user_1', 'any');
    assert.equal(outcome.response.resultJson.toString(), result);
  }
});

claim('the last of several equal fields in a response counts, as in every JSON parser in the field', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1', {
    answer: ({requestId}, agent) => agent.sendText(
      `{"type":"heartbeat","type":"tool_response","requestId":"no","requestId":"${requestId}","success":false,"success":true,"result":1,"result":2}`),
  });
  const outcome = await tw.caller().call('user_1', 'any');
  assert.equal(outcome.response.success, true);
  assert.equal(outcome.response.resultJson.toString(), '2');
});

claim('an error text with NUL, quotes and lone surrogates arrives as readable text', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1', {
    answer: ({requestId}, agent) => agent.sendText(
      `{"type":"tool_response","requestId":"${requestId}","success":false,"error":"\\u0000 \\"quoted\\" \\ud800 \\u00e9"}`),
  });
  const {response} = await tw.caller().call('user_1', 'any');
  assert.equal(response.error, '\u0000 "quoted" \ufffd é');
});

claimInBoth('12 MiB of params and of result come back byte for byte', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', byteEcho);
  const params = objectOfSize(12 * MiB);
  const caller = tw.caller();
  for (const calls of [caller, caller.dispatch()]) {
    const outcome = await calls.call('user_1', 'echo', params);
    assert.equal(outcome.code, 0, outcome.message);
    assert.ok(outcome.response.resultJson.equals(params));
    agent.texts.length = agent.frames.length = 0;
  }
});

claimInBoth('params of exactly 16 MiB arrive, one byte more is INVALID_ARGUMENT', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', {answer: () => ({success: true})});
  const caller = tw.caller();
  assert.equal((await caller.call('user_1', 'any', objectOfSize(16 * MiB))).code, 0);
  assert.equal(agent.calls[0].params.data.length, 16 * MiB - 11);
  for (const size of [16 * MiB + 1, 17 * MiB]) {
    const outcome = await caller.call('user_1', 'any', objectOfSize(size));
    assert.deepEqual(
      [outcome.code, outcome.reason, outcome.delivery, outcome.field],
      [code.INVALID_ARGUMENT, 'INVALID_REQUEST', 'NOT_SENT', 'params_json']);
  }
  assert.equal(agent.calls.length, 1);
});

claimInBoth('a result of exactly 16 MiB arrives', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const data = 'x'.repeat(16 * MiB - 2);  // And its quotes.
  await tw.agent('user_1', {answer: () => ({success: true, result: data})});
  const outcome = await tw.caller().call('user_1', 'any');
  assert.equal(outcome.code, 0, outcome.message);
  assert.equal(outcome.response.resultJson.length, 16 * MiB);
});

for (const [size, what] of [[16 * MiB + 1, 'one byte over 16 MiB'], [17 * MiB, '17 MiB']]) {
  claimInBoth(`a result of ${what}: 1009, its call fails at once as SENT, other users notice nothing`, async (scope, shape) => {
    const tw = await scope.toolwire(shape);
    const agent = await tw.agent('user_1', {answer: () => undefined});
    await tw.agent('user_2');
    const calls = tw.caller().dispatch();
    const large = calls.call('user_1', 'large', {}, {requestId: 'large', timeoutMs: 600_000});
    await agent.called();
    const others = [];
    agent.respond('large', {success: true, result: 'x'.repeat(size - 2)});
    for (let i = 0; i < 50; ++i) others.push(calls.call('user_2', 'echo', {i}));
    const outcome = await large;
    assert.deepEqual([outcome.code, outcome.reason, outcome.delivery], [code.ABORTED, 'AGENT_LOST', 'SENT']);
    assert.equal((await agent.closed()).code, 1009);
    for (const [i, other] of others.entries()) assert.deepEqual(resultOf(await other), {i});
    assert.equal(await tw.metric('toolwire_edge_limit_hits_total', {limit: 'frame_bytes'}), 1);
    const again = await tw.agent('user_1');
    assert.equal((await calls.call('user_1', 'echo')).code, 0, 'the next call succeeds');
    assert.equal(again.closeFrame, undefined);
  });
}

claimInBoth('small calls of other users pass while many MiB are on their way', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await tw.agent('large', byteEcho);
  await tw.agent('small');
  const calls = tw.caller().dispatch();
  const params = objectOfSize(8 * MiB);
  const order = [];
  const large = [1, 2, 3].map(() => calls.call('large', 'echo', params).then((one) => (order.push('large'), one)));
  const small = Array.from({length: 20}, (_, i) => calls.call('small', 'echo', {i}).then((one) => (order.push('small'), one)));
  for (const one of small) assert.equal((await one).code, 0);
  for (const one of large) assert.ok((await one).response.resultJson.equals(params));
  assert.equal(order.at(-1), 'large', 'not all of the large ones came first');
});

claimInBoth('Struct params reach the agent as JSON, and the answer has its result as a Value as well', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1');
  const params = {path: '/tmp/ü', count: 3, half: 0.5, deep: {list: [1, 'two', null, true, {}]}, none: null};
  const caller = tw.caller();
  const {response} = await caller.start({userId: 'user_1', tool: 'echo', params: toStruct(params)}).outcome;
  assert.deepEqual(agent.calls[0].params, params);
  assert.deepEqual(fromValue(response.result), params);
  assert.deepEqual(JSON.parse(response.resultJson.toString()), params, 'the bytes are there too');
  const bytes = await caller.call('user_1', 'echo', params);
  assert.equal(bytes.response.result, null, 'callers who send bytes get bytes');
});

claim('Struct params with a result that no Value can hold still bring its bytes', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1', {
    answer: ({requestId}, agent) =>
      agent.sendText(`{"type":"tool_response","requestId":"${requestId}","success":true,"result":{"n":1e400,"s":"\\ud800"}}`),
  });
  const outcome = await tw.caller().start({userId: 'user_1', tool: 'any', params: toStruct({})}).outcome;
  assert.equal(outcome.code, 0, outcome.message);
  assert.equal(outcome.response.resultJson.toString(), '{"n":1e400,"s":"\\ud800"}');
});

claim('numbers that JSON does not have are a wrong request in Struct params', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const caller = tw.caller();
  for (const number of [NaN, Infinity, -Infinity]) {
    const outcome = await caller.start({userId: 'user_1', tool: 'echo', params: toStruct({number})}).outcome;
    assert.equal(outcome.code, code.INVALID_ARGUMENT, String(number));
    assert.equal(outcome.field, 'params');
  }
});

claimInBoth('a result nested deeper than the limit fails its call at once, not when its time is over', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'json-depth-max': 20}});
  const agent = await tw.agent('user_1', {
    answer: ({requestId, params: {depth}}, self) => self.sendText(
      `{"type":"tool_response","requestId":"${requestId}","success":true,"result":${'['.repeat(depth)}${']'.repeat(depth)}}`),
  });
  const caller = tw.caller();
  for (const calls of [caller, caller.dispatch()]) {
    for (const depth of [21, 5000]) {
      const outcome = await calls.call('user_1', 'any', {depth}, {timeoutMs: 20_000});
      assert.deepEqual([outcome.code, outcome.delivery], [code.ABORTED, 'SENT'], `${depth} deep: ${outcome.message}`);
    }
    assert.equal((await calls.call('user_1', 'any', {depth: 20})).code, 0, 'at the limit, and the session goes on');
  }
  assert.equal(agent.closeFrame, undefined);
  await tw.idle();
});

claimInBoth('large answers, and the small ones behind them, count though their agent leaves at once', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const held = [];
  const answer = (requestId, bytes) =>
    `{"type":"tool_response","requestId":"${requestId}","success":true,"result":[${'0,'.repeat(bytes / 2)}0]}`;
  const agent = await tw.agent('user_1', {
    answer: ({requestId}, self) => {
      held.push(requestId);
      if (held.length < 6) return;
      // Two large ones, each with small ones behind it, all in one write; then the agent leaves.
      for (const [i, id] of ['0', '1', '2', '3', '4', '5'].entries()) self.sendText(answer(id, i % 3 === 0 ? 4 * MiB : 100));
      self.close();
    },
  });
  const stream = tw.caller().dispatch();
  const outcomes = await Promise.all(['0', '1', '2', '3', '4', '5'].map(async (requestId) => {
    const outcome = await stream.call('user_1', 'any', {}, {requestId, timeoutMs: 240_000});
    return outcome.code;
  }));
  assert.deepEqual(outcomes, Array(6).fill(0));
  assert.equal((await agent.closed()).code, 1000);
  await tw.idle();
});

claimInBoth('large frames that are wrong end as small ones do', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const wrong = await tw.agent('user_1');
  for (let i = 0; i < 9; ++i) wrong.sendText(`{"type":"tool_response","x":[${'0,'.repeat(MiB)}`);
  wrong.sendText('{}');  // The tenth.
  assert.equal((await wrong.closed()).code, 1008);
  const notText = await tw.agent('user_2');
  notText.sendBytesAsText(Buffer.alloc(MiB, 0xff));
  assert.equal((await notText.closed()).code, 1007);
  await tw.idle();
});
