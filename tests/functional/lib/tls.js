// Certificates made at test time, and peers that look at them.
import {execFile} from 'node:child_process';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import {promisify} from 'node:util';
import tls from 'node:tls';
import {output} from './process.js';
import {within} from './until.js';

const exec = promisify(execFile);

// What `toolwire certificates create` wrote into one directory.
export class Certificates {
  static async create(scope, {names = [], args = []} = {}) {
    const made = new Certificates();
    made.dir = await scope.directory();
    const named = names.flatMap((name) => ['--name', name]);
    made.printed = await output('toolwire', ['certificates', 'create', '--dir', made.dir, ...named, ...args]);
    await made.#read();
    return made;
  }
  async #read() {
    this.ca = await readFile(this.file('ca.crt'));
  }
  file(name) {
    return path.join(this.dir, name);
  }
  read(name) {
    return readFileSync(this.file(name));
  }
  // New certificates of the same CA, in place of the old ones.
  async renew(...args) {
    await output('toolwire', ['certificates', 'create', '--dir', this.dir, '--renew', ...args]);
  }
  // Flags of an edge.
  get edgeFlags() {
    return {'tls-cert': this.file('agents.crt'), 'tls-key': this.file('agents.key')};
  }
  // Flags of an edge or a control for their links; `name` is that of their certificate.
  linkFlags(name) {
    return {
      'link-tls-cert': this.file(`${name}.crt`), 'link-tls-key': this.file(`${name}.key`), 'link-tls-ca': this.file('ca.crt'),
    };
  }
  // Flags of a control.
  get callersFlags() {
    return {'grpc-tls-cert': this.file('control.crt'), 'grpc-tls-key': this.file('control.key')};
  }
  async serial(name = 'agents.crt') {
    return (await openssl('x509', '-noout', '-serial', '-in', this.file(name))).trim().replace('serial=', '');
  }
}

// The openssl program: what it printed, on both streams.
export async function openssl(...args) {
  const {stdout, stderr} = await exec('openssl', args);
  return stdout + stderr;
}

// A TLS connection of Node's to a port of this machine: once its handshake is done.
export async function connectTls(scope, port, options) {
  const socket = scope.own(tls.connect({host: '127.0.0.1', port, ...options}));
  await within('the TLS handshake is done', once(socket, 'secureConnect'));
  return socket;
}
// Why it cannot connect: the error's code.
export async function refusal(scope, port, options) {
  const socket = scope.own(tls.connect({host: '127.0.0.1', port, ...options}));
  const [error] = await within('the TLS handshake fails', once(socket, 'error'));
  return error.code;
}

// What a port answers to bytes until it closes or resets the connection.
export const answerTo = (scope, port, bytes) => answerOf(scope.own(net.connect(port, '127.0.0.1')), bytes);
// The same over a socket that is there.
export async function answerOf(socket, bytes) {
  const parts = [];
  socket.on('data', (part) => parts.push(part)).on('error', () => {});
  socket.write(bytes);
  await within('the port closes the connection', new Promise((resolve) => socket.on('close', resolve)));
  return Buffer.concat(parts);
}

// The first message of a TLS client, as bytes: all that it takes to have a server begin a handshake.
export async function clientHello() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = tls.connect({port: server.address().port, host: '127.0.0.1'}).on('error', () => {});
  const [socket] = await once(server, 'connection');
  const [bytes] = await once(socket.on('error', () => {}), 'data');
  client.destroy();
  server.close();
  return bytes;
}

// Dials a port over and over from an address, `perTick` times in each hundredth of a second, and says `bytes` each time.
export function floodWith(scope, port, bytes, {localAddress, perTick = 10}) {
  const open = [];
  const timer = setInterval(() => {
    for (let i = 0; i < perTick; ++i) {
      const socket = net.connect({port, host: '127.0.0.1', localAddress});
      socket.on('error', () => {}).resume().write(bytes);
      open.push(socket);
    }
    while (open.length > 1000) open.shift().destroy();
  }, 10);
  return scope.own({
    stop: () => {
      clearInterval(timer);
      for (const socket of open) socket.destroy();
    },
  });
}
