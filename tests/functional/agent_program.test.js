// `toolwire agent`: the small real agent.
import assert from 'node:assert/strict';
import {mkdir, readFile, symlink, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {resultOf} from './lib/caller.js';
import {run} from './lib/process.js';
import {claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

// A running agent with a root of its own:
//   hello.txt   inside/deep.txt   escape -> a directory outside   link.txt -> a file outside
async function withFiles(scope, tw, args = []) {
  const outside = await scope.directory();
  const root = path.join(outside, 'root');
  await mkdir(path.join(root, 'inside'), {recursive: true});
  await writeFile(path.join(outside, 'private.txt'), 'private');
  await writeFile(path.join(root, 'hello.txt'), 'Hello, wörld!\n');
  await writeFile(path.join(root, 'inside', 'deep.txt'), 'deep');
  await writeFile(path.join(root, 'binary'), Buffer.from([0xff, 0x00, 0xfe]));
  await symlink(outside, path.join(root, 'escape'));
  await symlink(path.join(outside, 'private.txt'), path.join(root, 'link.txt'));
  const agent = scope.process(
    'toolwire', ['agent', '--url', tw.url(), '--user', 'user_1', '--root', root, '--log-format', 'json', ...args],
    {env: {TOOLWIRE_SECRET: await tw.secret('user_1')}});
  await until('it is connected', () => agent.logged('agent connected').length > 0);
  return {agent, root, outside};
}

claim('read_file, list_directory, echo and sleep do what they say', async (scope) => {
  const tw = await scope.toolwire();
  await withFiles(scope, tw);
  const caller = tw.caller();
  const call = (tool, params) => caller.call('user_1', tool, params);
  assert.equal(resultOf(await call('read_file', {path: 'hello.txt'})).content, 'Hello, wörld!\n');
  assert.equal(resultOf(await call('read_file', {path: './inside/../inside/deep.txt'})).content, 'deep');
  assert.equal(resultOf(await call('read_file', {path: 'binary', encoding: 'base64'})).content, '/wD+');
  const {entries} = resultOf(await call('list_directory', {}));
  assert.deepEqual(entries.map(({name, type}) => [name, type]), [
    ['binary', 'file'], ['escape', 'symlink'], ['hello.txt', 'file'], ['inside', 'directory'], ['link.txt', 'symlink']]);
  assert.deepEqual(resultOf(await call('list_directory', {path: 'inside'})).entries, [{name: 'deep.txt', type: 'file', size: 4}]);
  const odd = '{"b":1,"a":[9007199254740993,"\\ud800"]}';
  assert.equal((await call('echo', odd)).response.resultJson.toString(), odd);
  assert.deepEqual(resultOf(await call('sleep', {ms: 1})), {slept_ms: 1});
});

claim('what goes wrong in a tool is the tool\'s answer, with an error for people', async (scope) => {
  const tw = await scope.toolwire();
  await withFiles(scope, tw);
  const caller = tw.caller();
  for (const [tool, params, error] of [
    ['read_file', {path: 'missing.txt'}, /no such file/], ['read_file', {}, /path/], ['read_file', {path: 7}, /path/],
    ['read_file', {path: 'inside'}, /directory/], ['read_file', {path: 'binary'}, /base64/], ['list_directory', {path: 'hello.txt'}, /not a directory/],
    ['sleep', {ms: 'long'}, /ms/], ['format_disk', {}, /unknown tool/],
  ]) {
    const {code, response} = await caller.call('user_1', tool, params);
    assert.equal(code, 0);
    assert.equal(response.success, false, `${tool} ${JSON.stringify(params)}`);
    assert.match(response.error, error);
  }
});

claim('no path leads out of the root: not `..`, not absolute ones, not symbolic links', async (scope) => {
  const tw = await scope.toolwire();
  const {outside} = await withFiles(scope, tw);
  const caller = tw.caller();
  const paths = [
    '../private.txt', 'inside/../../private.txt', '..', './..', path.join(outside, 'private.txt'), '/etc/passwd', 'escape/private.txt',
    'link.txt', 'escape', '/proc/self/root/etc/passwd', 'inside/../escape/private.txt', '..//private.txt', '../root/../private.txt',
  ];
  for (const one of paths) {
    for (const tool of ['read_file', 'list_directory']) {
      const {response} = await caller.call('user_1', tool, {path: one});
      assert.equal(response.success, false, `${tool} ${one}`);
      assert.ok(!response.error.includes('private.txt') || one.includes('private.txt'));
      assert.ok(!response.resultJson.includes('private'), `${tool} ${one}`);
    }
  }
});

claim('without --root it offers no files', async (scope) => {
  const tw = await scope.toolwire();
  const agent = scope.process('toolwire', ['agent', '--url', tw.url(), '--user', 'user_1', '--log-format', 'json'],
    {env: {TOOLWIRE_SECRET: await tw.secret('user_1')}});
  await until('it is connected', () => agent.logged('agent connected').length > 0);
  const caller = tw.caller();
  assert.equal((await caller.call('user_1', 'read_file', {path: '/etc/passwd'})).response.success, false);
  assert.equal((await caller.call('user_1', 'echo', {})).response.success, true);
});

claim('it comes back after the server was killed and started again', async (scope) => {
  const tw = await scope.toolwire();
  const {agent} = await withFiles(scope, tw);
  await tw.edge.kill();
  await until('it has noticed', () => agent.logged('agent disconnected').length > 0);
  const again = await scope.toolwire({dataDir: tw.dataDir, flags: {port: tw.ports.agents}});
  await until('it is connected again', () => agent.logged('agent connected').length === 2);
  assert.equal(resultOf(await again.caller().call('user_1', 'read_file', {path: 'inside/deep.txt'})).content, 'deep');
});

claim('it keeps trying whatever the close code: wrong credentials now may be right later', async (scope) => {
  const tw = await scope.toolwire();
  const agent = scope.process('toolwire', ['agent', '--url', tw.url(), '--user', 'user_1', '--log-format', 'json'],
    {env: {TOOLWIRE_SECRET: 'wrong'}});
  await until('it has been refused twice', () => agent.logged('agent disconnected').length >= 2);
  const [first, second] = agent.logged('agent disconnected');
  assert.deepEqual([first.code, first.reason], [1008, 'Invalid credentials']);
  // 1 s, doubling, each within a quarter of it.
  assert.ok(first.next_try_ms >= 750 && first.next_try_ms <= 1250, `${first.next_try_ms}`);
  assert.ok(second.next_try_ms >= 1500 && second.next_try_ms <= 2500, `${second.next_try_ms}`);
});

claim('a short break does not lose the answer of a tool that was running', async (scope) => {
  const tw = await scope.toolwire();
  const {agent} = await withFiles(scope, tw);
  const call = tw.caller().call('user_1', 'sleep', {ms: 300}, {requestId: 'running'});
  await until('the call is sent', async () => (await tw.metric('toolwire_edge_calls_in_flight')) === 1);
  const rival = await tw.agent('user_1', {answer: () => undefined});  // Takes the place: 4001 for the agent, which comes back.
  await until('it is connected again', () => agent.logged('agent connected').length === 2);
  assert.equal((await rival.closed()).code, 4001);
  const outcome = await call;
  // Control waits 2 s for the answer, the agent comes back after 0.75 to 1.25 s; a slow machine may take longer.
  if (outcome.code === 0) assert.deepEqual(resultOf(outcome), {slept_ms: 300});
  else assert.deepEqual([outcome.reason, outcome.delivery], ['AGENT_LOST', 'SENT']);
});

claim('it sends heartbeats', async (scope) => {
  const tw = await scope.toolwire({flags: {'heartbeat-interval': 200, 'heartbeat-timeout': 3000}});
  const {agent} = await withFiles(scope, tw, ['--heartbeat-interval', '200']);
  await until('ten have come', async () => (await tw.metric('toolwire_edge_heartbeats_total')) >= 10);
  assert.equal(agent.logged('agent disconnected').length, 0);
});

claim('200 agents in one process all connect and answer', async (scope) => {
  const tw = await scope.toolwire();
  const file = await tw.secrets('user_', 200);
  const load = scope.process('toolwire', [
    'agent', '--url', tw.url(), '--count', '200', '--credentials', file, '--threads', '2', '--log-format', 'json']);
  await until('all are connected', () => load.logged('all agents connected').length === 1);
  const stream = tw.caller().dispatch();
  const calls = Array.from({length: 1000}, (_, i) => stream.call(`user_${i % 200}`, 'echo', {i}));
  for (const [i, call] of calls.entries()) assert.deepEqual(resultOf(await call), {i});
  await load.stop();
  await until('the server knows', async () => JSON.parse((await tw.http('/health')).body).connections === 0);
});

claim('it says what is wrong with how it was started', async (scope) => {
  const tw = await scope.toolwire();
  const env = {TOOLWIRE_SECRET: await tw.secret('user_1')};
  for (const [args, options, expected] of [
    [['--user', 'user_1'], {}, /TOOLWIRE_SECRET/], [[], {env}, /--user/],
    [['--user', 'user_1', '--url', 'http://127.0.0.1:1'], {env}, /ws:\/\//],
    [['--user', 'user_1', '--url', 'ws://127.0.0.1:1?secret=x'], {env}, /credentials/],
    [['--user', 'user_1', '--root', '/no/such/directory'], {env}, /\/no\/such\/directory/],
    [['--count', '2', '--credentials', '/no/such/file'], {}, /\/no\/such\/file/],
  ]) {
    const {code, stdout, stderr} = await run('toolwire', ['agent', ...args], options);
    assert.ok(code > 0, args.join(' '));
    assert.match(stdout + stderr, expected, args.join(' '));
  }
});

claim('its tools see the files as they are: a file that changes is read anew', async (scope) => {
  const tw = await scope.toolwire();
  const {root} = await withFiles(scope, tw);
  const caller = tw.caller();
  await writeFile(path.join(root, 'hello.txt'), 'changed');
  assert.equal(resultOf(await caller.call('user_1', 'read_file', {path: 'hello.txt'})).content, await readFile(path.join(root, 'hello.txt'), 'utf8'));
});
