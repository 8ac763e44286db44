// A caller of the table of links: small calls on a clock, or large calls one after another.
//
//   node callers.js PORT USER
//
// Lines of JSON on standard input: {"paced": calls per second}, until {"stop": true}; or {"large": "params" | "results",
// "bytes": N, "seconds": S}. Each ends with one line: how many were answered, their times in ms, and what failed why.
import {createInterface} from 'node:readline';
import {Stream, clock, paramsOf} from './stream.js';

const [port, user] = process.argv.slice(2);
const SMALL_BYTES = 200;
const TIMEOUT_MS = 30_000;

const stream = new Stream(port);
let ids = 0;
let stopped = false;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function one(times, failed, {paramsJson, due = clock()}) {
  const {outcome} = stream.call({userId: user, tool: 'answer', requestId: `${user}_${process.pid}_${++ids}`, paramsJson, timeoutMs: TIMEOUT_MS});
  const {success, reason, delivery, at} = await outcome;
  if (success) times.push(at - due);
  else failed[`${reason} ${delivery}`] = (failed[`${reason} ${delivery}`] ?? 0) + 1;
}
// A call's time counts from when it was due.
async function paced(perSecond, times, failed) {
  const paramsJson = paramsOf({resultBytes: SMALL_BYTES}, SMALL_BYTES);
  const running = [];
  const began = clock();
  for (let i = 0; !stopped; ++i) {
    const due = began + (1000 * i) / perSecond;
    const wait = due - clock();
    if (wait > 0.5) await sleep(wait);
    running.push(one(times, failed, {paramsJson, due}));
  }
  await Promise.all(running);
}
async function large(what, bytes, seconds, times, failed) {
  const paramsJson = what === 'params' ? paramsOf({}, bytes) : paramsOf({resultBytes: bytes}, SMALL_BYTES);
  const began = clock();
  while (clock() - began < 1000 * seconds) {
    const failures = Object.keys(failed).length;
    await one(times, failed, {paramsJson});
    if (Object.keys(failed).length > failures) await sleep(100);
  }
}

createInterface({input: process.stdin}).on('line', async (line) => {
  const command = JSON.parse(line);
  if (command.stop) return void (stopped = true);
  stopped = false;
  const times = [];
  const failed = {};
  if (command.paced) await paced(command.paced, times, failed);
  else await large(command.large, command.bytes, command.seconds, times, failed);
  process.stdout.write(`${JSON.stringify({event: 'done', times, failed})}\n`);
}).on('close', () => process.exit(0));
