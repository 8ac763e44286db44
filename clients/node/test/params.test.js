// Params: what JSON cannot hold is a TypeError before anything is sent; what is sent is what was given, when it was given.
import assert from 'node:assert/strict';
import vm from 'node:vm';
import {InvalidRequestError} from '../dist/index.mjs';
import {startFake} from './fake_control.js';
import {claim, clientWith, rejection} from './lib.js';

const MIB = 1 << 20;
class Point {
  x = 1;
}
class Hidden {
  #x = 1;
}
class Money {
  cents = 5;
  toJSON() {
    return {cents: this.cents};
  }
}
const start = async (scope, options) => {
  const fake = await startFake(scope);
  return {fake, client: clientWith(scope, {address: fake.address, ...options})};
};
const isTypeError = (error) => assert.equal(error.constructor, TypeError, error.stack);

// What JSON.stringify makes {} or null of, or leaves out.
const NOT_JSON = [
  () => {}, function named() {}, class {}, new ArrayBuffer(8), new SharedArrayBuffer(8), new DataView(new ArrayBuffer(8)),
  new Map([['a', 1]]), new Set([1]), new WeakMap(), new WeakSet(), Symbol('x'), new Hidden(), Promise.resolve({}), /x/, new Error('x'),
  new Uint16Array(2), new Float64Array(2), new Proxy(new Map(), {}), new URLSearchParams('a=1'), new (class extends Map {})(),
  vm.runInNewContext('new Map([[1, 2]])'), (function* () {})(), Object.create({inherited: 1, __proto__: {}}),
];

claim('params that are functions, ArrayBuffers, DataViews, Maps, Sets, symbols or instances without properties: a TypeError, and nothing is sent', async (scope) => {
  const {fake, client} = await start(scope);
  for (const params of [...NOT_JSON, 5, 5n, true, false, [], [{}], new Date(), new Number(5)]) {
    isTypeError(await rejection(client.callTool('user_1', 'echo', params)));
  }
  assert.deepEqual(fake.calls, []);
  assert.equal((await client.callTool('user_1', 'echo', {n: 1})).success, true);
});

claim('the same anywhere within params; the message says where, and shows no value', async (scope) => {
  const {fake, client} = await start(scope);
  for (const inside of [...NOT_JSON, new Uint8Array(2)]) {
    for (const params of [{a: inside}, {a: [1, {b: inside}]}, {a: [inside]}, Object.assign(Object.create(null), {a: inside}), {n: 1n, a: inside}]) {
      isTypeError(await rejection(client.callTool('user_1', 'echo', params)));
    }
  }
  const error = await rejection(client.callTool('user_1', 'echo', {list: [{ok: 1}, {of: new Map([['secret', 1]])}]}));
  assert.equal(error.message, 'params.list[1].of: an instance of Map, which JSON cannot hold; give a plain object or a toJSON()');
  assert.deepEqual(fake.calls, []);
});

claim('params that JSON can hold are sent: plain objects of any realm, toJSON, BigInt, without a prototype', async (scope) => {
  const {client} = await start(scope);
  const sent = async (params) => JSON.parse((await client.callTool('user_1', 'echo', params)).resultJson.toString() || '{}');
  assert.deepEqual(await sent({a: {b: [1, null, 'x', true, {}]}}), {a: {b: [1, null, 'x', true, {}]}});
  assert.deepEqual(await sent(vm.runInNewContext('({a: [{b: 1}]})')), {a: [{b: 1}]});
  assert.deepEqual(await sent(Object.assign(Object.create(null), {a: 1})), {a: 1});
  assert.deepEqual(await sent(new Money()), {cents: 5});
  assert.deepEqual(await sent(new Point()), {x: 1});
  assert.deepEqual(await sent({at: [new Point()]}), {at: [{x: 1}]});
  assert.deepEqual(await sent({money: new Money(), at: new Date(0), url: new URL('http://a/')}),
    {money: {cents: 5}, at: '1970-01-01T00:00:00.000Z', url: 'http://a/'});
  assert.deepEqual(await sent({bytes: Buffer.from('a')}), {bytes: {type: 'Buffer', data: [97]}});
  assert.deepEqual(await sent({n: 5n, left: undefined}), {n: 5});
  for (const none of [undefined, null, '', {}]) assert.deepEqual(await sent(none), {});
});

claim('what a toJSON returns is checked like what is there, at every depth: a TypeError that says where, and nothing is sent', async (scope) => {
  const {fake, client} = await start(scope);
  const returning = (value) => ({toJSON: () => value});
  for (const wrong of NOT_JSON) {
    for (const params of [returning(wrong), {a: returning(wrong)}, {a: [1, returning({b: [wrong]})]}, returning({a: returning(wrong)}),
      {n: 1n, a: returning(wrong)}, {ok: new Money(), a: wrong}]) {
      isTypeError(await rejection(client.callTool('user_1', 'echo', params)));
    }
  }
  // Of which JSON.stringify makes {}, as it asks for a toJSON once.
  isTypeError(await rejection(client.callTool('user_1', 'echo', {a: returning(new Date(0))})));
  const error = await rejection(client.callTool('user_1', 'echo', {list: [1, returning({of: [new Map([['secret', 1]])]})]}));
  assert.equal(error.message, 'params.list[1].of[0]: an instance of Map, which JSON cannot hold; give a plain object or a toJSON()');
  assert.deepEqual(fake.calls, []);
});

claim('a toJSON that returns what JSON can hold is sent as JSON.stringify has it, BigInt as well', async (scope) => {
  const {client} = await start(scope);
  const sent = async (params) => JSON.parse((await client.callTool('user_1', 'echo', params)).resultJson.toString());
  const returning = (value) => ({toJSON: () => value});
  for (const params of [returning({a: [1, null, 'x', returning([new Date(0), new Point()])]}), {a: [returning('x'), returning(undefined)]},
    {at: returning(new Point()), bytes: Buffer.from('a')}, {own: {x: 1, toJSON() { return {...this}; }}}, {map: {toJSON: () => new (class extends Map { toJSON() {} x = 1; })().x}}]) {
    assert.deepEqual(await sent(params), JSON.parse(JSON.stringify(params)));
  }
  assert.deepEqual(await sent(returning({n: returning(5n), deep: [6n]})), {n: 5, deep: [6]});
});

claim('a toJSON or a stringify that gives no text of an object: a TypeError', async (scope) => {
  const {fake, client} = await start(scope);
  for (const toJSON of [() => undefined, () => [1], () => 'text', () => 5, () => () => {}]) {
    isTypeError(await rejection(client.callTool('user_1', 'echo', {toJSON})));
  }
  for (const given of [undefined, 5, {}, Buffer.from('{}')]) {
    const own = clientWith(scope, {address: fake.address, stringify: () => given});
    isTypeError(await rejection(own.callTool('user_1', 'echo', {})));
  }
  const circle = {};
  circle.circle = circle;
  let deep = {};
  for (let n = 0; n < 200_000; ++n) deep = {deep};
  for (const params of [circle, deep, {toJSON: () => { throw new Error('mine'); }}]) {
    const error = await rejection(client.callTool('user_1', 'echo', params));
    assert.deepEqual([error.constructor, error.field, error.delivery], [InvalidRequestError, 'params', 'NOT_SENT']);
  }
  assert.deepEqual(fake.calls, []);
});

claim("with the application's own stringify every object is its own matter", async (scope) => {
  const stringify = (params) => JSON.stringify(params instanceof Map ? Object.fromEntries(params) : params);
  const {client} = await start(scope, {stringify});
  assert.deepEqual((await client.callTool('user_1', 'echo', new Map([['a', 1]]))).result, {a: 1});
  for (const params of [() => {}, Symbol('x'), 5]) isTypeError(await rejection(client.callTool('user_1', 'echo', params)));
});

claim('a Buffer that is changed after callTool is sent as it was', async (scope) => {
  const {client} = await start(scope);
  const text = '{"text":"as it was"}';
  const shared = new Uint8Array(new SharedArrayBuffer(text.length));
  shared.set(Buffer.from(text));
  for (const params of [Buffer.from(text), new Uint8Array(Buffer.from(text)), shared, vm.runInNewContext('Uint8Array').from(Buffer.from(text))]) {
    const call = client.callTool('user_1', 'echo', params);
    params.fill(0x78);
    assert.equal((await call).resultJson.toString(), text);
  }
  const lent = new Uint8Array(Buffer.from(text));
  const call = client.callTool('user_1', 'echo', lent);
  structuredClone(lent, {transfer: [lent.buffer]});
  assert.equal((await call).resultJson.toString(), text);
});

claim('params over paramsBytesMax fail alone, before they are sent; params of that size are sent', async (scope) => {
  const {fake, client} = await start(scope);
  const small = await start(scope, {paramsBytesMax: 100});
  const of = (bytes) => `{"a":"${'x'.repeat(bytes - 8)}"}`;
  for (const [where, bytesMax] of [[{fake, client}, 16 * MIB], [small, 100]]) {
    const others = Array.from({length: 5}, (_, n) => where.client.callTool('user_2', 'echo', {n}));
    for (const bytes of bytesMax === 100 ? [101, 200] : [bytesMax + 1, 68 * MIB]) {
      for (const params of [of(bytes), Buffer.from(of(bytes)), {a: 'x'.repeat(bytes - 8)}]) {
        const error = await rejection(where.client.callTool('user_1', 'echo', params));
        assert.deepEqual([error.constructor, error.field, error.delivery], [InvalidRequestError, 'params_json', 'NOT_SENT']);
        assert.equal(error.message, `params are ${bytes} bytes, more than ${bytesMax} (paramsBytesMax)`);
      }
    }
    for (const [n, {result}] of (await Promise.all(others)).entries()) assert.deepEqual(result, {n});
    assert.equal((await where.client.callTool('user_1', 'echo', of(bytesMax))).resultJson.length, bytesMax);
    assert.equal(where.fake.calls.length, 6);
  }
  // In bytes, not letters.
  assert.equal((await rejection(small.client.callTool('user_1', 'echo', {a: 'ü'.repeat(50)}))).field, 'params_json');
});
