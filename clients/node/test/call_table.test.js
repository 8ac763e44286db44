// The ids of the calls on a stream.
import assert from 'node:assert/strict';
import {createRequire} from 'node:module';
import {claim} from './lib.js';

const {CallTable} = createRequire(import.meta.url)('../dist/call_table.js');

claim('each call is found by its id, once, and in any order', async () => {
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
  assert.deepEqual(new Set(table.takeAll()), new Set(calls.values()));
  assert.deepEqual([table.size, [...table]], [0, []]);
  for (const id of calls.keys()) assert.equal(table.take(id), undefined);
});

claim('an id finds none of the next thousand calls in its slot, however many there are in others', async () => {
  for (const callsMax of [1, 2, 3, 20_000, 1e9, Infinity]) {
    const table = new CallTable(callsMax);
    const first = {id: 0};
    table.add(first);
    assert.equal(table.take(first.id), first);
    for (let n = 0; n < 1000; ++n) {
      const next = {id: 0};
      table.add(next);
      const others = Array.from({length: Math.min(callsMax - 1, 1 + (n % 10) * 113)}, () => ({id: 0}));
      for (const other of others) table.add(other);
      assert.equal(table.take(first.id), undefined);
      for (const other of others) assert.equal(table.take(other.id), other);
      assert.equal(table.take(next.id), next);
    }
  }
});

claim('ids that were never given find nothing', async () => {
  const table = new CallTable(16);
  for (const id of [0, 1, 17, 2 ** 32, 2 ** 53 - 1]) assert.equal(table.take(id), undefined);
  const call = {id: 0};
  table.add(call);
  for (const id of [0, call.id - 1, call.id + 1, call.id + 16, call.id * 2, 2 ** 53 - 1]) assert.equal(table.take(id), undefined);
  assert.equal(table.take(call.id), call);
});
