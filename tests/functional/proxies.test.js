// Agents that come through a proxy which speaks the PROXY protocol: whose address counts, and who is not believed.
import assert from 'node:assert/strict';
import net from 'node:net';
import {resultOf} from './lib/caller.js';
import {proxyHeader, proxyLine} from './lib/proxy.js';
import {Certificates, answerOf, answerTo} from './lib/tls.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

const TRUSTING = {'trusted-proxies': '127.0.0.0/8', 'proxy-protocol': true};
const HEALTH = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';

const connectedFrom = (tw, address) => until(`an agent of ${address} is logged`, () =>
  tw.edge.logged('agent connected').some((line) => line.address === address));
const refused = (tw, reason) => tw.metric('toolwire_edge_proxy_headers_refused_total', reason && {reason});

for (const secure of [false, true]) {
  claimInBoth(`agents log in behind version 1 and 2, ${secure ? 'with' : 'without'} TLS, and count by their own addresses`, async (scope, {topology}) => {
    const certificates = secure ? await Certificates.create(scope) : null;
    const tw = await scope.toolwire({topology, certificates, flags: TRUSTING});
    const more = Buffer.concat([Buffer.from([0xea, 0, 200]), Buffer.alloc(200)]);
    const headers = {'192.0.2.1': proxyLine('192.0.2.1'), '2001:db8::1': proxyLine('2001:db8::1'),
      '192.0.2.2': proxyHeader('192.0.2.2'), '192.0.2.3': proxyHeader('192.0.2.3', more)};
    for (const [address, prologue] of Object.entries(headers)) {
      await tw.agent(address, {prologue});
      await connectedFrom(tw, address);
      assert.deepEqual(resultOf(await tw.caller().call(address, 'echo', {a: 1})), {a: 1});
    }
    assert.equal(await tw.metric('toolwire_edge_proxy_headers_total'), 4);
  });
}

claim('each client behind the PROXY protocol fails for itself, IPv6 by its /64', async (scope) => {
  const tw = await scope.toolwire({flags: {...TRUSTING, 'failed-logins-per-minute-max': 3}});
  const query = tw.loginQuery('user_1', await tw.secret('user_1'));
  const codeOf = async (login, prologue) => (await tw.dial(login, {prologue}).closed()).code;
  for (let i = 0; i < 3; ++i) assert.equal(await codeOf('?userId=u&secret=wrong', proxyHeader('192.0.2.1')), 1008);
  assert.equal(await codeOf('?userId=u&secret=wrong', proxyLine('192.0.2.1')), 1013);
  for (let i = 0; i < 3; ++i) assert.equal(await codeOf('?userId=u&secret=wrong', proxyLine(`2001:db8::${i + 1}`)), 1008);
  assert.equal(await codeOf('?userId=u&secret=wrong', proxyLine('2001:db8::9')), 1013);
  await tw.dial(query, {prologue: proxyHeader('192.0.2.2')}).connected();
});

claim('who is no trusted proxy gets in without a header, and not with one', async (scope) => {
  const tw = await scope.toolwire({flags: {...TRUSTING, 'trusted-proxies': '127.0.0.2'}});
  await tw.agent('user_1');
  await connectedFrom(tw, '127.0.0.1');
  const answer = (await answerTo(scope, tw.ports.agents, Buffer.concat([proxyLine('192.0.2.1'), Buffer.from(HEALTH)]))).toString();
  assert.match(answer, tw.certificates ? /^$/ : /^HTTP\/1\.1 400/, 'what is no TLS gets no answer');
  await tw.agent('user_2', {prologue: proxyLine('192.0.2.2'), localAddress: '127.0.0.2'});
  await connectedFrom(tw, '192.0.2.2');
});

claim('a trusted proxy that sends no header, or a wrong one, is refused, counted and logged, in one line each', async (scope) => {
  const tw = await scope.toolwire({flags: TRUSTING});
  const query = tw.loginQuery('user_1', await tw.secret('user_1'));
  for (let i = 0; i < 3; ++i) {
    assert.deepEqual(await tw.dial(query).closed(), {code: 1013, reason: 'PROXY header missing'});
  }
  const metrics = await answerOf(tw.connect(), HEALTH.replace('/health', '/metrics'));
  assert.match(metrics.toString(), /^HTTP\/1\.1 403/);
  for (let i = 0; i < 2; ++i) {
    assert.equal((await answerTo(scope, tw.ports.agents, 'PROXY TCP4 nobody 10.0.0.1 1 2\r\n')).length, 0);
  }
  assert.equal(await refused(tw, 'missing'), 4);
  assert.equal(await refused(tw, 'invalid'), 2);
  for (const event of ['PROXY header missing', 'PROXY header refused']) await tw.edge.saw(event);
  const [missing, wrong] = ['PROXY header missing', 'PROXY header refused'].map((event) => tw.edge.logged(event));
  assert.deepEqual(missing.map(({proxy}) => proxy), ['127.0.0.1']);
  assert.deepEqual(wrong.map(({proxy, why}) => [proxy, why]), [['127.0.0.1', 'version 1 with what is no address']]);
});

claim('health checks of the proxy itself are answered, also without a header, and looks at the port leave no line', async (scope) => {
  const tw = await scope.toolwire({flags: TRUSTING});
  for (const own of [proxyHeader(), proxyLine(), Buffer.alloc(0)]) {
    const answer = await answerOf(tw.connect({prologue: own}), HEALTH);
    assert.match(answer.toString(), /^HTTP\/1\.1 200/);
  }
  for (let i = 0; i < 5; ++i) {
    await new Promise((resolve) => net.connect(tw.ports.agents, '127.0.0.1', function () { this.destroy(); resolve(); }));
  }
  await until('all are gone', async () =>
    (await tw.metric('toolwire_edge_sockets')) === 0 && (await tw.metric('toolwire_edge_sockets_accepted_total')) === 8);
  assert.equal(await refused(tw), 0);
  assert.deepEqual(tw.edge.logs.filter(({level}) => level !== 'info'), []);
});

claim('where both name a client, the header of a request is believed only of a proxy that the PROXY protocol names', async (scope) => {
  const tw = await scope.toolwire({flags: {...TRUSTING, 'trusted-proxies': '127.0.0.0/8,10.1.0.0/16'}});
  const headers = {'X-Forwarded-For': '192.0.2.77'};
  await tw.agent('user_1', {headers, prologue: proxyLine('192.0.2.1')});
  await connectedFrom(tw, '192.0.2.1');
  await tw.agent('user_2', {headers, prologue: proxyLine('10.1.2.3')});
  await connectedFrom(tw, '192.0.2.77');
  await tw.agent('user_3', {headers, prologue: proxyLine()});
  await connectedFrom(tw, '127.0.0.1');
  const metrics = await answerOf(tw.connect({prologue: proxyLine('192.0.2.1')}), 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.ok(metrics.includes('"connections":3') && !metrics.includes('user_1'), 'the client is not at loopback');

  const alone = await scope.toolwire({flags: {...TRUSTING, 'trusted-proxies': '127.0.0.0/8,10.1.0.0/16', 'proxy-header': 'none'}});
  await alone.agent('user_1', {headers, prologue: proxyLine('10.1.2.3')});
  await connectedFrom(alone, '10.1.2.3');
});

claim('headers that do not come to an end cost a place for the time of a login, and honest agents get in', async (scope) => {
  const tw = await scope.toolwire({flags: {...TRUSTING, 'unauthenticated-max': 20, 'login-timeout': 3000}});
  const flood = Array.from({length: 100}, (_, i) => {
    const socket = scope.own(net.connect({port: tw.ports.agents, host: '127.0.0.1', localAddress: `127.0.1.${i + 1}`}));
    socket.on('error', () => {}).resume().write(proxyHeader('192.0.2.1').subarray(0, i % 28));
    return socket;
  });
  const closed = flood.map((socket) => new Promise((resolve) => socket.on('close', resolve)));
  await within('agents get in', Promise.all(['a', 'b', 'c', 'd'].map((user, i) =>
    tw.agent(user, {prologue: proxyLine(`192.0.2.${i + 1}`)}))));
  await within('all of them are closed', Promise.all(closed));
});
