// `toolwire call`, `agents` and `credentials`: what people and scripts see.
import assert from 'node:assert/strict';
import {run} from './lib/process.js';
import {claim, claimInBoth} from './lib/toolwire.js';

const callIn = (tw) => (...args) => run('toolwire', ['call', ...args, '--address', `127.0.0.1:${tw.ports.callers}`]);

claimInBoth('the exit status of `toolwire call` shows whether the tool succeeded, failed, did not run, or may have run', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await tw.agent('user_1', {
    answer: ({tool, params}) => ({
      echo: {success: true, result: params},
      failing: {success: false, error: 'no such file'},
    })[tool],
  });
  const call = callIn(tw);
  assert.deepEqual(await call('user_1', 'echo', '{"n":9007199254740993}'), {code: 0, stdout: '{"n":9007199254740992}\n', stderr: ''});
  const failed = await call('user_1', 'failing');
  assert.deepEqual([failed.code, failed.stdout], [1, '']);
  assert.match(failed.stderr, /no such file/);
  const absent = await call('nobody', 'echo');
  assert.equal(absent.code, 3);
  assert.match(absent.stderr, /AGENT_NOT_CONNECTED.*NOT_SENT.*did not run/);
  const late = await call('user_1', 'slow', '--timeout', '100');
  assert.equal(late.code, 4);
  assert.match(late.stderr, /CALL_TIMEOUT.*SENT.*may have run/);
  const wrong = await call('user_1', 'echo', '[]');
  assert.equal(wrong.code, 3);
  assert.match(wrong.stderr, /params/);
});

claim('with --json every outcome is one JSON object, the result as the agent wrote it', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1', {
    answer: ({requestId, tool}, agent) => agent.sendText(tool === 'failing'
      ? `{"type":"tool_response","requestId":"${requestId}","success":false,"error":"\\"no\\"\\n"}`
      : `{"type":"tool_response","requestId":"${requestId}","success":true,"result":{"n":123456789012345678901},"executionTime":5}`),
  });
  const call = callIn(tw);
  const done = await call('user_1', 'any', '--json', '--request-id', 'r1');
  assert.equal(done.stdout.split('\n').length, 2);
  assert.ok(done.stdout.includes('"result":{"n":123456789012345678901}'));
  const parsed = JSON.parse(done.stdout);
  assert.deepEqual([parsed.ok, parsed.success, parsed.requestId, parsed.executionTimeMs], [true, true, 'r1', 5]);
  const failed = JSON.parse((await call('user_1', 'failing', '--json')).stdout);
  assert.deepEqual([failed.ok, failed.success, failed.error, failed.result], [true, false, '"no"\n', null]);
  const absent = JSON.parse((await call('nobody', 'any', '--json')).stdout);
  assert.deepEqual([absent.ok, absent.reason, absent.delivery], [false, 'AGENT_NOT_CONNECTED', 'NOT_SENT']);
});

claim('no control to be reached: the tool did not run', async () => {
  const {code, stderr} = await run('toolwire', ['call', 'user_1', 'echo', '--address', '127.0.0.1:1', '--timeout', '5000']);
  assert.equal(code, 3);
  assert.match(stderr, /NOT_SENT/);
});

claim('`toolwire agents` lists who is connected', async (scope) => {
  const tw = await scope.toolwire({flags: {'server-id': 'edge-7'}});
  await tw.agent('user_1');
  await tw.agent('user_2');
  const address = ['--address', `127.0.0.1:${tw.ports.callers}`];
  const text = await run('toolwire', ['agents', ...address]);
  assert.equal(text.code, 0);
  assert.match(text.stdout, /^user_1\t.*edge-7\nuser_2\t.*edge-7\n$/);
  const json = await run('toolwire', ['agents', '--json', ...address]);
  assert.deepEqual(json.stdout.trim().split('\n').map((line) => JSON.parse(line).userId), ['user_1', 'user_2']);
});

claim('`toolwire --version` prints the version', async () => {
  const {code, stdout} = await run('toolwire', ['--version']);
  assert.equal(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});
