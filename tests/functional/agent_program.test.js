// `toolwire agent`: the small real agent.
import assert from 'node:assert/strict';
import {once} from 'node:events';
import {link, mkdir, readFile, symlink, truncate, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {WebSocketServer} from 'ws';
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
  const caller = tw.caller();
  const call = caller.call('user_1', 'sleep', {ms: 300}, {requestId: 'running'});
  await until('the call is sent', async () => (await tw.metric('toolwire_edge_calls_in_flight')) === 1);
  await caller.admin('DisconnectAgent', {userId: 'user_1'});
  await until('it is connected again', () => agent.logged('agent connected').length === 2);
  assert.equal((await agent.saw('agent disconnected')).code, 4003);
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

claim('4001 means that another agent runs: it says so once and waits long', async (scope) => {
  const tw = await scope.toolwire();
  const {agent} = await withFiles(scope, tw);
  const rival = await tw.agent('user_1');
  await until('it has noticed', () => agent.logged('another agent of this user is connected').length > 0);
  const {code, next_try_ms: wait} = await agent.saw('agent disconnected');
  assert.equal(code, 4001);
  assert.ok(wait >= 22_500 && wait <= 37_500, `${wait}`);  // 30 s, within a quarter of it.
  await rival.roundTrip();
  assert.equal(agent.logged('agent connected').length, 1);
  assert.equal(rival.closeFrame, undefined);
});

claim('the secret is neither in its environment nor in any file that its tools show', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user_1');
  const directory = await scope.directory();
  const at = (name) => path.join(directory, name);
  await writeFile(at('credentials'), `user_1 ${secret}\nuser_2 other\n`);
  await link(at('credentials'), at('linked'));
  await writeFile(at('secret.txt'), `${secret}\n`);
  await writeFile(at('other.txt'), 'other');
  for (const [args, env] of [[[], {TOOLWIRE_SECRET: secret}], [['--credentials', at('credentials')], {}]]) {
    const agent = scope.process(
      'toolwire', ['agent', '--url', tw.url(), '--user', 'user_1', '--root', '/', '--log-format', 'json', ...args], {env});
    await agent.saw('agent connected');
    // Its user may read this where that is root.
    const environment = await readFile(`/proc/${agent.pid}/environ`, 'latin1').catch((error) => error.code);
    assert.ok(!environment.includes(secret), 'its environment');
    const caller = tw.caller();
    const read = async (file, encoding) => (await caller.call('user_1', 'read_file', {path: file, encoding})).response;
    for (const encoding of ['utf8', 'base64']) {
      for (const file of [at('credentials'), at('linked'), at('secret.txt'), '/proc/self/environ', `/proc/${agent.pid}/environ`]) {
        const {success, error, resultJson} = await read(file, encoding);
        assert.equal(success, false, file);
        assert.match(error, /holds a secret|outside|symbolic link/, file);
        assert.equal(resultJson.toString(), 'null');
      }
      assert.equal((await read(at('other.txt'), encoding)).success, true);
    }
    for (const one of ['/proc', '/proc/self', '/sys']) {
      assert.equal((await caller.call('user_1', 'list_directory', {path: one})).response.success, false, one);
    }
    await agent.stop();
  }
});

claim('no copy of another user\'s secret that it knows is shown, whether that user runs or not', async (scope) => {
  const tw = await scope.toolwire();
  const users = ['user_0', 'user_1', 'user_2'];
  const secrets = [];
  for (const user of users) secrets.push(await tw.secret(user));
  const root = await scope.directory();
  const file = path.join(await scope.directory(), 'credentials');
  await writeFile(file, users.map((user, i) => `${user} ${secrets[i]}\n`).join(''));
  for (const [i, secret] of secrets.entries()) await writeFile(path.join(root, `copy_${i}`), `of ${users[i]}: ${secret}\n`);
  await writeFile(path.join(root, 'other'), 'other');
  for (const who of [['--user', 'user_0'], ['--count', '2', '--user-prefix', 'user_']]) {
    const agent = scope.process('toolwire', ['agent', '--url', tw.url(), '--root', root, '--credentials', file, '--log-format', 'json', ...who]);
    const caller = tw.caller();
    const read = async (name) => (await caller.call('user_0', 'read_file', {path: name})).response;
    await until('user_0 is there', async () => (await read('other'))?.success);
    for (const i of secrets.keys()) assert.match((await read(`copy_${i}`)).error, /holds a secret/, `${who} copy_${i}`);
    await agent.stop();
  }
});

claim('a call past the limits that it says in hello is refused alone, at once, and never sent; its neighbours go on', async (scope) => {
  const tw = await scope.toolwire({flags: {'payload-bytes-max': 64 << 20, 'json-depth-max': 5000}});
  const {agent} = await withFiles(scope, tw, ['--json-depth', '100', '--params-bytes', '2000', '--result-bytes', '1024']);
  const stream = tw.caller().dispatch();
  const neighbour = stream.call('user_1', 'sleep', {ms: 1000});
  const text = (paramsJson) => stream.call('user_1', 'echo', Buffer.from(paramsJson));
  const deep = (levels) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
  const long = (bytes) => JSON.stringify({a: 'x'.repeat(bytes - 8)});
  for (const [params, error] of [[long(1025), /the result would be 1025 bytes long, more than the 1024/], [long(2000), /the result would be/]]) {
    const {code, response} = await text(params);
    assert.equal(code, 0);
    assert.match(response.error, error);
  }
  for (const [params, message] of [
    [deep(101), /nested deeper than the 100 levels that the agent takes/], [deep(150), /nested deeper/],
    [long(2001), /longer than the 2000 bytes that the agent takes/], [long(20 << 20), /longer than the 2000 bytes/],
  ]) {
    const outcome = await text(params);
    assert.deepEqual([outcome.reason, outcome.delivery], ['INVALID_REQUEST', 'NOT_SENT'], outcome.message);
    assert.match(outcome.message, message);
  }
  for (const params of [deep(100), long(1024)]) assert.equal((await text(params)).response?.success, true);
  assert.deepEqual(resultOf(await neighbour), {slept_ms: 1000});
  assert.equal(agent.logged('agent disconnected').length, 0);
  assert.equal(await tw.metric('toolwire_edge_limit_hits_total', {limit: 'agent_params'}), 4);
});

claim('an edge that takes less than it sends tells it so: such a result fails alone, and the session goes on', async (scope) => {
  const tw = await scope.toolwire({flags: {'payload-bytes-max': 4096}});
  const {agent, root} = await withFiles(scope, tw);
  await writeFile(path.join(root, 'large'), 'x'.repeat(5000));
  const {response} = await tw.caller().call('user_1', 'read_file', {path: 'large'});
  assert.equal(response.success, false);
  assert.match(response.error, /the result would be \d+ bytes long, more than the 4096/);
  assert.equal(agent.logged('agent disconnected').length, 0);
});

claim('more calls than it has room for are AGENT_BUSY, and were not made', async (scope) => {
  const tw = await scope.toolwire();
  await withFiles(scope, tw);
  const stream = tw.caller().dispatch();
  const ids = Array.from({length: 1024}, (_, i) => i + 1);
  stream.send({calls: ids.map((id) => ({id, userId: 'user_1', tool: 'sleep', params: {ms: 3_600_000}}))});
  await until('all are under way', async () => (await tw.metric('toolwire_edge_calls_delivered_total')) === 1024);
  const outcome = await stream.call('user_1', 'sleep', {ms: 1});
  assert.deepEqual([outcome.reason, outcome.delivery], ['AGENT_BUSY', 'NOT_SENT']);
  assert.equal(await tw.metric('toolwire_edge_agent_busy_total'), 1);
  assert.deepEqual(resultOf(await stream.call('user_1', 'echo', {n: 1})), {n: 1}, 'what takes no time is answered');
  stream.cancel(...ids);
  assert.equal((await stream.answer(1024)).reason, 'CALLER_CANCELLED');
});

claim('read_file of 12 MiB less 64 KiB fits in both encodings, and of more it says the limit', async (scope) => {
  const tw = await scope.toolwire();
  const {root} = await withFiles(scope, tw);
  const caller = tw.caller();
  const size = (12 << 20) - (64 << 10);
  await writeFile(path.join(root, 'large'), Buffer.alloc(size, 'x'));
  for (const encoding of ['utf8', 'base64']) {
    const result = resultOf(await caller.call('user_1', 'read_file', {path: 'large', encoding}));
    assert.equal(Buffer.from(result.content, encoding).length, size);
  }
  await truncate(path.join(root, 'large'), size + 1);
  for (const encoding of ['utf8', 'base64']) {
    const {response} = await caller.call('user_1', 'read_file', {path: 'large', encoding});
    assert.match(response.error, /more than 12517376 bytes/);
  }
});

claim('file names that are not UTF-8 are listed apart, and read by their bytes', async (scope) => {
  const tw = await scope.toolwire();
  const {root} = await withFiles(scope, tw);
  const names = [0xfe, 0xff].map((byte) => Buffer.from([0x61, byte]));
  for (const name of names) await writeFile(Buffer.concat([Buffer.from(`${root}/inside/`), name]), name.toString('hex'));
  const caller = tw.caller();
  const {entries} = resultOf(await caller.call('user_1', 'list_directory', {path: 'inside'}));
  assert.deepEqual(entries.map((entry) => entry.name_base64), [...names.map((name) => name.toString('base64')), undefined]);
  for (const name of names) {
    const params = {path_base64: Buffer.concat([Buffer.from('inside/'), name]).toString('base64')};
    assert.equal(resultOf(await caller.call('user_1', 'read_file', params)).content, name.toString('hex'));
  }
});

claim('what a tool does not read may hold 1e400 and lone surrogates', async (scope) => {
  const tw = await scope.toolwire();
  await withFiles(scope, tw);
  const stream = tw.caller().dispatch();
  const params = Buffer.from('{"path":"hello.txt","more":1e400,"\\udc00":["\\ud800"]}');
  assert.equal(resultOf(await stream.call('user_1', 'read_file', params)).content, 'Hello, wörld!\n');
});

// An edge that reads nothing from its agent until its socket is resumed.
async function stuckEdge(scope, args = []) {
  const server = scope.backend(new WebSocketServer({port: 0, host: '127.0.0.1'}));
  server.stop = async () => server.close();
  await once(server, 'listening');
  const root = await scope.directory();
  await writeFile(path.join(root, 'large'), Buffer.alloc(11 << 20, 'x'));  // More than the kernel takes.
  const agent = scope.process(
    'toolwire', ['agent', '--url', `ws://127.0.0.1:${server.address().port}`, '--user', 'user_1', '--root', root, '--log-format', 'json', ...args],
    {env: {TOOLWIRE_SECRET: 'some', TOOLWIRE_CA: undefined}});
  const [socket] = await once(server, 'connection');
  const send = (frame) => socket.send(JSON.stringify(frame));
  const answers = [];
  socket.on('message', (data) => {
    const frame = JSON.parse(data.toString());
    if (frame.type === 'tool_response') answers.push(frame);
  });
  send({type: 'connected', userId: 'user_1', serverId: 'stuck', timestamp: 1});
  await agent.saw('agent connected');
  socket.pause();
  const call = (requestId, tool, params) => send({type: 'tool_call', requestId, tool, params});
  return {agent, socket, send, call, answers};
}
const done = (agent, requestId) => until(`${requestId} is done`, () =>
  agent.logged('tool call').some((line) => line.requestId === requestId));

claim('answers that wait keep to a budget: calls beyond it fail, and small answers go before large ones', async (scope) => {
  const {agent, socket, call, answers} = await stuckEdge(scope, ['--answer-bytes', String(24 << 20)]);
  // One is on its way into the kernel, two wait, for more there is no room.
  const large = ['large 1', 'large 2', 'large 3', 'large 4', 'large 5'];
  for (const requestId of large) {
    call(requestId, 'read_file', {path: 'large'});
    await done(agent, requestId);
  }
  call('small', 'echo', {n: 1});
  await done(agent, 'small');
  assert.equal(answers.length, 0);
  socket.resume();
  await until('all have come', () => answers.length === 6);
  assert.deepEqual(answers.map(({requestId, success}) => [requestId, success]), [
    ['large 1', true], ['large 4', false], ['large 5', false], ['small', true], ['large 2', true], ['large 3', true]]);
  for (const {error} of answers.slice(1, 3)) assert.match(error, /^agent busy: .*answers/);
});

claim('the answer of a call that was cancelled leaves the queue', async (scope) => {
  const {agent, socket, send, call, answers} = await stuckEdge(scope);
  for (const requestId of ['first', 'cancelled', 'last']) {
    call(requestId, 'read_file', {path: 'large'});
    await done(agent, requestId);
  }
  send({type: 'tool_cancel', requestId: 'cancelled'});
  await agent.saw('answer withdrawn');
  socket.resume();
  await until('the last has come', () => answers.some(({requestId}) => requestId === 'last'));
  assert.deepEqual(answers.map(({requestId}) => requestId), ['first', 'last']);
});

claim('no answer is sent before the edge has said what it takes, unless it does not say that', async (scope) => {
  for (const [ack, expected] of [
    [{type: 'hello_ack', capabilities: ['limits'], resultBytesMax: 4096}, /the result would be 5008 bytes long, more than the 4096/],
    [undefined, undefined],
  ]) {
    const server = scope.backend(new WebSocketServer({port: 0, host: '127.0.0.1'}));
    server.stop = async () => server.close();
    await once(server, 'listening');
    const frames = [];
    server.on('connection', (socket) => {
      const send = (frame) => socket.send(JSON.stringify(frame));
      socket.on('message', (data) => {
        const frame = JSON.parse(data.toString());
        frames.push(frame);
        if (frame.type !== 'heartbeat') return;  // It asks, since an answer waits.
        if (ack !== undefined) send(ack);
        send({type: 'heartbeat_ack', timestamp: 1});
      });
      send({type: 'connected', userId: 'user_1', serverId: 'edge', timestamp: 1});
      send({type: 'tool_call', requestId: 'early', tool: 'echo', params: {n: 'x'.repeat(5000)}});
    });
    scope.process('toolwire', ['agent', '--url', `ws://127.0.0.1:${server.address().port}`, '--user', 'user_1', '--log-format', 'json'],
      {env: {TOOLWIRE_SECRET: 'some', TOOLWIRE_CA: undefined}});
    const answer = await until('it has answered', () => frames.find(({type}) => type === 'tool_response'));
    assert.deepEqual(frames.slice(0, 3).map(({type}) => type), ['hello', 'heartbeat', 'tool_response']);
    if (expected === undefined) assert.equal(answer.success, true);
    else assert.match(answer.error, expected);
  }
});

claim('answers that nobody waits for any more are not sent after a reconnect', async (scope) => {
  const server = scope.backend(new WebSocketServer({port: 0, host: '127.0.0.1'}));
  server.stop = async () => server.close();
  await once(server, 'listening');
  const root = await scope.directory();
  await writeFile(path.join(root, 'large'), Buffer.alloc(100_000, 'x'));
  const sessions = [];
  server.on('connection', (socket) => {
    const session = {socket, answers: []};
    const send = (frame) => socket.send(JSON.stringify(frame));
    socket.on('message', (data) => {
      const frame = JSON.parse(data.toString());
      if (frame.type === 'tool_response') session.answers.push(frame.requestId);
      if (frame.type !== 'hello') return;
      send({type: 'hello_ack', capabilities: frame.capabilities, resultBytesMax: 16 << 20, jsonDepthMax: 512});
      session.ready = true;
    });
    session.call = (requestId, tool, params, times) => send({type: 'tool_call', requestId, tool, params, ...times});
    send({type: 'connected', userId: 'user_1', serverId: 'edge', timestamp: 1});
    sessions.push(session);
  });
  scope.process('toolwire', ['agent', '--url', `ws://127.0.0.1:${server.address().port}`, '--user', 'user_1', '--root', root, '--log-format', 'json'],
    {env: {TOOLWIRE_SECRET: 'some', TOOLWIRE_CA: undefined}});
  await until('it is connected', () => sessions[0]?.ready);
  const [first] = sessions;
  first.socket.pause();  // Nothing of what it answers is read.
  const times = {lost: {timeoutMs: 60_000, lostTimeoutMs: 1}, over: {timeoutMs: 1}, wanted: {timeoutMs: 600_000, lostTimeoutMs: 600_000}, unsaid: {}};
  // More than the kernel takes, so that the rest waits.
  for (let i = 0; i < 100; ++i) first.call(`before ${i}`, 'read_file', {path: 'large'}, times.lost);
  for (const [name, time] of Object.entries(times)) first.call(name, 'read_file', {path: 'large'}, time);
  first.call('little', 'sleep', {ms: 0}, times.lost);
  await until('what was asked is in the kernel', () => first.socket.bufferedAmount === 0);
  await new Promise((resolve) => setTimeout(resolve, 500));
  first.socket.terminate();
  await until('it has come back', () => sessions[1]?.ready);
  await until('what is wanted has come', () => sessions[1].answers.includes('unsaid') && sessions[1].answers.includes('wanted'));
  const unwanted = sessions[1].answers.filter((id) => id.startsWith('before') || id === 'lost' || id === 'over');
  assert.deepEqual(unwanted, []);
});
