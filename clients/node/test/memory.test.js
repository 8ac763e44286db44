// A client's memory does not grow with the calls it has made. TOOLWIRE_MEMORY_CALLS: how many, by default
// 1,000,000.
import assert from 'node:assert/strict';
import v8 from 'node:v8';
import vm from 'node:vm';
import {claim, clientOf, until} from './lib.js';

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc');

const CALLS = Number(process.env.TOOLWIRE_MEMORY_CALLS ?? 1_000_000);
const CONCURRENCY = 256;
const SAMPLES = 10;
const AGENTS = 16;
// What a heap of some 10 MB may differ by from sample to sample. A leak of 10 bytes per call is twice as much.
const GROWTH_MAX_BYTES = 4 << 20;

claim(`the heap is as large after ${CALLS} calls as after a tenth of them`, async (scope) => {
  const tw = await scope.toolwire();
  const credentials = await tw.secrets('user_', AGENTS);
  scope.process('toolwire', ['agent', '--url', tw.url(), '--count', String(AGENTS), '--credentials', credentials]);
  await until('all agents are connected', async () => (await tw.metric('toolwire_edge_sessions')) === AGENTS);
  const client = clientOf(scope, tw);
  const {signal} = new AbortController();
  let made = 0;
  const heaps = [];
  for (let sample = 1; sample <= SAMPLES; ++sample) {
    const goal = (CALLS / SAMPLES) * sample;
    await Promise.all(Array.from({length: CONCURRENCY}, async () => {
      while (made < goal) {
        const n = ++made;
        // Also those that fail, and those that could be cancelled.
        const user = n % 1000 === 0 ? 'nobody' : `user_${n % AGENTS}`;
        // And those that wait a little.
        const waitForAgentMs = n % 2000 === 0 ? 5 : 0;
        const answer = await client.callTool(user, 'echo', {n}, n % 10 === 0 ? {signal, waitForAgentMs} : undefined).catch((error) => error);
        if (n % 5000 === 0) {
          const watch = client.watchAgents({userIds: [`user_${n % AGENTS}`, `other_${n}`], signal});
          assert.equal((await watch.next()).value.kind, 'connected');
          await watch.return();
        }
        if (user === 'nobody') assert.equal(answer.reason, 'AGENT_NOT_CONNECTED');
        else assert.equal(answer.result?.n, n, answer.stack);
      }
    }));
    gc();
    await new Promise(setImmediate);
    gc();
    const {heapUsed, external, arrayBuffers} = process.memoryUsage();
    heaps.push(heapUsed + external + arrayBuffers);
  }
  console.log(`heap and buffers, in MB: ${heaps.map((bytes) => (bytes / 1e6).toFixed(2)).join(' ')}`);
  const grown = Math.max(...heaps.slice(1)) - heaps[0];
  assert.ok(grown < GROWTH_MAX_BYTES, `grew by ${grown} bytes`);
}, {timeout: 900_000});
