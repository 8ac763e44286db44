// What one hostile caller costs the others: nothing that lasts, and bounded memory.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import {setTimeout as pause} from 'node:timers/promises';
import {code, fromValue, toStruct} from './lib/caller.js';
import {callersTls} from './lib/callers_tls.js';
import {claim, metric} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

const silent = {answer: () => undefined};
const memory = async (tw) => metric(tw.ports.metrics[0], 'process_resident_memory_bytes');

// A stream, or one request, of any bytes; resolves with the status.
const raw = (bytes) => bytes;
function send(caller, method, ...messages) {
  const stream = caller.client.makeBidiStreamRequest(`/toolwire.v1.${method}`, raw, raw);
  stream.on('data', () => {}).on('error', () => {});
  for (const message of messages) stream.write(message);
  stream.end();
  return within(`${method} ends`, new Promise((resolve) => stream.on('status', resolve)));
}

claim('with all threads of gRPC: streams that are reset while their calls are started leave none in flight', async (scope) => {
  const tw = await scope.toolwire({flags: {'grpc-threads': 0}});
  await tw.agent('user_1', silent);
  const caller = tw.caller();
  const calls = Array.from({length: 2000}, (_, i) => ({id: i, userId: 'user_1', tool: 'slow'}));
  for (let round = 0; round < 40; ++round) {
    const stream = caller.dispatch();
    stream.send({calls});
    await pause(round % 20);
    stream.break();
    await stream.ended();
  }
  await tw.idle();
  assert.equal((await tw.caller().dispatch().call('user_2', 'any')).reason, 'AGENT_NOT_CONNECTED');
});

claim('a large result of a call with params comes as result_json alone, and others do not wait for it', async (scope) => {
  const tw = await scope.toolwire();
  const list = `[${'0,'.repeat(2 << 20)}0]`;
  await tw.agent('user_1', {
    answer: ({requestId}, agent) =>
      agent.sendText(`{"type":"tool_response","requestId":"${requestId}","success":true,"result":${list}}`),
  });
  await tw.agent('user_2');
  const caller = tw.caller();
  const large = Array.from({length: 4}, () => caller.start({userId: 'user_1', tool: 'any', params: toStruct({})}).outcome);
  const began = Date.now();
  assert.equal((await tw.caller().call('user_2', 'echo')).code, 0);
  for (const outcome of await Promise.all(large)) {
    assert.equal(outcome.response.resultJson.length, list.length);
    assert.deepEqual([outcome.response.result, outcome.response.resultOmitted], [null, true]);
  }
  assert.ok(Date.now() - began < 3000, 'one took 3 s each');
  assert.equal(await tw.metric('toolwire_control_limit_hits_total', {limit: 'hand_form_bytes'}), 4);
});

claim('results that protobuf cannot nest, or that would be too large for callers, do not end the stream', async (scope) => {
  const tw = await scope.toolwire();
  const zeros = `[${'0,'.repeat(120_000)}0]`;
  const results = ['['.repeat(60) + ']'.repeat(60), '{"a":'.repeat(40) + '1' + '}'.repeat(40), zeros];
  await tw.agent('user_1', {
    answer: ({requestId, tool}, agent) =>
      agent.sendText(`{"type":"tool_response","requestId":"${requestId}","success":true,"result":${results[tool]}}`),
  });
  const stream = tw.caller().dispatch();
  stream.send({calls: results.map((_, id) => ({id, userId: 'user_1', tool: String(id), params: undefined}))});
  for (const id of results.keys()) assert.equal((await stream.answer(id)).response.resultOmitted, false, 'it had no params');
  const caller = tw.caller();
  for (const [i, text] of results.entries()) {
    const {response} = await caller.start({userId: 'user_1', tool: String(i), params: toStruct({})}).outcome;
    assert.equal(response.resultJson.toString(), text);
    assert.equal(response.resultOmitted, text !== zeros);
    if (text === zeros) assert.equal(fromValue(response.result).length, 120_001);
  }
});

claim('messages of repeated and unknown fields are refused before they take memory, and others go on', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const other = tw.caller().dispatch();
  await other.call('user_1', 'echo');
  const before = await memory(tw);
  const fill = (bytes) => Buffer.alloc(16 << 20, Buffer.from(bytes));
  const wrong = [
    ['ToolDispatch/Dispatch', Buffer.alloc(1 << 20, Buffer.from([0x0a, 0]))],  // 500,000 empty calls.
    ['ToolDispatch/Dispatch', fill([0x0a, 0])],
    ['ToolDispatch/Dispatch', fill([0x10, 1])],  // Cancels.
    ['ToolDispatch/Dispatch', fill([0x78, 1])],  // Unknown fields.
    ['ToolDispatch/CallTool', fill([0x78, 1])],
    ['ToolDispatch/WatchAgents', fill([0x0a, 0])],  // Empty user ids.
    ['ToolDispatch/GetAgent', fill([0x78, 1])],
    ['ToolDispatch/ListAgents', fill([0x78, 1])],
    ['AgentAdmin/ListExecutions', fill([0x78, 1])],
    ['AgentAdmin/CreateCredential', fill([0x78, 1])],
  ];
  for (const [method, message] of wrong) {
    const status = send(tw.caller(), method, message);
    assert.equal((await other.call('user_1', 'echo')).code, 0);
    assert.equal((await status).code, code.INVALID_ARGUMENT, `${method}: ${(await status).details}`);
  }
  const grown = (await memory(tw)) - before;
  assert.ok(grown < 150 << 20, `${grown} bytes`);
  assert.equal(await tw.metric('toolwire_control_limit_hits_total', {limit: 'message_calls'}), 4);
  assert.equal(await tw.metric('toolwire_control_limit_hits_total', {limit: 'watch_users'}), 1);
});

const HITS = 'toolwire_control_limit_hits_total';
const held = (tw) => tw.metric('toolwire_control_caller_bytes');
const MiB = 1 << 20;
const large = {answer: () => ({success: true, result: 'x'.repeat(4 * MiB)})};

claim('a caller that does not read large answers: its stream ends, the memory comes back, others go on', async (scope) => {
  const tw = await scope.toolwire({flags: {'stream-unread-bytes-max': 4 * MiB}});
  await tw.agent('user_1', large);
  await tw.agent('user_2');
  const other = tw.caller().dispatch();
  const deaf = tw.caller().dispatch();
  deaf.pause();
  deaf.send({calls: Array.from({length: 50}, (_, id) => ({id, userId: 'user_1', tool: 'large'}))});
  await until('its stream ends', async () => (await tw.metric(HITS, {limit: 'stream_unread_bytes_end'})) === 1);
  assert.equal((await other.call('user_2', 'echo')).code, 0);
  assert.ok((await held(tw)) < 10 * MiB);
  deaf.resume();
  assert.equal((await deaf.ended()).code, code.RESOURCE_EXHAUSTED);
  await tw.idle();
  await until('nothing is held', async () => (await held(tw)) === 0);
});

claim('answers to CallTool that are not read: those who hold most are cut past the total', async (scope) => {
  const tw = await scope.toolwire({flags: {'caller-bytes-max': 16 * MiB}});
  await tw.agent('user_1', large);
  await tw.agent('user_2');
  const session = http2.connect(`${callersTls ? 'https' : 'http'}://127.0.0.1:${tw.ports.callers}`, callersTls);
  scope.own(session);
  const request = Buffer.concat([Buffer.from([10, 6]), Buffer.from('user_1'), Buffer.from([18, 1]), Buffer.from('t')]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(request.length, 1);
  let ended = 0;
  for (let i = 0; i < 20; ++i) {
    const stream = session.request({
      ':method': 'POST', ':path': '/toolwire.v1.ToolDispatch/CallTool', 'content-type': 'application/grpc', te: 'trailers',
    });
    stream.on('error', () => {}).on('close', () => ++ended);
    stream.end(Buffer.concat([head, request]));
  }
  await until('the rest is cut', async () => (await tw.metric(HITS, {limit: 'caller_bytes'})) >= 16);
  await until('the total is kept', async () => (await held(tw)) <= 16 * MiB);
  await tw.idle();
  assert.equal((await tw.caller().call('user_2', 'echo')).code, 0);
  assert.ok((await held(tw)) > 0, 'the others still wait to be read');
  session.destroy();
  await until('nothing is held', async () => (await held(tw)) === 0);
});

claim('watchers that do not read: each keeps its bytes, and all of them go with it', async (scope) => {
  const tw = await scope.toolwire({flags: {'watch-unread-bytes-max': 300_000}});
  const watchers = Array.from({length: 20}, () => tw.caller().watch());
  await Promise.all(watchers.map((one) => one.snapshot()));
  const client = tw.caller().client;
  const deaf = Array.from({length: 20}, () => client.WatchAgents({userIds: ['user_1']}).on('error', () => {}).pause());
  await until('they watch', async () => (await tw.metric('toolwire_control_streams')) === 40);
  for (let i = 0; i < 30; ++i) (await tw.agent('user_1')).destroy();
  await watchers[0].saw('CONNECTED', 'user_1');
  for (const one of [...deaf.map((stream) => () => stream.cancel()), ...watchers.map((watch) => () => watch.stop())]) one();
  await until('nothing is held', async () => (await held(tw)) === 0);
  await until('their streams have ended', async () => (await tw.metric('toolwire_control_streams')) === 0);
});
