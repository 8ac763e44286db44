// A process that stands still, alone or with its whole machine: what came meanwhile, and what control thinks of its clock.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {standStill} from '../../../tests/functional/lib/stand_still.js';
import {Delivery, Reason, startFake} from './fake_control.js';
import {addressOf, claim, clientOf, clientWith, freePort, rejection, silent, until} from './lib.js';

const fields = ({reason, delivery}) => [reason, delivery];
const answerOf = ({id, call}) => ({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}});
const tooLate = ({id}) => ({id, failure: {code: 4, message: 'its time is over', detail: {reason: Reason.CALL_TIMEOUT, delivery: Delivery.NOT_SENT}}});

// A process with a client, which makes calls and says how each ended. `ended` resolves with that.
function callingProcess(scope, address, count, options) {
  const index = fileURLToPath(new URL('../dist/index.js', import.meta.url));
  const script = `const {ToolwireClient} = require(${JSON.stringify(index)});
    const client = new ToolwireClient({address: ${JSON.stringify(address)}});
    Promise.all(Array.from({length: ${count}}, () => client.callTool('user_1', 'any', {}, ${JSON.stringify(options)})
      .then(({success}) => success, ({reason, delivery}) => reason + ' ' + delivery)))
      .then((outcomes) => {
        process.stdout.write(JSON.stringify(outcomes));
        return client.close({drainMs: 0});
      });`;
  const child = spawn(process.execPath, ['-e', script], {stdio: ['ignore', 'pipe', 'inherit']});
  scope.own({close: () => child.kill('SIGKILL')});
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (said += text));
  const ended = new Promise((resolve) => child.on('close', () => resolve(said)));
  return {pid: child.pid, goOn: () => child.kill('SIGCONT'), ended: async () => JSON.parse(await ended)};
}

claim('answers that came in time while the process stood still are read, also when the deadlines are long over', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const caller = callingProcess(scope, addressOf(tw), 50, {timeoutMs: 10_000});
  const calls = await until('the agent has the calls', () => agent.calls.length === 50 && agent.calls);
  const began = Date.now();
  standStill(caller.pid);
  for (const {requestId} of calls) {
    agent.sendText(JSON.stringify({type: 'tool_response', requestId, success: true, result: 1}));
  }
  await tw.auditRows(50, 'user_1');
  await until('their deadlines are over', () => Date.now() > began + 12_000);
  caller.goOn();
  assert.deepEqual(await caller.ended(), Array(50).fill(true));
});

claim('while the process stood still no call waited for a control', async (scope) => {
  const client = clientWith(scope, {address: `127.0.0.1:${await freePort()}`, controlWaitMs: 1000});
  const began = performance.now();
  const call = rejection(client.callTool('user_1', 'echo'));
  await new Promise(setImmediate);
  while (performance.now() < began + 3000);
  const error = await call;
  assert.deepEqual(fields(error), ['CONTROL_UNAVAILABLE', 'NOT_SENT']);
  assert.ok(performance.now() - began > 3500, 'it had 1,000 ms beside those');
});

claim('a control that is wrong about the clock of a caller whose machine was suspended gets another stream, and no call fails', async (scope) => {
  const streams = [];
  const fake = await startFake(scope, {answer: (calls, stream) => {
    if (!streams.includes(stream)) streams.push(stream);
    return calls.map(stream === streams[0] ? tooLate : answerOf);
  }});
  const client = clientWith(scope, {address: fake.address});
  const calls = Array.from({length: 20}, (_, n) => client.callTool('user_1', 'echo', {n}));
  for (const [n, {result}] of (await Promise.all(calls)).entries()) assert.deepEqual(result, {n});
  assert.equal(fake.streamsBegun, 2);
  await until('the first one has ended', () => fake.streams.size === 1);
});

claim('a real control whose caller\'s clock stood still for two minutes answers its calls', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const client = clientOf(scope, tw);
  const now = performance.now.bind(performance);
  scope.own({close: () => (performance.now = now)});
  performance.now = () => now() + 200_000;
  assert.equal((await client.callTool('user_1', 'echo', {n: 0})).result.n, 0);
  performance.now = () => now() + 80_000;
  for (let n = 1; n <= 20; ++n) assert.equal((await client.callTool('user_1', 'echo', {n})).result.n, n);
});

claim('a call that control finds too late twice, or after half of its time, has timed out', async (scope) => {
  const fake = await startFake(scope, {answer: (calls) => calls.map(tooLate)});
  const client = clientWith(scope, {address: fake.address});
  assert.deepEqual(fields(await rejection(client.callTool('user_1', 'echo'))), ['CALL_TIMEOUT', 'NOT_SENT']);
  assert.equal(fake.calls.length, 2);
  const slow = await startFake(scope, {answer: (calls, stream) => {
    setTimeout(() => stream.write({answers: calls.map(tooLate)}), 400);
    return [];
  }});
  const other = clientWith(scope, {address: slow.address});
  assert.deepEqual(fields(await rejection(other.callTool('user_1', 'echo', {}, {timeoutMs: 600}))), ['CALL_TIMEOUT', 'NOT_SENT']);
  assert.equal(slow.calls.length, 1);
});
