// Child processes that are measured: their log lines, CPU time and resident memory; and their end.
import {spawn} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {createServer} from 'node:net';

const DEADLINE_MS = 120_000;
const running = new Set();
process.on('exit', () => {
  for (const one of running) one.child.kill('SIGKILL');
});

export class Process {
  #lines = [];
  #wake = () => {};

  constructor(command, args, {env, signal = 'SIGTERM'} = {}) {
    this.name = command.split('/').at(-1);
    this.endSignal = signal;
    this.child = spawn(command, args, {env: {...process.env, ...env}, stdio: ['pipe', 'pipe', 'pipe']});
    running.add(this);
    this.exited = new Promise((resolve) => {
      this.child.on('error', (error) => resolve({error: error.message}));
      this.child.on('close', (code, by) => resolve({code, by}));
    });
    this.exited.then((how) => {
      running.delete(this);
      this.how = how;
      this.#wake();
    });
    this.child.stdin.on('error', () => {});
    for (const stream of [this.child.stdout, this.child.stderr]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        this.#lines.push(...lines);
        this.#wake();
      });
    }
  }
  get pid() {
    return this.child.pid;
  }
  get lines() {
    return this.#lines;
  }

  // Waits for a line for which `wanted` returns something, and returns that.
  async line(what, wanted) {
    const giveUp = Date.now() + DEADLINE_MS;
    for (let read = 0; ; ) {
      while (read < this.#lines.length) {
        const found = wanted(this.#lines[read++]);
        if (found) return found;
      }
      if (this.how || Date.now() > giveUp) {
        const state = this.how ? `ended (${JSON.stringify(this.how)})` : 'was waited for in vain';
        throw new Error(`${this.name} ${state} before: ${what}\n${this.#lines.slice(-10).join('\n')}`);
      }
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, giveUp - Date.now() + 1);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
  // The fields of the log line of an event.
  event(name) {
    return this.line(name, (line) => line.includes(`"event":"${name}"`) && JSON.parse(line));
  }
  events(name) {
    return this.#lines.filter((line) => line.includes(`"event":"${name}"`)).map((line) => JSON.parse(line));
  }
  says(text) {
    return this.line(text, (line) => line.includes(text));
  }

  async stop() {
    if (!this.how) this.child.kill(this.endSignal);
    const patience = setTimeout(() => this.child.kill('SIGKILL'), 30_000);
    await this.exited;
    clearTimeout(patience);
  }
}

// Runs a program to its end.
export async function run(command, args, options) {
  const one = new Process(command, args, options);
  const {code, error} = await one.exited;
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${error ?? one.lines.slice(-10).join('\n')}`);
}

// A port that nobody listens on.
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const {port} = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// --- what processes use; processes that have ended count as nothing ---
function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
const TICK_US = 10_000;  // Of utime and stime: USER_HZ is 100 on every Linux.
const ticks = (pid, {ofChildren = false} = {}) => {
  // Fields 14 to 17, counted from after the name in brackets, which may contain blanks.
  const fields = read(`/proc/${pid}/stat`).split(') ').at(-1).split(' ');
  const [user = 0, system = 0, childrenUser = 0, childrenSystem = 0] = fields.slice(11, 15).map(Number);
  return user + system + (ofChildren ? childrenUser + childrenSystem : 0);
};

// CPU time used so far, in µs.
export const cpuUs = (pids) => TICK_US * pids.reduce((sum, pid) => sum + ticks(pid), 0);

// That of a process with all its children, those that have ended too, but for one.
export function treeCpuUs(root, {without} = {}) {
  const children = read(`/proc/${root}/task/${root}/children`).trim().split(' ').filter(Boolean).map(Number);
  return TICK_US * ticks(root, {ofChildren: true}) + cpuUs(children.filter((pid) => pid !== without));
}

export const residentBytes = (pids) =>
  pids.reduce((sum, pid) => sum + 1024 * Number(read(`/proc/${pid}/status`).match(/^VmRSS:\s+(\d+)/m)?.[1] ?? 0), 0);
