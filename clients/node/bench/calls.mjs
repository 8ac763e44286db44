// The client against `toolwire dev` and echoing agents in C++: K callers, each waits for its answer before it calls
// again, 200 B of params. Says calls/s, latency and, what a busy machine does not change, CPU time per call.
//
//   TOOLWIRE_BIN_DIR=build/release node bench/calls.mjs [--concurrency "1 64"] [--seconds 3] [--rounds 3] [--agents 100]
//                                                       [--client dist]
import {createRequire} from 'node:module';
import path from 'node:path';
import {parseArgs} from 'node:util';
import {Scope} from '../../../tests/functional/lib/toolwire.js';
import {until} from '../../../tests/functional/lib/until.js';

const {values: flags} = parseArgs({
  options: {
    concurrency: {type: 'string', default: '1 64'},
    seconds: {type: 'string', default: '3'},
    rounds: {type: 'string', default: '3'},
    agents: {type: 'string', default: '100'},
    client: {type: 'string', default: path.join(import.meta.dirname, '../dist')},
  },
});
const PARAMS_BYTES = 200;
const PADDING = 'x'.repeat(PARAMS_BYTES - JSON.stringify({call: '0'.repeat(10), path: ''}).length);
const {ToolwireClient} = createRequire(import.meta.url)(path.resolve(flags.client, 'index.js'));
const agents = Number(flags.agents);
let made = 0;

async function caller(client, end, latencies) {
  for (let began; (began = performance.now()) < end; ) {
    const params = {call: String(++made).padStart(10, '0'), path: PADDING};
    const {result} = await client.callTool(`user_${made % agents}`, 'echo', params);
    if (result.call !== params.call || result.path !== PADDING) throw new Error("another call's answer");
    latencies.push(performance.now() - began);
  }
}
async function phase(client, concurrency, seconds) {
  const latencies = [];
  const began = performance.now();
  const before = process.cpuUsage();
  await Promise.all(Array.from({length: concurrency}, () => caller(client, began + 1000 * seconds, latencies)));
  const {user, system} = process.cpuUsage(before);
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.floor(share * (latencies.length - 1))].toFixed(3);
  console.log([
    `${concurrency} concurrent`.padEnd(16), `${Math.round(latencies.length / seconds)} calls/s`.padEnd(16),
    `p50 ${at(0.5)} ms  p99 ${at(0.99)} ms`.padEnd(30),
    `caller's CPU ${((user + system) / latencies.length).toFixed(1)} us/call`,
  ].join(''));
}

const scope = new Scope();
try {
  const tw = await scope.toolwire();
  const credentials = await tw.secrets('user_', agents);
  scope.process('toolwire', ['agent', '--url', tw.url(), '--count', String(agents), '--credentials', credentials]);
  await until('all agents are connected', async () => (await tw.metric('toolwire_edge_sessions')) === agents);
  const client = scope.own(new ToolwireClient({address: `127.0.0.1:${tw.ports.callers}`}));
  await phase(client, 64, 1);
  for (let round = 0; round < Number(flags.rounds); ++round) {
    for (const concurrency of flags.concurrency.split(' ')) await phase(client, Number(concurrency), Number(flags.seconds));
  }
} finally {
  await scope.close();
}
