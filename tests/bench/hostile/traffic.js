// The well-behaved users: 200 calls/s on a clock, half through the Node client and half as backends of the old channels,
// one login a second, one caller a second that connects anew, one look at each metrics page a second. A call's time counts from when it was due, so that a server
// that stands still is charged for every call of that time.
//
//   node traffic.js CALLERS_PORT AGENTS_PORT METRICS_PORTS REDIS_URL AGENTS CREDENTIALS
//
// Each line on standard input ends a phase: prints its figures as JSON and begins the next.
import {readFileSync} from 'node:fs';
import http from 'node:http';
import {createInterface} from 'node:readline';
import Redis from 'ioredis';
import WebSocket from 'ws';
import {ToolwireClient} from '../../../clients/node/dist/index.mjs';
import {callRequest, grpcConnection, unary} from './grpc_peer.js';

const [callersPort, agentsPort, metricsPorts, redisUrl, agents, credentials] = process.argv.slice(2);
const CALLS_PER_S = 200;
const PATIENCE_MS = 10_000;

const client = new ToolwireClient({address: `127.0.0.1:${callersPort}`});
const redis = new Redis(redisUrl);
const subscriber = new Redis(redisUrl);
// The user who logs in again and again is one more than those who are called.
const [loginUser, loginSecret] = readFileSync(credentials, 'utf8').trim().split('\n')[Number(agents)].split(' ');

const waiting = new Map();
subscriber.on('message', (channel, text) => waiting.get(channel)?.(JSON.parse(text)));

async function callByGrpc(user, params) {
  const {success, result, error} = await client.callTool(user, 'echo', params, {timeoutMs: PATIENCE_MS});
  if (!success) throw new Error(error ?? 'the tool failed');
  return result;
}
let lastId = 0;
async function callByRedis(user, params) {
  if (!(await redis.exists(`agent:${user}:server`))) throw new Error('agent not connected');
  const requestId = `req_${process.pid}_${++lastId}`;
  const channel = `response:${requestId}`;
  try {
    await subscriber.subscribe(channel);
    const came = new Promise((resolve) => waiting.set(channel, resolve));
    await redis.publish(`agent:${user}:commands`, JSON.stringify({type: 'tool_call', requestId, tool: 'echo', params}));
    const {success, result, error} = await came;
    if (!success) throw new Error(error ?? 'the tool failed');
    return result;
  } finally {
    waiting.delete(channel);
    subscriber.unsubscribe(channel).catch(() => {});
  }
}
function login() {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${agentsPort}/?userId=${loginUser}&secret=${loginSecret}`);
    socket.on('message', (data) => {
      if (JSON.parse(data).type !== 'connected') return;
      resolve();
      socket.terminate();
    });
    socket.on('error', reject);
    socket.on('close', (code) => reject(new Error(`login: closed with ${code}`)));
  });
}
// A backend that starts: a new connection, and one call on it.
async function dial(user) {
  const session = grpcConnection(callersPort);
  try {
    const {stream, closed} = unary(session, 'CallTool', callRequest({user, json: '{}'}));
    let answered = false;
    stream.on('data', () => (answered = true));
    await closed;
    if (!answered) throw new Error('no answer');
  } finally {
    session.destroy();
  }
}
function scrape(port) {
  return new Promise((resolve, reject) => {
    http.get({port, path: '/metrics', agent: false}, (response) => {
      response.resume().on('end', resolve);
      if (response.statusCode !== 200) reject(new Error(`metrics: ${response.statusCode}`));
    }).on('error', reject);
  });
}

const emptyPhase = () => ({calls: [], logins: [], dials: [], scrapes: [], failed: {}, pending: 0});
let phase = emptyPhase();

// Counts what `work` takes from when it was due; what takes longer than the patience of a user has failed.
async function timed(kind, due, work) {
  const mine = phase;
  ++mine.pending;
  let timer;
  try {
    await Promise.race([
      work(),
      new Promise((_, reject) => (timer = setTimeout(reject, PATIENCE_MS, new Error('no answer in time')))),
    ]);
    mine[kind].push(performance.now() - due);
  } catch (error) {
    const why = `${kind}: ${error.message}`.slice(0, 100);
    mine.failed[why] = (mine.failed[why] ?? 0) + 1;
  } finally {
    clearTimeout(timer);
    --mine.pending;
  }
}

const began = performance.now();
let made = 0, seconds = 0;
function tick() {
  const now = performance.now();
  for (let due; (due = began + (1000 * made) / CALLS_PER_S) <= now; ++made) {
    const user = `user_${made % Number(agents)}`;
    const params = {call: made};
    const call = made % 2 ? callByRedis : callByGrpc;
    timed('calls', due, async () => {
      if ((await call(user, params)).call !== params.call) throw new Error("another call's answer");
    });
  }
  for (let due; (due = began + 1000 * seconds) <= now; ++seconds) {
    timed('logins', due, login);
    timed('dials', due, () => dial(`user_${seconds % Number(agents)}`));
    for (const port of metricsPorts.split(',')) timed('scrapes', due, () => scrape(port));
  }
}
setInterval(tick, 1);

const share = (times, part) => times.sort((a, b) => a - b)[Math.floor(part * (times.length - 1))] ?? null;
const summary = (times) => ({count: times.length, p50: share(times, 0.5), p99: share(times, 0.99), max: share(times, 1)});

createInterface({input: process.stdin}).on('line', async () => {
  const done = phase;
  phase = emptyPhase();
  while (done.pending > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const {calls, logins, dials, scrapes, failed} = done;
  process.stdout.write(`${JSON.stringify({
    event: 'phase', calls: summary(calls), logins: summary(logins), dials: summary(dials), scrapes: summary(scrapes), failed,
  })}\n`);
}).on('close', () => process.exit(0));
process.stdout.write('{"event":"traffic"}\n');
