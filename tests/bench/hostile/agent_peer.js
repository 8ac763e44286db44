// Agents as an attacker writes them: a login by hand, then whatever bytes, read or not.
import {connect} from 'node:net';
import {once} from 'node:events';

// One masked text frame; the mask is zero, which the protocol allows and which costs nothing.
export function textFrame(text) {
  const content = Buffer.from(text);
  const {length} = content;
  let head;
  if (length < 126) {
    head = Buffer.from([0x81, 0x80 | length]);
  } else if (length < 65536) {
    head = Buffer.from([0x81, 0x80 | 126, length >> 8, length & 255]);
  } else {
    head = Buffer.alloc(10);
    head.writeUInt16BE(0x81ff);
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, Buffer.alloc(4), content]);
}
export const PING = Buffer.from([0x89, 0x80, 0, 0, 0, 0]);

export function openSocket(port, {localAddress} = {}) {
  const socket = connect({port, host: '127.0.0.1', localAddress});
  socket.on('error', () => {});
  socket.on('close', () => (socket.gone = true));
  return socket;
}
// Resolves once there is room for more, or the socket is gone.
export function write(socket, content) {
  if (socket.gone || socket.destroyed) return Promise.resolve();
  if (socket.write(content)) return new Promise(setImmediate);
  return new Promise((resolve) => {
    socket.once('drain', resolve);
    socket.once('close', resolve);
  });
}

const upgrade = (user, secret) =>
  `GET /?userId=${user}&secret=${secret} HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n';

// The socket of an agent that is logged in. `onCall` gets the text of each frame that came whole in one read, which is
// enough for small calls.
export async function rawAgent(port, user, secret, {onCall, localAddress} = {}) {
  const socket = openSocket(port, {localAddress});
  socket.write(upgrade(user, secret));
  let came = '';
  while (!came.includes('"connected"') && !socket.gone) {
    const [chunk] = await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => ['']);
    came += chunk;
  }
  if (onCall) {
    socket.on('data', (chunk) => {
      for (const [, id] of chunk.toString('latin1').matchAll(/"requestId":"([^"]+)"/g)) onCall(id, socket);
    });
  }
  return socket;
}
export const answer = (id, resultJson) => textFrame(`{"type":"tool_response","requestId":"${id}","success":true,"result":${resultJson}}`);
