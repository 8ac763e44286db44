// A backend in Node.js: K callers over one client, each waiting for its answer before it calls again, spread over all
// users at random.
//
//   node callers.js --system toolwire|seed|nats --url URL --agents N --concurrency K --seconds S [--warmup-seconds 1]
//                   [--client FILE]
//
// Warms up, prints {"event":"warm"}, waits for a line on standard input, measures, prints {"event":"done", ...}. The
// wait lets whoever counts the servers' CPU time begin and end with no call in flight. Every answer is checked to be
// the params of its call.
import {once} from 'node:events';
import path from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {parseArgs} from 'node:util';

const {values: flags} = parseArgs({
  options: {
    system: {type: 'string'},
    url: {type: 'string'},
    agents: {type: 'string'},
    concurrency: {type: 'string', default: '1'},
    seconds: {type: 'string', default: '5'},
    'warmup-seconds': {type: 'string', default: '1'},
    client: {type: 'string', default: fileURLToPath(new URL('../../../clients/node/dist/index.mjs', import.meta.url))},
  },
});
const PARAMS_BYTES = 200;
const TIMEOUT_MS = 60_000;

// What backends install.
async function toolwireClient(url) {
  const {ToolwireClient} = await import(pathToFileURL(path.resolve(flags.client)));
  const client = new ToolwireClient({address: url});
  return {
    call: async (userId, tool, params) => {
      const answer = await client.callTool(userId, tool, params);
      if (!answer.success) throw new Error(answer.error ?? 'the tool failed');
      return answer.result;
    },
    close: () => client.close(),
  };
}

// What backends of the replaced server do: is the agent there, subscribe the answer's channel, publish the call, wait for
// one message, unsubscribe. A subscribed connection cannot publish, hence two.
async function seedClient(url) {
  const {default: Redis} = await import('ioredis');
  const redis = new Redis(url);
  const subscriber = new Redis(url);
  const waiting = new Map();
  let lastId = 0;
  subscriber.on('message', (channel, text) => {
    const one = waiting.get(channel);
    if (!one) return;
    waiting.delete(channel);
    clearTimeout(one.timer);
    subscriber.unsubscribe(channel);
    const answer = JSON.parse(text);
    if (answer.success) one.resolve(answer.result);
    else one.reject(new Error(answer.error ?? 'the tool failed'));
  });
  return {
    call: async (userId, tool, params) => {
      if (!(await redis.exists(`agent:${userId}:server`))) throw new Error('agent not connected');
      const requestId = `req_${process.pid}_${++lastId}`;
      const channel = `response:${requestId}`;
      await subscriber.subscribe(channel);
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(channel);
          reject(new Error('timed out'));
        }, TIMEOUT_MS);
        waiting.set(channel, {resolve, reject, timer});
        redis.publish(`agent:${userId}:commands`, JSON.stringify({type: 'tool_call', requestId, tool, params}));
      });
    },
    close: () => {
      redis.disconnect();
      subscriber.disconnect();
    },
  };
}

async function natsClient(url) {
  const {connect} = await import('nats');
  const connection = await connect({servers: url});
  return {
    call: async (userId, tool, params) => {
      const request = Buffer.from(JSON.stringify({tool, params}));
      const reply = await connection.request(`agent.${userId}`, request, {timeout: TIMEOUT_MS});
      const answer = reply.json();
      if (!answer.success) throw new Error(answer.error ?? 'the tool failed');
      return answer.result;
    },
    close: () => connection.close(),
  };
}

const clients = {toolwire: toolwireClient, seed: seedClient, nats: natsClient};
const client = await clients[flags.system](flags.url);
const agents = Number(flags.agents);
const PADDING = 'x'.repeat(PARAMS_BYTES - JSON.stringify({call: '0'.repeat(10), path: ''}).length);
let calls = 0, failed = 0;

// Calls until `end`; latencies of answers in time are added to `latencies`, in ms.
async function caller(end, latencies) {
  for (let began; (began = performance.now()) < end; ) {
    const params = {call: String(++calls).padStart(10, '0'), path: PADDING};
    try {
      const result = await client.call(`user_${Math.floor(Math.random() * agents)}`, 'echo', params);
      if (result.call !== params.call || result.path !== PADDING) throw new Error("another call's answer");
      const now = performance.now();
      if (now < end) latencies.push(now - began);
    } catch (error) {
      if (++failed <= 3) process.stderr.write(`callers: ${error.message}\n`);
      await new Promise(setImmediate);  // A server that refuses everything must not keep the loop from its timers.
    }
  }
}
// All callers for so many seconds, and until the last of them has its answer.
async function phase(seconds) {
  calls = failed = 0;
  const latencies = [];
  const cpuBefore = process.cpuUsage();
  const end = performance.now() + 1000 * seconds;
  await Promise.all(Array.from({length: Number(flags.concurrency)}, () => caller(end, latencies)));
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.floor(share * (latencies.length - 1))] ?? null;
  const cpu = process.cpuUsage(cpuBefore);
  return {
    calls,
    failed,
    calls_per_s: latencies.length / seconds,
    p50_ms: at(0.5),
    p99_ms: at(0.99),
    caller_cpu_us_per_call: (cpu.user + cpu.system) / calls,
  };
}

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
say({event: 'warm', ...(await phase(Number(flags['warmup-seconds'])))});
await once(process.stdin, 'data');
say({event: 'done', ...(await phase(Number(flags.seconds)))});
client.close();
process.stdin.destroy();
