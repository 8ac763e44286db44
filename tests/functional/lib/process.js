// One running binary: started from TOOLWIRE_BIN_DIR, its output kept, its end checked.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {existsSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import path from 'node:path';
import {standStill} from './stand_still.js';
import {tlsEverywhere} from './tls_everywhere.js';
import {deferred, until, within} from './until.js';

export const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));
const BIN_DIR = path.resolve(REPOSITORY, process.env.TOOLWIRE_BIN_DIR ?? 'build/dev');
// A program by its absolute path, or one of ours by its name.
export const binary = (name) => path.resolve(BIN_DIR, name);

// What all use for TLS, if all is to have it.
export const testTls = tlsEverywhere(binary('toolwire'));

// The caller's environment must not configure the servers; what steers the sanitizers goes through.
const PASSED_ON = /^(PATH|HOME|TMPDIR|LANG|(ASAN|LSAN|UBSAN|TSAN)_OPTIONS)$/;
const baseEnvironment = Object.fromEntries(Object.entries(process.env).filter(([name]) => PASSED_ON.test(name)));

export class Process {
  // Lines of both streams, in the order in which they came.
  lines = [];
  stdout = '';
  stderr = '';
  #child;
  #exit = deferred();
  #paused = false;

  // `openFiles`: how many files the process may have open. `plain`: no TLS and no token, though all others have them.
  constructor(name, args, {env = {}, cwd, stdin = 'ignore', exitCode = 0, openFiles, plain} = {}) {
    if (!existsSync(binary(name))) {
      throw Object.assign(new Error(`no program ${binary(name)}: build all, or set TOOLWIRE_BIN_DIR`), {final: true});
    }
    this.name = name;
    this.exitCode = exitCode;  // Of an orderly end.
    this.command = [name, ...args].join(' ');
    const command = [...(openFiles ? ['prlimit', `--nofile=${openFiles}`] : []), binary(name), ...args];
    const tls = plain ? {} : testTls?.environmentOf(name, args[0]);
    this.#child = spawn(command[0], command.slice(1), {
      env: {...baseEnvironment, ...tls, ...env}, cwd, stdio: [stdin, 'pipe', 'pipe'],
    });
    this.pid = this.#child.pid;
    for (const stream of ['stdout', 'stderr']) {
      let rest = '';
      this.#child[stream].setEncoding('utf8').on('data', (text) => {
        this[stream] += text;
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        this.lines.push(...lines);
      });
    }
    this.#child.on('error', (error) => this.#exit.reject(error));
    this.#child.on('close', (code, signal) => this.#exit.resolve({code, signal}));
    this.#exit.promise.then((ended) => (this.ended = ended), () => {});
  }

  // Log lines in JSON, parsed.
  get logs() {
    return this.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  }
  logged(event) {
    return this.logs.filter((line) => line.event === event);
  }

  // The first line of this event, once it is there: lines are written behind the counters, by a thread of their own.
  saw(event) {
    return until(`${this.command} logs "${event}"`, () => this.logged(event)[0]);
  }

  // The log line that says what ports the process got.
  async ready() {
    return until(`${this.command} is ready`, () => {
      if (this.ended) throw Object.assign(new Error('it ended'), {final: true});
      return this.logs.find((line) => line.event.endsWith(' ready') && !line.event.endsWith(' not ready'));
    });
  }

  // All of its standard input, with `stdin: 'pipe'`.
  write(text) {
    this.#child.stdin.end(text);
  }

  signal(name) {
    this.signalled = true;
    this.#child.kill(name);
  }
  // The process stands still, with its sockets open, until it is resumed.
  pause() {
    this.#paused = true;
    standStill(this.#child.pid);
  }
  resume() {
    this.#paused = false;
    this.#child.kill('SIGCONT');
  }
  // Nobody reads its log from here on, beyond what is on the way.
  leaveLogUnread() {
    this.#child.stderr.pause();
  }
  // The reader of its log goes.
  closeLog() {
    this.#child.stderr.destroy();
  }
  async exited() {
    return within(`${this.command} ends`, this.#exit.promise);
  }

  // Asks the process to stop, unless it was asked before, and waits for its end. A sanitizer's report makes the exit
  // status another one, and is in the error's text.
  async stop(signal = 'SIGTERM') {
    if (this.#paused) this.resume();
    if (!this.ended && !this.signalled) this.signal(signal);
    try {
      const {code, signal} = await this.exited();
      if (code !== this.exitCode || signal !== null) {
        throw new Error(`exit status ${signal ?? code} instead of ${this.exitCode} of ${this.command}\n${this.#report()}`);
      }
    } finally {
      this.stopped = true;
      if (!this.ended) this.signal('SIGKILL');
    }
  }
  async kill() {
    this.stopped = true;
    this.signal('SIGKILL');
    await this.exited();
  }

  // What a sanitizer wrote: all but the log. Without one, the log's end.
  #report(count = 120) {
    const report = this.stderr.split('\n').filter((line) => line && !line.startsWith('{'));
    return report.length > 0 ? report.slice(0, count).join('\n') : this.tail();
  }
  tail(count = 40) {
    return this.lines.slice(-count).map((line) => `    ${line}`).join('\n');
  }
}

// Runs a command to its end.
export async function run(name, args, options) {
  const process = new Process(name, args, options);
  const {code} = await process.exited();
  return {code, stdout: process.stdout, stderr: process.stderr};
}

// The same for a command that has to succeed; returns what it printed.
export async function output(name, args, options) {
  const {code, stdout, stderr} = await run(name, args, options);
  assert.equal(code, 0, `${name} ${args.join(' ')} failed:\n${stderr}`);
  return stdout;
}
