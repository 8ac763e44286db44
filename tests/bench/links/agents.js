// Agents that answer after `delayMs` with `resultBytes` bytes, as the call's params ask, and note each call.
//
//   node agents.js CREDENTIALS URL USER [URL USER ...]     CREDENTIALS: a file of lines `user secret`
//
// The line `report` on standard input prints the calls since the last one: request id, when it came, when its answer had
// been handed to the kernel; and when this process did not look.
import {readFileSync} from 'node:fs';
import {createInterface} from 'node:readline';
import WebSocket from 'ws';
import {clock, watchLag} from './stream.js';

const [file, ...pairs] = process.argv.slice(2);
const secrets = new Map(readFileSync(file, 'utf8').trim().split('\n').map((line) => line.split(' ')));
const lags = watchLag();

let calls = [];
const say = (event, fields) => process.stdout.write(`${JSON.stringify({event, ...fields})}\n`);
const fillings = new Map();
function filling(bytes) {
  if (!fillings.has(bytes)) {
    if (fillings.size > 4) fillings.clear();
    fillings.set(bytes, JSON.stringify('x'.repeat(Math.max(0, bytes - 2))));
  }
  return fillings.get(bytes);
}

function connect(url, user) {
  const socket = new WebSocket(`${url}?userId=${user}&secret=${secrets.get(user)}`, {maxPayload: 64 << 20, perMessageDeflate: false});
  socket.on('message', (data) => {
    const seenAt = clock();
    const frame = JSON.parse(data.toString());
    if (frame.type === 'connected') say('agent connected', {user});
    if (frame.type !== 'tool_call') return;
    const {requestId, params: {delayMs = 0, resultBytes = 100}} = frame;
    const call = {requestId, seenAt};
    calls.push(call);
    const answer = () => socket.send(
      `{"type":"tool_response","requestId":${JSON.stringify(requestId)},"success":true,"result":${filling(resultBytes)}}`,
      (error) => error || (call.answeredAt = clock()));
    if (delayMs > 0) setTimeout(answer, delayMs);
    else answer();
  });
  setInterval(() => socket.readyState === 1 && socket.send(`{"type":"heartbeat","timestamp":${Date.now()}}`), 30_000).unref();
  socket.on('error', (error) => say('agent failed', {user, why: error.message}));
  socket.on('close', (code) => say('agent lost', {user, code}));
}
for (let i = 0; i < pairs.length; i += 2) connect(pairs[i], pairs[i + 1]);

createInterface({input: process.stdin}).on('line', () => {
  say('report', {calls, lags: lags.splice(0)});
  calls = [];
}).on('close', () => process.exit(0));
