// A caller of the soak: random calls by seed through one control, on several streams, and what each came to.
//
//   node soak_callers.js PORT SEED NAME BYTES_MAX USER [USER ...]
//
// Calls until the line `stop` comes on standard input, waits for what is under way, and prints all of it as one line.
import {createInterface} from 'node:readline';
import {randomOf} from '../../functional/lib/storm.js';
import {Stream, clock, paramsOf, watchLag} from './stream.js';

const [port, seed, name, bytesMax, ...users] = process.argv.slice(2);
const STREAMS = 3;
const CALLS_MAX = 32;  // Under way.
const PAUSE_MS = 40;
const OVERDUE_MS = 15_000;  // Past its deadline, a call without outcome is lost.

const random = randomOf(Number(seed));
const upTo = (most) => Math.floor(most * random());
const oneOf = (some) => some[upTo(some.length)];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const lags = watchLag();

// Mostly small, some cut in pieces, a few as large as may be.
function randomBytes() {
  const kind = random();
  if (kind < 0.65) return 200;
  if (kind < 0.9) return 1024 + upTo(63 << 10);
  if (kind < 0.995) return (64 << 10) + upTo(4 << 20);
  return (16 << 20) - 1024;
}
function randomCall() {
  const size = {params: randomBytes(), result: randomBytes()};
  if (size.params + size.result > 17 << 20) size.result = 200;
  return {
    userId: oneOf(users), bytes: size.params + size.result, paramsBytes: size.params,
    fields: {resultBytes: size.result, delayMs: random() < 0.5 ? 0 : upTo(600)},
    // Short ones end in the middle of faults; long ones outlast every fault, so that they must be answered.
    timeoutMs: random() < 0.3 ? 20 + upTo(1500) : 20_000 + upTo(20_000),
    cancelAfterMs: random() < 0.08 ? upTo(800) : undefined,
  };
}

const streams = Array.from({length: STREAMS}, () => new Stream(port));
const calls = [];
let stopped = false;
let underWay = 0;
let bytesUnderWay = 0;

async function make({userId, bytes, paramsBytes, fields, timeoutMs, cancelAfterMs}, stream) {
  const requestId = `${name}_${calls.length}`;
  const begunAt = clock();
  const call = {requestId, userId, paramsBytes, ...fields, begunAt, deadlineAt: begunAt + timeoutMs};
  calls.push(call);
  ++underWay;
  bytesUnderWay += bytes;
  const {outcome, cancel} = stream.call({userId, tool: 'answer', requestId, paramsJson: paramsOf(fields, paramsBytes), timeoutMs});
  if (cancelAfterMs !== undefined) {
    setTimeout(() => {
      call.cancelledAt = clock();
      cancel();
    }, cancelAfterMs);
  }
  let overdue;
  const late = new Promise((resolve) => (overdue = setTimeout(resolve, timeoutMs + OVERDUE_MS)));
  call.outcome = await Promise.race([outcome, late]);
  clearTimeout(overdue);
  --underWay;
  bytesUnderWay -= bytes;
}

createInterface({input: process.stdin}).on('line', () => (stopped = true)).on('close', () => process.exit(0));
while (!stopped) {
  const next = randomCall();
  while (!stopped && (underWay >= CALLS_MAX || (bytesUnderWay > 0 && bytesUnderWay + next.bytes > Number(bytesMax)))) await sleep(5);
  make(next, oneOf(streams));
  await sleep(upTo(PAUSE_MS));
}
while (underWay > 0) await sleep(20);
const repeated = streams.flatMap((stream) => stream.repeated);
process.stdout.write(`${JSON.stringify({event: 'calls', calls, repeated, lags})}\n`);
