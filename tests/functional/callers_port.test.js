// The callers' port against those who take its connections, its files and its memory.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {readFileSync, readdirSync} from 'node:fs';
import net from 'node:net';
import zlib from 'node:zlib';
import grpc from '@grpc/grpc-js';
import {callerCredentials, callersTls} from './lib/callers_tls.js';
import {Issuer} from './lib/jwt.js';
import {TokensFile} from './lib/tokens.js';
import {claim, claimInBoth, metric} from './lib/toolwire.js';
import {FLAG, FRAME, RawCaller, frame, header, message, requestHeaders} from './lib/raw_http2.js';
import {until} from './lib/until.js';

const HITS = 'toolwire_control_limit_hits_total';

// Connections that are made and send nothing, once all are there or refused.
async function silent(scope, port, count, localAddress) {
  const sockets = Array.from({length: count}, () => {
    const socket = scope.own(net.connect({port, host: '127.0.0.1', localAddress}));
    return socket.on('error', () => {}).resume();
  });
  await Promise.all(sockets.map((socket) => new Promise((done) => socket.once('connect', done).once('close', done))));
  return sockets;
}
// Connections that speak HTTP/2, and so are gRPC's.
async function speaking(scope, port, count, from) {
  const callers = Array.from({length: count}, () => scope.own(new RawCaller(port, from)));
  for (const caller of callers) await caller.greet();
  await until('each is served or refused', () => callers.every((one) => one.isClosed || one.saw(FRAME.settings)));
  return callers;
}
const destroy = (all) => all.forEach((one) => one.destroy());
const served = async (tw) => assert.equal((await tw.caller().call('user_1', 'echo')).code, 0);

claimInBoth('callers who take all connections that open files allow leave, and it serves again', async (scope, options) => {
  const tw = await scope.toolwire({
    ...options, edgeOptions: {openFiles: options.topology === 'dev' ? 256 : undefined}, controlOptions: {openFiles: 256},
  });
  await tw.agent('user_1');
  const callers = await speaking(scope, tw.ports.callers, 300);
  assert.ok((await tw.metric(HITS, {limit: 'connections'})) > 0);
  destroy(callers);
  await until('it serves again', async () => (await tw.caller().call('user_1', 'echo', {}, {grpcDeadlineMs: 2000})).code === 0);
});

claim('a control that ran out of open files says so, and serves again when they are free', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  await tw.agent('user_1');
  const open = await metric(tw.ports.metrics[1], 'process_open_fds');
  execFileSync('prlimit', [`--pid=${tw.control.pid}`, `--nofile=${open + 10}`]);
  const sockets = await silent(scope, tw.ports.callers, 100);
  await tw.control.saw('out of file descriptors');
  destroy(sockets);
  await until('it serves again', async () => (await tw.caller().call('user_1', 'echo', {}, {grpcDeadlineMs: 2000})).code === 0);
  assert.ok((await tw.metric('toolwire_control_accept_errors_total')) > 0);
});

claim('past its limit of connections a control closes new ones, and serves those that it has', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'connections-max': 20}});
  await tw.agent('user_1');
  const calls = tw.caller().dispatch();
  assert.equal((await calls.call('user_1', 'echo')).code, 0);
  const callers = await speaking(scope, tw.ports.callers, 19);
  assert.equal(await tw.metric(HITS, {limit: 'connections'}), 0);
  assert.ok(callers.every((one) => !one.isClosed));
  const [refused] = await speaking(scope, tw.ports.callers, 1);
  await refused.closed();
  assert.equal(await tw.metric(HITS, {limit: 'connections'}), 1);
  assert.equal((await calls.call('user_1', 'echo')).code, 0);
  callers[0].destroy();
  await until('there is room again', async () => {
    const [caller] = await speaking(scope, tw.ports.callers, 1);
    return !caller.isClosed;
  });
});

claim('past its limit of connections of one address others come in', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'address-connections-max': 10}});
  await tw.agent('user_1');
  const elsewhere = tw.caller().dispatch();
  assert.equal((await elsewhere.call('user_1', 'echo')).code, 0);
  const callers = await speaking(scope, tw.ports.callers, 10, {localAddress: '127.0.0.2'});
  assert.equal(await tw.metric(HITS, {limit: 'address_connections'}), 0);
  const [refused] = await speaking(scope, tw.ports.callers, 1, {localAddress: '127.0.0.2'});
  await refused.closed();
  assert.equal(await tw.metric(HITS, {limit: 'address_connections'}), 1);
  await served(tw);
  destroy(callers);
  await until('the address has room again', async () => {
    const [caller] = await speaking(scope, tw.ports.callers, 1, {localAddress: '127.0.0.2'});
    return !caller.isClosed;
  });
});

claim('connections that send nothing make room for those that come, and end after --connect-timeout', async (scope) => {
  const flags = {'connections-max': 100, 'silent-connections-max': 50, 'connect-timeout': 1000};
  const tw = await scope.toolwire({topology: 'split', flags});
  await tw.agent('user_1');
  const sockets = await silent(scope, tw.ports.callers, 50);
  await until('all are accepted', async () => (await tw.metric('toolwire_control_connections')) >= 50);
  const more = await silent(scope, tw.ports.callers, 200);
  await served(tw);
  await until('the oldest are closed', () => sockets.every((one) => one.closed));
  assert.ok((await tw.metric(HITS, {limit: 'silent_connections'})) >= 150);
  await until('the others are closed in time', () => more.every((one) => one.closed));
  assert.ok((await tw.metric(HITS, {limit: 'connect_time'})) > 0);
});

for (const [what, path, body] of [
  ['watches of the health service', '/grpc.health.v1.Health/Watch', message(Buffer.alloc(0))],
  ['requests that do not come completely', '/toolwire.v1.ToolDispatch/CallTool', undefined],
]) {
  claim(`${what} without end, of callers without a token: their connections are cut, and others are served`, async (scope) => {
    const tokens = await TokensFile.create(scope);
    const token = tokens.add('shop', 'call');
    const flags = {'tokens-file': tokens.path, 'address-unfinished-streams-max': 5_000};
    const tw = await scope.toolwire({topology: 'split', flags});
    await tw.agent('user_1');
    const headers = requestHeaders('', {':path': path});
    const request = (stream) => [
      frame(FRAME.headers, FLAG.endHeaders, stream, headers), ...(body ? [frame(FRAME.data, FLAG.endStream, stream, body)] : [])];
    const callers = Array.from({length: 6}, () => scope.own(new RawCaller(tw.ports.callers, {localAddress: '127.0.0.2'})));
    for (const caller of callers) {
      await caller.greet();
      await caller.write(...Array.from({length: 1_990}, (_, i) => request(1 + 2 * i)).flat());
    }
    await until('some are cut', async () => (await tw.metric(HITS, {limit: 'unfinished_streams'})) > 0);
    await until('and are closed', () => callers.some((one) => one.isClosed));
    assert.ok(callers.some((one) => !one.isClosed), 'not all of them');
    assert.equal((await tw.caller(token).call('user_1', 'echo')).code, 0);
  });
}

for (const [limit, flags] of [['connections', {'connections-max': 20}], ['silent_connections', {'silent-connections-max': 20}]]) {
  claim(`when there are as many ${limit} as there may be, the address with most of them makes room`, async (scope) => {
    const tw = await scope.toolwire({topology: 'split', flags: {...flags, 'connect-timeout': 60_000}});
    const few = await silent(scope, tw.ports.callers, 2);
    await silent(scope, tw.ports.callers, 50, '127.0.0.2');
    await until('room was made for each', async () => (await tw.metric(HITS, {limit})) >= 32);
    const [caller] = await speaking(scope, tw.ports.callers, 1);
    assert.ok(!caller.isClosed);
    assert.deepEqual(few.map((one) => one.closed), [false, false]);
  });
}

claim('a connection that ends its HTTP/2 preface halfway is closed after --connect-timeout', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'connect-timeout': 1000}});
  const caller = scope.own(new RawCaller(tw.ports.callers));
  await caller.write(Buffer.from('PRI * HTTP/2.0\r\n'));
  await caller.closed();
});

claim('a compressed message is refused, and not inflated', async (scope) => {
  const bomb = message(zlib.gzipSync(Buffer.alloc(256 << 20)), {compressed: true});
  for (const headers of [{'grpc-encoding': 'gzip'}, {}]) {
    const tw = await scope.toolwire({topology: 'split'});
    await tw.agent('user_1');
    await served(tw);
    const memory = () => metric(tw.ports.metrics[1], 'process_resident_memory_bytes');
    const before = await memory();
    const caller = scope.own(new RawCaller(tw.ports.callers));
    await caller.greet();
    await caller.write(frame(FRAME.headers, FLAG.endHeaders, 1, requestHeaders('CallTool', headers)));
    await caller.send(1, bomb);
    await until('the call is refused', () => caller.saw(FRAME.headers, 1));
    const grown = (await memory()) - before;
    assert.ok(grown < 64 << 20, `${grown} bytes`);
    await served(tw);
    await tw.stop();
  }
});

claim('a client that compresses is told UNIMPLEMENTED', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const caller = tw.caller();
  const options = {'grpc.default_compression_algorithm': 2, 'grpc.use_local_subchannel_pool': 1};
  const client = scope.own(new caller.client.constructor(`127.0.0.1:${tw.ports.callers}`, callerCredentials(), options));
  const error = await new Promise((done) =>
    client.CallTool({userId: 'user_1', tool: 'echo', paramsJson: Buffer.from(`{"a":"${'x'.repeat(5000)}"}`)}, done));
  assert.equal(error.code, grpc.status.UNIMPLEMENTED);
});

claim('callers that vanish without a word lose their streams, so that others get the places', async (scope) => {
  const flags = {'streams-max': 10, 'caller-share-percent-max': 100, 'keepalive-interval': 1000, 'keepalive-timeout': 1000};
  const tw = await scope.toolwire({topology: 'split', flags});
  await tw.agent('user_1');
  const reading = tw.caller().dispatch();  // Answers pings, and so stays.
  assert.equal((await reading.call('user_1', 'echo')).code, 0);
  const vanished = await speaking(scope, tw.ports.callers, 9);
  for (const one of vanished) await one.write(frame(FRAME.headers, FLAG.endHeaders, 1, requestHeaders('Dispatch')));
  await until('all streams are taken', async () => (await tw.metric('toolwire_control_streams')) === 10);
  await until('they are given back', async () => (await tw.metric('toolwire_control_streams')) === 1);
  for (const one of vanished) await one.closed();
  assert.equal((await reading.call('user_1', 'echo')).code, 0);
});

claim('a connection without a stream is closed after --connection-idle-timeout, one with a stream is not', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'connection-idle-timeout': 1000}});
  await tw.agent('user_1');
  const calls = tw.caller().dispatch();
  assert.equal((await calls.call('user_1', 'echo')).code, 0);
  const [idle] = await speaking(scope, tw.ports.callers, 1);
  await idle.closed();
  await until('its place is free', async () => (await tw.metric('toolwire_control_connections')) === 1);
  assert.equal((await calls.call('user_1', 'echo')).code, 0);
  await served(tw);
});

claim('a Dispatch stream without a call ends with OK after --stream-idle-timeout, one with a call does not', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'stream-idle-timeout': 1000}});
  await tw.agent('user_1');
  await tw.agent('user_2', {answer: () => undefined});
  const unused = tw.caller().dispatch();
  assert.equal((await unused.call('user_1', 'echo')).code, 0);
  const waiting = tw.caller().dispatch();
  const outcome = waiting.call('user_2', 'slow', {}, {timeoutMs: 4000});
  assert.equal((await unused.ended()).code, 0);
  assert.equal(await tw.metric(HITS, {limit: 'stream_idle'}), 1);
  assert.equal((await outcome).reason, 'CALL_TIMEOUT');
  assert.equal(await tw.metric('toolwire_control_streams'), 1);
  assert.equal((await waiting.ended()).code, 0);
});

claim('a connection has no more streams than --connection-streams-max, and its calls wait for each other', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'connection-streams-max': 5}});
  await tw.agent('user_1');
  const caller = tw.caller();
  const outcomes = await Promise.all(Array.from({length: 50}, () => caller.call('user_1', 'echo')));
  assert.ok(outcomes.every(({code}) => code === 0));
  const raw = scope.own(new RawCaller(tw.ports.callers));
  await raw.greet();
  await until('the SETTINGS are there', () => raw.saw(FRAME.settings));
  await raw.write(frame(FRAME.settings, FLAG.ack, 0));
  const dispatch = (stream) => raw.write(frame(FRAME.headers, FLAG.endHeaders, stream, requestHeaders('Dispatch')));
  for (let i = 0; i < 5; i++) await dispatch(1 + 2 * i);
  await until('five are open', async () => (await tw.metric('toolwire_control_streams')) === 5);
  await dispatch(11);
  await raw.closed();
});

// Bytes of streams from `first` on, and the next one's number.
function streams(first, count, {reset}) {
  const cancel = Buffer.from([0, 0, 0, 8]);
  const headers = requestHeaders('CallTool');
  const frames = [];
  let stream = first;
  for (let i = 0; i < count; i++, stream += 2) {
    frames.push(frame(FRAME.headers, FLAG.endHeaders, stream, headers));
    if (reset) frames.push(frame(FRAME.reset, 0, stream, cancel));
  }
  return [Buffer.concat(frames), stream];
}

async function isCutFor(tw, caller, {reset}) {
  const before = await tw.metric(HITS, {limit: 'connection_streams'});
  for (let next = 100_001; next < 1_100_000 && !caller.isClosed;) {
    const [bytes, after] = streams(next, 500, {reset});
    await caller.write(bytes);
    next = after;
  }
  await caller.closed();
  await until('it is counted', async () => (await tw.metric(HITS, {limit: 'connection_streams'})) > before);
}

for (const reset of [true, false]) {
  claim(`a caller that opens ${reset ? 'and resets streams' : 'streams'} without end is cut, others are served`, async (scope) => {
    const tw = await scope.toolwire({topology: 'split'});
    await tw.agent('user_1');
    const other = tw.caller().dispatch();
    assert.equal((await other.call('user_1', 'echo')).code, 0);
    const [caller] = await speaking(scope, tw.ports.callers, 1);
    await isCutFor(tw, caller, {reset});
    assert.equal((await other.call('user_1', 'echo')).code, 0);
    await served(tw);
  });
}

claim('a caller of any family of addresses is cut for streams without end', async (scope) => {
  const tw = await scope.toolwire({flags: {listen: '::', 'plain-agents': true, 'no-tokens': true, ...(callersTls ? {} : {'plain-grpc': true})}});
  for (const from of [{host: '::1'}, {host: '127.0.0.1'}]) {
    const [caller] = await speaking(scope, tw.ports.callers, 1, from);
    await isCutFor(tw, caller, {reset: true});
  }
});

// A header with a value of `size` bytes, without the value.
const headerOf = (size) => header('a', Buffer.alloc(size, 'b').toString()).subarray(0, -size);

// What comes behind the HEADERS of a stream that are not ended, in each of 100 MB of CONTINUATION frames.
const ENDLESS = {
  'one header of 100 MB': {start: headerOf(100 << 20), part: Buffer.alloc(16_384, 'b')},
  'large headers without end': {start: Buffer.alloc(0), part: header('a', 'b'.repeat(16_000))},
  'small headers without end': {start: Buffer.alloc(0), part: Buffer.concat(Array(3000).fill(header('a', 'b')))},
};
for (const [what, {start, part}] of Object.entries(ENDLESS)) {
  claim(`${what}: the connection is closed, and nobody waits for it`, async (scope) => {
    const tw = await scope.toolwire({topology: 'split'});
    await tw.agent('user_1');
    await served(tw);
    const memory = () => metric(tw.ports.metrics[1], 'process_resident_memory_bytes');
    const before = await memory();
    const [caller] = await speaking(scope, tw.ports.callers, 1);
    await caller.write(frame(FRAME.headers, 0, 1, Buffer.concat([requestHeaders('Dispatch'), start])));
    const one = frame(FRAME.continuation, 0, 1, part);
    for (let sent = 0; sent < 100 << 20 && !caller.isClosed; sent += one.length) await caller.write(one);
    await caller.closed();
    await tw.control.saw('caller cut, its headers are too long');
    assert.equal(await tw.metric(HITS, {limit: 'header_bytes'}), 1);
    const grown = (await memory()) - before;
    assert.ok(grown < 32 << 20, `${grown} bytes`);
    await served(tw);
  });
}

// How much a control takes: more where tokens may be 16 KiB.
const HEADERS = [
  {what: '16 KiB', flags: async () => ({}), metadata: 8 << 10, wire: 16 << 10, answer: 0},
  {what: '24 KiB with --jwks-file', flags: async (scope) => (await Issuer.create(scope)).flags, metadata: 20 << 10, wire: 24 << 10, answer: grpc.status.UNAUTHENTICATED},
];
for (const {what, flags, metadata: metadataMax, wire, answer} of HEADERS) {
  claim(`headers of ${what} do not close their connection, in whatever frames they come, one byte more does`, async (scope) => {
    const tw = await scope.toolwire({topology: 'split', flags: await flags(scope)});
    const start = Buffer.concat([requestHeaders('Dispatch'), headerOf(wire + 1000)]);
    for (const [size, isCut] of [[wire, false], [wire + 1, true]]) {
      const [caller] = await speaking(scope, tw.ports.callers, 1);
      await caller.write(frame(FRAME.headers, 0, 1, start));
      const part = frame(FRAME.continuation, 0, 1, Buffer.from('b'));
      await caller.write(...Array.from({length: size - start.length}, () => part), frame(FRAME.ping, 0, 0, Buffer.alloc(8)));
      // A ping is not allowed there, so gRPC closes the connection once it has read all.
      await caller.closed();
      assert.equal(await tw.metric(HITS, {limit: 'header_bytes'}), isCut ? 1 : 0);
    }
  });

  claim(`metadata of more than ${metadataMax >> 10} KiB is refused where headers of ${what} are read`, async (scope) => {
    const tw = await scope.toolwire({topology: 'split', flags: await flags(scope)});
    await tw.agent('user_1');
    const caller = tw.caller();
    const call = (size) => new Promise((done) => {
      const metadata = new grpc.Metadata();
      metadata.set('a', 'b'.repeat(size));
      caller.client.CallTool({userId: 'user_1', tool: 'echo', paramsJson: Buffer.from('{}')}, metadata, (error) => done(error?.code ?? 0));
    });
    assert.equal(await call(metadataMax - (1 << 10)), answer);
    assert.equal(await call(metadataMax + (1 << 10)), grpc.status.RESOURCE_EXHAUSTED);
  });
}

claim('streams of reflection take no more than four threads, and calls are served meanwhile', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  await tw.agent('user_1');
  // gRPC's for services that block; its others come and go as it likes.
  const threads = () => readdirSync(`/proc/${tw.control.pid}/task`).filter((thread) => {
    try {
      return readFileSync(`/proc/${tw.control.pid}/task/${thread}/comm`, 'utf8').startsWith('grpcpp_sync');
    } catch {
      return false;  // It has ended.
    }
  }).length;
  await served(tw);
  const before = threads();
  const headers = requestHeaders('', {':path': '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo'});
  const [caller] = await speaking(scope, tw.ports.callers, 1);
  await caller.write(frame(FRAME.settings, FLAG.ack, 0));
  for (let i = 0; i < 1500; i++) await caller.write(frame(FRAME.headers, FLAG.endHeaders, 1 + 2 * i, headers));
  await until('the others are refused', () => caller.frames.filter(({type}) => type === FRAME.headers).length >= 1496);
  assert.ok(threads() <= before + 4, `${threads()} threads, ${before} before`);
  await served(tw);
  caller.destroy();
  await until('reflection is served again', async () => {
    const [again] = await speaking(scope, tw.ports.callers, 1);
    await again.write(frame(FRAME.headers, FLAG.endHeaders, 1, headers));
    const listServices = Buffer.from([0x3a, 1, 0x2a]);
    await again.send(1, message(listServices));
    await until('it is answered', () => again.saw(FRAME.headers, 1));
    return again.saw(FRAME.data, 1)?.payload.includes('toolwire.v1.ToolDispatch');
  });
});

claim('callers that cancel as many calls at once as a connection may have are not cut', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  await tw.agent('user_1', {answer: () => undefined});
  const caller = tw.caller();
  for (let round = 0; round < 2; round++) {
    const calls = Array.from({length: 2000}, () => caller.start({userId: 'user_1', tool: 'slow', paramsJson: Buffer.from('{}')}));
    await until('they are in flight', async () => (await tw.metric('toolwire_control_calls_in_flight')) === 2000);
    for (const call of calls) call.cancel();
    for (const call of calls) assert.equal((await call.outcome).code, grpc.status.CANCELLED);
  }
  await tw.idle();
  assert.equal(await tw.metric(HITS, {limit: 'connection_streams'}), 0);
});

claim('messages that are never completed take no more than --grpc-memory-bytes, and calls are served after', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'grpc-memory-bytes': 64 << 20}});
  await tw.agent('user_1');
  await served(tw);
  const memory = () => metric(tw.ports.metrics[1], 'process_resident_memory_bytes');
  const before = await memory();
  const callers = await speaking(scope, tw.ports.callers, 40);
  const most = message(Buffer.alloc(16 << 20)).subarray(0, -1);
  for (const one of callers) {
    await one.write(frame(FRAME.headers, FLAG.endHeaders, 1, requestHeaders('CallTool')));
    await one.send(1, most, {end: false});
  }
  const grown = (await memory()) - before;
  assert.ok(grown < 256 << 20, `${grown} bytes`);
  destroy(callers);
  await until('calls are served', async () => (await tw.caller().call('user_1', 'echo', {}, {grpcDeadlineMs: 2000})).code === 0);
});

// Frames that end no stream and that HTTP/2 allows any number of.
const FLOODS = {
  SETTINGS: frame(FRAME.settings, 0, 0), 'answers to pings': frame(FRAME.ping, FLAG.ack, 0, Buffer.alloc(8)),
  'window updates': frame(FRAME.windowUpdate, 0, 0, Buffer.from([0, 0, 0, 1])),
  'resets of no stream': frame(FRAME.reset, 0, 1, Buffer.from([0, 0, 0, 8])), priorities: frame(2, 0, 1, Buffer.alloc(5)),
  'frames of no type': frame(99, 0, 0, Buffer.alloc(10)),
};

claim('floods of any frame, from a caller that reads nothing, take no memory, and calls are answered meanwhile', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  await tw.agent('user_1');
  await served(tw);
  const memory = () => metric(tw.ports.metrics[1], 'process_resident_memory_bytes');
  const before = await memory();
  const other = tw.caller().dispatch();
  for (const [what, one] of Object.entries(FLOODS)) {
    const [caller] = await speaking(scope, tw.ports.callers, 1);
    caller.pause();
    const many = Buffer.concat(Array(1000).fill(one));
    const flood = (async () => {
      for (let sent = 0; sent < 300 && !caller.isClosed; ++sent) await caller.write(many);
    })();
    for (let i = 0; i < 100; ++i) assert.equal((await other.call('user_1', 'echo')).code, 0, what);
    caller.destroy();
    await flood;
  }
  const grown = (await memory()) - before;
  assert.ok(grown < 32 << 20, `${grown} bytes`);
});

claim('a caller that pings without end is cut', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const [caller] = await speaking(scope, tw.ports.callers, 1);
  const pings = Buffer.concat(Array(1000).fill(frame(FRAME.ping, 0, 0, Buffer.alloc(8))));
  for (let sent = 0; sent < 10_000 && !caller.isClosed; ++sent) await caller.write(pings);
  await caller.closed();
  assert.match(caller.saw(FRAME.goaway).payload.toString('latin1'), /too_many_pings/);
  await tw.agent('user_1');
  await served(tw);
});
