#!/usr/bin/env node
// A TCP proxy between controls and one edge that delays, throttles, stalls, cuts and refuses, when it is told to. An edge
// announces the gate (`--relay-address`), the gate dials the edge.
//
// Each way of a connection is a queue: what has been read and not been passed on. Reading stops while it holds
// QUEUE_BYTES, and beside that what a delay has on its way; so a slow way is felt by the sender. Beside it, the kernel
// holds what Node.js cannot bound; the command `state` shows how much that is. A dial that the edge refuses has been
// accepted by then, and is reset: only `refuse` looks to controls as if nobody listens.
//
// As a program it takes commands as lines of JSON from its standard input, and from a socket, and answers each with one:
//
//   node gate.js --to HOST:PORT [--listen PORT] [--seed N] [--commands SOCKET]
//   node gate.js tell SOCKET COMMAND [NAME=VALUE ...]
import {once} from 'node:events';
import {readFileSync, unlinkSync} from 'node:fs';
import net from 'node:net';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {newSeed, planOf, randomOf} from './storm.js';

export const QUEUE_BYTES = 64 << 10;
// What is read at once: the kernel lets as much wait as is read in a burst, and more with each larger one.
const READ_BYTES = 16 << 10;
const ON_THE_WAY_BYTES_MAX = 16 << 20;  // Of a delay without a throttle.
const CREDIT_MS = 10;                   // How much of its rate a throttled way may make up for, as timers come late.
const PIECE_MS = 2;
const PACKET_BYTES = 1460;
const LINGER_MS = 5000;
const WAYS = ['toEdge', 'toControl'];

const now = () => performance.now();

// What the kernel holds of this socket: `out` is not acknowledged by the peer's kernel, `in` is not read.
function kernelBytes({localPort, remotePort}) {
  const port = (number) => `:${number?.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
    const [, local, remote, , queues] = line.trim().split(/ +/);
    if (!local?.endsWith(port(localPort)) || !remote.endsWith(port(remotePort))) continue;
    const [out, unread] = queues.split(':').map((hex) => parseInt(hex, 16));
    return {out, in: unread};
  }
  return {out: 0, in: 0};
}

// One direction of one connection.
class Way {
  taken = 0;
  passed = 0;
  held = 0;  // Taken and not passed.
  cutAt = Infinity;
  #pieces = [];
  #lastDue = 0;
  #credit = 0;
  #creditAt = now();
  #blocked = false;
  #ended;
  #timer;

  constructor(connection, rules, from, to, random) {
    Object.assign(this, {connection, rules, from, to, random});
    from.reader = (bytes) => {
      this.#take(bytes);
      return this.held < this.#room();
    };
    from.on('end', () => this.#end('fin'));
    from.on('close', () => this.#end('rst'));
    to.on('drain', () => {
      this.#blocked = false;
      this.pump();
    });
  }

  #take(bytes) {
    if (this.connection.cutBy) return;
    if (this.to.destroyed) return reset(this.from);
    this.taken += bytes.length;
    this.held += bytes.length;
    this.#lastDue = Math.max(this.#lastDue, now() + this.rules.delayMs + this.rules.jitterMs * this.random());
    this.#pieces.push({bytes, due: this.#lastDue});
    this.pump();
  }
  #room() {
    const {delayMs, jitterMs, bytesPerSecond} = this.rules;
    const onTheWay = ((delayMs + jitterMs) * bytesPerSecond) / 1000;
    return QUEUE_BYTES + (delayMs + jitterMs === 0 ? 0 : Math.min(onTheWay, ON_THE_WAY_BYTES_MAX));
  }
  #end(how) {
    this.#ended ??= how;
    this.pump();
  }

  // Passes on what may pass now, and comes back when more may.
  pump() {
    clearTimeout(this.#timer);
    if (this.connection.cutBy || this.to.destroyed) return;
    for (;;) {
      if (this.passed >= this.cutAt) return this.connection.cut(this.cutHow);
      const wait = this.#wait();
      if (wait > 0) {
        if (wait < Infinity) this.#timer = setTimeout(() => this.pump(), wait);
        break;
      }
      if (this.#pieces.length === 0) {
        if (this.#ended === 'fin' && !this.to.writableEnded) this.to.end();
        if (this.#ended === 'rst' && !this.to.writableEnded) reset(this.to);
        return;
      }
      this.#passOne();
    }
    if (this.held >= this.#room()) this.from.pause();
    else this.from.resume();
  }
  // How long until something may pass; Infinity if that depends on something else than time.
  #wait() {
    const at = now();
    if (this.rules.stalledUntil > at) return this.rules.stalledUntil === Infinity ? Infinity : this.rules.stalledUntil - at;
    if (this.#blocked) return Infinity;
    if (this.#pieces.length === 0) return this.#ended ? 0 : Infinity;
    const [{due}] = this.#pieces;
    if (due > at) return due - at;
    const {bytesPerSecond: rate} = this.rules;
    if (rate === Infinity) return 0;
    const most = Math.max(PACKET_BYTES, (rate * CREDIT_MS) / 1000);
    this.#credit = Math.min(most, this.#credit + ((at - this.#creditAt) * rate) / 1000);
    this.#creditAt = at;
    const missing = this.#next() - this.#credit;
    return missing <= 0 ? 0 : Math.max(1, (1000 * missing) / rate);
  }
  // How many bytes pass next.
  #next() {
    const {bytesPerSecond: rate} = this.rules;
    const piece = rate === Infinity ? Infinity : Math.max(PACKET_BYTES, Math.floor((rate * PIECE_MS) / 1000));
    return Math.min(this.#pieces[0].bytes.length, piece, this.cutAt - this.passed);
  }
  #passOne() {
    const count = this.#next();
    const [piece] = this.#pieces;
    const bytes = piece.bytes.subarray(0, count);
    if (count === piece.bytes.length) this.#pieces.shift();
    else piece.bytes = piece.bytes.subarray(count);
    if (this.rules.bytesPerSecond !== Infinity) this.#credit -= count;
    this.passed += count;
    this.held -= count;
    this.#blocked = !this.to.write(bytes);
  }
  stop() {
    clearTimeout(this.#timer);
    this.#pieces = [];
    this.held = 0;
  }
}

// resetAndDestroy() of Node.js ends the connection before it resets it.
function reset(socket) {
  socket.resetAndClosing = true;
  socket.destroy();
}

// A reset drops what the kernel has not sent, so the peer must have it before.
function resetWhenWritten(socket, giveUp) {
  if (socket.destroyed) return;
  const waits = socket.writableLength > 0 || (socket.localPort && kernelBytes(socket).out > 0);
  if (!waits || now() > giveUp) reset(socket);
  else setTimeout(resetWhenWritten, 1, socket, giveUp);
}

function smallReads(socketOf) {
  return {
    buffer: Buffer.allocUnsafeSlow(READ_BYTES),
    callback: (count, buffer) => socketOf().reader(Buffer.from(buffer.subarray(0, count))),
  };
}

class Connection {
  // `cutBy`: how it was cut.
  constructor(gate, id, control, edge) {
    Object.assign(this, {gate, id, control, edge, began: now()});
    this.sockets = [control, edge];
    this.ways = {
      toEdge: new Way(this, gate.rules.toEdge, control, edge, randomOf(gate.seed + 2 * id)),
      toControl: new Way(this, gate.rules.toControl, edge, control, randomOf(gate.seed + 2 * id + 1)),
    };
    for (const socket of this.sockets) {
      socket.setNoDelay(true);
      socket.on('error', () => {});  // `close` follows.
      socket.on('close', () => this.sockets.every((one) => one.destroyed) && gate.ended(this));
    }
  }
  pump() {
    for (const way of Object.values(this.ways)) way.pump();
  }
  cut(by) {
    if (this.cutBy) return;
    this.cutBy = by;
    this.gate.note('cut', {connection: this.id, by, passed: WAYS.map((way) => this.ways[way].passed)});
    for (const way of Object.values(this.ways)) way.stop();
    for (const socket of this.sockets) {
      if (by === 'rst') {
        resetWhenWritten(socket, now() + LINGER_MS);
      } else {
        socket.end();
        setTimeout(() => socket.destroy(), LINGER_MS).unref();
      }
      socket.resume();  // What still comes is dropped, so that the end is what it shall be.
    }
  }
  get state() {
    const of = (what) => Object.fromEntries(WAYS.map((way) => [way, this.ways[way][what]]));
    const holds = WAYS.map((way) => {
      const {held, from, to} = this.ways[way];
      return [way, {own: held + to.writableLength, unread: kernelBytes(from).in, unsent: kernelBytes(to).out}];
    });
    return {id: this.id, taken: of('taken'), passed: of('passed'), holds: Object.fromEntries(holds)};
  }
}

export class Gate {
  // What happened, each with its millisecond since the gate began. `heard` gets each as it comes.
  events = [];
  heard = () => {};
  connections = new Set();
  rules = Object.fromEntries(WAYS.map((way) => [way, {delayMs: 0, jitterMs: 0, bytesPerSecond: Infinity, stalledUntil: 0}]));
  #began = now();
  #server;
  #last = 0;
  #nextCuts = [];
  #blackHoleUntil = 0;
  #held = new Set();  // What was dialled into the black hole.
  #timers = new Set();

  // `to`: {port, host}, also later by `to`.
  static async start({to, port = 0, seed = newSeed()} = {}) {
    const gate = new Gate();
    Object.assign(gate, {to, seed});
    await gate.#listen(port);
    return gate;
  }
  get address() {
    return `127.0.0.1:${this.port}`;
  }

  async #listen(port) {
    this.#server = net.createServer({allowHalfOpen: true, pauseOnConnect: true}, (socket) => this.#accept(socket));
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = this.#server.address().port;
  }
  #accept(accepted) {
    // createServer() knows no `onread`.
    const control = new net.Socket({handle: accepted._handle, allowHalfOpen: true, pauseOnCreate: true, onread: smallReads(() => control)});
    accepted._handle = null;
    control.on('error', () => {});
    if (this.#blackHoleUntil > now() || !this.to) {
      this.note('swallowed');
      this.#held.add(control);
      control.on('close', () => this.#held.delete(control));
      return;
    }
    const edge = net.connect({host: '127.0.0.1', ...this.to, allowHalfOpen: true, onread: smallReads(() => edge)});
    const connection = new Connection(this, ++this.#last, control, edge);
    for (const {way, after, by} of this.#nextCuts.splice(0)) Object.assign(connection.ways[way], {cutAt: after, cutHow: by});
    this.connections.add(connection);
    this.note('connected', {connection: connection.id});
    edge.once('connect', () => connection.pump());
  }
  ended(connection) {
    if (!this.connections.delete(connection)) return;
    this.note('ended', {connection: connection.id, passed: WAYS.map((way) => connection.ways[way].passed)});
  }
  note(event, fields = {}) {
    const noted = {event, at: Math.round(now() - this.#began), ...fields};
    this.events.push(noted);
    this.heard(noted);
  }
  #later(ms, action) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }
  #eachWay(way, change) {
    for (const one of way === 'both' ? WAYS : [way]) {
      if (!this.rules[one]) throw new Error(`way is toEdge, toControl or both, not ${way}`);
      change(this.rules[one]);
    }
    for (const connection of this.connections) connection.pump();
  }

  // --- commands: at once; what has `ms` ends by itself after that time, without it by `clear` ---
  // Each piece of bytes is passed on `delayMs` and at most `jitterMs` more after it came; the order stays.
  delay({way = 'both', delayMs = 0, jitterMs = 0, ms} = {}) {
    this.#eachWay(way, (rules) => Object.assign(rules, {delayMs, jitterMs}));
    if (ms) this.#later(ms, () => this.delay({way}));
  }
  throttle({way = 'both', bytesPerSecond = 0, ms} = {}) {
    this.#eachWay(way, (rules) => (rules.bytesPerSecond = bytesPerSecond || Infinity));
    if (ms) this.#later(ms, () => this.throttle({way}));
  }
  // Half open: nothing passes, no end either, and nothing is refused until the buffers are full.
  stall({way = 'both', ms = Infinity} = {}) {
    this.#eachWay(way, (rules) => (rules.stalledUntil = now() + ms));
  }
  // Once `after` more bytes have passed that way. All connections; with `pick`, a number from 0 up to 1, one of them. With
  // `next` the one that is dialled next, whose bytes are counted from its first.
  cut({way = 'toEdge', after = 0, by = 'rst', pick, next = false} = {}) {
    if (!WAYS.includes(way)) throw new Error(`way is toEdge or toControl, not ${way}`);
    if (!['fin', 'rst'].includes(by)) throw new Error(`by is fin or rst, not ${by}`);
    if (next) return void this.#nextCuts.push({way, after, by});
    const all = [...this.connections].filter((one) => !one.cutBy);
    for (const one of pick === undefined ? all : all.slice(Math.floor(pick * all.length)).slice(0, 1)) {
      Object.assign(one.ways[way], {cutAt: one.ways[way].passed + after, cutHow: by});
      one.pump();
    }
  }
  // Nobody listens. Connections stay.
  refuse({ms} = {}) {
    if (!this.#server.listening) return;
    this.#server.close();
    if (ms) this.#later(ms, () => this.listenAgain());
  }
  async listenAgain() {
    if (!this.#server.listening) await this.#listen(this.port);
  }
  // New connections are accepted and nothing ever passes on them, neither later.
  blackHole({ms = Infinity} = {}) {
    this.#blackHoleUntil = now() + ms;
  }
  // As it was at first; connections that are cut or swallowed stay so.
  async clear() {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#nextCuts = [];
    this.#blackHoleUntil = 0;
    for (const connection of this.connections) for (const way of WAYS) connection.ways[way].cutAt = Infinity;
    this.#eachWay('both', (rules) => Object.assign(rules, {delayMs: 0, jitterMs: 0, bytesPerSecond: Infinity, stalledUntil: 0}));
    await this.listenAgain();
  }
  // Random faults for so long, as storm.js plans them; then `clear`.
  storm({seed = this.seed, seconds = 10, ...options} = {}) {
    const plan = planOf(seed, seconds, options);
    this.note('storm', {seed, seconds, faults: plan.length});
    for (const {at, ...command} of plan) this.#later(at, () => this.tell(command));
    this.#later(1000 * seconds, () => this.tell({command: 'clear'}));
  }
  state() {}

  // A command by its name. Returns the gate's state.
  async tell({command, ...options}) {
    if (!COMMANDS.includes(command)) throw new Error(`no command ${command}; there are ${COMMANDS.join(', ')}`);
    if (command !== 'state') this.note(command, options);
    await this[command](options);
    const rules = WAYS.map((way) => {
      const {delayMs, jitterMs, bytesPerSecond, stalledUntil} = this.rules[way];
      return [way, {delayMs, jitterMs, bytesPerSecond, stalled: stalledUntil > now()}];
    });
    return {
      listening: this.#server.listening, port: this.port, swallowed: this.#held.size, ...Object.fromEntries(rules),
      connections: [...this.connections].map(({state}) => state),
    };
  }
  async stop() {
    await this.clear();
    this.#server.close();
    for (const {sockets} of this.connections) for (const socket of sockets) socket.destroy();
    for (const socket of this.#held) socket.destroy();
  }
}
const COMMANDS = ['delay', 'throttle', 'stall', 'cut', 'refuse', 'blackHole', 'clear', 'storm', 'state'];

// --- the program ---
async function answer(gate, line) {
  try {
    return JSON.stringify({ok: true, ...(await gate.tell(JSON.parse(line)))});
  } catch (error) {
    return JSON.stringify({ok: false, error: error.message});
  }
}
const takeCommands = (gate, stream, write) =>
  createInterface({input: stream}).on('line', async (line) => line.trim() && write(`${await answer(gate, line)}\n`));

async function serve(args) {
  const {values: flags} = parseArgs({args, options: {
    to: {type: 'string'}, listen: {type: 'string', default: '0'}, seed: {type: 'string'}, commands: {type: 'string'},
  }});
  const [, host, port] = flags.to?.match(/^(.+):(\d+)$/) ?? [];
  if (!port) throw new Error('--to HOST:PORT is needed');
  const gate = await Gate.start({
    to: {host, port: Number(port)}, port: Number(flags.listen), seed: flags.seed ? Number(flags.seed) : newSeed(),
  });
  gate.heard = (noted) => {
    gate.events.length = 0;  // They are printed instead.
    process.stdout.write(`${JSON.stringify(noted)}\n`);
  };
  takeCommands(gate, process.stdin, (text) => process.stdout.write(text));
  if (flags.commands) {
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      takeCommands(gate, socket, (text) => socket.write(text));
    });
    server.listen(flags.commands);
    await once(server, 'listening');
    process.on('exit', () => unlinkSync(flags.commands));
  }
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
  gate.note('gate ready', {address: gate.address, to: flags.to, seed: gate.seed});
}

// The words of a command line as a command: numbers, `true` and `false` are values, anything else is text.
function commandOf([command = 'state', ...words]) {
  const fields = words.map((word) => {
    const [, name, text] = word.match(/^(\w+)=(.*)$/) ?? [];
    if (!name) throw new Error(`${word} is not NAME=VALUE`);
    return [name, text === 'true' ? true : text === 'false' ? false : text !== '' && !Number.isNaN(Number(text)) ? Number(text) : text];
  });
  return {command, ...Object.fromEntries(fields)};
}
// Tells the gate that takes commands at `where`, and returns its answer.
export async function tell(where, command) {
  const socket = net.connect(where);
  socket.write(`${JSON.stringify(command)}\n`);
  for await (const line of createInterface({input: socket})) {
    socket.destroy();
    return JSON.parse(line);
  }
  throw new Error('the gate hung up');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  try {
    if (args[0] === 'tell') {
      const told = await tell(args[1], commandOf(args.slice(2)));
      console.log(JSON.stringify(told));
      process.exitCode = told.ok ? 0 : 1;
    } else {
      await serve(args);
    }
  } catch (error) {
    console.error(`gate: ${error.message}`);
    process.exitCode = 2;
  }
}
