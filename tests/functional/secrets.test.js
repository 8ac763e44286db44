// A secret is shown once, to the one who creates it, and nowhere else.
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {chmod, lstat, readdir, readFile, stat, symlink, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {binary, output, run} from './lib/process.js';
import {argumentsOf, claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

// Every file below `directory`, as one text.
async function contents(directory) {
  let all = '';
  for (const entry of await readdir(directory, {withFileTypes: true})) {
    const file = path.join(directory, entry.name);
    all += entry.isDirectory() ? await contents(file) : await readFile(file, 'latin1');
  }
  return all;
}

claim('no log line at any level, no answer and no file of the store holds a secret', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'log-level': 'debug'}});
  const secrets = [await tw.secret('user_1'), await tw.secret('user_2')];
  await tw.agent('user_1');
  const bearer = tw.dial('?userId=user_2', {headers: {Authorization: `Bearer ${secrets[1]}`}});
  await bearer.connected();
  const refused = [
    tw.dial(tw.loginQuery('user_1', secrets[1])), tw.dial(tw.loginQuery('nobody', secrets[0])), tw.dial(`?secret=${secrets[0]}`),
    tw.dial('', {headers: {Authorization: `Basic ${Buffer.from(`nobody:${secrets[1]}`).toString('base64')}`}}),
  ];
  const closes = await Promise.all(refused.map((agent) => agent.closed()));
  await tw.caller().call('user_1', 'echo');
  const told = [
    JSON.stringify(closes), (await tw.http('/health')).body, (await tw.http('/metrics')).body,
    JSON.stringify(await tw.credentials()), JSON.stringify(await tw.auditRows(1)),
  ].join('\n');
  const stored = await contents(tw.dataDir);
  await tw.stop();
  for (const [what, text] of Object.entries({'the log': tw.logText, 'an answer': told, 'the store': stored})) {
    for (const secret of secrets) assert.ok(!text.includes(secret), `${what} holds a secret`);
    for (const secret of secrets) assert.ok(!text.includes(secret.slice(0, 16)), `${what} holds a part of a secret`);
  }
  assert.ok(tw.logText.includes('login refused'), 'the log was on');
});

claim('the store keeps `sha256:` and the hash, in a file that only its owner reads', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user_1');
  assert.match(secret, /^[0-9a-f]{64}$/);
  const hash = createHash('sha256').update(secret).digest('hex');
  assert.ok((await contents(tw.dataDir)).includes(`sha256:${hash}`));
  for (const file of await readdir(tw.dataDir)) {
    assert.equal((await stat(path.join(tw.dataDir, file))).mode & 0o077, 0, `${file} is private`);
  }
});

claim('a credential is made once: a second one for the same user is refused and changes nothing', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user_1');
  const again = await run('toolwire', ['credentials', 'create', 'user_1', '--data-dir', tw.dataDir]);
  assert.notEqual(again.code, 0);
  assert.equal(again.stdout, '');
  assert.ok(again.stderr.length > 0);
  const agent = tw.dial(tw.loginQuery('user_1', secret));
  await agent.connected();
});

claim('a file of many secrets is private', async (scope) => {
  const tw = await scope.toolwire();
  const file = await tw.secrets('user_', 3);
  assert.equal((await stat(file)).mode & 0o077, 0);
  const lines = (await readFile(file, 'utf8')).trim().split('\n');
  assert.equal(lines.length, 3);
  for (const [i, line] of lines.entries()) assert.match(line, new RegExp(`^user_${i} [0-9a-f]{64}$`));
});

claim('a file of secrets is there until all new ones are, and is replaced whole, for its user alone', async (scope) => {
  const tw = await scope.toolwire();
  const directory = await scope.directory();
  const file = path.join(directory, 'secrets'), link = path.join(directory, 'link');
  const create = (user, out, ...where) => run('toolwire', ['credentials', 'create', user, '--count', '2', '--out', out, ...where]);
  const here = ['--data-dir', tw.dataDir];
  await writeFile(file, 'the only copy\n');
  await chmod(file, 0o644);
  await symlink(file, link);
  await tw.secret('user_1');
  // No control there; a user who has a credential; a directory that is not there.
  for (const [user, out, where, status] of [
    ['new_', file, ['--address', '127.0.0.1:1'], 3], ['user_', file, here, 1], ['other_', path.join(directory, 'none/secrets'), here, 1], ['other_', directory, here, 1],
  ]) {
    const {code, stderr} = await create(user, out, ...where);
    assert.notEqual(code, 0, `${user} ${out}`);
    assert.ok(stderr.length > 0 && status > 0);
    assert.equal(await readFile(file, 'utf8'), 'the only copy\n');
    assert.deepEqual((await readdir(directory)).sort(), ['link', 'secrets'], 'nothing is left beside it');
  }
  assert.deepEqual((await tw.credentials()).map(({userId}) => userId), ['user_1'], 'nothing was made that nobody has');
  assert.equal((await create('new_', link, ...here)).code, 0);
  assert.match(await readFile(file, 'utf8'), /^new_0 [0-9a-f]{64}\nnew_1 [0-9a-f]{64}\n$/);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.ok((await lstat(link)).isSymbolicLink());
  const piped = ['-c', '"$0" "$@" | cat', binary('toolwire'), 'credentials', 'create', 'out_', '--count', '2', '--out', '/dev/stdout', ...here];
  assert.match(await output('/bin/sh', piped), /^out_0 [0-9a-f]{64}\nout_1/);
});

claim('the secret of `toolwire agent` is in neither its command line nor its log', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user_1');
  const agent = scope.process(
    'toolwire', ['agent', '--url', tw.url(), '--user', 'user_1', '--log-level', 'debug', '--log-format', 'json'],
    {env: {TOOLWIRE_SECRET: secret}});
  await until('it is connected', async () => JSON.parse((await tw.http('/health')).body).connections === 1);
  assert.ok(!(await readFile(`/proc/${agent.pid}/cmdline`, 'utf8')).includes(secret));
  await agent.stop();
  assert.ok(!agent.lines.join('\n').includes(secret));
});

claim('params, results and what tools say of errors are in no log line at any level', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'log-level': 'debug'}});
  const marks = ['mark of params', 'mark of a result', 'mark of an error'];
  const answer = ({tool}) => (tool === 'good' ? {success: true, result: marks[1]} : {success: false, error: marks[2]});
  const agent = await tw.agent('user_1', {answer});
  const caller = tw.caller();
  for (const tool of ['good', 'bad']) await caller.call('user_1', tool, {text: marks[0]});
  assert.equal((await caller.call('nobody', 'good', {text: marks[0]})).reason, 'AGENT_NOT_CONNECTED');
  agent.sendText(`{"type": "tool_response", "result": "${marks[1]}"}`);
  agent.sendText(marks[2]);
  await until('the two bad frames are counted', async () => (await tw.metric('toolwire_edge_bad_frames_total')) === 2);
  await tw.stop();
  assert.ok(tw.logText.includes('agent connected'), 'the log was on');
  for (const mark of marks) assert.ok(!tw.logText.includes(mark), mark);
});

// Root may look at every process. What its user may is seen where neither of the two has capabilities.
const PLAIN = process.getuid() === 0 ? ['setpriv', '--bounding-set=-all'] : [];
// Whether another process of the user of `pid` may read this file of it.
async function isOpen(pid, file) {
  const {code, stderr} = await run('/usr/bin/env', [...PLAIN, 'head', '-c', '1', `/proc/${pid}/${file}`]);
  assert.ok(code === 0 || /Permission denied|not permitted/.test(stderr), stderr);
  return code === 0;
}

claim('no process leaves a core dump, or shows its memory and environment to others of its user', async (scope) => {
  const dataDir = await scope.directory();
  const start = (name, args, env) => scope.process('/usr/bin/env', [...PLAIN, binary(name), ...args], {env, exitCode: undefined});
  const flags = {'data-dir': dataDir, 'log-format': 'json', 'metrics-port': 0};
  const edge = start('toolwire-edge', argumentsOf({...flags, port: 0, 'relay-port': 0}));
  const {relay} = await edge.ready();
  const control = start('toolwire-control', argumentsOf({...flags, 'grpc-port': 0, edge: `127.0.0.1:${relay}`}));
  const dev = start('toolwire', ['dev', ...argumentsOf({...flags, 'data-dir': await scope.directory(), port: 0, 'grpc-port': 0})]);
  const {agents, callers, data} = {...(await control.ready()), ...(await dev.ready())};
  const secret = (await output('toolwire', ['credentials', 'create', 'user_1', '--data-dir', data])).trim();
  const agent = start('toolwire', ['agent', '--user', 'user_1', '--url', `ws://127.0.0.1:${agents}`, '--log-format', 'json'],
    {TOOLWIRE_SECRET: secret});
  await agent.saw('agent connected');
  const watch = start('toolwire', ['watch', '--address', `127.0.0.1:${callers}`], {TOOLWIRE_TOKEN: 'some'});
  await until('it watches', async () => (await readFile(`/proc/${watch.pid}/comm`, 'utf8')).startsWith('toolwire'));
  const other = scope.process('/usr/bin/env', [...PLAIN, 'sleep', '600'], {exitCode: undefined});
  await until('it sleeps', async () => (await readFile(`/proc/${other.pid}/comm`, 'utf8')).startsWith('sleep'));
  // Files of /proc that are closed are those of a process that the kernel dumps for nobody.
  for (const file of ['environ', 'maps']) {
    assert.ok(await isOpen(other.pid, file), `a process that does nothing about it shows its ${file}`);
    for (const one of [edge, control, dev, agent]) assert.ok(!(await isOpen(one.pid, file)), `${one.command}: ${file}`);
    await until(`toolwire watch closes its ${file}`, async () => !(await isOpen(watch.pid, file)));
  }
  for (const one of [other, watch, agent]) await one.kill();
});

claim('what processes and commands write is for their user alone, whatever the umask', async (scope) => {
  const directory = await scope.directory();
  const at = (name) => path.join(directory, name);
  const shown = (name, args) => ['-c', 'umask 0; exec "$0" "$@"', binary(name), ...args];
  const dev = scope.process('/bin/sh', shown('toolwire', ['dev', ...argumentsOf({
    'data-dir': at('data'), 'log-format': 'json', port: 0, 'grpc-port': 0, 'metrics-port': 0,
  })]));
  const {callers} = await dev.ready();
  await output('toolwire', ['call', 'nobody', 'echo', '--address', `127.0.0.1:${callers}`], {exitCode: 3, plain: true}).catch(() => {});
  await writeFile(at('secrets'), 'of before');
  await chmod(at('secrets'), 0o666);
  for (const args of [
    ['credentials', 'create', 'user_', '--count', '2', '--out', at('secrets'), '--data-dir', at('data')],
    ['certificates', 'create', '--dir', at('tls')],
    ['certificates', 'create', '--dir', at('above/tls')],
    ['credentials', 'create', 'user_1', '--data-dir', at('over/data')],
  ]) await output('/bin/sh', shown('toolwire', args));
  const files = [];
  const walk = async (one) => {
    const {mode} = await stat(one);
    if (/\.crt$/.test(one)) return;  // For everybody.
    files.push(path.relative(directory, one));
    assert.equal(mode & 0o077, 0, `${one} has the mode ${(mode & 0o7777).toString(8)}`);
    for (const name of (mode & 0o170000) === 0o040000 ? await readdir(one) : []) await walk(path.join(one, name));
  };
  for (const name of ['data', 'secrets', 'tls', 'above', 'over']) await walk(at(name));
  for (const name of ['data', 'data/toolwire.db', 'data/spool', 'secrets', 'tls', 'tls/ca.key', 'tls/edge.key', 'above/tls/ca.key', 'over/data/toolwire.db']) {
    assert.ok(files.includes(name), `${name} is among ${files.join(' ')}`);
  }
});

claim('no flag takes a secret: secrets and tokens come from the environment or from files', async () => {
  const texts = [await output('toolwire-edge', ['--help']), await output('toolwire-control', ['--help'])];
  const look = async (...command) => {
    const text = await output('toolwire', [...command, '--help']);
    texts.push(text);
    for (const [, name] of (text.split('Subcommands:')[1] ?? '').matchAll(/^ {2}(\w+) {2,}/gm)) await look(...command, name);
  };
  await look();
  assert.ok(texts.length >= 20, `${texts.length} commands`);
  const flags = new Set(texts.join('\n').match(/--[a-z][a-z-]*/g));
  const secret = [...flags].filter((flag) => /secret|token|passw|credential|key/.test(flag));
  // What is left names a file, an object of Kubernetes or a time, or takes no value.
  const harmless = /-file$|-key$|^--key$|^--credentials$|-interval$|^--plain-token$|-status-keys$|^--no-tokens$|^--kubernetes-secret$/;
  assert.deepEqual(secret.filter((flag) => !harmless.test(flag)), []);
  assert.ok(secret.includes('--token-file'), [...flags].join(' '));
});
