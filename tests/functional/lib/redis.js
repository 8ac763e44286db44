// A private redis-server: on the loopback, nothing on disk, gone with its test.
import {Redis as Client} from 'ioredis';
import {spawn, spawnSync} from 'node:child_process';
import net from 'node:net';
import {createInterface} from 'node:readline';
import {deferred, until, within} from './until.js';

// For `skip` of a test: why there can be no Redis, or undefined.
export const redisMissing =
  spawnSync('redis-server', ['--version']).status === 0 ? undefined : 'redis-server is not installed';

function freePort() {
  const found = deferred();
  const listener = net.createServer().listen(0, '127.0.0.1', () => {
    const {port} = listener.address();
    listener.close(() => found.resolve(port));
  });
  listener.on('error', found.reject);
  return found.promise;
}

export class Redis {
  #scope;
  #args;
  #child;
  #exit;

  // Ready when this returns. `args` are further arguments of redis-server.
  static async start(scope, {port, args = []} = {}) {
    const redis = new Redis();
    redis.#scope = scope;
    redis.port = port ?? (await freePort());
    redis.url = `redis://127.0.0.1:${redis.port}`;
    const directory = await scope.directory();
    redis.#args = ['--port', redis.port, '--bind', '127.0.0.1', '--save', '', '--dir', directory, ...args];
    scope.own(redis);
    await redis.start();
    return redis;
  }

  // Starts it again, empty, on the same port.
  async start() {
    let log = '';
    const exit = (this.#exit = deferred());
    this.#child = spawn('redis-server', this.#args.map(String), {stdio: ['ignore', 'pipe', 'pipe']});
    for (const stream of ['stdout', 'stderr']) {
      this.#child[stream].setEncoding('utf8').on('data', (text) => (log = (log + text).slice(-4096)));
    }
    this.#child.on('error', exit.reject);
    this.#child.on('close', exit.resolve);
    let ended = false;
    exit.promise.then(() => (ended = true), () => (ended = true));
    await until('redis-server is ready', () => {
      if (ended) throw Object.assign(new Error(`it ended:\n${log}`), {final: true});
      return log.includes('Ready to accept connections');
    });
  }
  // At once, without saying goodbye to anybody.
  async stop() {
    this.#child.kill('SIGKILL');
    await within('redis-server ends', this.#exit.promise);
  }

  // Connections stay, nothing is answered.
  pause() {
    this.#child.kill('SIGSTOP');
  }
  resume() {
    this.#child.kill('SIGCONT');
  }

  // A connected client, for as long as the test; it connects again by itself.
  async client(options = {}) {
    const client = new Client(this.url, {
      lazyConnect: true, maxRetriesPerRequest: null, retryStrategy: () => 50, ...options});
    client.on('error', () => {});  // Told by what a command comes to.
    this.#scope.own({close: () => client.disconnect()});
    await client.connect();
    return client;
  }
  // Calls `saw` with every command that the server carries out from now on, as its array of words; those of scripts,
  // too. By a socket of its own: ioredis takes a command that comes with the answer to MONITOR for another answer.
  async monitor(saw) {
    const socket = net.connect(this.port, '127.0.0.1', () => socket.write('MONITOR\r\n'));
    this.#scope.own(socket);
    const begun = deferred();
    socket.on('error', begun.reject);
    createInterface({input: socket}).on('line', (line) => {
      if (line === '+OK') return begun.resolve();
      saw(Array.from(line.matchAll(/"((?:[^"\\]|\\.)*)"/g), ([, word]) => word));
    });
    await within('Redis is monitored', begun.promise);
  }
}
