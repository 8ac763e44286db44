// What one hostile peer costs the others: nothing that lasts, and bounded memory.
import assert from 'node:assert/strict';
import {claim, metric} from './lib/toolwire.js';
import {until} from './lib/until.js';

const HITS = 'toolwire_edge_limit_hits_total';

// Sends in portions, so that the test's own process does not keep it all.
async function send(count, one) {
  for (let i = 0; i < count; ++i) {
    one();
    if (i % 2000 === 0) await new Promise(setImmediate);
  }
}

claim('an agent that sends heartbeats and reads nothing is closed, its calls are NOT_SENT, others go on', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  await tw.agent('user_2');
  const agent = await tw.agent('user_1');
  const calls = tw.caller().dispatch();
  agent.pause();
  const large = {padding: 'x'.repeat(4 << 20)};
  const ahead = [1, 2, 3, 4].map(() => calls.call('user_1', 'large', large));  // More than sockets buffer.
  await until('they wait', async () => (await tw.metric('toolwire_edge_queued_bytes')) > 4 << 20);
  const waiting = Array.from({length: 500}, () => calls.call('user_1', 'small', {}, {timeoutMs: 240_000}));
  const sending = send(20_000, () => agent.heartbeat());
  for (const outcome of await Promise.all(waiting)) {
    assert.deepEqual([outcome.reason, outcome.delivery], ['AGENT_NOT_CONNECTED', 'NOT_SENT']);
  }
  assert.equal(await tw.metric(HITS, {limit: 'session_queue_replies'}), 1);
  assert.equal((await calls.call('user_2', 'echo')).code, 0);
  await sending;
  agent.destroy();
  await Promise.all(ahead);
  await tw.idle();
  assert.equal(await tw.metric('toolwire_edge_queued_bytes'), 0);
});

claim('pings of an agent that does not read cost no memory, and the newest is answered when it reads again', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agent = await tw.agent('user_1');
  const pongs = [];
  agent.onPong((payload) => pongs.push(payload));
  agent.ping('first');
  await until('a ping is answered', () => pongs.length === 1);
  const memory = () => metric(tw.ports.metrics[0], 'process_resident_memory_bytes');
  const before = await memory();
  agent.pause();
  // One byte each, of which sockets buffer some 10 MB of pongs.
  const pings = Buffer.alloc(7 * 100_000, Buffer.from([0x89, 0x81, 0, 0, 0, 0, 0x2e]));
  for (let sent = 0; sent < 60; ++sent) await agent.writeRaw(pings);
  agent.ping('last');
  agent.heartbeat();
  await until('the edge has read them', async () => (await tw.metric('toolwire_edge_heartbeats_total')) === 1);
  const grown = (await memory()) - before;
  assert.ok(grown < 32 << 20, `${grown} bytes`);
  agent.resume();
  await until('the newest is answered', () => pongs.at(-1) === 'last');
});
