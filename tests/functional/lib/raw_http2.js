// A caller that writes HTTP/2 by hand, and so may break its rules: it answers nothing, neither SETTINGS nor pings.
import net from 'node:net';
import tls from 'node:tls';
import {callersTls} from './callers_tls.js';
import {deferred, until, within} from './until.js';

export const FRAME = {data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9};
export const FLAG = {endStream: 1, ack: 1, endHeaders: 4};

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export function frame(type, flags, stream, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

// An integer of HPACK whose first byte has `bits` bits for it, beside `first`.
function integer(first, bits, value) {
  const most = (1 << bits) - 1;
  if (value < most) return Buffer.from([first | value]);
  const bytes = [first | most];
  for (value -= most; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Buffer.from([...bytes, value]);
}
const text = (value) => Buffer.concat([integer(0, 7, Buffer.byteLength(value)), Buffer.from(value)]);
// A header as it is; `indexed`: into the table, too.
export const header = (name, value, {indexed = false} = {}) =>
  Buffer.concat([Buffer.from([indexed ? 0x40 : 0]), text(name), text(value)]);
export const reference = (index) => integer(0x80, 7, index);

// What every gRPC request has.
export const requestHeaders = (method, more = {}) => Buffer.concat(Object.entries({
  ':method': 'POST', ':scheme': 'http', ':path': `/toolwire.v1.ToolDispatch/${method}`, ':authority': 'test',
  te: 'trailers', 'content-type': 'application/grpc', ...more,
}).map(([name, value]) => header(name, value)));

// A message of gRPC in its frame of five bytes.
export function message(bytes, {compressed = false} = {}) {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

export class RawCaller {
  frames = [];  // Of the server: {type, flags, stream, payload}.
  #socket;
  #closed = deferred();
  #rest = Buffer.alloc(0);

  // `from`: localAddress, or host if not 127.0.0.1; `tls`: options of Node's, if the port has TLS.
  constructor(port, {tls: options = callersTls, ...from} = {}) {
    const to = {port, host: '127.0.0.1', ...from};
    this.#socket = options ? tls.connect({ALPNProtocols: ['h2'], ...options, ...to}) : net.connect(to);
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => this.#closed.resolve());
    this.#socket.on('data', (data) => this.#read(data));
  }
  // The preface, and empty SETTINGS.
  greet() {
    return this.write(PREFACE, frame(FRAME.settings, 0, 0));
  }
  // Resolves once the bytes are on their way, or the socket is closed.
  write(...parts) {
    if (this.isClosed) return Promise.resolve();
    return Promise.race([new Promise((done) => this.#socket.write(Buffer.concat(parts), done)), this.#closed.promise]);
  }
  // All of it as DATA, as fast as the server's window allows; ends early if the server answers or resets the stream.
  async send(stream, bytes, {end = true} = {}) {
    const updates = (id) => this.frames.filter((one) => one.type === FRAME.windowUpdate && one.stream === id)
      .reduce((sum, one) => sum + one.payload.readUInt32BE(0), 65_535);
    const settings = await until('SETTINGS are there', () => this.saw(FRAME.settings));
    let initial = 65_535;
    for (let at = 0; at < settings.payload.length; at += 6) {
      if (settings.payload.readUInt16BE(at) === 4) initial = settings.payload.readUInt32BE(at + 2);
    }
    for (let sent = 0; sent < bytes.length && !this.isClosed && !this.saw(FRAME.headers, stream) && !this.saw(FRAME.reset, stream);) {
      const window = Math.min(updates(0), updates(stream) - 65_535 + initial) - sent;
      const size = Math.min(16_384, window, bytes.length - sent);
      if (size <= 0) {
        await new Promise((done) => setTimeout(done, 1));
        continue;
      }
      const flags = end && sent + size === bytes.length ? FLAG.endStream : 0;
      await this.write(frame(FRAME.data, flags, stream, bytes.subarray(sent, sent + size)));
      sent += size;
    }
  }
  // From now on nothing is read.
  pause() {
    this.#socket.pause();
  }
  saw(type, stream) {
    return this.frames.find((one) => one.type === type && (stream === undefined || one.stream === stream));
  }
  get isClosed() {
    return this.#socket.closed || this.#socket.destroyed;
  }
  // Its own address and port, as the server sees them.
  get address() {
    return `${this.#socket.localAddress}:${this.#socket.localPort}`;
  }
  // Reads nothing from here on.
  pause() {
    this.#socket.pause();
  }
  closed() {
    return within('the connection is closed', this.#closed.promise);
  }
  destroy() {
    this.#socket.destroy();
  }

  #read(data) {
    this.#rest = Buffer.concat([this.#rest, data]);
    while (this.#rest.length >= 9 && this.#rest.length >= 9 + this.#rest.readUIntBE(0, 3)) {
      const size = this.#rest.readUIntBE(0, 3);
      this.frames.push({
        type: this.#rest[3], flags: this.#rest[4], stream: this.#rest.readUInt32BE(5), payload: this.#rest.subarray(9, 9 + size),
      });
      this.#rest = this.#rest.subarray(9 + size);
    }
  }
}
