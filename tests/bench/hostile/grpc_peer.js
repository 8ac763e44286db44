// gRPC as an attacker speaks it: over Node's own HTTP/2, with messages written by hand, so that what is sent and what is
// left unread is decided here and not by a client library. `RawHttp2` writes the frames themselves.
import {connect as connectTcp} from 'node:net';
import http2 from 'node:http2';

export const SERVICE = '/toolwire.v1.ToolDispatch';

// --- protobuf, as much as the attacks need ---
function varint(value) {
  const bytes = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return Buffer.from([...bytes, value]);
}
export const number = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);
export function bytes(field, value) {
  const content = Buffer.isBuffer(value) ? value : Buffer.from(value);
  return Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);
}
// A CallToolRequest. `params` is what the Struct form holds, as its serialized bytes.
export const callRequest = ({user, tool = 'echo', json, params, id, seconds}) =>
  Buffer.concat([
    bytes(1, user), bytes(2, tool),
    ...(json === undefined ? [] : [bytes(3, json)]),
    ...(params === undefined ? [] : [bytes(4, params)]),
    ...(id === undefined ? [] : [bytes(5, id)]),
    ...(seconds === undefined ? [] : [bytes(6, number(1, seconds))]),
  ]);
export const dispatchCall = (id, request) => bytes(1, Buffer.concat([number(1, id), bytes(2, callRequest(request))]));

export function message(content, {compressed = 0} = {}) {
  const head = Buffer.alloc(5);
  head[0] = compressed;
  head.writeUInt32BE(content.length, 1);
  return Buffer.concat([head, content]);
}

// --- connections ---
// Errors are expected: servers may refuse all of this.
export function grpcConnection(port, options) {
  const session = http2.connect(`http://127.0.0.1:${port}`, options);
  session.on('error', () => {});
  return session;
}
export function grpcStream(session, method, headers = {}) {
  const stream = session.request({
    ':method': 'POST', ':path': `${SERVICE}/${method}`, 'content-type': 'application/grpc', te: 'trailers', ...headers,
  });
  stream.on('error', () => {});
  return stream;
}
// One unary call; `closed` resolves when its stream has ended, answered or not.
export function unary(session, method, content, {headers, compressed} = {}) {
  const stream = grpcStream(session, method, headers).resume();
  stream.end(message(content, {compressed}));
  return {stream, closed: new Promise((resolve) => stream.on('close', resolve))};
}

// --- frames of HTTP/2 ---
const FRAME = {headers: 1, reset: 3, settings: 4, ping: 6, windowUpdate: 8, continuation: 9};
const END_HEADERS = 4;

export function frame(type, flags, stream, content = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(content.length, 0, 3);
  head[3] = FRAME[type];
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, content]);
}
// A length of HPACK, with a prefix of 7 bits.
function hpackLength(length) {
  return length < 0x7f ? Buffer.from([length]) : Buffer.concat([Buffer.from([0x7f]), varint(length - 0x7f)]);
}
// A header field. `indexed`: the peer is to remember it.
export function headerField(name, value, {indexed = false} = {}) {
  return Buffer.concat([
    Buffer.from([indexed ? 0x40 : 0]), hpackLength(name.length), Buffer.from(name), hpackLength(value.length), Buffer.from(value),
  ]);
}
export const requestHeaders = (method) =>
  Buffer.concat([
    headerField(':method', 'POST'), headerField(':scheme', 'http'), headerField(':path', `${SERVICE}/${method}`),
    headerField(':authority', '127.0.0.1'), headerField('content-type', 'application/grpc'), headerField('te', 'trailers'),
  ]);

// A connection whose frames are written by hand and whose answers are not looked at.
export class RawHttp2 {
  constructor(port) {
    this.socket = connectTcp(port, '127.0.0.1');
    this.socket.on('error', () => {});
    this.socket.on('close', () => (this.closed = true));
    this.socket.resume();
    this.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame('settings', 0, 0)]));
  }
  // Resolves once there is room for more, or the connection is gone.
  write(content) {
    if (this.closed) return Promise.resolve();
    if (this.socket.write(content)) return new Promise(setImmediate);
    return new Promise((resolve) => {
      this.socket.once('drain', resolve);
      this.socket.once('close', resolve);
    });
  }
  headers(stream, block, {end = true} = {}) {
    return this.write(frame('headers', end ? END_HEADERS : 0, stream, block));
  }
}
