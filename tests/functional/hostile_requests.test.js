// Requests on the agents' port that a proxy and an edge could read differently, that are too long, or that never end.
import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {claim} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

// All that the edge sends to these bytes, once it has closed the connection.
function answerTo(tw, bytes) {
  const socket = tw.connect();
  let text = '';
  socket.setEncoding('latin1').on('data', (more) => (text += more)).on('error', () => {});
  socket.write(bytes, 'latin1');
  return within('the connection is closed', new Promise((resolve) => socket.on('close', () => resolve(text))));
}
const statuses = (answer) => [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
const request = (...headers) => ['GET /health HTTP/1.1', 'Host: x', ...headers, '', ''].join('\r\n');
const upgrade = (query, ...headers) => [
  `GET /${query} HTTP/1.1`, 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`, ...headers, '', ''].join('\r\n');
const WRONG = '?userId=u&secret=wrong';

claim('a header that proxies do not know as theirs is not read as one: the request is refused', async (scope) => {
  const tw = await scope.toolwire({flags: {'trusted-proxies': '127.0.0.0/8', 'failed-logins-per-minute-max': 3}});
  for (const smuggled of [
    'X-Forwarded-For : 192.0.2.9', 'X-Forwarded-For\t: 192.0.2.9', 'X-A: b\r\n X-Forwarded-For: 192.0.2.9',
    'X-A: b\nX-Forwarded-For: 192.0.2.9', 'X-A: b\rX-Forwarded-For: 192.0.2.9', 'X-Forwarded-For: 192.0.2.9\0, 192.0.2.1',
  ]) {
    assert.deepEqual(statuses(await answerTo(tw, upgrade(WRONG, 'X-Forwarded-For: 192.0.2.1', smuggled))), [400], smuggled);
  }
  // Nothing was asked of the store, and so nothing failed.
  for (let i = 0; i < 3; ++i) {
    assert.deepEqual(statuses(await answerTo(tw, upgrade(WRONG, 'X-Forwarded-For: 192.0.2.1'))), [101]);
  }
  await tw.edge.saw('login refused');
  const addresses = tw.edge.logged('login refused').map(({address}) => address);
  assert.deepEqual([...new Set(addresses)], ['192.0.2.1']);
});

claim('a connection carries one request, whatever lengths it names: what follows is not answered', async (scope) => {
  const tw = await scope.toolwire();
  const next = request();
  for (const [what, bytes] of Object.entries({
    'two requests': next + next,
    'a body': request('Content-Length: 4') + `abcd${next}`,
    'the longest body': request('Content-Length: 1024') + `${'x'.repeat(1024)}${next}`,
    'a body that is longer than said': request('Content-Length: 1') + `abcd${next}`,
    'a length that is there twice': request('Content-Length: 4', 'Content-Length: 4') + `abcd${next}`,
    'a connection to keep': request('Connection: keep-alive') + next,
  })) {
    const answer = await answerTo(tw, bytes);
    assert.deepEqual(statuses(answer), [200], what);
    assert.match(answer, /^Connection: close\r$/mi, what);
  }
  for (const [expected, fields, body] of [
    [400, ['Content-Length: 4', 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
    [400, ['Transfer-Encoding: chunked', 'Content-Length: 400'], `0\r\n\r\n${next}${'x'.repeat(400)}`],
    [400, ['Content-Length: -1'], ''],
    [413, ['Content-Length: 1025'], ''],
    [413, ['Content-Length: 99999999999999999999'], ''],
  ]) {
    assert.deepEqual(statuses(await answerTo(tw, request(...fields) + body + next)), [expected], fields.join());
  }
});

claim('a request of up to 16,000 bytes is read, a longer one is refused, and none of it is kept', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const room = 15_900;
  assert.deepEqual(statuses(await answerTo(tw, request(`X-A: ${'b'.repeat(room - request().length)}`))), [200]);
  for (const bytes of [
    request(`X-A: ${'b'.repeat(16_000)}`), request(...Array(3000).fill('A: b')), `GET /${'b'.repeat(16_000)} HTTP/1.1\r\n`,
    upgrade(`?userId=${'b'.repeat(16_000)}&secret=x`), request().slice(0, -2) + 'X-A: ' + 'b'.repeat(1 << 20),
  ]) {
    assert.deepEqual(statuses(await answerTo(tw, bytes)), [431], bytes.slice(0, 60));
  }
});

claim('a request that comes byte by byte is closed at the login timeout, however long it goes on', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'login-timeout': 1000}});
  const sockets = Array.from({length: 20}, () => tw.connect());
  const ends = sockets.map((socket) => new Promise((resolve) => socket.on('error', () => {}).resume().on('close', resolve)));
  const bytes = request(`X-A: ${'b'.repeat(10_000)}`);
  let at = 0;
  const dripping = setInterval(() => {
    for (const socket of sockets) if (!socket.destroyed) socket.write(bytes[at]);
    ++at;
  }, 20);
  try {
    await within('all are closed', Promise.all(ends));
  } finally {
    clearInterval(dripping);
  }
  assert.equal(await tw.metric('toolwire_edge_limit_hits_total', {limit: 'login_time'}), 20);
  await tw.agent('user_1');
});

claim('compression that an agent offers is not taken, and a compressed frame ends its session', async (scope) => {
  const tw = await scope.toolwire();
  const query = tw.loginQuery('user_1', await tw.secret('user_1'));
  for (const offer of ['permessage-deflate; client_max_window_bits', 'x-webkit-deflate-frame', '"; ;;']) {
    const answer = await answerTo(tw, upgrade(WRONG, `Sec-WebSocket-Extensions: ${offer}`));
    assert.deepEqual(statuses(answer), [101], offer);
    assert.doesNotMatch(answer, /Sec-WebSocket-Extensions/i);
  }
  const agent = tw.dial(query);
  await agent.connected();
  await agent.writeRaw(Buffer.from([0xc1, 0x81, 0, 0, 0, 0, 0x7b]));
  assert.equal((await agent.closed()).code, 1002);
});

claim('frames that break the protocol leave some lines a second, with the number of the others', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const users = Array.from({length: 20}, (_, i) => `user_${i}`);
  await tw.secrets('user_', users.length);
  const lines = () => tw.edge.logged('agent broke the protocol');
  await until('a line says how many others there were', async () => {
    const agents = await Promise.all(users.map((user) => tw.agent(user)));
    for (const agent of agents) await agent.writeRaw(Buffer.from([0xf3, 0x80, 0, 0, 0, 0]));
    await Promise.all(agents.map((agent) => agent.closed()));
    return lines().some(({others}) => others > 0);
  });
  assert.ok(lines().every(({code}) => code === 1002));
});

claim('an agent that sends frames without end and reads the answers costs other agents no call', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'io-threads': 1}});
  await tw.agent('user_2');
  const calls = tw.caller().dispatch();
  const masked = (opcode, text) =>
    Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | Buffer.byteLength(text), 0, 0, 0, 0]), Buffer.from(text)]);
  const fragments = Buffer.concat([Buffer.from([0x01, 0x80, 0, 0, 0, 0]), ...Array(1000).fill(Buffer.from([0x00, 0x80, 0, 0, 0, 0])),
    masked(0, '{"type":"heartbeat"}')]);
  for (const [what, one] of Object.entries({
    heartbeats: masked(1, '{"type":"heartbeat"}'), 'frames of no type': masked(1, '{"type":"x"}'), pings: masked(9, 'x'),
    'empty fragments': fragments,
  })) {
    const agent = await tw.agent('user_1');
    const many = Buffer.concat(Array(Math.ceil(30_000 / one.length)).fill(one));
    let goesOn = true;
    const flood = (async () => {
      for (; goesOn && !agent.closeFrame; await new Promise(setImmediate)) await agent.writeRaw(many);
    })();
    for (let i = 0; i < 50; ++i) assert.equal((await calls.call('user_2', 'echo')).code, 0, what);
    goesOn = false;
    agent.destroy();
    await flood;
  }
  await until('nothing is queued', async () => (await tw.metric('toolwire_edge_queued_bytes')) === 0);
});
