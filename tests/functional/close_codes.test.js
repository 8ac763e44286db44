// How sessions end: each close code of the agents' protocol, and who gets it.
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {open, truncate} from 'node:fs/promises';
import path from 'node:path';
import {resultOf} from './lib/caller.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

const basic = (text) => ({headers: {Authorization: `Basic ${Buffer.from(text).toString('base64')}`}});
const writeAheadLog = (tw) => path.join(tw.dataDir, 'toolwire.db-wal');

claim('missing credentials: upgraded, then closed with 1008 `Missing credentials`', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user_1');
  const attempts = [
    [''], ['?'], ['?userId=user_1'], [`?secret=${secret}`], ['?userId=&secret=x'], ['?userId=user_1&secret='],
    [`?userid=user_1&secret=${secret}`],
    ['?userId=user_1', {headers: {Authorization: 'Bearer '}}], ['', {headers: {Authorization: `Bearer ${secret}`}}],
    ['?userId=user_1', {headers: {Authorization: secret}}],
    ['', {headers: {Authorization: 'Basic !!!'}}], ['', basic('user_1')], ['', basic('user_1:')], ['', basic(`:${secret}`)],
  ];
  for (const [query, options] of attempts) {
    const agent = tw.dial(query, options);
    const close = await agent.closed();
    const what = `${query} ${JSON.stringify(options ?? {})}`.replaceAll(secret, 'SECRET');
    assert.deepEqual(close, {code: 1008, reason: 'Missing credentials'}, what);
    assert.ok(agent.opened, `${what}: upgraded first`);
    assert.deepEqual(agent.frames, [], what);
  }
});

claim('wrong credentials: closed with 1008 `Invalid credentials`, whatever is wrong with them', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user_1');
  const others = await tw.secret('user_2');
  const hash = `sha256:${createHash('sha256').update(secret).digest('hex')}`;
  const attempts = [
    ['nobody', secret], ['user_1', others], ['user_1', secret.slice(0, -1)], ['user_1', `${secret}0`],
    ['user_1', secret.toUpperCase()], ['user_1', hash], ['user_1', hash.slice(7)], ['user_1', ' '], ['user_1', "' OR '1'='1"],
    ['user_1\u0000', secret], ['user_1\n', secret], ['x'.repeat(256), secret], ['x'.repeat(257), secret], ['USER_1', secret], ['user_1 ', secret],
  ];
  for (const [userId, wrong] of attempts) {
    const agent = tw.dial(tw.loginQuery(userId, wrong));
    assert.deepEqual(await agent.closed(), {code: 1008, reason: 'Invalid credentials'}, `${userId} ${wrong}`);
    assert.deepEqual(agent.frames, []);
  }
  const bearer = tw.dial('?userId=user_1', {headers: {Authorization: `Bearer ${others}`}});
  assert.equal((await bearer.closed()).reason, 'Invalid credentials');
  await tw.agent('user_1');  // The right ones still work.
});

claim('a user id that is not UTF-8 is a wrong one', async (scope) => {
  const tw = await scope.toolwire();
  const agent = tw.dial('?userId=%ff%fe&secret=x');
  assert.deepEqual(await agent.closed(), {code: 1008, reason: 'Invalid credentials'});
});

claim('after too many wrong credentials an address is rejected with 1013, not before', async (scope) => {
  const tw = await scope.toolwire({flags: {'failed-logins-per-minute-max': 3}});
  for (let i = 0; i < 3; ++i) assert.equal((await tw.dial('?userId=u&secret=wrong').closed()).code, 1008);
  const agent = tw.dial(tw.loginQuery('user_1', await tw.secret('user_1')));
  assert.equal((await agent.closed()).code, 1013);
  assert.equal(await tw.metric('toolwire_edge_limit_hits_total', {limit: 'failed_logins'}), 1);
});

claim('behind a trusted proxy each client fails for itself, and nobody else is believed', async (scope) => {
  const flags = {'failed-logins-per-minute-max': 3, 'trusted-proxies': '127.0.0.0/8'};
  const tw = await scope.toolwire({flags});
  const query = tw.loginQuery('user_1', await tw.secret('user_1'));
  const from = (client) => ({headers: {'X-Forwarded-For': client, Forwarded: 'for=192.0.2.99'}});
  for (let i = 0; i < 3; ++i) {
    const agent = tw.dial('?userId=u&secret=wrong', from(`10.0.0.${i}, 192.0.2.1`));
    assert.equal((await agent.closed()).code, 1008);
  }
  assert.equal((await tw.dial(query, from('192.0.2.1')).closed()).code, 1013, 'the one that failed');
  const other = tw.dial(query, from('192.0.2.2'));
  await other.connected();
  await until('it is logged by its own address', () => tw.processes[0].lines.some((line) =>
    line.includes('"agent connected"') && line.includes('"address":"192.0.2.2"')));

  const untrusting = await scope.toolwire({flags: {'failed-logins-per-minute-max': 3}});
  for (let i = 0; i < 3; ++i) {
    assert.equal((await untrusting.dial('?userId=u&secret=wrong', from(`192.0.2.${i}`)).closed()).code, 1008);
  }
  assert.equal((await untrusting.dial('?userId=u&secret=wrong', from('192.0.2.8')).closed()).code, 1013);
});

claim('a store that cannot be read: 1013 and not 1008, and the edge goes on', async (scope) => {
  const tw = await scope.toolwire();
  const first = await tw.agent('user_1');
  const query = tw.loginQuery('user_2', await tw.secret('user_2'));
  await truncate(writeAheadLog(tw), 0);  // Reads end early, as on a disk that fails.
  const close = await tw.dial(query).closed();
  assert.equal(close.code, 1013, close.reason);
  assert.ok(await tw.metric('toolwire_edge_store_errors_total') >= 1);
  assert.equal((await tw.caller().call('user_1', 'echo')).code, 0, 'agents that are connected stay');
  assert.equal(first.closeFrame, undefined);
});

claim('a store that is damaged: 1011 or 1013, never 1008', async (scope) => {
  const tw = await scope.toolwire();
  const query = tw.loginQuery('user_1', await tw.secret('user_1'));
  const file = await open(writeAheadLog(tw), 'r+');
  const {size} = await file.stat();
  await file.write(Buffer.alloc(size, 0x5a), 0, size, 0);
  await file.close();
  const close = await tw.dial(query).closed();
  assert.ok([1011, 1013].includes(close.code), `${close.code} ${close.reason}`);
});

claimInBoth('a second connection closes the first with 4001, and calls go to the second', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const first = await tw.agent('user_1', {answer: () => ({success: true, result: 'first'})});
  const caller = tw.caller();
  assert.equal(resultOf(await caller.call('user_1', 'who')), 'first');
  await tw.agent('user_1', {answer: () => ({success: true, result: 'second'})});
  for (let i = 0; i < 20; ++i) assert.equal(resultOf(await caller.call('user_1', 'who')), 'second');
  assert.equal((await first.closed()).code, 4001);
  assert.equal(resultOf(await caller.call('user_1', 'who')), 'second', 'also when the first is gone');
  assert.equal(await tw.metric('toolwire_edge_sessions'), 1);
});

claimInBoth('of 20 connections of one user in the same tick one stays, the others get 4001, and it gets the calls', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'io-threads': 2}});
  const query = tw.loginQuery('user_1', await tw.secret('user_1'));
  const caller = tw.caller();
  for (let round = 0; round < 5; ++round) {
    const agents = [];
    for (let i = 0; i < 20; ++i) agents.push(tw.dial(query, {answer: () => ({success: true, result: `${round}.${i}`})}));
    await until('19 of 20 are closed', () => agents.filter((agent) => agent.closeFrame).length === 19);
    for (const agent of agents) {
      if (agent.closeFrame) assert.equal(agent.closeFrame.code, 4001, agent.closeFrame.reason);
    }
    const stayed = agents.findIndex((agent) => !agent.closeFrame);
    await agents[stayed].connected();
    for (let i = 0; i < 20; ++i) assert.equal(resultOf(await caller.call('user_1', 'who')), `${round}.${stayed}`);
    assert.equal(agents[stayed].closeFrame, undefined);
    assert.equal(agents.filter((agent) => agent.closeFrame).length, 19);
  }
});

const BAD_FRAMES = [
  'not JSON', '', '{', '[]', '1', 'null', '"heartbeat"', '{}', '{"type":1}', '{"type":null}', '{"type":["heartbeat"]}',
  '{"type":"heartbeat"} {"type":"heartbeat"}', "{'type':'heartbeat'}",
  '{"type":"heartbeat","timestamp":"now"}',
  '{"type":"tool_response","success":true}',
  '{"type":"tool_response","requestId":7,"success":true}',
  '{"type":"tool_response","requestId":null,"success":true}',
  '{"type":"tool_response","requestId":"r"}',
  '{"type":"tool_response","requestId":"r","success":"true"}',
  '{"type":"tool_response","requestId":"r","success":1}',
  '{"type":"tool_response","requestId":"r","success":true,"error":{"message":"no"}}',
  '{"type":"tool_response","requestId":"r","success":true,"executionTime":"5"}',
  '{"type":"tool_response","requestId":"r","success":true,"result":{"a":}}',
];

claim('frames that do not parse, and known frames with wrong types, count as bad frames', async (scope) => {
  const tw = await scope.toolwire({flags: {'bad-frames-per-minute-max': 1000}});
  const agent = await tw.agent('user_1');
  for (const [index, text] of BAD_FRAMES.entries()) {
    agent.sendText(text);
    await agent.roundTrip();
    assert.equal(await tw.metric('toolwire_edge_bad_frames_total'), index + 1, text);
  }
});

claim('nine bad frames within a minute are borne, the tenth closes the session with 1008', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  for (let i = 0; i < 9; ++i) agent.sendText('not JSON');
  await agent.roundTrip();
  assert.equal((await tw.caller().call('user_1', 'echo')).code, 0);
  agent.sendText('not JSON');
  assert.equal((await agent.closed()).code, 1008);
});

claim('as many unmatched answers as a minute allows are borne, one more closes the session with 1008', async (scope) => {
  const tw = await scope.toolwire({flags: {'strays-per-minute-max': 5, 'stray-bytes-per-minute-max': 1 << 20}});
  const agent = await tw.agent('user_1');
  for (let i = 0; i < 5; ++i) agent.respond('never asked', {success: true, result: i});
  await agent.roundTrip();
  assert.equal((await tw.caller().call('user_1', 'echo')).code, 0);
  agent.respond('never asked', {success: true, result: 5});
  assert.deepEqual(await agent.closed(), {code: 1008, reason: 'Too many unmatched answers'});
  const next = await tw.agent('user_1');
  next.respond('never asked', {success: true, result: 'x'.repeat(1 << 20)});
  assert.equal((await next.closed()).code, 1008);
  for (const limit of ['strays', 'stray_bytes']) {
    assert.equal(await tw.metric('toolwire_edge_limit_hits_total', {limit}), 1, limit);
  }
});

claim('text that is not UTF-8 closes the session with 1007', async (scope) => {
  const tw = await scope.toolwire();
  const wrong = Buffer.concat([Buffer.from('{"type":"heartbeat","x":"'), Buffer.from([0xff]), Buffer.from('"}')]);
  const whole = await tw.agent('user_1');
  whole.sendBytesAsText(wrong);
  assert.equal((await whole.closed()).code, 1007);
  const fragmented = await tw.agent('user_1');
  fragmented.sendBytesAsText(wrong.subarray(0, 25), {last: false});
  fragmented.sendBytesAsText(wrong.subarray(25));
  assert.equal((await fragmented.closed()).code, 1007);
});

claim('characters that are split between fragments are whole again', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', {
    answer: ({requestId}, self) => {
      const bytes = Buffer.from(JSON.stringify({type: 'tool_response', requestId, success: true, result: 'ü€😀'}));
      for (let i = 0; i < bytes.length; ++i) self.sendBytesAsText(bytes.subarray(i, i + 1), {last: i === bytes.length - 1});
    },
  });
  assert.equal(resultOf(await tw.caller().call('user_1', 'any')), 'ü€😀');
  assert.equal(agent.closeFrame, undefined);
});

claim('a frame over the limit closes the session with 1009 and is counted', async (scope) => {
  const tw = await scope.toolwire({flags: {'payload-bytes-max': 100_000}});
  const agent = await tw.agent('user_1');
  agent.send({type: 'heartbeat', padding: 'x'.repeat(100_000 + 65536)});
  assert.equal((await agent.closed()).code, 1009);
  assert.equal(await tw.metric('toolwire_edge_limit_hits_total', {limit: 'frame_bytes'}), 1);
});

claim('a silent agent is closed after the heartbeat timeout, one with heartbeats stays', async (scope) => {
  const tw = await scope.toolwire({flags: {'heartbeat-interval': 300, 'heartbeat-timeout': 3000}});
  const silent = await tw.agent('silent');
  const lively = await tw.agent('lively');
  const beats = setInterval(() => lively.heartbeat(), 300);
  try {
    assert.equal((await silent.closed()).code, 4002);
  } finally {
    clearInterval(beats);
  }
  assert.equal(lively.closeFrame, undefined);
  assert.equal((await tw.caller().call('silent', 'echo')).reason, 'AGENT_NOT_CONNECTED');
  assert.equal((await tw.caller().call('lively', 'echo')).code, 0);
  assert.equal(await tw.metric('toolwire_edge_heartbeat_timeouts_total'), 1);
});

claim('a socket that does not log in is closed after the login timeout', async (scope) => {
  const tw = await scope.toolwire({flags: {'login-timeout': 200}});
  for (const begin of ['', 'GET / HTTP/1.1\r\nHost: x\r\n']) {
    const socket = tw.connect();
    socket.on('error', () => {}).resume().write(begin);
    await within('the socket is closed', new Promise((resolve) => socket.on('close', resolve)));
  }
});

claim('on SIGTERM agents get 1001', async (scope) => {
  const tw = await scope.toolwire();
  const agents = [await tw.agent('user_1'), await tw.agent('user_2')];
  await tw.stop();
  for (const agent of agents) assert.equal((await agent.closed()).code, 1001);
});

claim('over the limit of sessions an agent is rejected with 1013 until another one leaves', async (scope) => {
  const tw = await scope.toolwire({flags: {'sessions-max': 2}});
  const first = await tw.agent('user_1');
  const second = await tw.agent('user_2');
  const query = tw.loginQuery('user_3', await tw.secret('user_3'));
  assert.equal((await tw.dial(query).closed()).code, 1013);
  assert.equal(await tw.metric('toolwire_edge_limit_hits_total', {limit: 'sessions'}), 1);
  await first.close();
  await tw.agent('user_3');
  assert.equal(second.closeFrame, undefined);
});

claimInBoth('of many right logins at once only as many get in as the limit of sessions, and `/health` answers', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'sessions-max': 5}});
  const users = Array.from({length: 40}, (_, i) => `user_${i}`);
  const secrets = await Promise.all(users.map((user) => tw.secret(user)));
  const agents = users.map((user, i) => tw.dial(tw.loginQuery(user, secrets[i])));
  await until('all are decided', () => agents.every((agent) => agent.closeFrame || agent.of('connected').length > 0));
  const closed = agents.filter((agent) => agent.closeFrame);
  assert.equal(closed.length, 35);
  for (const {closeFrame} of closed) assert.deepEqual(closeFrame, {code: 1013, reason: 'Edge is full'});
  assert.equal(await tw.metric('toolwire_edge_sessions'), 5);
  assert.equal((await tw.http('/health')).status, 200);
});

claimInBoth('at the limit of sessions a user may still replace their own session, also many times', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'sessions-max': 2}});
  const other = await tw.agent('user_1');
  let old = await tw.agent('user_2', {answer: () => ({success: true, result: 0})});
  const caller = tw.caller();
  for (let round = 1; round <= 10; ++round) {
    const replacement = await tw.agent('user_2', {answer: () => ({success: true, result: round})});
    assert.equal(resultOf(await caller.call('user_2', 'who')), round);
    assert.equal((await old.closed()).code, 4001);
    old = replacement;
  }
  assert.equal(other.closeFrame, undefined, 'nobody else had to leave');
  assert.equal(await tw.metric('toolwire_edge_sessions'), 2);
  assert.equal(await tw.metric('toolwire_edge_limit_hits_total', {limit: 'sessions'}) ?? 0, 0);
  // The room of the sessions that were replaced is not counted twice, nor given back twice.
  assert.equal((await tw.dial(tw.loginQuery('user_3', await tw.secret('user_3'))).closed()).code, 1013);
  await old.close();
  await tw.agent('user_3');
  assert.equal((await tw.dial(tw.loginQuery('user_2', await tw.secret('user_2'))).closed()).code, 1013);
});
