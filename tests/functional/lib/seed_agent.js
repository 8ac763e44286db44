// An agent as they are in the field: written from the replaced server's description alone, on the `ws` package.
import net from 'node:net';
import tls from 'node:tls';
import WebSocket from 'ws';
import {testTls} from './process.js';
import {deferred, until, within} from './until.js';

// A connection that sends these bytes before everything else.
const dialWith = (prologue, localAddress, isTls) => ({host, port, ca}) => {
  const socket = net.connect({host, port, localAddress});
  socket.write(prologue);
  return isTls ? tls.connect({socket, host, ca}) : socket;
};

export class SeedAgent {
  // Frames from the server, parsed, and as they came.
  frames = [];
  texts = [];
  #socket;
  #closed = deferred();

  // `answer(call, agent)` gets a tool_call frame and returns the fields of the response, or nothing to stay silent.
  // `prologue`: bytes that a proxy would send first.
  constructor(url, {answer = ({params}) => ({success: true, result: params}), headers, handshakeTimeout, ca = testTls?.ca, prologue, localAddress} = {}) {
    this.answer = answer;
    const createConnection = prologue && dialWith(prologue, localAddress, url.startsWith('wss:'));
    const options = {headers, handshakeTimeout, ca, localAddress, createConnection};
    this.#socket = new WebSocket(url, {...options, maxPayload: 64 << 20, perMessageDeflate: false});
    this.#socket.on('open', () => (this.opened = true));
    this.#socket.on('message', (data) => this.#receive(data.toString()));
    this.#socket.on('close', (code, reason) => this.#closed.resolve({code, reason: reason.toString()}));
    this.#socket.on('error', (error) => (this.error = error));
    this.#closed.promise.then((close) => (this.closeFrame = close));
  }

  #receive(text) {
    const frame = JSON.parse(text);
    this.texts.push(text);
    this.frames.push(frame);
    if (frame.type !== 'tool_call') return;
    const response = this.answer(frame, this);
    if (response !== undefined) this.respond(frame.requestId, response);
  }

  // Frames of one type.
  of(type) {
    return this.frames.filter((frame) => frame.type === type);
  }
  get calls() {
    return this.of('tool_call');
  }

  send(frame) {
    this.sendText(JSON.stringify(frame));
  }
  sendText(text) {
    this.#socket.send(text);
  }
  sendBinary(bytes) {
    this.#socket.send(bytes, {binary: true});
  }
  // A text frame of these bytes, valid or not.
  sendBytesAsText(bytes, {last = true} = {}) {
    this.#socket.send(bytes, {binary: false, fin: last});
  }
  heartbeat() {
    this.send({type: 'heartbeat', timestamp: Date.now()});
  }
  respond(requestId, response) {
    this.send({type: 'tool_response', requestId, ...response});
  }

  // For conditions that can only come true while it is open.
  #mustBeOpen() {
    if (!this.closeFrame) return;
    throw Object.assign(new Error(`closed with ${this.closeFrame.code} ${this.closeFrame.reason}`), {final: true});
  }
  async connected() {
    return until('the agent gets `connected`', () => {
      this.#mustBeOpen();
      return this.of('connected')[0];
    });
  }
  // The serial number of the certificate that the server showed, with TLS.
  get serial() {
    return this.#socket._socket.getPeerCertificate().serialNumber;
  }
  // The next `count` calls that have come in all.
  async called(count = 1) {
    await until(`the agent has got ${count} calls`, () => this.calls.length >= count);
    return this.calls[count - 1];
  }
  // A round trip: everything sent before has been handled by the server when this returns.
  async roundTrip() {
    const acks = this.of('heartbeat_ack').length;
    this.heartbeat();
    await until('the heartbeat is acknowledged', () => {
      this.#mustBeOpen();
      return this.of('heartbeat_ack').length > acks;
    });
  }
  // When it is closed, however late.
  get end() {
    return this.#closed.promise;
  }
  async closed() {
    return within('the agent is closed', this.#closed.promise);
  }
  // Says goodbye.
  async close() {
    this.#socket.close(1000);
    return this.closed();
  }
  // The socket is gone without a word, as when the machine loses its network.
  destroy() {
    this.#socket.terminate();
  }
  ping(payload) {
    this.#socket.ping(payload);
  }
  onPong(heard) {
    this.#socket.on('pong', (payload) => heard(payload.toString()));
  }
  // Bytes on the connection, whole frames. Resolves when the kernel has them.
  writeRaw(bytes) {
    return new Promise((resolve) => this.#socket._socket.write(bytes, resolve));
  }
  // Stops and resumes reading, so that what is sent to it piles up.
  pause() {
    this.#socket.pause();
  }
  resume() {
    this.#socket.resume();
  }
}
