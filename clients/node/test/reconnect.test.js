// Controls that go and come back while calls run: every call settles once, and its outcome is true.
import assert from 'node:assert/strict';
import {clusterClaim, Cluster} from '../../../tests/functional/lib/cluster.js';
import {claim, clientOf, freePort, rejection, silent, startControl, until} from './lib.js';

const USERS = ['user_0', 'user_1', 'user_2', 'user_3'];

// Callers that call again and again; keeps what each call came to, by request id.
class Traffic {
  calls = new Map();
  #stopped = false;
  #workers;
  #nextId = 0;

  constructor(client, workers = 64) {
    this.#workers = Array.from({length: workers}, () => this.#work(client));
  }
  async #work(client) {
    while (!this.#stopped) {
      const requestId = `call_${++this.#nextId}`;
      const call = {settled: 0};
      this.calls.set(requestId, call);
      try {
        const {result} = await client.callTool(USERS[this.#nextId % USERS.length], 'echo', {requestId}, {requestId});
        call.outcome = result.requestId === requestId ? 'answered' : "another's answer";
      } catch (error) {
        call.outcome = error.reason === 'CONNECTION_LOST' || error.delivery === 'NOT_SENT' ? error.reason : String(error.stack);
        call.delivery = error.delivery;
      }
      ++call.settled;
      call.at = performance.now();
      await new Promise(setImmediate);
    }
  }
  answeredSince(time) {
    return [...this.calls.values()].filter(({outcome, at}) => outcome === 'answered' && at > time).length;
  }
  // Waits until calls are answered again.
  async goesOn() {
    const since = performance.now();
    await until('calls are answered', () => this.answeredSince(since) > 200);
  }
  async stop() {
    this.#stopped = true;
    await Promise.all(this.#workers);
  }
  // Each call settled once; those that were answered reached an agent once, those that are NOT_SENT never did.
  check(agents) {
    const delivered = new Map();
    for (const {requestId} of agents.flatMap(({calls}) => calls)) delivered.set(requestId, (delivered.get(requestId) ?? 0) + 1);
    const sums = {};
    for (const [requestId, {settled, outcome, delivery}] of this.calls) {
      const times = delivered.get(requestId) ?? 0;
      assert.equal(settled, 1, requestId);
      if (outcome === 'answered') assert.equal(times, 1, `${requestId} was answered`);
      else if (delivery === 'NOT_SENT') assert.equal(times, 0, `${requestId}: ${outcome}, NOT_SENT`);
      else assert.ok(times <= 1 && outcome === 'CONNECTION_LOST', `${requestId}: ${outcome}, delivered ${times} times`);
      sums[outcome] = (sums[outcome] ?? 0) + 1;
    }
    console.log(`${this.calls.size} calls: ${JSON.stringify(sums)}`);
    return sums;
  }
}

claim('control is killed and started again three times while calls run: every call settles once, and truly', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agents = await Promise.all(USERS.map((user) => tw.agent(user)));
  const port = await freePort();
  let control = await startControl(scope, tw, port);
  const traffic = new Traffic(clientOf(scope, control, {controlWaitMs: 60_000}));
  for (let round = 0; round < 3; ++round) {
    await traffic.goesOn();
    await control.kill();
    control = await startControl(scope, tw, port);
    await traffic.goesOn();
  }
  await traffic.stop();
  const sums = traffic.check(agents);
  assert.ok(sums.CONNECTION_LOST > 0, 'calls were on their way when control was killed');
});

claim('control stops in good order and starts again: no call is lost', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agents = await Promise.all(USERS.map((user) => tw.agent(user)));
  const port = await freePort();
  let control = await startControl(scope, tw, port);
  const traffic = new Traffic(clientOf(scope, control, {controlWaitMs: 60_000}));
  await traffic.goesOn();
  await control.stop();
  control = await startControl(scope, tw, port);
  await traffic.goesOn();
  await traffic.stop();
  assert.equal(traffic.check(agents).CONNECTION_LOST, undefined);
});

claim('two controls: calls that are not written move to the other when one is killed; written ones fail as SENT', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agent = await tw.agent('user_1', silent);
  const ports = [await freePort(), await freePort()];
  const first = await startControl(scope, tw, ports[0]);
  const client = clientOf(scope, [], {address: ports.map((port) => `127.0.0.1:${port}`), callsInFlightMax: 1});
  const written = rejection(client.callTool('user_1', 'slow', {n: 1}));
  await agent.called();
  const unwritten = client.callTool('user_1', 'echo', {n: 2});
  agent.answer = ({params}) => ({success: true, result: params});
  await first.kill();
  const error = await written;
  assert.deepEqual([error.reason, error.delivery], ['CONNECTION_LOST', 'SENT']);
  await startControl(scope, tw, ports[1]);
  assert.deepEqual((await unwritten).result, {n: 2});
  assert.deepEqual(agent.calls.map(({params}) => params.n), [1, 2]);
});

claim('calls that are made before there is a control are sent when there is one', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  await tw.agent('user_1');
  const port = await freePort();
  const client = clientOf(scope, [], {address: `127.0.0.1:${port}`, controlWaitMs: 60_000});
  const calls = Array.from({length: 100}, (_, n) => client.callTool('user_1', 'echo', {n}));
  await startControl(scope, tw, port);
  for (const [n, {result}] of (await Promise.all(calls)).entries()) assert.deepEqual(result, {n});
});

claim('a control whose edge is unavailable gives calls back, and another one takes them', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  await tw.agent('user_1');
  const blind = await scope.toolwire({topology: 'control', edge: `127.0.0.1:${await freePort()}`});
  const client = clientOf(scope, [tw, blind]);
  await until('both are connected', async () => {
    await client.callTool('user_1', 'echo').catch(() => {});
    return (await blind.metric('toolwire_control_streams')) === 1 && (await tw.metric('toolwire_control_streams')) === 1;
  });
  const answers = await Promise.all(Array.from({length: 50}, async (_, n) => {
    await new Promise((resolve) => setTimeout(resolve, n));
    return client.callTool('user_1', 'echo', {n});
  }));
  answers.forEach(({result}, n) => assert.deepEqual(result, {n}));
});

clusterClaim('a cluster of two controls and two edges: one control is killed while calls run, and no caller waits for it', async (scope) => {
  const cluster = await Cluster.start(scope);
  const agents = await Promise.all(USERS.map((user, n) => cluster.agent(user, {edge: n % 2})));
  for (const [n, user] of USERS.entries()) await cluster.known(user, cluster.edges[n % 2].serverId);
  const traffic = new Traffic(clientOf(scope, cluster.controls));
  await traffic.goesOn();
  const [victim] = cluster.controls;
  for (const one of cluster.controls) {
    await until('calls go to both', async () => (await one.metric('toolwire_control_streams')) === 1);
  }
  await victim.process.kill();
  cluster.forget(victim);
  await traffic.goesOn();
  await traffic.stop();
  traffic.check(agents);
});
