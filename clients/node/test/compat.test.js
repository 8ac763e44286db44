// The old backend's module by its described behaviour: one set of tests, over the module itself (raw Redis, as backends
// in the field have it) and over `@toolwire/client/compat`.
import assert from 'node:assert/strict';
import * as compat from '../dist/compat.mjs';
import {Cluster, clusterClaim} from '../../../tests/functional/lib/cluster.js';
import {addressOf, claim, freePort, rejection, silent, until} from './lib.js';

const MODULES = {
  async 'raw Redis'(cluster) {
    const backend = await cluster.oldBackend();
    return {
      sendToolCall: (userId, call) => backend.sendToolCall(userId, call),
      isAgentConnected: (userId) => backend.isAgentConnected(userId),
      getAgentServer: (userId) => backend.getAgentServer(userId),
    };
  },
  async compat(cluster, scope) {
    compat.configure({address: addressOf(cluster.controls[0])});
    scope.own({close: () => compat.disconnect()});
    return compat;
  },
};

function claimOfModule(name, body) {
  for (const [kind, open] of Object.entries(MODULES)) {
    clusterClaim(`${name} (${kind})`, async (scope) => {
      const cluster = await Cluster.start(scope, {edges: 1, controls: 1});
      await body(await open(cluster, scope), cluster);
    });
  }
}
// Nothing but what the old module rejected with: callers compare the text.
function assertOldError(error, message) {
  assert.equal(Object.getPrototypeOf(error), Error.prototype);
  assert.equal(error.message, message);
}

// What the agent did not send is absent in a response on the channel, and null from `compat`.
const filled = (response) => ({result: null, error: null, executionTime: null, ...response});

claimOfModule('sendToolCall resolves with what came on the response channel, whether the tool succeeded or not', async (old, cluster) => {
  const agent = await cluster.agent('user_1');
  agent.answer = ({tool, params}) => ({success: true, result: {tool, params}, executionTime: 7});
  assert.deepEqual(filled(await old.sendToolCall('user_1', {tool: 'read_file', params: {path: '/home/ü'}})), {
    userId: 'user_1', success: true, result: {tool: 'read_file', params: {path: '/home/ü'}}, error: null, executionTime: 7});

  agent.answer = () => ({success: false, error: 'no such file', executionTime: 1});
  assert.deepEqual(filled(await old.sendToolCall('user_1', {tool: 'read_file', params: {}, timeout: 30_000})), {
    userId: 'user_1', success: false, result: null, error: 'no such file', executionTime: 1});

  agent.answer = () => ({success: true});
  assert.deepEqual(filled(await old.sendToolCall('user_1', {tool: 'ping'})), {
    userId: 'user_1', success: true, result: null, error: null, executionTime: null});
  assert.deepEqual(agent.calls.at(-1).params, {});
  for (const result of [0, false, '', [], 'text', {a: [1, null]}]) {
    agent.answer = () => ({success: true, result});
    assert.deepEqual((await old.sendToolCall('user_1', {tool: 'any', params: {}})).result, result);
  }
});

claimOfModule('many calls at once: each gets its own response', async (old, cluster) => {
  for (const user of ['user_0', 'user_1']) await cluster.agent(user);
  const responses = await Promise.all(Array.from({length: 200}, (_, n) =>
    old.sendToolCall(`user_${n % 2}`, {tool: 'echo', params: {n}})));
  responses.forEach(({userId, result}, n) => assert.deepEqual([userId, result], [`user_${n % 2}`, {n}]));
});

claimOfModule('no response within the timeout: Error("Tool call timed out")', async (old, cluster) => {
  const agent = await cluster.agent('user_1', silent);
  const began = performance.now();
  assertOldError(await rejection(old.sendToolCall('user_1', {tool: 'slow', params: {}, timeout: 500})), 'Tool call timed out');
  assert.ok(performance.now() - began >= 490);
  assert.equal(agent.calls.length, 1);
  agent.answer = () => ({success: true, result: 'next'});
  assert.equal((await old.sendToolCall('user_1', {tool: 'quick', params: {}})).result, 'next');
});

claimOfModule('the agent goes after the call had left: Error("Tool call timed out")', async (old, cluster) => {
  const agent = await cluster.agent('user_1', silent);
  const call = rejection(old.sendToolCall('user_1', {tool: 'slow', params: {}, timeout: 1500}));
  await agent.called();
  agent.destroy();
  assertOldError(await call, 'Tool call timed out');
});

claimOfModule('no agent: Error("Agent not connected"), at once', async (old, cluster) => {
  assertOldError(await rejection(old.sendToolCall('user_1', {tool: 'echo', params: {}})), 'Agent not connected');
  const agent = await cluster.agent('user_1');
  assert.equal((await old.sendToolCall('user_1', {tool: 'echo', params: {}})).success, true);
  await agent.close();
  await until('it is noticed', async () => !(await old.isAgentConnected('user_1')));
  assertOldError(await rejection(old.sendToolCall('user_1', {tool: 'echo', params: {}})), 'Agent not connected');
});

claimOfModule('isAgentConnected and getAgentServer', async (old, cluster) => {
  assert.equal(await old.isAgentConnected('user_1'), false);
  assert.equal(await old.getAgentServer('user_1'), null);
  const agent = await cluster.agent('user_1');
  assert.equal(await old.isAgentConnected('user_1'), true);
  assert.equal(await old.getAgentServer('user_1'), cluster.edges[0].serverId);
  await agent.close();
  await until('it is noticed', async () => !(await old.isAgentConnected('user_1')));
  assert.equal(await old.getAgentServer('user_1'), null);
});

// --- what only compat has ---

claim('compat: TOOLWIRE_ADDRESS is enough; the cause says more than the old error; disconnect, and on', async (scope) => {
  const tw = await scope.toolwire();
  process.env.TOOLWIRE_ADDRESS = addressOf(tw);
  scope.own({close: () => compat.disconnect()});
  compat.configure({});
  const error = await rejection(compat.sendToolCall('nobody', {tool: 'echo'}));
  assert.deepEqual([error.cause.reason, error.cause.delivery], ['AGENT_NOT_CONNECTED', 'NOT_SENT']);
  assert.throws(() => compat.configure({}), /before the first call/);
  await compat.disconnect();
  await tw.agent('user_1');
  assert.equal((await compat.sendToolCall('user_1', {tool: 'echo', params: {n: 1}})).result.n, 1);
  delete process.env.TOOLWIRE_ADDRESS;
});

claim('compat: wrong requests and full queues keep their own texts; a control that is unavailable is "Agent not connected"', async (scope) => {
  const tw = await scope.toolwire({flags: {'agent-calls-max': 1}});
  const agent = await tw.agent('user_1', silent);
  await compat.disconnect();
  compat.configure({address: addressOf(tw)});
  scope.own({close: () => compat.disconnect()});
  assertOldError(await rejection(compat.sendToolCall('user_1', {tool: '', params: {}})), 'tool must not be empty');
  const first = rejection(compat.sendToolCall('user_1', {tool: 'slow', timeout: 500}));
  await agent.called();
  assertOldError(await rejection(compat.sendToolCall('user_1', {tool: 'slow'})), 'the agent has too many calls in flight');
  assertOldError(await first, 'Tool call timed out');
  await compat.disconnect();
  compat.configure({address: `127.0.0.1:${await freePort()}`, controlWaitMs: 100});
  assertOldError(await rejection(compat.sendToolCall('user_1', {tool: 'echo'})), 'Agent not connected');
});
