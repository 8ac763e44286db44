// callTool: what goes to the agent, and what comes back.
import assert from 'node:assert/strict';
import {ToolResult} from '../dist/index.mjs';
import {addressOf, answering, claim, claimInBoth, clientOf, rejection, silent, until} from './lib.js';

const MIB = 1 << 20;

claimInBoth('a call and its answer: result, raw text, request id, running time', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', {answer: ({params}) => ({success: true, result: params, executionTime: 12})});
  const client = clientOf(scope, tw);
  const answer = await client.callTool('user_1', 'echo', {path: 'ä', n: 1}, {requestId: 'mine'});
  assert.ok(answer instanceof ToolResult);
  assert.deepEqual(answer.toJSON(), {
    requestId: 'mine', success: true, result: {path: 'ä', n: 1}, error: undefined, executionTimeMs: 12});
  assert.equal(answer.resultJson.toString(), '{"path":"ä","n":1}');
  assert.equal(answer.result, answer.result, 'parsed once');
  assert.deepEqual([agent.calls[0].requestId, agent.calls[0].tool], ['mine', 'echo']);
  assert.match((await client.callTool('user_1', 'echo')).requestId, /./);
  assert.deepEqual(agent.calls[1].params, {});
});

claim('a tool that ran and failed is an answer', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1', {answer: () => ({success: false, error: 'no such file'})});
  const answer = await clientOf(scope, tw).callTool('user_1', 'read_file', {path: '/x'});
  assert.deepEqual([answer.success, answer.error, answer.result, answer.executionTimeMs], [false, 'no such file', undefined, undefined]);
  assert.equal(answer.resultJson.length, 0);
});

claim('params as text and bytes reach the agent untouched; results come back untouched', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', answering('"success":true,"result":{"b":9007199254740993, "a":1e400}'));
  const client = clientOf(scope, tw);
  const texts = ['{"z":1,"a":9007199254740993,"e":1e400}', '{ "ü" : "\\ud800", "long": "' + 'x'.repeat(500) + '" }'];
  for (const text of texts) {
    for (const params of [text, Buffer.from(text), new Uint8Array(Buffer.from(text))]) {
      const {resultJson} = await client.callTool('user_1', 'echo', params);
      assert.equal(resultJson.toString(), '{"b":9007199254740993, "a":1e400}');
      assert.ok(agent.texts.at(-1).includes(`"params":${text}`), agent.texts.at(-1));
    }
  }
});

claim('BigInt values travel as JSON integers, and come back as whatever the parser makes of them', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', answering('"success":true,"result":[123456789012345678901234567890]'));
  const parse = (text) => JSON.parse(text.replace(/\b\d{17,}\b/g, '"$&n"'), (_, one) =>
    typeof one === 'string' && /^\d+n$/.test(one) ? BigInt(one.slice(0, -1)) : one);
  const client = clientOf(scope, tw, {parse});
  const {result} = await client.callTool('user_1', 'echo', {id: 9007199254740993n, list: [-1n, 'bigint:1'], n: 2});
  assert.deepEqual(result, [123456789012345678901234567890n]);
  assert.ok(agent.texts.at(-1).includes('"params":{"id":9007199254740993,"list":[-1,"bigint:1"],"n":2}'), agent.texts.at(-1));
  const own = clientOf(scope, tw, {stringify: () => '{"written":"by us"}'});
  await own.callTool('user_1', 'echo', {id: 1});
  assert.deepEqual(agent.calls.at(-1).params, {written: 'by us'});
});

claim('10,000 calls at once: each gets its own answer', async (scope) => {
  const tw = await scope.toolwire({flags: {'agent-calls-max': 20000}});
  const users = ['user_0', 'user_1', 'user_2', 'user_3'];
  await Promise.all(users.map((user) => tw.agent(user)));
  const client = clientOf(scope, tw);
  const answers = await Promise.all(Array.from({length: 10_000}, (_, n) => client.callTool(users[n % 4], 'echo', {n})));
  answers.forEach(({result}, n) => assert.deepEqual(result, {n}));
  await tw.idle();
});

claim('more calls than a stream may carry wait here, and none is refused', async (scope) => {
  const tw = await scope.toolwire({flags: {'stream-calls-max': 50}});
  await tw.agent('user_1');
  const client = clientOf(scope, tw, {callsInFlightMax: 50});
  const answers = await Promise.all(Array.from({length: 1000}, (_, n) => client.callTool('user_1', 'echo', {n})));
  assert.ok(answers.every(({success}) => success));
});

claimInBoth('params and results of 10 MiB, several at once, beside small ones', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await tw.agent('user_1');
  await tw.agent('user_2');
  const client = clientOf(scope, tw);
  const large = 'x'.repeat(10 * MIB);
  const calls = [0, 1, 2].map((n) => client.callTool('user_1', 'echo', {n, large}));
  const small = await Promise.all(Array.from({length: 20}, (_, n) => client.callTool('user_2', 'echo', {n})));
  small.forEach(({result}, n) => assert.equal(result.n, n));
  for (const [n, {result}] of (await Promise.all(calls)).entries()) {
    assert.equal(result.n, n);
    assert.ok(result.large === large);
  }
});

claim('calls reach their agent in the order in which they were made', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const client = clientOf(scope, tw);
  const calls = Array.from({length: 100}, (_, n) => rejection(client.callTool('user_1', 'slow', {n}, {requestId: `call_${n}`})));
  await agent.called(100);
  assert.deepEqual(agent.calls.map(({requestId}) => requestId), Array.from({length: 100}, (_, n) => `call_${n}`));
  await client.close({drainMs: 0});
  await Promise.all(calls);
});

claim('user ids and tool names of any script, and of the longest kind', async (scope) => {
  const tw = await scope.toolwire();
  const names = ['用户', 'ÿ'.repeat(128), 'u'.repeat(256), '👩‍💻 x'];
  for (const user of names) await tw.agent(user);
  const client = clientOf(scope, tw);
  for (const name of names) assert.deepEqual((await client.callTool(name, name, {name})).result, {name});
});

claim('TOOLWIRE_ADDRESS is the address of a client that is given none', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  process.env.TOOLWIRE_ADDRESS = addressOf(tw);
  try {
    const client = clientOf(scope, tw, {address: undefined});
    assert.equal((await client.callTool('user_1', 'echo')).success, true);
  } finally {
    delete process.env.TOOLWIRE_ADDRESS;
  }
});

claim('a proxy that is set for the web is no way to a control', async (scope) => {
  const tw = await scope.toolwire({flags: {listen: '0.0.0.0', 'plain-agents': true, 'plain-grpc': true, 'no-tokens': true}});
  await tw.agent('user_1');
  const names = ['http_proxy', 'https_proxy', 'grpc_proxy'];
  for (const name of names) process.env[name] = 'http://127.0.0.1:9';
  try {
    const client = clientOf(scope, tw, {address: `0.0.0.0:${tw.ports.callers}`});
    assert.equal((await client.callTool('user_1', 'echo', {}, {timeoutMs: 5000})).success, true);
  } finally {
    for (const name of names) delete process.env[name];
  }
});

claim('a client that is made and never used opens no connection', async (scope) => {
  const tw = await scope.toolwire();
  const client = clientOf(scope, tw);
  assert.equal(await tw.metric('toolwire_control_streams'), 0);
  await client.close();
});

claim('close: calls under way may end; then they fail as SENT, unwritten ones as NOT_SENT, later ones at once', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const patient = clientOf(scope, tw);
  const ending = patient.callTool('user_1', 'slow');
  await agent.called();
  const closed = patient.close({drainMs: 30_000});
  assert.equal((await rejection(patient.callTool('user_1', 'late'))).reason, 'CLIENT_CLOSED');
  agent.respond(agent.calls[0].requestId, {success: true, result: 1});
  assert.equal((await ending).result, 1);
  await closed;

  const client = clientOf(scope, tw, {callsInFlightMax: 1});
  const [sent, unsent] = [1, 2].map((n) => rejection(client.callTool('user_1', 'slow', {n})));
  await agent.called(2);
  await client.close({drainMs: 0});
  const fields = ({reason, delivery, safeToRetry, httpStatus}) => [reason, delivery, safeToRetry, httpStatus];
  assert.deepEqual(fields(await sent), ['CLIENT_CLOSED', 'SENT', false, 503]);
  assert.deepEqual(fields(await unsent), ['CLIENT_CLOSED', 'NOT_SENT', false, 503]);
  await assert.rejects(client.getAgent('user_1'), {reason: 'CLIENT_CLOSED'});
  await tw.idle();
  await until('the streams are gone', async () => (await tw.metric('toolwire_control_streams')) === 0);
});
