// What enters the client: times, names and other values, at every public entry. Nothing that is wrong is sent.
import assert from 'node:assert/strict';
import * as compat from '../dist/compat.mjs';
import {InvalidRequestError, ToolwireAdmin, ToolwireClient} from '../dist/index.mjs';
import {startFake} from './fake_control.js';
import {claim, clientWith, freePort, rejection} from './lib.js';

const HALF = '\ud800';
const LONGEST_MS = 2 ** 31 - 1;
const WRONG_MS = ['60000', NaN, -1, -Infinity, null, {}, true, 5n];

function assertInvalid(error, field) {
  assert.equal(error.constructor, InvalidRequestError, error.stack);
  assert.deepEqual([error.reason, error.delivery, error.field], ['INVALID_REQUEST', 'NOT_SENT', field], error.message);
}
const isTypeError = (error) => assert.equal(error.constructor, TypeError, error.stack);
const msOf = ({seconds, nanos}) => seconds.toNumber() * 1000 + nanos / 1e6;
// Time enough for what does not wait to show it.
async function roundTrips(client) {
  for (let n = 0; n < 50; ++n) await client.getAgent('user_1');
  return 'pending';
}
const all = async (iterator) => {
  const found = [];
  for await (const one of iterator) found.push(one);
  return found;
};

claim('timeoutMs: Infinity, 3e9 and 1e300 are as long as the server allows; what is no time is refused', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  for (const timeoutMs of [3e9, Infinity, 1e300, LONGEST_MS + 1]) {
    await client.callTool('user_1', 'echo', {}, {timeoutMs});
    const sent = msOf(fake.calls.at(-1).call.timeout);
    assert.ok(sent > LONGEST_MS - 60_000 && sent <= LONGEST_MS, `${timeoutMs} is sent as ${sent}`);
    const other = clientWith(scope, {address: fake.address, timeoutMs});
    await other.callTool('user_1', 'echo');
    assert.ok(msOf(fake.calls.at(-1).call.timeout) <= LONGEST_MS);
  }
  fake.calls.length = 0;
  for (const timeoutMs of [...WRONG_MS, 0]) {
    assertInvalid(await rejection(client.callTool('user_1', 'echo', {}, {timeoutMs})), 'timeout');
    assert.throws(() => new ToolwireClient({address: fake.address, timeoutMs}), TypeError);
    for (const name of ['controlWaitMs', 'silenceCloseMs']) {
      assert.throws(() => new ToolwireClient({address: fake.address, [name]: timeoutMs}), TypeError);
    }
  }
  assert.equal(fake.calls.length, 0);
});

claim('waitForAgentMs: Infinity and 3e9 wait, for as long as the call has', async (scope) => {
  const failure = {code: 14, message: 'no agent', detail: {reason: 1, delivery: 1}};
  const fake = await startFake(scope, {answer: (calls) => calls.map(({id}) => ({id, failure}))});
  const client = clientWith(scope, {address: fake.address});
  const warnings = [];
  const warned = ({name}) => warnings.push(name);
  process.on('warning', warned);
  scope.own({close: () => process.off('warning', warned)});
  for (const waitForAgentMs of [Infinity, 3e9, 1e300]) {
    const call = rejection(client.callTool('user_1', 'echo', {}, {waitForAgentMs, timeoutMs: Infinity}));
    assert.equal(await Promise.race([call, roundTrips(client)]), 'pending');
  }
  assert.equal(fake.calls.length, 3, 'they wait for the watch, and are not sent again');
  for (const waitForAgentMs of WRONG_MS) {
    assertInvalid(await rejection(client.callTool('user_1', 'echo', {}, {waitForAgentMs})), 'wait_for_agent');
  }
  await new Promise(setImmediate);
  assert.deepEqual(warnings.filter((name) => name === 'TimeoutOverflowWarning'), []);
});

claim('close: drainMs Infinity waits until all calls have ended; what is no time is a TypeError', async (scope) => {
  let answer;
  const fake = await startFake(scope, {answer: (calls, stream) => {
    answer = () => stream.write({answers: [{id: calls[0].id, response: {requestId: 'r', success: true}}]});
  }});
  for (const drainMs of [Infinity, 3e9, 1e300]) {
    answer = undefined;
    const client = clientWith(scope, {address: fake.address});
    const call = client.callTool('user_1', 'slow');
    call.catch(() => {});
    while (!answer) await new Promise(setImmediate);
    const closed = client.close({drainMs}).then(() => 'closed');
    assert.equal(await Promise.race([closed, roundTrips(clientWith(scope, {address: fake.address}))]), 'pending');
    answer();
    assert.equal((await call).success, true);
    await closed;
  }
  const client = clientWith(scope, {address: fake.address});
  for (const drainMs of WRONG_MS) isTypeError(await rejection(client.close({drainMs})));
});

claim('requestId, userId, tool: what is no text is refused, and ends neither the process nor another call', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  for (const wrong of [42, null, {}, [], true, Symbol('x'), 5n, () => 'x', Buffer.from('x')]) {
    const good = client.callTool('user_1', 'echo', {n: 1});
    assertInvalid(await rejection(client.callTool('user_1', 'echo', {}, {requestId: wrong})), 'request_id');
    assertInvalid(await rejection(client.callTool(wrong, 'echo')), 'user_id');
    assertInvalid(await rejection(client.callTool('user_1', wrong)), 'tool');
    assertInvalid(await rejection(client.getAgent(wrong)), 'user_id');
    assert.deepEqual((await good).result, {n: 1});
  }
  assert.equal(fake.calls.length, 9);
});

claim('half a surrogate pair in userId, tool, requestId and the text of params is refused: it cannot arrive untouched', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  for (const half of [HALF, '\udc00', `a${HALF}b`, `ü${HALF}`, '\udc00\ud800']) {
    assertInvalid(await rejection(client.callTool(half, 'echo')), 'user_id');
    assertInvalid(await rejection(client.callTool('user_1', half)), 'tool');
    assertInvalid(await rejection(client.callTool('user_1', 'echo', {}, {requestId: half})), 'request_id');
    assertInvalid(await rejection(client.callTool('user_1', 'echo', `{"a":"${half}"}`)), 'params_json');
    assertInvalid(await rejection(client.getAgent(half)), 'user_id');
    assert.throws(() => client.watchAgents({userIds: ['user_1', half]}), TypeError);
    const own = clientWith(scope, {address: fake.address, stringify: () => `{"a":"${half}"}`});
    assertInvalid(await rejection(own.callTool('user_1', 'echo', {})), 'params_json');
  }
  assert.deepEqual([fake.calls, fake.requests], [[], []]);
  // In an object JSON has a way to write it.
  assert.deepEqual((await client.callTool('👩‍💻', '用户', {[HALF]: HALF}, {requestId: '👩'})).result, {[HALF]: HALF});
});

claim('a watch of an id that no user can have is a TypeError before anything is sent, and other watches go on', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  for (const wrong of ['', 'a\nb', '\0', '\x7f', 'x'.repeat(257), HALF, 5, null]) {
    const good = client.watchAgents({userIds: ['user_1']});
    assert.throws(() => client.watchAgents({userIds: ['user_1', wrong]}), (error) => {
      isTypeError(error);
      assert.match(error.message, /^userIds\[1\] /);
      return true;
    });
    assert.equal((await good.next()).value.kind, 'snapshot');
    await good.return();
  }
  for (const userId of ['x'.repeat(256), ' ', '\x80', 'ü'.repeat(128)]) {
    assert.equal((await client.watchAgents({userIds: [userId]}).next()).value.kind, 'snapshot');
  }
});

claim('a name of more than 256 bytes is refused; one of 256 is sent', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  for (const name of ['x'.repeat(257), 'ü'.repeat(129), '用'.repeat(86), 'x'.repeat(70 << 20)]) {
    assertInvalid(await rejection(client.callTool(name, 'echo')), 'user_id');
    assertInvalid(await rejection(client.callTool('user_1', name)), 'tool');
    assertInvalid(await rejection(client.callTool('user_1', 'echo', {}, {requestId: name})), 'request_id');
  }
  for (const name of ['x'.repeat(256), 'ü'.repeat(128), '用'.repeat(85)]) await client.callTool(name, name, {}, {requestId: name});
  assert.equal(fake.calls.length, 3);
});

claim('addresses with a scheme of the web or without a port are a TypeError of the constructor, and of compat', async () => {
  const wrong = [
    'http://127.0.0.1:50051', 'https://control.example.com', 'grpc://control:50051', 'control', 'control:', ':50051', '127.0.0.1',
    'control:0', 'control:65536', 'control:port', '::1:50051', '[::1]', '[::1', 'a b:1', 'control:1/path', 'user:secret@control:1',
    'http://user:secret@control:1', 5, {}, [5], [], '', ' , ', ['control:1', 'control'], null,
  ];
  for (const address of wrong) {
    for (const make of [
      () => new ToolwireClient({address}), () => new ToolwireAdmin({address}), () => compat.configure({address})]) {
      if (address === '' || address === null) continue;
      assert.throws(make, (error) => {
        isTypeError(error);
        assert.match(error.message, /^address: /);
        assert.ok(!error.message.includes('secret'), error.message);
        return true;
      }, JSON.stringify(address));
    }
  }
  const right = [
    'control:1', 'control.example.com:50051', '127.0.0.1:65535', '[::1]:50051', '[fe80::1%eth0]:1', 'dns:control:1', 'dns:///control:1',
    'ipv4:127.0.0.1:1', 'ipv6:[::1]:1', 'unix:/run/toolwire.sock', 'unix:///run/toolwire.sock', 'control_1:1', 'a:1, b:2,', ['a:1', ' b:2']];
  for (const address of right) {
    await new ToolwireClient({address}).close();
    compat.configure({address});
  }
  process.env.TOOLWIRE_ADDRESS = 'http://control:1';
  try {
    assert.throws(() => new ToolwireClient(), /^TypeError: address: host:port, not "http:\/\/control:1"; without http:\/\/, TLS is the option tls$/);
  } finally {
    delete process.env.TOOLWIRE_ADDRESS;
  }
  compat.configure({});
});

claim('options of a wrong kind are a TypeError that names them, in client, admin and compat', async () => {
  const wrong = {
    callsInFlightMax: [0, -1, 0.5, NaN, '5', null], callsQueuedMax: [0, 1.5, '5'], paramsBytesMax: [0, -1, '5', NaN],
    stringify: [5, 'x', null], parse: [5, {}], plainToken: ['false', 1, null], tls: ['false', 1, null, {ca: 5}, {serverName: 5}], tokenFile: [0, {}],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const make = [() => new ToolwireClient({[name]: value})];
      if (['plainToken', 'tls', 'tokenFile'].includes(name)) make.push(() => new ToolwireAdmin({[name]: value}));
      if (name !== 'tls' && name !== 'tokenFile') make.push(() => compat.configure({[name]: value}));
      for (const one of make) {
        assert.throws(one, (error) => error instanceof TypeError && error.message.startsWith(name), `${name}: ${String(value)}`);
      }
    }
  }
  await new ToolwireClient({callsInFlightMax: Infinity, callsQueuedMax: Infinity, paramsBytesMax: Infinity}).close();
});

claim('a number or text in place of options is a TypeError, and not taken for none', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  const admin = scope.own(new ToolwireAdmin({address: fake.address}));
  for (const wrong of [5000, 'timeout', null, true, () => {}]) {
    for (const one of [
      () => new ToolwireClient(wrong), () => new ToolwireAdmin(wrong), () => compat.configure(wrong), () => client.watchAgents(wrong),
      () => client.listAgents(wrong)]) {
      assert.throws(one, {name: 'TypeError', message: /^options: an object, not /});
    }
    for (const one of [
      () => client.callTool('user_1', 'echo', {}, wrong), () => client.close(wrong), () => admin.createCredential('user_1', wrong),
      () => admin.rotateCredential('user_1', wrong), () => admin.listCredentials(wrong).next(), () => admin.listExecutions(wrong).next()]) {
      await assert.rejects(one, {name: 'TypeError', message: /^options: an object, not /});
    }
  }
  assert.deepEqual([fake.calls, fake.requests], [[], []]);
  await client.callTool('user_1', 'echo');
});

claim('watchAgents({userIds: [5]}) is a TypeError, and so is every list that is none', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  for (const userIds of [[5], ['user_1', null], [['user_1']], 'user_1', {}, 5, null, new Set(['user_1'])]) {
    assert.throws(() => client.watchAgents({userIds}), /^TypeError: userIds/);
  }
  assert.equal(fake.watchesBegun, 0);
});

claim('listAgents: a page size or an edge that is none is refused', async (scope) => {
  const fake = await startFake(scope);
  const client = clientWith(scope, {address: fake.address});
  for (const pageSize of ['5', 1.5, NaN, null, {}]) assertInvalid(await rejection(all(client.listAgents({pageSize}))), 'page_size');
  for (const serverId of [5, HALF, null]) assertInvalid(await rejection(all(client.listAgents({serverId}))), 'server_id');
  assert.deepEqual(fake.requests, []);
  for (const [pageSize, sent] of [[Infinity, 2 ** 31 - 1], [2 ** 40, 2 ** 31 - 1], [7, 7], [undefined, 0], [-1, -1]]) {
    await all(client.listAgents({pageSize}));
    assert.equal(fake.requests.at(-1).pageSize ?? 0, sent);
  }
});

claim('admin: names, times and page sizes that are none are refused, and times are cut to what a Timestamp holds', async (scope) => {
  const fake = await startFake(scope);
  const admin = scope.own(new ToolwireAdmin({address: fake.address}));
  for (const wrong of [5, null, undefined, HALF, 'x'.repeat(257)]) {
    for (const method of ['createCredential', 'rotateCredential', 'revokeCredential', 'disconnectAgent']) {
      assertInvalid(await rejection(admin[method](wrong)), 'user_id');
    }
  }
  assertInvalid(await rejection(admin.createCredential('user_1', {platform: 'amiga'})), 'platform');
  isTypeError(await rejection(admin.rotateCredential('user_1', {keepSession: 'false'})));
  assertInvalid(await rejection(all(admin.listCredentials({pageSize: '5'}))), 'page_size');
  assertInvalid(await rejection(all(admin.listExecutions({userId: 5}))), 'user_id');
  for (const moment of [NaN, new Date(NaN), '2026-01-01', null, {}, 5n]) {
    assertInvalid(await rejection(all(admin.listExecutions({from: moment}))), 'from');
    assertInvalid(await rejection(all(admin.listExecutions({until: moment}))), 'until');
  }
  assert.deepEqual(fake.requests, []);
  await all(admin.listExecutions({from: -Infinity, until: Infinity}));
  const [{from, until}] = fake.requests;
  assert.deepEqual([from.seconds.toNumber(), until.seconds.toNumber()], [-62135596800, 253402300799]);
  for (const ms of [0, 1.5, -1, 1e15, 1767225600000.9999]) {
    await all(admin.listExecutions({from: ms}));
    const sent = fake.requests.at(-1).from;
    assert.ok(sent.nanos >= 0 && sent.nanos < 1e9, `${ms}: ${sent.nanos}`);
  }
});

claim('compat: what is wrong with a call is said by its cause, and nothing is sent', async (scope) => {
  const fake = await startFake(scope);
  await compat.disconnect();
  compat.configure({address: fake.address});
  scope.own({close: () => compat.disconnect()});
  for (const timeout of WRONG_MS) assertInvalid((await rejection(compat.sendToolCall('user_1', {tool: 'echo', timeout}))).cause, 'timeout');
  assertInvalid((await rejection(compat.sendToolCall(5, {tool: 'echo'}))).cause, 'user_id');
  assertInvalid((await rejection(compat.sendToolCall('user_1', {tool: HALF}))).cause, 'tool');
  isTypeError(await rejection(compat.sendToolCall('user_1', {tool: 'echo', params: new Map([['a', 1]])})));
  assertInvalid(await rejection(compat.isAgentConnected(5)), 'user_id');
  assertInvalid(await rejection(compat.getAgentServer(HALF)), 'user_id');
  assert.deepEqual([fake.calls, fake.requests], [[], []]);
  assert.equal((await compat.sendToolCall('user_1', {tool: 'echo', timeout: Infinity})).success, true);
});

claim('a client without a control: what is wrong is refused at once, and not when the control comes', async (scope) => {
  const client = clientWith(scope, {address: `127.0.0.1:${await freePort()}`, controlWaitMs: Infinity});
  assertInvalid(await rejection(client.callTool('user_1', 'echo', {}, {requestId: 42})), 'request_id');
  assertInvalid(await rejection(client.getAgent(5)), 'user_id');
});
