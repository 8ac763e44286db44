// The numbers of the calls on a stream.
import assert from 'node:assert/strict';
import {createRequire} from 'node:module';
import {claim} from './lib.js';

const {CallTable} = createRequire(import.meta.url)('../dist/call_table.js');

claim('each call is found by its number, once, and in any order', async () => {
  const table = new CallTable(20_000);
  const calls = new Map();
  for (let round = 0; round < 100_000; ++round) {
    if (calls.size < 50 || (calls.size < 300 && Math.random() < 0.5)) {
      const call = {id: 0, round};
      table.add(call);
      assert.ok(Number.isSafeInteger(call.id) && call.id > 0 && !calls.has(call.id), `${call.id} is free`);
      calls.set(call.id, call);
    } else {
      const ids = [...calls.keys()];
      const id = ids[Math.floor(Math.random() * ids.length)];
      assert.equal(table.take(id), calls.get(id));
      calls.delete(id);
      assert.equal(table.take(id), undefined);
    }
    assert.equal(table.size, calls.size);
  }
  assert.deepEqual(new Set(table), new Set(calls.values()));
  table.clear();
  assert.deepEqual([table.size, [...table]], [0, []]);
});

claim('a number that was taken finds none of the next thousand calls in its place', async () => {
  for (const callsMax of [1, 2, 3, 20_000, 1e9, Infinity]) {
    const table = new CallTable(callsMax);
    const first = {id: 0};
    table.add(first);
    assert.equal(table.take(first.id), first);
    for (let n = 0; n < 1000; ++n) {
      const next = {id: 0};
      table.add(next);
      assert.equal(table.take(first.id), undefined);
      assert.equal(table.take(next.id), next);
    }
  }
});

claim('numbers that were never given find nothing', async () => {
  const table = new CallTable(16);
  for (const id of [0, 1, 17, 2 ** 32, 2 ** 53 - 1]) assert.equal(table.take(id), undefined);
  const call = {id: 0};
  table.add(call);
  for (const id of [0, call.id - 1, call.id + 1, call.id + 16, call.id * 2, 2 ** 53 - 1]) assert.equal(table.take(id), undefined);
  assert.equal(table.take(call.id), call);
});
