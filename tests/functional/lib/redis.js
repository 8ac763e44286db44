// A private redis-server: on the loopback, nothing on disk, gone with its test.
import {Redis as Client} from 'ioredis';
import {spawn, spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {createInterface} from 'node:readline';
import tls from 'node:tls';
import {freePort} from './ports.js';
import {REPOSITORY, testTls} from './process.js';
import {standStill} from './stand_still.js';
import {deferred, until, within} from './until.js';

// For `skip` of a test: why there can be no Redis, or undefined.
export const redisMissing =
  spawnSync('redis-server', ['--version']).status === 0 ? undefined : 'redis-server is not installed';

// The arguments of redis-server that make the user which docs/tls.md recommends; for sentinels it has another one.
export function documentedUser(password, where = 'redis') {
  const lines = readFileSync(path.join(REPOSITORY, 'docs/tls.md'), 'utf8').match(/^user toolwire .*$/gm);
  const line = lines[['redis', 'sentinel'].indexOf(where)];
  return `--${line}`.replace('>SECRET', `>${password}`).split(' ');
}

export class Redis {
  #scope;
  #args;
  #child;
  #exit;

  // Ready when this returns. `args` are further arguments of redis-server. With `certificates` it speaks TLS alone.
  // `password` is the default user's. With `sentinel`, a file that configures all of it, it is a sentinel at `port`.
  static async start(scope, {port, args = [], certificates = testTls, password, sentinel} = {}) {
    const redis = new Redis();
    redis.#scope = scope;
    Object.assign(redis, {certificates, password});
    redis.port = port ?? (await freePort());
    redis.url = redis.urlAt();
    const directory = await scope.directory();
    const ports = certificates
      ? ['--port', 0, '--tls-port', redis.port, '--tls-auth-clients', 'no', '--tls-cert-file', certificates.file('redis.crt'),
        '--tls-key-file', certificates.file('redis.key')]
      : ['--port', redis.port];
    redis.#args = sentinel
      ? [sentinel, '--sentinel']
      : [...ports, '--bind', '127.0.0.1', '--save', '', '--dir', directory, ...args];
    scope.own(redis);
    await redis.start();
    return redis;
  }

  // Where it is, for this user.
  urlAt({user = '', password, host = '127.0.0.1', port = this.port} = {}) {
    const login = password === undefined ? '' : `${user}:${encodeURIComponent(password)}@`;
    return `${this.certificates ? 'rediss' : 'redis'}://${login}${host}:${port}`;
  }
  // Flags of processes that use it.
  get flags() {
    return {'redis-url': this.url, ...(this.certificates && {'redis-ca': this.certificates.file('ca.crt')})};
  }

  // The same as variables.
  get env() {
    return {REDIS_URL: this.url, ...(this.certificates && {REDIS_CA: this.certificates.file('ca.crt')})};
  }

  // A URL through which whatever is said arrives later, either way, by half of `ms`.
  async slowed(ms) {
    const later = (from, to) => {
      from.on('data', (bytes) => setTimeout(() => to.writable && to.write(bytes), ms / 2));
      from.on('close', () => to.destroy());
      from.on('error', () => undefined);
    };
    const listener = net.createServer((client) => {
      const server = net.connect({port: this.port, host: '127.0.0.1', noDelay: true});
      client.setNoDelay();
      later(client, server);
      later(server, client);
    });
    const listening = deferred();
    listener.on('error', listening.reject).listen(0, '127.0.0.1', listening.resolve);
    await listening.promise;
    this.#scope.own({close: () => listener.close()});
    return `${this.certificates ? 'rediss' : 'redis'}://127.0.0.1:${listener.address().port}`;
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
      return /Ready to accept connections|\+monitor master|Sentinel ID is/.test(log);
    });
  }
  // At once, without saying goodbye to anybody.
  async stop() {
    this.#child.kill('SIGKILL');
    await within('redis-server ends', this.#exit.promise);
  }

  // Connections stay, nothing is answered.
  pause() {
    standStill(this.#child.pid);
  }
  resume() {
    this.#child.kill('SIGCONT');
  }

  // A connected client, for as long as the test; it connects again by itself.
  async client({port, ...options} = {}) {
    const client = new Client(this.urlAt({port}), {
      lazyConnect: true, maxRetriesPerRequest: null, retryStrategy: () => 50,
      ...(this.certificates && {tls: {ca: this.certificates.ca}}), password: this.password, ...options});
    client.on('error', () => {});  // Told by what a command comes to.
    this.#scope.own({close: () => client.disconnect()});
    await client.connect();
    return client;
  }
  // Calls `saw` with every command that the server carries out from now on, as its array of words; those of scripts,
  // too. By a socket of its own: ioredis takes a command that comes with the answer to MONITOR for another answer.
  async monitor(saw) {
    const to = {port: this.port, host: '127.0.0.1'};
    const begin = () => socket.write('MONITOR\r\n');
    const socket = this.certificates ? tls.connect({...to, ca: this.certificates.ca}, begin) : net.connect(to, begin);
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
