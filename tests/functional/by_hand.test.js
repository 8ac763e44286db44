// docs/by-hand.md is true: its commands are run, in order, in one shell, and print what it shows.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {accessSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import path from 'node:path';
import {freePorts} from './lib/ports.js';
import {REPOSITORY, binary} from './lib/process.js';
import {claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

const grpcurl = process.env.GRPCURL ?? path.join(REPOSITORY, '.tools/bin/grpcurl');
let missing;
try {
  accessSync(grpcurl);
} catch {
  missing = 'grpcurl is not installed';
}

// The blocks of commands, each with the block of output behind it, if there is one.
const blocksOf = (text) =>
  [...text.matchAll(/^```sh\n(.*?)^```\n(?:\n*```text\n(.*?)^```\n)?/gms)].map(([, commands, output = '']) => ({commands, output}));

const PLACEHOLDERS = {
  time: String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`,
  number: String.raw`\d+(?:\.\d+)?`,
  id: String.raw`[\w-]+`,
  secret: '[0-9a-f]{64}',
  file: String.raw`/[\w./-]+`,
};
const squeezed = (text) => text.replace(/[ \t]+/g, ' ').replace(/^ | $/gm, '').trim();
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

// The pattern of what a block may print.
const patternOf = (shown) => new RegExp(`^${squeezed(shown).split(/(<\w+>|^…$)/m).map((part) => {
  if (part === '…') return '[^]*?';
  return PLACEHOLDERS[part.match(/^<(\w+)>$/)?.[1]] ?? escaped(part);
}).join('')}$`);

// A shell that runs one block after another and tells what each printed.
class Shell {
  #said = '';
  #blocks = 0;

  constructor(cwd, env) {
    this.child = spawn('bash', ['--norc'], {cwd, env, stdio: ['pipe', 'pipe', 'pipe'], detached: true});
    for (const stream of ['stdout', 'stderr']) {
      this.child[stream].setEncoding('utf8').on('data', (text) => (this.#said += text));
    }
    this.child.stdin.write('exec 2>&1\n');
  }
  async run(commands) {
    const end = `--- end of block ${++this.#blocks} ---\n`;
    const start = this.#said.length;
    this.child.stdin.write(`${commands}\nprintf '%s\\n' '${end.trim()}'\n`);
    await until(`the block ends:\n${commands}`, () => this.#said.endsWith(end));
    return this.#said.slice(start, -end.length);
  }
  // With all that it started.
  close() {
    try {
      process.kill(-this.child.pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

claim('every command of docs/by-hand.md prints what the page shows', async (scope) => {
  const page = await readFile(path.join(REPOSITORY, 'docs/by-hand.md'), 'utf8');
  const blocks = blocksOf(page);
  assert.equal(blocks.length, page.match(/^```sh$/gm).length, 'every block is read');
  const [agents, callers, metrics] = await freePorts(3);
  const directory = await scope.directory();
  const shell = scope.own(new Shell(REPOSITORY, {
    PATH: `${path.dirname(binary('toolwire'))}:${path.dirname(grpcurl)}:${process.env.PATH}`, HOME: directory, TMPDIR: directory,
    PORT: agents, GRPC_PORT: callers, METRICS_PORT: metrics,
    TOOLWIRE_ADDRESS: `127.0.0.1:${callers}`, TOOLWIRE_URL: `ws://127.0.0.1:${agents}`,
  }));
  for (const {commands, output} of blocks) {
    // The programs under test, wherever they are.
    const own = commands.replace('$PWD/build/release:$PWD/.tools/bin:', '').replaceAll('localhost:50051', `localhost:${callers}`);
    const printed = await shell.run(own);
    const shown = printed.replaceAll(`127.0.0.1:${callers}`, '127.0.0.1:50051').replaceAll(`127.0.0.1:${agents}`, '127.0.0.1:8082');
    assert.match(squeezed(shown), patternOf(output), `${commands}printed:\n${shown}`);
    // People take a moment to go on; scripts must wait for what they start in the background.
    const [, word, log] = own.match(/toolwire (\w+).* > (\S+) 2>&1 &\n$/) ?? [];
    if (log) await shell.run(`for i in {1..300}; do grep -q '${word === 'dev' ? 'ready' : 'connected'}' ${log} && break; sleep 0.1; done`);
  }
}, {skip: missing});

claim('docs/by-hand.md shows every RPC and every command', async () => {
  const page = await readFile(path.join(REPOSITORY, 'docs/by-hand.md'), 'utf8');
  for (const [file, service] of [['dispatch', 'ToolDispatch'], ['admin', 'AgentAdmin']]) {
    const proto = await readFile(path.join(REPOSITORY, `proto/toolwire/v1/${file}.proto`), 'utf8');
    for (const [, method] of proto.matchAll(/^  rpc (\w+)\(/gm)) {
      assert.match(page, new RegExp(`^.*grpcurl -.*toolwire\\.v1\\.${service}/${method}\\b`, 'm'), method);
    }
  }
  for (const command of ['dev', 'agent', 'call', 'agents', 'where', 'watch', 'credentials', 'audit', 'tokens', 'migrate', 'doctor', 'completion']) {
    assert.match(page, new RegExp(`toolwire ${command}\\b`), command);
  }
});
