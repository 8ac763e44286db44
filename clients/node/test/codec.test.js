// The request that is written by hand, against the generated code; and that code against the protos.
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {createRequire} from 'node:module';
import {fileURLToPath} from 'node:url';
import {claim} from './lib.js';

const require = createRequire(import.meta.url);
const {RequestWriter} = require('../dist/codec.js');
const {toolwire: {v1}} = require('../generated/proto.js');

const pick = (list) => list[Math.floor(Math.random() * list.length)];
const TEXTS = ['', 'a', 'user_1', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(33), 'ä', 'ÿ'.repeat(64), '用户', '👩‍💻', '\ud800',
  'x'.repeat(127), 'x'.repeat(128), 'x'.repeat(16383), 'x'.repeat(16384), 'ü'.repeat(20000), 'x'.repeat(3 << 20)];
const IDS = [1, 127, 128, 16383, 16384, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 35 - 1, 2 ** 35, Number.MAX_SAFE_INTEGER];
const LEFT_MS = [0.001, 0.5, 1, 999.999, 1000, 1500.25, 60_000, 600_000, 2 ** 40, -5];

claim('what the writer writes is what the generated code reads', async () => {
  const writer = new RequestWriter();
  for (let round = 0; round < 2000; ++round) {
    const now = Math.random() * 1e6;
    const texts = round < 1900 ? TEXTS.slice(0, -1) : TEXTS;
    const calls = Array.from({length: Math.floor(Math.random() * 5)}, () => {
      const params = pick([true, false]) ? pick(texts) : Buffer.from(pick(texts));
      return {id: pick(IDS), userId: pick(texts), tool: pick(texts), params, paramsBytes: Buffer.byteLength(params),
        requestId: pick(texts), deadline: now + pick(LEFT_MS)};
    });
    const cancels = Array.from({length: Math.floor(Math.random() * 3)}, () => pick(IDS));
    const written = writer.write(calls, cancels, now);
    const read = v1.DispatchRequest.decode(written);
    assert.equal(read.calls.length, calls.length);
    for (const [n, {id, call}] of read.calls.entries()) {
      const {userId, tool, params, requestId, deadline} = calls[n];
      assert.equal(id.toNumber(), calls[n].id);
      assert.deepEqual([call.userId, call.tool, call.requestId], [userId, tool, requestId].map((text) => text.toWellFormed()));
      assert.ok(Buffer.from(params).equals(call.paramsJson));
      const leftMs = call.timeout.seconds.toNumber() * 1000 + call.timeout.nanos / 1e6;
      assert.ok(Math.abs(leftMs - Math.max(0.001, deadline - now)) < 0.01, `${leftMs} of ${deadline - now}`);
    }
    assert.deepEqual(read.cancels.map((id) => id.toNumber()), cancels);
  }
});

claim('another version of the client, or messages of the application, in the same process: each has its own', async () => {
  const {roots} = require('protobufjs/minimal');
  const others = {v1: {}};
  roots.default = {toolwire: others};
  const name = require.resolve('../generated/proto.js');
  delete require.cache[name];
  const {toolwire: second} = require(name);
  assert.notEqual(second.v1, v1);
  assert.equal(roots.default.toolwire, others);
  for (const one of [v1, second.v1]) {
    const bytes = one.DispatchReply.encode({answers: [{id: 1, failure: {code: 3, detail: {reason: 1}}}]}).finish();
    const {answers} = one.DispatchReply.decode(bytes);
    assert.ok(answers[0] instanceof one.DispatchAnswer);
    assert.ok(answers[0].failure.detail instanceof one.CallError);
  }
});

claim('the generated code is what the protos say', async () => {
  const {status, stderr} = spawnSync(process.execPath, [fileURLToPath(new URL('../scripts/generate.mjs', import.meta.url)), '--check']);
  assert.equal(status, 0, String(stderr));
});
