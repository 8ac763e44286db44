// What writing and reading the messages of the Dispatch stream costs, in CPU time per call: the writer of src/codec.ts
// and the generated code, with 1 and with 64 calls of 200 B in a message.
import {createRequire} from 'node:module';

const require = createRequire(import.meta.url);
const {RequestWriter} = require('../dist/codec.js');
const {toolwire: {v1}} = require('../generated/proto.js');

const CALLS = 2_000_000;
const text = JSON.stringify({call: '0000000001', path: 'x'.repeat(172)});

function measure(what, calls, once) {
  const times = CALLS / calls;
  for (let i = 0; i < times / 4; ++i) once();
  const before = process.cpuUsage();
  for (let i = 0; i < times; ++i) once();
  const {user, system} = process.cpuUsage(before);
  console.log(`${what.padEnd(20)} ${String(calls).padStart(3)} calls: ${((user + system) / CALLS).toFixed(2)} us per call`);
}

for (const count of [1, 64]) {
  const numbers = Array.from({length: count}, (_, n) => n + 100_000);
  const writer = new RequestWriter();
  measure('written by hand', count, () => writer.write(numbers.map((id) => ({
    id, userId: `user_${id}`, tool: 'echo', params: text, paramsBytes: Buffer.byteLength(text), requestId: '', deadline: 60_000,
  })), [], 0));
  measure('generated encoder', count, () => v1.DispatchRequest.encode({calls: numbers.map((id) => ({
    id, call: {userId: `user_${id}`, tool: 'echo', paramsJson: Buffer.from(text), timeout: {seconds: 60, nanos: 0}},
  }))}).finish());
  const reply = v1.DispatchReply.encode({answers: numbers.map((id) => ({
    id, response: {requestId: 'req_0123456789abcdef', success: true, resultJson: Buffer.from(text), executionTimeMs: 3},
  }))}).finish();
  measure('generated decoder', count, () => v1.DispatchReply.decode(reply));
}
