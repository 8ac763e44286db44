// What knocks at the agents' port and is no agent of ours: probes of old proxies, requests that two readers could read
// in two ways, upgrades and frames that break the rules.
import assert from 'node:assert/strict';
import {createHash, randomBytes} from 'node:crypto';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

// All that is sent to these bytes until the connection is closed.
function answerTo(tw, bytes, port) {
  const socket = tw.connect({port});
  let text = '';
  socket.setEncoding('latin1').on('data', (more) => (text += more)).on('error', () => {});
  socket.write(bytes, 'latin1');
  return within('the connection is closed', new Promise((resolve) => socket.on('close', () => resolve(text))));
}
const lines = (...all) => [...all, '', ''].join('\r\n');
const statusOf = (answer) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
const headerOf = (answer, name) => new RegExp(`^${name}: (.*)\r$`, 'mi').exec(answer)?.[1];
const bodyOf = (answer) => answer.slice(answer.indexOf('\r\n\r\n') + 4);

const KEY = randomBytes(16).toString('base64');
const UPGRADE = {Host: 'x', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': KEY};
// An upgrade with other headers; undefined ones are not there, an array is one line for each.
const upgrade = (headers = {}, target = '/?userId=u&secret=wrong', version = 'HTTP/1.1') =>
  lines(`GET ${target} ${version}`, ...Object.entries({...UPGRADE, ...headers}).flatMap(([name, value]) =>
    (value === undefined ? [] : [value].flat()).map((one) => `${name}: ${one}`)));

claim('a probe of HTTP/1.0 without Host, as HAProxy sends it, is answered', async (scope) => {
  const tw = await scope.toolwire();
  for (const probe of [
    lines('GET /health HTTP/1.0'), lines('OPTIONS /health HTTP/1.0'), lines('GET /health HTTP/1.0', 'Host:'),
    lines('GET /health HTTP/1.1', 'Host:'), lines('GET /health HTTP/1.0', 'User-Agent: check', 'Connection: close'),
  ]) {
    const answer = await answerTo(tw, probe);
    assert.equal(statusOf(answer), 200, probe);
    assert.equal(JSON.parse(bodyOf(answer)).status, 'healthy');
  }
});

claim('HEAD is answered as GET is, without the body', async (scope) => {
  const tw = await scope.toolwire();
  for (const [path, status] of [['/health', 200], ['/metrics', 200], ['/nothing', 404]]) {
    const [head, whole] = await Promise.all(['HEAD', 'GET'].map((method) => answerTo(tw, lines(`${method} ${path} HTTP/1.1`, 'Host: x'))));
    assert.equal(statusOf(head), status, path);
    assert.equal(bodyOf(head), '', path);
    assert.ok(Number(headerOf(head, 'Content-Length')) > 0, path);
    assert.equal(headerOf(head, 'Content-Type'), headerOf(whole, 'Content-Type'));
    assert.ok(bodyOf(whole).length > 0);
  }
});

claim('a target in absolute form is its path and query', async (scope) => {
  const tw = await scope.toolwire();
  for (const target of ['http://edge.example/health', 'HTTP://x:8082/health?a=b', 'https://[::1]:1/health', 'http://x/health#y']) {
    assert.equal(statusOf(await answerTo(tw, lines(`GET ${target} HTTP/1.1`, 'Host: x'))), 200, target);
  }
  for (const target of ['http://edge.example', 'http://x?/health', 'http:/health', 'ftp://x/health', '*', 'health']) {
    assert.equal(statusOf(await answerTo(tw, lines(`GET ${target} HTTP/1.1`, 'Host: x'))), 404, target);
  }
  const query = tw.loginQuery('user_1', await tw.secret('user_1'));
  const socket = tw.connect();
  socket.write(upgrade({}, `ws://edge.example/${query}`));
  let text = '';
  await within('it logs in', new Promise((resolve) => socket.on('data', (bytes) => (text += bytes.toString('latin1')).includes('"connected"') && resolve())));
});

claimInBoth('requests that two readers could read in two ways are refused with 400, at every HTTP port', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, certificates: null});
  for (const port of [tw.ports.agents, ...tw.ports.metrics]) {
    for (const [what, request] of Object.entries({
      'two hosts': lines('GET /health HTTP/1.1', 'Host: a', 'Host: b'),
      'two hosts, the first empty': lines('GET /health HTTP/1.1', 'Host:', 'host: b'),
      'the same host twice': lines('GET /health HTTP/1.1', 'Host: a', 'HOST: a'),
      'no host': lines('GET /health HTTP/1.1'),
      'two lengths': `${lines('GET /health HTTP/1.1', 'Host: x', 'Content-Length: 4', 'Content-Length: 0')}abcd`,
      'two lengths in one line': `${lines('GET /health HTTP/1.1', 'Host: x', 'Content-Length: 4, 5')}abcd`,
      'a length that is no number': lines('GET /health HTTP/1.1', 'Host: x', 'Content-Length: four'),
      'a length with a sign': `${lines('GET /health HTTP/1.1', 'Host: x', 'Content-Length: +4')}abcd`,
      'a length less than none': lines('GET /health HTTP/1.1', 'Host: x', 'Content-Length: -1'),
      'an empty length': lines('GET /health HTTP/1.1', 'Host: x', 'Content-Length:'),
      'a length beside an encoding': `${lines('GET /health HTTP/1.1', 'Host: x', 'Content-Length: 4', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
      'two hosts in one line': lines('GET /health HTTP/1.1', 'Host: a, b'),
      'a host with a path': lines('GET /health HTTP/1.1', 'Host: a/b'),
      'two spaces': lines('GET  /health HTTP/1.1', 'Host: x'),
      'no version of HTTP': lines('GET /health HTTQ/1.1', 'Host: x'),
      'a version too long': lines('GET /health HTTP/1.10', 'Host: x'),
    })) {
      assert.equal(statusOf(await answerTo(tw, request, port)), 400, `${what} at ${port}`);
    }
    for (const version of ['1.2', '1.9', '2.0', '0.9']) {
      assert.equal(statusOf(await answerTo(tw, lines(`GET /health HTTP/${version}`, 'Host: x'), port)), port === tw.ports.agents ? 505 : 400, version);
    }
    const same = `${lines('GET /metrics HTTP/1.1', 'Host: x', 'Connection: close', 'Content-Length: 4', 'Content-Length: 4')}abcd`;
    assert.equal(statusOf(await answerTo(tw, same, port)), 200);
    assert.equal(statusOf(await answerTo(tw, lines('GET /metrics HTTP/1.0'), port)), 200);
    assert.equal(statusOf(await answerTo(tw, lines('GET http://x/metrics HTTP/1.1', 'Host: x', 'Connection: close'), port)), 200);
  }
});

claim('an upgrade without a version, or of another one, gets 426 and is told which', async (scope) => {
  const tw = await scope.toolwire();
  for (const version of [undefined, '', '0', '8', '12', '14', '99', '-1', 'x', '13, 8', ' 13x']) {
    const answer = await answerTo(tw, upgrade({'Sec-WebSocket-Version': version}));
    assert.equal(statusOf(answer), 426, `${version}`);
    assert.equal(headerOf(answer, 'Sec-WebSocket-Version'), '13', `${version}`);
  }
});

claim('an upgrade whose key is missing, doubled or not 16 bytes in base64 gets 400, and so do other broken ones', async (scope) => {
  const tw = await scope.toolwire();
  for (const key of [
    undefined, '', 'x', KEY.slice(1), `${KEY}=`, `${KEY.slice(0, 22)}=A`, KEY.replace('==', 'AA'), `-_${KEY.slice(2)}`, `${KEY}, ${KEY}`, [KEY, KEY],
    [KEY, randomBytes(16).toString('base64')], randomBytes(17).toString('base64'),
  ]) {
    assert.equal(statusOf(await answerTo(tw, upgrade({'Sec-WebSocket-Key': key}))), 400, `${key}`);
  }
  for (const headers of [{Host: ['x', 'x']}, {Host: undefined}, {'Sec-WebSocket-Version': ['13', '13']}, {'Sec-WebSocket-Protocol': '; ='},
    ...['', ' ', ',', 'a,', ',a', 'a,,b', 'a b', 'a;q=1', 'a@b', '"a"', 'a, a', 'a/1'].map((list) => ({'Sec-WebSocket-Protocol': list}))]) {
    assert.equal(statusOf(await answerTo(tw, upgrade(headers))), 400, JSON.stringify(headers));
  }
  assert.equal(statusOf(await answerTo(tw, upgrade({}, '/', 'HTTP/1.0'))), 400);
  assert.equal(statusOf(await answerTo(tw, upgrade().replace('GET', 'POST'))), 400);
  const answer = await answerTo(tw, upgrade());
  assert.equal(statusOf(answer), 101);
  const accept = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  assert.equal(headerOf(answer, 'Sec-WebSocket-Accept'), accept);
});

claim('an agent that offers subprotocols gets the first one back, one that offers none gets none', async (scope) => {
  const tw = await scope.toolwire();
  for (const [offered, taken] of [['chat', 'chat'], ['v2.tools, chat', 'v2.tools'], [['b', 'a'], 'b'], [undefined, undefined]]) {
    const answer = await answerTo(tw, upgrade({'Sec-WebSocket-Protocol': offered}));
    assert.equal(statusOf(answer), 101);
    assert.equal(headerOf(answer, 'Sec-WebSocket-Protocol'), taken);
  }
});

const MASK = [0, 0, 0, 0];
const longAs16 = (size) => [0xfe, size >> 8, size & 255, ...MASK];
const longAs64 = (size, top = 0) => [0xff, top, 0, 0, 0, 0, 0, size >> 8, size & 255, ...MASK];

claim('frames whose length is not minimal close the session with 1002', async (scope) => {
  const tw = await scope.toolwire();
  const beat = Buffer.from('{"type":"heartbeat"}');
  for (const [what, length] of Object.entries({
    'short in 16 bits': longAs16(beat.length), 'short in 64 bits': longAs64(beat.length), 'medium in 64 bits': longAs64(300), 'the highest bit': longAs64(20, 0x80),
  })) {
    const agent = await tw.agent('user_1');
    await agent.writeRaw(Buffer.concat([Buffer.from([0x81, ...length]), beat]));
    assert.equal((await agent.closed()).code, 1002, what);
  }
  // One that is longer is minimal, and binary frames are read as text.
  const agent = await tw.agent('user_1');
  const padded = Buffer.from(JSON.stringify({type: 'heartbeat', pad: 'x'.repeat(200)}));
  await agent.writeRaw(Buffer.concat([Buffer.from([0x82, ...longAs16(padded.length)]), padded]));
  await until('the padded heartbeat is acknowledged', () => agent.of('heartbeat_ack').length === 1);
});

claim('a reason to close that is not UTF-8 is refused with 1002, a right one is acknowledged', async (scope) => {
  const tw = await scope.toolwire();
  const closing = (reason) => Buffer.concat([Buffer.from([0x88, 0x80 | (2 + reason.length), ...MASK, 0x03, 0xe8]), reason]);
  for (const reason of [Buffer.from([0xff]), Buffer.from([0x67, 0xc3]), Buffer.from([0xed, 0xa0, 0x80])]) {
    const agent = await tw.agent('user_1');
    await agent.writeRaw(closing(reason));
    assert.equal((await agent.closed()).code, 1002);
  }
  const agent = await tw.agent('user_1');
  await agent.writeRaw(closing(Buffer.from('grüße')));
  assert.equal((await agent.closed()).code, 1000);
});
