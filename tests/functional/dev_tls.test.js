// `toolwire dev --tls`: everything locked by one flag, and what it prints works as it is.
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {accessSync} from 'node:fs';
import {readFile, readdir, stat} from 'node:fs/promises';
import path from 'node:path';
import {code, RPCS} from './lib/caller.js';
import {binary, output, REPOSITORY, run} from './lib/process.js';
import {answerTo, connectTls} from './lib/tls.js';
import {statusOf} from './lib/tokens.js';
import {claim, get} from './lib/toolwire.js';
import {until} from './lib/until.js';

const grpcurl = process.env.GRPCURL ?? path.join(REPOSITORY, '.tools/bin/grpcurl');
let missing = false;
try {
  accessSync(grpcurl);
} catch {
  missing = 'grpcurl is not installed';
}
const LIST_AGENTS = RPCS.find(({name}) => name === 'ListAgents');

async function start(scope, {args = [], dataDir} = {}) {
  dataDir ??= await scope.directory();
  const dev = scope.process('toolwire', [
    'dev', '--tls', '--port=0', '--grpc-port=0', '--metrics-port=0', '--log-format=json', '--data-dir', dataDir, ...args]);
  const ports = await dev.ready();
  await until('it says how to connect', () => dev.stdout.includes('grpcurl'));
  return {dev, dataDir, ...ports, ca: await readFile(path.join(dataDir, 'tls/ca.crt'))};
}
// The command that it printed, with our programs.
const printed = ({dev}, word) => dev.stdout.split('\n').find((line) => new RegExp(`^  (TOKEN=\\S+ \\S+ )?${word} `).test(line)).trim()
  .replace(/^toolwire/, binary('toolwire')).replace(/(^| )grpcurl /, `$1${grpcurl} `);
const shell = (command, env) => new Promise((resolve) => execFile(
  'sh', ['-c', command], {env: {PATH: process.env.PATH, ...env}},
  (error, stdout, stderr) => resolve({code: error ? error.code : 0, stdout, stderr})));

claim('the commands that it prints connect an agent and call it', async (scope) => {
  const tls = await start(scope);
  const secret = (await output('toolwire', ['credentials', 'create', '--data-dir', tls.dataDir, 'demo'])).trim();
  const [program, ...args] = printed(tls, 'toolwire agent').split(' ');
  scope.process(program, args, {env: {TOOLWIRE_SECRET: secret}});
  await tls.dev.saw('agent connected');
  const called = await shell(printed(tls, 'toolwire call'));
  assert.equal(called.code, 0, called.stderr);
  const listed = await shell(printed(tls, 'grpcurl'));
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, /toolwire\.v1\.ToolDispatch/);
}, {skip: missing});

claim('without TLS neither port answers, and without the token nobody calls', async (scope) => {
  const tls = await start(scope);
  for (const port of [tls.agents, tls.callers]) {
    assert.equal((await answerTo(scope, port, 'GET /health HTTP/1.1\r\nHost: a\r\n\r\n')).length, 0);
    assert.equal((await answerTo(scope, port, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')).length, 0);
  }
  assert.equal((await get(tls.agents, '/health', {ca: tls.ca})).status, 200);
  const token = (await readFile(path.join(tls.dataDir, 'tls/token'), 'utf8')).trim();
  const status = async (...given) => (await statusOf(tls.callers, LIST_AGENTS, ...given)).code;
  assert.deepEqual([await status(undefined, undefined, tls.ca), await status(token, undefined, tls.ca)], [code.UNAUTHENTICATED, code.OK]);
});

claim('CA and token are of this user alone and outlive the process, the certificate is new', async (scope) => {
  const first = await start(scope);
  const dir = path.join(first.dataDir, 'tls');
  assert.deepEqual((await readdir(dir)).sort(), ['ca.crt', 'ca.key', 'server.crt', 'server.key', 'token', 'tokens']);
  for (const name of ['ca.key', 'server.key', 'token', 'tokens']) assert.equal((await stat(path.join(dir, name))).mode & 0o777, 0o600, name);
  assert.equal((await stat(dir)).mode & 0o777, 0o700);
  const token = await readFile(path.join(dir, 'token'), 'utf8');
  const serial = async ({agents, ca}) => (await connectTls(scope, agents, {ca, ALPNProtocols: ['http/1.1']})).getPeerCertificate().serialNumber;
  const before = await serial(first);
  await first.dev.stop();
  const second = await start(scope, {dataDir: first.dataDir});
  assert.deepEqual(second.ca, first.ca);
  assert.equal(await readFile(path.join(dir, 'token'), 'utf8'), token);
  assert.notEqual(await serial(second), before);
});

claim('it may listen for other machines, and its certificate names this one', async (scope) => {
  const tls = await start(scope, {args: ['--listen=0.0.0.0']});
  const socket = await connectTls(scope, tls.callers, {ca: tls.ca, ALPNProtocols: ['h2']});
  const names = socket.getPeerCertificate().subjectaltname;
  const {stdout: host} = await shell('uname -n');
  for (const name of ['DNS:localhost', 'IP Address:127.0.0.1', `DNS:${host.trim()}`]) assert.ok(names.includes(name), names);
  const other = await start(scope, {args: ['--listen=127.0.0.7']});
  assert.match(printed(other, 'toolwire call'), new RegExp(`--address 127\\.0\\.0\\.7:${other.callers} `));
});

claim('the token is not in what it prints or logs', async (scope) => {
  const tls = await start(scope);
  const token = (await readFile(path.join(tls.dataDir, 'tls/token'), 'utf8')).trim();
  await tls.dev.stop();
  assert.ok(!(tls.dev.stdout + tls.dev.stderr).includes(token));
});

claim('it takes no certificates of others, and says what to leave out', async (scope) => {
  const file = new URL(import.meta.url).pathname;  // That is read, and is none, is not asked.
  for (const flag of [`--tls-cert=${file}`, `--tls-key=${file}`, `--grpc-tls-cert=${file}`, '--plain-agents', '--plain-grpc']) {
    const {code: status, stderr} = await run('toolwire', ['dev', '--tls', flag, '--data-dir', await scope.directory()]);
    assert.equal(status, 1, flag);
    assert.match(stderr, /--tls makes certificates for both ports: leave out .*--plain-grpc/);
  }
  const {code: status, stderr} = await run('toolwire', ['dev', '--tls', '--data-dir', '/proc/nothing/here']);
  assert.equal(status, 1);
  assert.match(stderr, /--tls: cannot make \/proc\/nothing/);
});

claim('--no-tokens and --tokens-file decide who may call, as without --tls', async (scope) => {
  const tls = await start(scope, {args: ['--no-tokens']});
  assert.equal((await statusOf(tls.callers, LIST_AGENTS, undefined, undefined, tls.ca)).code, code.OK);
  assert.deepEqual((await readdir(path.join(tls.dataDir, 'tls'))).filter((name) => name.startsWith('token')), []);
});
