// Calls that a control gives back, with streams of the test's own in place of gRPC's.
import assert from 'node:assert/strict';
import {EventEmitter} from 'node:events';
import {createRequire} from 'node:module';
import {claim, until} from './lib.js';

const require = createRequire(import.meta.url);
const {Call} = require('../dist/call.js');
const {CallQueue} = require('../dist/call_queue.js');
const {Dispatcher} = require('../dist/dispatcher.js');
const {toolwire: {v1}} = require('../generated/proto.js');

const turn = () => new Promise(setImmediate);

// A control whose stream opens by `open()`, and whose writes are done by `flow()`, from then on at once.
class FakeChannel {
  connected = true;
  calls = [];
  #written = [];
  #flows = false;
  constructor(address) {
    this.address = address;
  }
  connect(done) {
    this.open = done;
    return () => {};
  }
  dispatchStream() {
    this.stream = Object.assign(new EventEmitter(), {
      write: (message, done) => {
        this.calls.push(...v1.DispatchRequest.decode(message).calls.map(({id}) => id.toNumber()));
        if (this.#flows) process.nextTick(done);
        else this.#written.push(done);
      },
      cancel: () => {},
    });
    process.nextTick(() => this.stream.emit('data', {answers: [], hello: {}}));
    return this.stream;
  }
  onStopped() {
    return () => {};
  }
  heard() {}
  flow() {
    this.#flows = true;
    for (const done of this.#written.splice(0)) done();
  }
  giveBack(id) {
    this.stream.emit('data', {answers: [{id, failure: {
      code: 14, message: 'no edge', detail: {reason: v1.CallError.Reason.EDGE_UNAVAILABLE, delivery: v1.CallError.Delivery.NOT_SENT}}}]});
  }
  answer(id) {
    this.stream.emit('data', {answers: [{id, response: {requestId: 'r', success: true, resultJson: Buffer.alloc(0)}}]});
  }
}

// How often calls are looked at or copied while `body` runs.
async function workOf(body) {
  const {slice} = Array.prototype;
  const {has} = Set.prototype;
  let work = 0;
  Array.prototype.slice = function (...args) {
    const copied = slice.apply(this, args);
    work += copied.length;
    return copied;
  };
  Set.prototype.has = function (value) {
    ++work;
    return has.call(this, value);
  };
  try {
    await body();
  } finally {
    Array.prototype.slice = slice;
    Set.prototype.has = has;
  }
  return work;
}

// Two controls: the first has `count` calls in flight; the other is connected, and its socket takes nothing for the moment.
async function start(count) {
  const channels = [new FakeChannel('first'), new FakeChannel('second')];
  const [first, second] = channels;
  const dispatcher = new Dispatcher({all: channels, close() {}}, undefined,
    {controlWaitMs: 1e6, callsInFlightMax: count, callsQueuedMax: 10 * count, silenceCloseMs: 1e6}, JSON.parse);
  const call = () => new Promise((resolve, reject) => dispatcher.add(new Call(
    'user_1', 'echo', {params: '', bytes: 0}, '', 1e6, 0, undefined, performance.now(), resolve, reject, dispatcher.whenSettled)));
  const calls = Array.from({length: count}, call);
  first.open();
  first.flow();
  while (first.calls.length < count) await turn();
  second.open();
  // Behind its clock, which is said first; no third message is written.
  calls.push(call());
  await turn();
  assert.equal(second.calls.length, 1);
  return {first, second, dispatcher, calls};
}

async function givingBack(count) {
  const {first, second, dispatcher, calls} = await start(count);
  const work = await workOf(async () => {
    for (const id of first.calls.slice()) {
      first.giveBack(id);
      await new Promise(process.nextTick);
    }
  });
  assert.equal(first.calls.length, count, 'none goes to the one that gave it back');
  second.flow();
  const answered = new Set();
  while (answered.size < count + 1) {
    await turn();
    for (const id of second.calls.slice()) {
      if (answered.has(id)) continue;
      answered.add(id);
      second.answer(id);
    }
  }
  for (const one of await Promise.all(calls)) assert.equal(one.success, true);
  await dispatcher.close(0);
  return work;
}

claim('giving back 20,000 calls, one by one, is twice the work of 10,000; each is then answered by another control', async () => {
  const [half, whole] = [await givingBack(10_000), await givingBack(20_000)];
  assert.ok(whole < 2.5 * half, `${half}, then ${whole}`);
});

claim('a call that came back behind 500 that only another control may have is written all the same', async () => {
  const {first, dispatcher, calls} = await start(500);
  const ended = Promise.allSettled(calls);
  for (const id of first.calls.slice()) first.giveBack(id);
  const last = new Call('user_1', 'echo', {params: '', bytes: 0}, '', 1e6, 0, undefined, performance.now(), () => {}, () => {}, () => {});
  dispatcher.unread([last]);
  await until('it is written', () => first.calls.length === 501);
  await dispatcher.close(0);
  await ended;
});

claim('a queue gives calls in their order, and copies less than it was given', async () => {
  const queue = new CallQueue();
  const expected = [];
  let next = 0, taken = 0;
  const work = await workOf(async () => {
    for (let round = 0; round < 200_000; ++round) {
      if (expected.length - taken < 3 || Math.random() < (round < 100_000 ? 0.7 : 0.3)) {
        const call = {n: next++};
        queue.push(call);
        expected.push(call);
      } else {
        if (queue.first !== expected[taken++]) assert.fail(`${queue.first?.n} in place of ${taken - 1}`);
        queue.shift();
      }
      if (queue.length !== expected.length - taken) assert.fail('its length');
    }
  });
  assert.ok(work <= next, `${work} copies of ${next}`);
  queue.keep(({n}) => n % 2 === 0);
  assert.deepEqual(queue.takeAll(), expected.slice(taken).filter(({n}) => n % 2 === 0));
  assert.deepEqual([queue.length, queue.first], [0, undefined]);
});
