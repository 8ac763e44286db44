// `toolwire call`, `agents` and `credentials`: what people and scripts see.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import dgram from 'node:dgram';
import {once} from 'node:events';
import {mkdir, open, readFile, readdir, writeFile} from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import {REPOSITORY, binary, run, testTls} from './lib/process.js';
import {standStill} from './lib/stand_still.js';
import {claim, claimInBoth, linesOf} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

const callIn = (tw) => (...args) => run('toolwire', ['call', ...args, '--address', `127.0.0.1:${tw.ports.callers}`]);

claimInBoth('the exit status of `toolwire call` shows whether the tool succeeded, failed, did not run, or may have run', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await tw.agent('user_1', {
    answer: ({tool, params}) => ({
      echo: {success: true, result: params},
      failing: {success: false, error: 'no such file'},
    })[tool],
  });
  const call = callIn(tw);
  assert.deepEqual(await call('user_1', 'echo', '{"n":9007199254740993}'), {code: 0, stdout: '{"n":9007199254740992}\n', stderr: ''});
  const failed = await call('user_1', 'failing');
  assert.deepEqual([failed.code, failed.stdout], [1, '']);
  assert.match(failed.stderr, /no such file/);
  const absent = await call('nobody', 'echo');
  assert.equal(absent.code, 3);
  assert.match(absent.stderr, /AGENT_NOT_CONNECTED.*NOT_SENT.*did not run/);
  const late = await call('user_1', 'slow', '--timeout', '100');
  assert.equal(late.code, 4);
  assert.match(late.stderr, /CALL_TIMEOUT.*SENT.*may have run/);
  const wrong = await call('user_1', 'echo', '[]');
  assert.equal(wrong.code, 3);
  assert.match(wrong.stderr, /params/);
});

claim('with --json every outcome is one JSON object, the result as the agent wrote it', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1', {
    answer: ({requestId, tool}, agent) => agent.sendText(tool === 'failing'
      ? `{"type":"tool_response","requestId":"${requestId}","success":false,"error":"\\"no\\"\\n"}`
      : `{"type":"tool_response","requestId":"${requestId}","success":true,"result":{"n":123456789012345678901},"executionTime":5}`),
  });
  const call = callIn(tw);
  const done = await call('user_1', 'any', '--json', '--request-id', 'r1');
  assert.equal(done.stdout.split('\n').length, 2);
  assert.ok(done.stdout.includes('"result":{"n":123456789012345678901}'));
  const parsed = JSON.parse(done.stdout);
  assert.deepEqual([parsed.ok, parsed.success, parsed.requestId, parsed.executionTimeMs], [true, true, 'r1', 5]);
  const failed = JSON.parse((await call('user_1', 'failing', '--json')).stdout);
  assert.deepEqual([failed.ok, failed.success, failed.error, failed.result], [true, false, '"no"\n', null]);
  const absent = JSON.parse((await call('nobody', 'any', '--json')).stdout);
  assert.deepEqual([absent.ok, absent.reason, absent.delivery], [false, 'AGENT_NOT_CONNECTED', 'NOT_SENT']);
});

claim('what agents and callers write is shown on one line, and moves no cursor', async (scope) => {
  const tw = await scope.toolwire();
  const forged = 'no\n2026-01-01T00:00:00Z  user_1  rm  ok\r\u001b[2J\u009b31m\u202e';
  await tw.agent('user_1', {
    answer: ({requestId, tool}, agent) => agent.sendText(tool === 'pretty'
      ? `{"type":"tool_response","requestId":"${requestId}",\n"success":true,"result":{\r\n\t"text": "\u009b31m\u202e",\n\n"list": [1,\n2]}}`
      : JSON.stringify({type: 'tool_response', requestId, success: false, error: forged})),
  });
  const call = callIn(tw);
  const harmful = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
  const failed = await call('user_1', `tool ${forged}`);
  assert.equal(failed.code, 1);
  assert.equal(failed.stderr, 'the tool failed: no\\n2026-01-01T00:00:00Z  user_1  rm  ok\\r\\u001b[2J\\u009b31m\\u202e\n');
  const json = await call('user_1', 'pretty', '--json');
  assert.equal(json.stdout.split('\n').length, 2, json.stdout);
  assert.deepEqual(JSON.parse(json.stdout).result, {text: '\u009b31m\u202e', list: [1, 2]});
  for (const args of [['--json'], []]) assert.doesNotMatch((await call('user_1', 'pretty', ...args)).stdout, harmful);
  const absent = await call('user_1', 'x', '{}', '--request-id', forged.repeat(20));
  assert.doesNotMatch(absent.stderr, harmful);
  const audit = await until('both rows are there', async () => {
    const {stdout} = await run('toolwire', ['audit', '--address', `127.0.0.1:${tw.ports.callers}`]);
    return stdout.split('\n').length > 4 && stdout;
  });
  assert.doesNotMatch(audit, harmful);
  assert.equal(audit.split('\n').filter((line) => line.includes('  rm  ok')).length, 1, 'within the row of its call');
  assert.ok(audit.split('\n').every((line) => line === '' || /^\d{4}-\d\d-\d\dT\S+  user_1  (tool|pretty|x)/.test(line)), audit);
});

claim('no command, with --json or without, and no log line has a character that moves a cursor or turns text', async (scope) => {
  const tw = await scope.toolwire({flags: {'log-level': 'debug'}});
  const forged = 'x\u0080\u009b31m\u007f\u061c\u200e\u200f\u2028\u2029\u202e\u2066\u2069\ufeffy';
  const harmful = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;
  await tw.agent('user_1', {answer: ({requestId}, agent) => agent.sendText(JSON.stringify({type: 'tool_response', requestId, success: false, error: forged, result: {[forged]: forged}}))});
  const at = ['--address', `127.0.0.1:${tw.ports.callers}`];
  for (const json of [[], ['--json']]) {
    for (const args of [
      ['call', 'user_1', forged, '{}', '--request-id', forged + json.length], ['call', forged, 'x'], ['where', forged], ['agents', '--server', forged],
      ['watch', forged, '--once'], ['credentials', 'create', forged], ['credentials', 'revoke', forged], ['credentials', 'rotate', forged], ['audit'], ['audit', forged],
    ]) {
      const {stdout, stderr} = await run('toolwire', [...args, ...at, ...json]);
      assert.doesNotMatch(stdout + stderr, harmful, `${args[0]} ${json}`);
      if (json.length > 0) for (const line of stdout.split('\n')) if (line) JSON.parse(line);
    }
  }
  const failed = JSON.parse((await run('toolwire', ['call', 'user_1', 't', '--json', ...at])).stdout);
  assert.deepEqual([failed.error, failed.result], [forged, {[forged]: forged}], 'and means the same');
  const rows = await until('the rows are there', async () => {
    const {stdout} = await run('toolwire', ['audit', '--json', ...at]);
    const parsed = linesOf(stdout);
    return parsed.length >= 3 && parsed;
  });
  assert.ok(rows.some(({tool, error}) => tool === forged && error === forged));
  await tw.dial(`/?userId=${encodeURIComponent(forged)}&secret=wrong`).closed();
  await tw.stop();
  for (const line of tw.edge.lines) assert.doesNotMatch(line, harmful);
});

claim('a call that is larger than control takes did not leave: NOT_SENT', async (scope) => {
  const tw = await scope.toolwire({flags: {'payload-bytes-max': 1 << 20}});
  const agent = await tw.agent('user_1');
  const file = path.join(await scope.directory(), 'params');
  for (const [bytes, what] of [[2 << 20, 'over the limit of params'], [40 << 20, 'over that of messages']]) {
    await writeFile(file, `{"a":"${'x'.repeat(bytes)}"}`);
    for (const json of [[], ['--json']]) {
      const {code, stdout, stderr} = await run('toolwire', ['call', 'user_1', 'echo', `@${file}`, '--address', `127.0.0.1:${tw.ports.callers}`, ...json]);
      assert.equal(code, 3, `${what}: ${stdout}${stderr}`);
      assert.match(stdout + stderr, /NOT_SENT/);
    }
  }
  assert.deepEqual(agent.frames.filter(({type}) => type === 'tool_call'), []);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
  claim(`\`credentials create --count\` that ${signal} ends leaves no credential without its secret`, async (scope) => {
    const tw = await scope.toolwire();
    const directory = await scope.directory();
    const file = path.join(directory, 'secrets');
    const child = spawn(binary('toolwire'), ['credentials', 'create', 'u', '--count', '100000', '--out', file, '--address', `127.0.0.1:${tw.ports.callers}`],
      {env: {...process.env, ...testTls?.environmentOf('toolwire')}, stdio: ['ignore', 'ignore', 'pipe']});
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
    const part = await until('some are made', async () => {
      const [name] = await readdir(directory);
      return name && (await readFile(path.join(directory, name), 'utf8')).split('\n').length > 5 && name;
    });
    child.kill(signal);
    await once(child, 'close');
    const lines = (await readFile(path.join(directory, part), 'utf8')).split('\n').slice(0, -1);
    const made = (await tw.credentials()).map(({userId}) => userId);
    const kept = lines.map((line) => line.split(' ')[0]);
    // One was on its way when it was killed.
    assert.deepEqual(made.filter((user) => !kept.includes(user)).length <= (signal === 'SIGKILL' ? 1 : 0), true, `${made} ${kept}`);
    assert.ok(lines.every((line) => /^u\d+ [0-9a-f]{64}$/.test(line)));
    if (signal === 'SIGKILL') return;
    assert.notEqual(child.exitCode, 0);
    assert.match(said, new RegExp(`stopped after ${lines.length} of 100000; ${lines.length} secrets were made, and are in ${path.join(directory, part)}`));
  });
}

claim('a directory that is not there is taken for a mistyped one, unless credentials are made there', async (scope) => {
  const directory = path.join(await scope.directory(), 'typo');
  for (const args of [['list'], ['revoke', 'u'], ['rotate', 'u']].map((one) => ['credentials', ...one]).concat([['audit']])) {
    for (const [flags, env] of [[['--data-dir', directory], {}], [[], {TOOLWIRE_DATA_DIR: directory}]]) {
      const {code, stderr} = await run('toolwire', [...args, ...flags], {env});
      assert.equal(code, 2, stderr);
      assert.match(stderr, /(--data-dir|TOOLWIRE_DATA_DIR): there is no directory .*typo; name that of the servers/);
    }
  }
  await assert.rejects(readdir(directory));
  assert.equal((await run('toolwire', ['credentials', 'create', 'u', '--data-dir', directory])).code, 0);
  assert.match((await run('toolwire', ['credentials', 'list', '--data-dir', directory])).stdout, /^u\t/);
});

claim('`scripts/cluster down` removes what `up` made, and nothing else', async (scope) => {
  const directory = await scope.directory();
  const down = (dir) => run('/bin/bash', [path.join(REPOSITORY, 'scripts/cluster'), 'down'], {env: {TOOLWIRE_CLUSTER_DIR: dir}});
  await writeFile(path.join(directory, 'precious'), 'x');
  await mkdir(path.join(directory, 'data'));
  const refused = await down(directory);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /is not of scripts\/cluster up, .*: nothing was stopped or removed/);
  // Files that a directory of another program may have, too, are no mark.
  for (const file of ['redis.pid', 'redis.log', 'edge-1.pid']) await writeFile(path.join(directory, file), '1\n');
  assert.equal((await down(directory)).code, 1);
  assert.deepEqual((await readdir(directory)).sort(), ['data', 'edge-1.pid', 'precious', 'redis.log', 'redis.pid']);
  // One that is, whose processes have ended, and whose numbers others have now.
  await writeFile(path.join(directory, '.toolwire-cluster'), '');
  for (const file of ['edge-1.pid', 'redis.pid']) await writeFile(path.join(directory, file), `${process.pid}\n`);
  for (const file of ['edge-1.log', 'migrate.log']) await writeFile(path.join(directory, file), '');
  const ended = await down(directory);
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stdout, /stopped; what else is in .* stays/);
  assert.deepEqual(await readdir(directory), ['precious']);
});

claim('`scripts/cluster down` ends no process that runs in the directory and is not of `up`', async (scope) => {
  const directory = await scope.directory();
  const child = spawn('/bin/sleep', ['600'], {cwd: directory});
  try {
    await writeFile(path.join(directory, '.toolwire-cluster'), '');
    for (const name of ['mine', 'edge-one', 'edge-1.old']) await writeFile(path.join(directory, `${name}.pid`), `${child.pid}\n`);
    const {code, stderr} = await run('/bin/bash', [path.join(REPOSITORY, 'scripts/cluster'), 'down'], {env: {TOOLWIRE_CLUSTER_DIR: directory}});
    assert.equal(code, 0, stderr);
    assert.equal(child.exitCode ?? child.signalCode, null, 'it still runs');
    assert.deepEqual((await readdir(directory)).sort(), ['edge-1.old.pid', 'edge-one.pid', 'mine.pid']);
  } finally {
    child.kill('SIGKILL');
  }
});

claim('a proxy that is set for the web is no way to a control', async (scope) => {
  const tw = await scope.toolwire({flags: {listen: '0.0.0.0', 'plain-agents': testTls ? undefined : true, 'plain-grpc': testTls ? undefined : true, 'no-tokens': testTls ? undefined : true}});
  await tw.agent('user_1');
  const proxy = 'http://127.0.0.1:9';
  const env = {http_proxy: proxy, https_proxy: proxy, grpc_proxy: proxy, HTTP_PROXY: proxy, HTTPS_PROXY: proxy, all_proxy: proxy};
  const args = ['--address', `0.0.0.0:${tw.ports.callers}`, ...(testTls ? ['--tls-server-name', '127.0.0.1'] : [])];
  const {code, stdout, stderr} = await run('toolwire', ['call', 'user_1', 'echo', '{"a":1}', ...args], {env});
  assert.equal(code, 0, stderr);
  assert.equal(stdout, '{"a":1}\n');
});

claim('no control to be reached: the tool did not run', async () => {
  const {code, stderr} = await run('toolwire', ['call', 'user_1', 'echo', '--address', '127.0.0.1:1', '--timeout', '5000']);
  assert.equal(code, 3);
  assert.match(stderr, /NOT_SENT/);
});

claim('`toolwire agents` lists who is connected', async (scope) => {
  const tw = await scope.toolwire({flags: {'server-id': 'edge-7'}});
  await tw.agent('user_1');
  await tw.agent('user_2');
  const address = ['--address', `127.0.0.1:${tw.ports.callers}`];
  const text = await run('toolwire', ['agents', ...address]);
  assert.equal(text.code, 0);
  assert.match(text.stdout, /^user_1\t.*edge-7\nuser_2\t.*edge-7\n$/);
  const json = await run('toolwire', ['agents', '--json', ...address]);
  assert.deepEqual(json.stdout.trim().split('\n').map((line) => JSON.parse(line).userId), ['user_1', 'user_2']);
});

claim('`toolwire --version` prints the version', async () => {
  const {code, stdout} = await run('toolwire', ['--version']);
  assert.equal(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

claim('a flag counts more than a variable, also one that other commands read', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const env = {TOOLWIRE_ADDRESS: '127.0.0.1:1', TOOLWIRE_USER: 'other', TOOLWIRE_TLS: testTls ? '0' : '1'};
  const here = ['--address', `127.0.0.1:${tw.ports.callers}`, testTls ? '--tls' : '--no-tls'];
  for (const command of [['agents'], ['where', 'user_1'], ['watch', '--once'], ['audit'], ['credentials', 'create', 'user_2']]) {
    const {code, stderr} = await run('toolwire', [...command, ...here], {env});
    assert.equal(code, 0, `${command.join(' ')}: ${stderr}`);
  }
  const listed = await run('toolwire', ['credentials', 'list', '--json', ...here], {env});
  assert.deepEqual(linesOf(listed.stdout).map(({userId}) => userId), ['user_1', 'user_2']);
});

// Of a shell that runs `toolwire`.
const inShell = {env: testTls?.environmentOf('toolwire')};
// Runs `toolwire ARGS` in one, with this redirection.
const redirected = (args, redirection) =>
  run('/bin/sh', ['-c', `exec "$0" "$@" ${redirection}`, binary('toolwire'), ...args], inShell);

claim('a command whose output is lost fails and says so; one whose reader has gone ends silently', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  await tw.caller().call('user_1', 'echo');
  await tw.auditRows(1);
  const address = ['--address', `127.0.0.1:${tw.ports.callers}`];
  for (const args of [
    ['call', 'user_1', 'echo', '{}'], ['call', 'user_1', 'echo', '{}', '--json'], ['agents'], ['agents', '--json'], ['where', 'user_1'],
    ['watch', '--once'], ['watch'], ['audit'], ['audit', '--json'], ['credentials', 'list'], ['credentials', 'create', 'user_2'],
    ['credentials', 'rotate', 'user_1'],
  ].map((one) => [...one, ...address]).concat([
    ['tokens', 'create', 'shop', '--scope', 'call'], ['migrate', '--data-dir', tw.dataDir], ['completion', 'bash'], ['--version'], ['call', '--help'],
  ])) {
    const what = args.join(' ');
    for (const redirection of ['> /dev/full', '>&-']) {
      const lost = await redirected(args, redirection);
      assert.equal(lost.code, 1, `${what} ${redirection}`);
      assert.match(lost.stderr, /could not be written|cannot be written/, `${what} ${redirection}`);
    }
  }
  for (const name of ['toolwire-edge', 'toolwire-control']) {
    for (const args of [['--help'], ['--version']]) {
      for (const redirection of ['> /dev/full', '>&-']) {
        const lost = await run('/bin/sh', ['-c', `exec "$0" "$@" ${redirection}`, binary(name), ...args], inShell);
        assert.equal(lost.code, 1, `${name} ${args} ${redirection}`);
        assert.match(lost.stderr, /could not be written/);
      }
    }
  }
  // The pipe's reader has gone before the command starts.
  for (const args of [['agents', ...address], ['watch', ...address], ['audit', ...address], ['completion', 'bash'], ['--help']]) {
    const {stdout, stderr} = await run('/bin/bash', [
      '-c', 'exec 3> >(exec true); wait $!; "$0" "$@" >&3 3>&-; echo "status $?" >&2', binary('toolwire'), ...args], inShell);
    assert.deepEqual([stdout, stderr.replace(/^\d+ connected.*\n/m, '')], ['', 'status 141\n'], args.join(' '));
  }
});

claim('a secret that cannot be shown is not made: the old one holds', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user_1');
  const agent = await tw.agent('user_1');
  const ways = [['--address', `127.0.0.1:${tw.ports.callers}`], ['--data-dir', tw.dataDir]];
  for (const where of ways) {
    for (const redirection of ['> /dev/full', '>&-']) {
      for (const args of [['credentials', 'rotate', 'user_1'], ['credentials', 'create', 'user_2'], ['credentials', 'create', 'user_', '--count', '3', '--json']]) {
        const {code, stderr} = await redirected([...args, ...where], redirection);
        assert.equal(code, 1, args.join(' '));
        assert.match(stderr, /cannot be written, and nothing was changed/);
      }
    }
  }
  await agent.roundTrip();
  assert.equal(agent.closeFrame, undefined);
  await tw.dial(tw.loginQuery('user_1', secret)).connected();
  assert.deepEqual((await tw.credentials()).map(({userId}) => userId), ['user_1']);
  // Into a file and a pipe as ever.
  const file = path.join(await scope.directory(), 'secret');
  assert.equal((await redirected(['credentials', 'rotate', 'user_1', ...ways[0]], `> ${file}`)).code, 0);
  await tw.dial(tw.loginQuery('user_1', (await readFile(file, 'utf8')).trim())).connected();
});

// Answers every question for addresses (A) with these, in this order.
async function nameServer(scope, addresses) {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (query, from) => {
    let end = 12;
    while (query[end] !== 0) end += query[end] + 1;
    const question = query.subarray(12, end + 5);
    const wanted = question.readUInt16BE(question.length - 4) === 1 ? addresses : [];
    const head = Buffer.from([query[0], query[1], 0x85, 0x80, 0, 1, 0, wanted.length, 0, 0, 0, 0]);
    const records = wanted.map((address) =>
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]));
    socket.send(Buffer.concat([head, question, ...records]), from.port, from.address);
  });
  await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve));
  scope.own({close: () => new Promise((resolve) => socket.close(resolve))});
  return socket.address().port;
}
// A listener at `host:port` that takes connections, or with `full` not even these, and says nothing.
async function blackHole(scope, host, port, {full}) {
  const hole = spawn(process.execPath, ['-e', `
    const server = require('net').createServer();
    server.listen({host: '${host}', port: ${port}, backlog: 1}, () => console.log('listening'));`], {stdio: ['ignore', 'pipe', 'inherit']});
  scope.own({close: () => hole.kill('SIGKILL')});
  await once(hole.stdout, 'data');
  standStill(hole.pid);
  if (!full) return;
  // Far more than its backlog holds: those that find no place are tried again for longer than a test takes.
  const sockets = Array.from({length: 32}, () => net.connect({host, port}).on('error', () => {}));
  scope.own({close: () => sockets.forEach((socket) => socket.destroy())});
  await once(sockets[0], 'connect');
}

for (const full of [false, true]) {
  claim(`the first address of a control's name is passed over when it ${full ? 'does not answer' : 'takes connections and says nothing'}`, async (scope) => {
    const tw = await scope.toolwire();
    await tw.agent('user_1');
    await blackHole(scope, '127.0.0.2', tw.ports.callers, {full});
    const server = await nameServer(scope, ['127.0.0.2', '127.0.0.1']);
    const address = `dns://127.0.0.1:${server}/control.test:${tw.ports.callers}`;
    for (const args of [['call', 'user_1', 'echo', '{"n":1}'], ['agents'], ['credentials', 'list']]) {
      const {code, stdout, stderr} = await run('toolwire', [...args, '--address', address]);
      assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
      assert.match(stdout, /"n":1|user_1/);
    }
    const doctor = await run('toolwire', ['doctor', '--json', '--address', address, '--data-dir', tw.dataDir, '--edge-url', tw.url()]);
    assert.match(doctor.stdout, /"check":"control","level":"ok".*is serving, agents known: 1/, doctor.stdout);
  });
}

claim('Ctrl-C ends a call whose params do not come, from a pipe and from a file', async (scope) => {
  const fifo = path.join(await scope.directory(), 'params');
  assert.equal((await run('/usr/bin/mkfifo', [fifo])).code, 0);
  for (const [params, stdin] of [[`@${fifo}`, 'ignore'], ['-', fifo]]) {
    for (const signal of ['SIGINT', 'SIGTERM']) {
      const command = stdin === 'ignore' ? [binary('toolwire'), 'call', 'u', 'echo', params] : ['/bin/sh', '-c', `exec ${binary('toolwire')} call u echo - < ${fifo}`];
      const child = spawn(command[0], command.slice(1), {stdio: ['ignore', 'pipe', 'pipe']});
      scope.own({close: () => child.kill('SIGKILL')});
      const ended = once(child, 'exit');
      const writer = await open(fifo, 'w');  // Opens when somebody reads.
      await until('it is the program that reads', async () => (await readFile(`/proc/${child.pid}/comm`, 'utf8')) === 'toolwire\n');
      child.kill(signal);
      assert.deepEqual(await within('the call ends', ended), [null, signal], params);
      await writer.close();
    }
  }
});

claim('params that are none are refused before the call, wherever they come from', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  const directory = await scope.directory();
  const file = (name) => path.join(directory, name);
  await writeFile(file('empty'), '');
  await writeFile(file('blank'), ' \n');
  await writeFile(file('params'), '{"n":1}\n');
  const call = (params, redirection = '< /dev/null') =>
    redirected(['call', 'user_1', 'echo', params, '--address', `127.0.0.1:${tw.ports.callers}`], redirection);
  for (const [params, redirection, error] of [
    ['-', '< /dev/null', /standard input: empty/], ['-', '<&-', /standard input: closed/],
    ['-', `< ${file('blank')}`, /standard input: empty/], ['-', `< ${directory}`, /standard input: Is a directory/],
    [`@${file('empty')}`, undefined, /empty: empty/], [`@${directory}`, undefined, /Is a directory/],
    [`@${file('none')}`, undefined, /none: No such file/], ['', undefined, /params: empty/], [' \n', undefined, /params: empty/],
  ]) {
    const {code, stdout, stderr} = await call(params, redirection);
    assert.deepEqual([code, stdout], [2, ''], `${params} ${redirection}: ${stderr}`);
    assert.match(stderr, error);
  }
  assert.equal(agent.calls.length, 0);
  // More than control takes in one message: it would end the stream, and nobody could say whether it was read.
  await writeFile(file('long'), JSON.stringify({n: 'x'.repeat(20 << 20)}));
  const {code, stderr} = await call(`@${file('long')}`);
  assert.equal(code, 3, stderr);
  assert.match(stderr, /params: the request is \d+ bytes long, more than the \d+ that control takes.*NOT_SENT/s);
  assert.equal(agent.calls.length, 0);
  await writeFile(file('long'), JSON.stringify({n: 'x'.repeat(2 << 20)}));
  assert.equal((await call(`@${file('long')}`)).code, 0);
  assert.equal((await call(`@${file('params')}`)).stdout, '{"n":1}\n');
  assert.equal((await call('-', `< ${file('params')}`)).stdout, '{"n":1}\n');
});
