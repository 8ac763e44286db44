// A log that nobody reads, or whose reader has gone: it costs lines, and nothing else.
import assert from 'node:assert/strict';
import {code} from './lib/caller.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

// Lines of 400 bytes: 200 logins, which are two lines each, are over what a pipe and its reader's buffer hold. Eight users
// at once, since a handshake of TLS waits for its turn where the machine is busy.
async function login(tw, count) {
  await Promise.all(Array.from({length: 8}, async (_, lane) => {
    for (let i = 0; i < count / 8; i++) await (await tw.agent(`${lane}`.padEnd(256, 'u'))).close();
  }));
}

for (const leave of ['leaveLogUnread', 'closeLog']) {
  claimInBoth(`${leave}: logins, calls, /health and the end of the servers go on`, async (scope, shape) => {
    const tw = await scope.toolwire(shape);
    const agent = await tw.agent('user_1');
    for (const one of tw.processes) one[leave]();
    await login(tw, 400);
    await agent.roundTrip();
    assert.equal((await tw.caller().call('user_1', 'echo', {})).code, code.OK);
    assert.equal((await tw.http('/health')).status, 200);
    const dropped = await tw.metric('toolwire_log_lines_dropped_total');
    if (leave === 'closeLog') assert.ok(dropped > 0, `${dropped} lines were dropped`);
    else assert.equal(dropped, 0, 'they wait');
    await tw.stop();
    assert.equal((await agent.closed()).code, 1001);
  });

  claim(`${leave}: toolwire agent goes on answering, and ends`, async (scope) => {
    const tw = await scope.toolwire();
    const agent = scope.process(
      'toolwire', ['agent', '--url', tw.url(), '--user', 'user_1', '--log-format', 'json'], {env: {TOOLWIRE_SECRET: await tw.secret('user_1')}});
    await until('it is connected', () => agent.logged('agent connected').length > 0);
    agent[leave]();
    const stream = tw.caller().dispatch();
    for (let round = 0; round < 10; round++) {
      const calls = Array.from({length: 200}, (_, i) => stream.call('user_1', 'echo', {i}));
      for (const answer of await Promise.all(calls)) assert.equal(answer.code, code.OK);
    }
    await agent.stop();
  });
}

claim('a failed start is explained on standard error though the log has a thread of its own', async (scope) => {
  const failing = scope.process('toolwire', ['dev', '--listen', '203.0.113.1', '--plain-agents', '--plain-grpc', '--no-tokens', '--data-dir', await scope.directory()],
    {exitCode: 1, plain: true});
  await failing.exited();
  assert.match(failing.stderr, /cannot listen on 203\.0\.113\.1/);
});
