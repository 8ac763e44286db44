// The Node.js client behind real proxies in front of two controls, configured as docs/proxies.md says.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import {setTimeout as sleep} from 'node:timers/promises';
import {Caller} from './lib/caller.js';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {Nginx, PROXIES, proxyMissing} from './lib/front_proxies.js';
import {testTls} from './lib/process.js';
import {SteadyControls, clientMissing, nodeClient} from './lib/steady_controls.js';
import {claim} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

const noTls = testTls ? 'the documented configurations have no TLS' : undefined;

// One test for each proxy.
function behindEach(name, body) {
  for (const [kind, Proxy] of Object.entries(PROXIES)) {
    const skip = proxyMissing(Proxy) ?? clientMissing ?? noTls;
    clusterClaim(`behind ${kind} ${name}`, (scope) => body(scope, Proxy), skip && {skip});
  }
}

// Two controls behind a proxy, and clients of that alone.
async function behind(scope, Proxy, {changes, controlFlags} = {}) {
  const cluster = await Cluster.start(scope, {edges: 1, controls: 0, controlFlags});
  const controls = await SteadyControls.start(cluster);
  const proxy = await Proxy.start(scope, controls.ports, {changes});
  const {ToolwireClient} = await nodeClient();
  const clientOf = (options) => {
    const client = new ToolwireClient({address: proxy.address, ...options});
    scope.own({close: () => client.close({drainMs: 0})});
    return client;
  };
  return {cluster, controls, proxy, clientOf};
}
// What a call came to: its result, or two words.
const outcome = (call) => call.then(({result}) => result, (error) => `${error.reason}, ${error.delivery}`);
const calls = (client, user, count, options) =>
  Array.from({length: count}, (_, n) => outcome(client.callTool(user, 'echo', {n}, options)));
const echoes = (count) => Array.from({length: count}, (_, n) => ({n}));

// Calls one after another, five at a time, until it is stopped; then what those came to that were not answered.
function stream(scope, client, user) {
  let stopped = false;
  let made = 0;
  const failures = [];
  const work = async () => {
    while (!stopped) {
      const n = ++made;
      const said = await outcome(client.callTool(user, 'echo', {n}, {timeoutMs: 60_000}));
      if (said?.n !== n) failures.push(said);
    }
  };
  const workers = Array.from({length: 5}, work);
  scope.own({close: () => (stopped = true)});  // Also if the test fails.
  return {
    get made() { return made; },
    async further(count) {
      const goal = made + count;
      await until(`${count} further calls`, () => made >= goal);
    },
    async stop() {
      stopped = true;
      await Promise.all(workers);
      return failures;
    },
  };
}

behindEach('calls, large ones too, watches and waiting calls work', async (scope, Proxy) => {
  const {cluster, clientOf} = await behind(scope, Proxy);
  const client = clientOf({controlWaitMs: 60_000});
  await cluster.agent('user_1');
  assert.deepEqual(await Promise.all(calls(client, 'user_1', 100, {waitForAgentMs: 30_000})), echoes(100));
  const text = 'x'.repeat(3 << 20);
  assert.deepEqual(await outcome(client.callTool('user_1', 'echo', {text})), {text});
  const watch = client.watchAgents({userIds: ['user_1', 'user_2']});
  const next = async () => {
    const {value: {kind, agent}} = await within('the watch tells', watch.next());
    return [kind, agent.userId];
  };
  assert.deepEqual(await next(), ['connected', 'user_1']);
  assert.equal((await within('the watch tells', watch.next())).value.kind, 'snapshot');
  const waiting = outcome(client.callTool('user_2', 'echo', {n: 2}, {waitForAgentMs: 60_000, timeoutMs: 60_000}));
  const agent = await cluster.agent('user_2');
  assert.deepEqual(await waiting, {n: 2});
  assert.deepEqual(await next(), ['connected', 'user_2']);
  agent.destroy();
  assert.deepEqual(await next(), ['disconnected', 'user_2']);
  await watch.return();
});

behindEach('calls without a control wait for one, and past controlWaitMs they are NOT_SENT', async (scope, Proxy) => {
  const {cluster, controls, clientOf} = await behind(scope, Proxy);
  const agent = await cluster.agent('user_1');
  const [patient, hasty, fresh] = [{controlWaitMs: 120_000}, {controlWaitMs: 500}, {controlWaitMs: 500}].map(clientOf);
  for (const client of [patient, hasty]) {
    assert.deepEqual(await Promise.all(calls(client, 'user_1', 5, {waitForAgentMs: 30_000})), echoes(5));
  }
  await controls.kill(0);
  await controls.kill(1);
  // What is written before the proxy has ended the stream may have been sent, for all that anybody knows.
  for (const client of [patient, hasty]) {
    const probe = () => outcome(client.callTool('user_1', 'echo', {}, {timeoutMs: 1_000}));
    await until('the proxy has ended its stream', async () => (await probe()).endsWith(', NOT_SENT'));
  }
  const waiting = calls(patient, 'user_1', 50, {timeoutMs: 120_000});
  for (const client of [hasty, fresh]) {
    const refused = await Promise.all(calls(client, 'user_1', 50));
    assert.deepEqual([...new Set(refused)], ['CONTROL_UNAVAILABLE, NOT_SENT']);
  }
  await controls.begin(1);
  assert.deepEqual(await Promise.all(waiting), echoes(50));
  assert.equal(agent.calls.length, 60);
});

behindEach('a control that stops in order loses no call, whichever it is, and each comes back', async (scope, Proxy) => {
  const {cluster, controls, clientOf} = await behind(scope, Proxy);
  const agent = await cluster.agent('user_1');
  const client = clientOf({controlWaitMs: 60_000});
  await Promise.all(calls(client, 'user_1', 1, {waitForAgentMs: 30_000}));
  const traffic = stream(scope, client, 'user_1');
  for (const i of [0, 1, 0, 1]) {
    await traffic.further(50);
    await controls.stop(i);
    await traffic.further(50);
    await controls.begin(i);
    await cluster.linked();
  }
  assert.deepEqual(await traffic.stop(), []);
  assert.equal(agent.calls.length, 1 + traffic.made);
});

behindEach('a reload loses no call, also when old workers are cut', async (scope, Proxy) => {
  const {cluster, proxy, clientOf} = await behind(scope, Proxy, {changes: [[Proxy.lingers, Proxy.lingers.replace('10m', '1s')]]});
  const agent = await cluster.agent('user_1');
  const client = clientOf({controlWaitMs: 60_000});
  await Promise.all(calls(client, 'user_1', 1, {waitForAgentMs: 30_000}));
  const watch = client.watchAgents({userIds: ['user_2']});
  assert.equal((await within('the watch tells', watch.next())).value.kind, 'snapshot');
  for (let i = 0; i < 3; ++i) {
    await proxy.reload();
    await within('old workers are gone', proxy.oldWorkersGone());
    assert.deepEqual(await Promise.all(calls(client, 'user_1', 20)), echoes(20));
  }
  await cluster.agent('user_2');
  assert.equal((await within('the watch tells', watch.next())).value.agent.userId, 'user_2');
  assert.equal(agent.calls.length, 61);
  await watch.return();
});

behindEach('streams that the proxy ends as silent are opened again, and no call is lost by that', async (scope, Proxy) => {
  const {cluster, proxy, clientOf} = await behind(scope, Proxy, {changes: [['1h', '4s']]});
  const agent = await cluster.agent('user_1');
  const client = clientOf({controlWaitMs: 60_000});
  const watch = client.watchAgents({userIds: ['user_2']});
  assert.equal((await within('the watch tells', watch.next())).value.kind, 'snapshot');
  await Promise.all(calls(client, 'user_1', 1, {waitForAgentMs: 30_000}));
  for (let i = 0; i < 2; ++i) {
    // One that was opened after the client's, and is as silent.
    const other = scope.own(new Caller(proxy.port)).dispatch();
    await until('the proxy has ended a silent stream', () => other.status);
    // The client's ends at that moment, too: what is written just then is lost. Its next one stands for 4 s.
    await sleep(1_000);
    assert.deepEqual(await Promise.all(calls(client, 'user_1', 20)), echoes(20));
  }
  await cluster.agent('user_2');
  assert.equal((await within('the watch tells', watch.next())).value.agent.userId, 'user_2');
  assert.equal(agent.calls.length, 41);
  await watch.return();
});

// nginx counts a ping of its server only while it has no buffer of an earlier answer to use again.
const pingsSkip = proxyMissing(Nginx) ?? noTls;
claim('nginx takes any number of pings of a server one after another, and ends a stream whose server sends more than 1,000 at once', async (scope) => {
  const sessions = [];
  const streams = [];
  const server = http2.createServer({maxOutstandingPings: 5_000}).on('stream', (stream) => {
    streams.push(stream);
    stream.on('error', () => {}).resume().respond({':status': 200, 'content-type': 'application/grpc'});
  });
  server.on('session', (session) => sessions.push(session.on('error', () => {})));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  scope.own({close: () => {
    for (const session of sessions) session.destroy();
    server.close();
  }});
  const fake = {callers: server.address().port};
  const proxy = await Nginx.start(scope, [fake, fake]);
  const caller = scope.own(http2.connect(`http://${proxy.address}`).on('error', () => {}));
  const stream = caller.request(
    {':method': 'POST', ':path': '/toolwire.v1.ToolDispatch/Dispatch', 'content-type': 'application/grpc', te: 'trailers'});
  let ended = false;
  stream.on('error', () => {}).on('close', () => (ended = true)).resume().write(Buffer.alloc(5));
  await until('the stream is open', () => streams.length === 1);
  const [session] = sessions;
  const answered = (count) => Promise.all(Array.from({length: count}, () =>
    new Promise((resolve) => session.ping((error) => resolve(!error)) || resolve(false))));
  for (let n = 0; n < 3_000; ++n) {
    // As the caller sends meanwhile.
    if (n % 10 === 0) stream.write(Buffer.alloc(5));
    assert.deepEqual(await answered(1), [true]);
  }
  assert.equal(ended, false);
  void answered(1_100);
  await until('the stream has ended', () => ended);
  assert.match(proxy.log, /upstream sent too many ping frames/);
}, pingsSkip && {skip: pingsSkip});
