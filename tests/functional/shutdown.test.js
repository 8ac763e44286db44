// Stopping: what SIGTERM and SIGINT promise to callers, agents and the store.
import assert from 'node:assert/strict';
import net from 'node:net';
import {code, resultOf} from './lib/caller.js';
import {SeedAgent} from './lib/seed_agent.js';
import {agentsUrl, claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

const silent = {answer: () => undefined};
const statuses = async (tw) => Object.fromEntries((await tw.credentials()).map(({userId, status}) => [userId, status]));

claimInBoth('SIGTERM with 500 calls in flight: those answered within the drain time arrive, the rest fail definitely', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'drain-timeout': 3000}});
  const agents = [await tw.agent('user_0', silent), await tw.agent('user_1', silent)];
  const stream = tw.caller().dispatch();
  const calls = Array.from({length: 500}, (_, i) => stream.call(`user_${i % 2}`, 'slow', {i}));
  await until('all have reached their agents', () => agents[0].calls.length + agents[1].calls.length === 500);

  tw.control.signal('SIGTERM');
  await until('it is stopping', () => tw.control.logged('stopping').length > 0);
  for (const {requestId, params} of agents[0].calls) agents[0].respond(requestId, {success: true, result: params.i});
  const outcomes = await Promise.all(calls);
  for (const [i, outcome] of outcomes.entries()) {
    if (i % 2 === 0) {
      assert.equal(outcome.code, 0, `call ${i}: ${outcome.message}`);
      assert.equal(resultOf(outcome), i);
    } else {
      assert.equal(outcome.delivery, 'SENT', `call ${i}`);
      assert.ok([code.ABORTED, code.UNAVAILABLE].includes(outcome.code), outcome.message);
    }
  }
  for (const answers of stream.answers.values()) assert.equal(answers.length, 1);
  await tw.stop();
  for (const agent of agents) assert.equal((await agent.closed()).code, 1001);
  assert.deepEqual(await statuses(tw), {user_0: 'disconnected', user_1: 'disconnected'});
  assert.equal((await tw.audit()).length, 500);
});

claimInBoth('a call that is made while control drains: UNAVAILABLE, EDGE_UNAVAILABLE, NOT_SENT', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  const stream = tw.caller().dispatch();
  const running = stream.call('user_1', 'slow', {}, {requestId: 'running'});
  await agent.called();
  tw.control.signal('SIGTERM');
  await until('it is stopping', () => tw.control.logged('stopping').length > 0);
  // The call in flight keeps it from ending. Whether the next call comes before or after the door closes is not ours
  // to say, so we ask until it is closed.
  await until('the door is closed', async () => {
    const late = await stream.call('user_1', 'late', {}, {timeoutMs: 100});
    return late.reason === 'EDGE_UNAVAILABLE' && late.delivery === 'NOT_SENT' && late.code === code.UNAVAILABLE;
  });
  agent.respond('running', {success: true, result: 'in time'});
  assert.equal(resultOf(await running), 'in time');
  await tw.stop();
});

claim('while an edge drains it accepts nobody, says so on /health with 503, and lets calls in flight finish', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agent = await tw.agent('user_1', silent);
  const call = tw.caller().call('user_1', 'slow', {}, {requestId: 'running'});
  await agent.called();
  let health = '';
  const probe = tw.connect();
  probe.setEncoding('utf8').on('data', (text) => (health += text)).on('error', () => {});
  await until('it is accepted', async () => (await tw.metric('toolwire_edge_sockets')) === 2);
  tw.edge.signal('SIGTERM');
  await until('the door is closed', async () => tw.http('/health').then(() => false, () => true));
  probe.write('GET /health HTTP/1.1\r\nHost: edge\r\n\r\n');
  await until('the probe is answered', () => health.includes('}'));
  assert.match(health, /^HTTP\/1\.1 503 /);
  assert.match(health, /"status":"draining"/);
  agent.respond('running', {success: true});
  assert.equal((await call).code, 0);
  assert.equal((await agent.closed()).code, 1001);
  await tw.stop();
});

claim('an answer that is on its way from edge to control when the drain ends still arrives, whole', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agent = await tw.agent('user_1', silent);
  const call = tw.caller().call('user_1', 'slow', {}, {requestId: 'running'});
  await agent.called();
  tw.edge.signal('SIGTERM');
  await tw.edge.saw('stopping');
  const result = 'x'.repeat(8 << 20);  // More than sockets buffer.
  agent.respond('running', {success: true, result});
  const outcome = await call;
  assert.equal(outcome.code, 0, outcome.message);
  assert.equal(resultOf(outcome), result);
  await tw.stop();
});

claimInBoth('an answer that is on its way from control to its caller when the drain ends still arrives, whole', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  const caller = tw.caller();
  const calls = [caller.call('user_1', 'slow'), caller.dispatch().call('user_1', 'slow')];
  await agent.called(2);
  tw.control.signal('SIGTERM');
  await tw.control.saw('stopping');
  const result = 'x'.repeat(8 << 20);
  for (const {requestId} of agent.calls) agent.respond(requestId, {success: true, result});
  for (const call of calls) {
    const outcome = await call;
    assert.equal(outcome.code, 0, outcome.message);
    assert.equal(resultOf(outcome), result);
  }
  await tw.stop();
});

claim('a drain ends as soon as nothing is in flight', async (scope) => {
  const tw = await scope.toolwire({flags: {'drain-timeout': 2147483647}});
  const agent = await tw.agent('user_1', silent);
  const call = tw.caller().call('user_1', 'slow', {}, {requestId: 'running'});
  await agent.called();
  tw.edge.signal('SIGTERM');
  await until('it is stopping', () => tw.edge.logged('stopping').length > 0);
  agent.respond('running', {success: true});
  assert.equal((await call).code, 0);
  await tw.stop();
});

claim('a drain time of 0 gives calls up at once', async (scope) => {
  const tw = await scope.toolwire({flags: {'drain-timeout': 0}});
  const agent = await tw.agent('user_1', silent);
  const call = tw.caller().call('user_1', 'slow');
  await agent.called();
  tw.edge.signal('SIGTERM');
  assert.equal((await call).delivery, 'SENT');
  await tw.stop();
});

claim('SIGINT stops like SIGTERM', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  await tw.stop('SIGINT');
  assert.equal((await agent.closed()).code, 1001);
  assert.deepEqual(await statuses(tw), {user_1: 'disconnected'});
});

claim('agents that do not answer the close do not keep the server from ending', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  agent.pause();
  await tw.stop();
});

claim('the store says connected while an agent is connected, and when it was last seen', async (scope) => {
  const tw = await scope.toolwire();
  await tw.secret('user_1');
  const [before] = await tw.credentials();
  assert.deepEqual([before.status, before.lastSeen], ['pending', null]);
  const agent = await tw.agent('user_1');
  const connected = await until('the store says connected', async () => {
    const [row] = await tw.credentials();
    return row.status === 'connected' && row;
  });
  assert.ok(Math.abs(connected.lastSeen - Date.now()) < 60_000);
  await agent.close();
  await until('the store says disconnected', async () => (await statuses(tw)).user_1 === 'disconnected');
});

claim('a replaced connection does not mark the user disconnected', async (scope) => {
  const tw = await scope.toolwire();
  const first = await tw.agent('user_1');
  const second = await tw.agent('user_1');
  await first.closed();
  await second.roundTrip();
  await until('the store says connected', async () => (await statuses(tw)).user_1 === 'connected');
  await tw.agent('user_2');  // A later status write is through: so would be one of the replaced session.
  await until('the store knows of it', async () => (await statuses(tw)).user_2 === 'connected');
  assert.equal((await statuses(tw)).user_1, 'connected');
});

claim('a start that fails when agents are there already ends like any other: exit status 1', async (scope) => {
  const tw = await scope.toolwire();
  const secrets = await Promise.all(Array.from({length: 40}, (_, i) => tw.secret(`user_${i}`)));
  await tw.stop();
  const taken = net.createServer().listen(0, '127.0.0.1');
  const reserved = net.createServer().listen(0, '127.0.0.1');
  await until('they listen', () => taken.listening && reserved.listening);
  const {port} = reserved.address();
  await new Promise((resolve) => reserved.close(resolve));
  for (let round = 0; round < 3; ++round) {
    const failing = scope.process('toolwire', ['dev', `--port=${port}`, '--grpc-port=0',
      `--metrics-port=${taken.address().port}`, `--data-dir=${tw.dataDir}`], {exitCode: 1});
    const dialling = setInterval(() => {
      for (const [i, secret] of secrets.entries()) {
        scope.own(new SeedAgent(agentsUrl(port, tw.loginQuery(`user_${i}`, secret))));
      }
    }, 20);
    assert.deepEqual(await failing.exited(), {code: 1, signal: null});
    clearInterval(dialling);
  }
  taken.close();
});
