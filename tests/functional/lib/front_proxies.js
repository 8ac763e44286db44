// nginx and HAProxy in front of controls, with the configurations of docs/proxies.md.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import {freePort} from './ports.js';
import {REPOSITORY} from './process.js';
import {deferred, until, within} from './until.js';

const accepts = (port) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
  socket.on('close', () => {}).on('connect', () => socket.destroy());
});

// The block of docs/proxies.md in this language.
function documented(language) {
  const text = readFileSync(path.join(REPOSITORY, 'docs/proxies.md'), 'utf8');
  const [, block] = text.match(new RegExp('^```' + language + '\n([^]*?)^```$', 'm')) ?? [];
  assert.ok(block, `docs/proxies.md has a block of ${language}`);
  return block;
}
function replaced(text, changes) {
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `docs/proxies.md says "${from}"`);
    text = text.replaceAll(from, to);
  }
  return text;
}

class FrontProxy {
  log = '';
  #child;
  #old = [];
  #exit = deferred();

  // For controls at these ports, `[{callers, metrics}, …]`, two of them. `changes`: pairs of what the documented text
  // says and what it is to say.
  static async start(scope, controls, {changes = []} = {}) {
    const proxy = new this();
    proxy.port = await freePort();
    proxy.address = `127.0.0.1:${proxy.port}`;
    proxy.directory = await scope.directory();
    const file = path.join(proxy.directory, 'configuration');
    await writeFile(file, replaced(documented(this.language), [...changes, ...proxy.places(controls)]));
    scope.backend(proxy);
    proxy.run(file);
    await until(`${this.binary} takes connections`, () => {
      if (proxy.ended) throw Object.assign(new Error(`it ended:\n${proxy.log}`), {final: true});
      return accepts(proxy.port);
    });
    return proxy;
  }
  spawn(args) {
    this.#child = spawn(this.constructor.binary, args, {stdio: ['ignore', 'pipe', 'pipe'], detached: true});
    for (const stream of ['stdout', 'stderr']) this.#child[stream].setEncoding('utf8').on('data', (text) => (this.log += text));
    this.#child.on('error', (error) => this.#exit.reject(error));
    this.#child.on('exit', () => ((this.ended = true), this.#exit.resolve()));
    this.#exit.promise.catch(() => {});
  }
  // New workers take connections, the old ones keep theirs.
  async reload() {
    this.#old = this.#workers();
    // One that comes while the last one is still under way may be lost.
    for (let tries = 0; ; ++tries) {
      this.#child.kill(this.constructor.reloads);
      try {
        return await until('there are new workers', () => this.#workers().some((pid) => !this.#old.includes(pid)), 10_000);
      } catch (error) {
        if (tries === 11) throw error;
      }
    }
  }
  // The end of what it said, but for the many lines of a control that is not there.
  tail() {
    return this.log.split('\n').filter((line) => !line.includes('Connection refused')).slice(-80).join('\n');
  }
  oldWorkersGone() {
    return until('old workers are gone', () => this.#workers().every((pid) => !this.#old.includes(pid)));
  }
  #workers() {
    return readFileSync(`/proc/${this.#child.pid}/task/${this.#child.pid}/children`, 'utf8').split(' ').filter(Boolean);
  }
  // With all its workers, also old ones, and without a word to anybody: they are a group of their own.
  async stop() {
    if (!this.ended) process.kill(-this.#child.pid, 'SIGKILL');
    await within(`${this.constructor.binary} ends`, this.#exit.promise);
  }
}

export class Nginx extends FrontProxy {
  static binary = '/usr/sbin/nginx';
  static language = 'nginx';
  static reloads = 'SIGHUP';
  // How long old workers serve what they have.
  static lingers = 'worker_shutdown_timeout 10m';
  places([one, two]) {
    return [['listen 50051 ', `listen ${this.address} `], ['10.0.0.11:50051', `127.0.0.1:${one.callers}`],
      ['10.0.0.12:50051', `127.0.0.1:${two.callers}`], ['worker_processes auto', 'worker_processes 2']];
  }
  run(file) {
    // What is written nowhere by default: Debian's own places need root.
    const user = process.getuid() === 0 ? 'user root; ' : '';
    this.spawn(['-e', 'stderr', '-p', this.directory, '-c', file,
      '-g', `daemon off; ${user}pid ${this.directory}/pid; error_log stderr warn;`]);
  }
}

export class HAProxy extends FrontProxy {
  static binary = '/usr/sbin/haproxy';
  static language = 'haproxy';
  static reloads = 'SIGUSR2';
  static lingers = 'hard-stop-after 10m';
  places([one, two]) {
    return [['bind :50051 ', `bind ${this.address} `], ['10.0.0.11:50051', `127.0.0.1:${one.callers} port ${one.metrics}`],
      ['10.0.0.12:50051', `127.0.0.1:${two.callers} port ${two.metrics}`]];
  }
  run(file) {
    this.spawn(['-W', '-f', file]);
  }
}

export const PROXIES = {nginx: Nginx, HAProxy};

// Why tests with this one are left out, if they are.
export const proxyMissing = (proxy) => existsSync(proxy.binary) ? undefined : `${proxy.binary} is not installed`;
