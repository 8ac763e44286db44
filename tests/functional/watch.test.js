// `toolwire watch` and `toolwire where`: agents as people and scripts follow them.
import grpc from '@grpc/grpc-js';
import assert from 'node:assert/strict';
import {writeFile} from 'node:fs/promises';
import {RPCS, code} from './lib/caller.js';
import {run, testTls} from './lib/process.js';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

const addressOf = (tw) => ['--address', `127.0.0.1:${tw.ports.callers}`];

// A running `toolwire watch --json`, and what it has said so far.
function watching(scope, tw, ...args) {
  const process = scope.process('toolwire', ['watch', '--json', ...args, ...addressOf(tw)]);
  const events = () => process.logs.filter(({kind}) => kind);
  const saw = (kind, userId) => until(`watch prints ${kind} of ${userId}`, () =>
    events().find((event) => event.kind === kind && event.userId === userId));
  return {process, events, saw, snapshot: () => until('the snapshot is printed', () =>
    events().some(({kind}) => kind === 'SNAPSHOT_COMPLETE'))};
}

claimInBoth('`toolwire watch` prints who is connected and then each change, and ends with 0 on Ctrl-C', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'server-id': 'edge-7'}});
  await tw.agent('user_1');
  const watch = watching(scope, tw);
  await watch.snapshot();
  const [first] = watch.events();
  assert.deepEqual([first.kind, first.userId, first.serverId], ['CONNECTED', 'user_1', 'edge-7']);
  assert.ok(first.epoch > 0 && Math.abs(first.connectedAt - Date.now()) < 600_000 && Math.abs(first.at - Date.now()) < 600_000);
  const second = await tw.agent('user_2');
  await watch.saw('CONNECTED', 'user_2');
  await tw.agent('user_1');
  const moved = await watch.saw('MOVED', 'user_1');
  assert.ok(moved.epoch > first.epoch);
  second.destroy();
  await watch.saw('DISCONNECTED', 'user_2');
  watch.process.signal('SIGINT');
  assert.deepEqual(await watch.process.exited(), {code: 0, signal: null});
});

claim('`toolwire watch USER` follows only that user, as text', async (scope) => {
  const tw = await scope.toolwire({flags: {'server-id': 'edge-7'}});
  await tw.agent('user_1');
  await tw.agent('user_2');
  const {code, stdout, stderr} = await run('toolwire', ['watch', '--once', 'user_2', ...addressOf(tw)]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  connected  user_2  edge-7  \d+\n$/);
});

claim('`toolwire watch` shows in one line what a control says of a broken stream', async (scope) => {
  const server = new grpc.Server();
  const method = RPCS.find(({name}) => name === 'WatchAgents');
  server.addService({WatchAgents: method}, {WatchAgents: (call) => call.emit('error', {code: code.UNAVAILABLE, details: '\u001b[31mred\r\nforged'})});
  const port = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  scope.own({stop: () => server.forceShutdown()});
  const watch = scope.process('toolwire', ['watch', '--address', `127.0.0.1:${port}`], {plain: true});
  await until('watch says why', () => /control is gone/.test(watch.stderr));
  assert.match(watch.stderr, /^toolwire watch: control is gone: \\u001b\[31mred\\r\\nforged; trying again\n/);
});

claim('`toolwire watch` goes on by itself after control was unavailable, and repeats nothing', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  await tw.agent('user_1');
  const leaving = await tw.agent('user_2');
  const watch = watching(scope, tw);
  await watch.snapshot();
  await tw.control.kill();
  await until('watch says that control is gone', () => /control is gone|no control/.test(watch.process.stderr));
  leaving.destroy();
  await tw.agent('user_3');
  tw.control = scope.process('toolwire-control', [
    `--edge=127.0.0.1:${tw.ports.relay}`, `--grpc-port=${tw.ports.callers}`, '--metrics-port=0', '--data-dir', tw.dataDir,
    '--log-format=json',
  ]);
  await watch.saw('CONNECTED', 'user_3');
  await watch.saw('DISCONNECTED', 'user_2');
  assert.deepEqual(watch.events().filter(({userId}) => userId === 'user_1').map(({kind}) => kind), ['CONNECTED']);
});

claim('`toolwire watch` waits for a control that is not there yet; with --once it fails', async (scope) => {
  const tw = await scope.toolwire();
  const watch = scope.process('toolwire', ['watch', '--address', '127.0.0.1:1']);
  await until('watch says so', () => watch.stderr.includes('no control at 127.0.0.1:1'));
  await watch.stop('SIGINT');
  const once = await run('toolwire', ['watch', '--once', '--address', '127.0.0.1:1']);
  assert.equal(once.code, 1);
  assert.match(once.stderr, /no control at 127\.0\.0\.1:1/);
  assert.equal((await run('toolwire', ['watch', '--once', ...addressOf(tw)])).code, 0);
});

claimInBoth('`toolwire where` prints edge, time and epoch, and exits with 3 when the agent is not connected', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'server-id': 'edge-7'}});
  const where = (...args) => run('toolwire', ['where', ...args, ...addressOf(tw)]);
  const absent = await where('user_1');
  assert.deepEqual([absent.code, absent.stdout, absent.stderr], [3, '', 'user_1 is not connected\n']);
  const absentJson = await where('user_1', '--json');
  assert.equal(absentJson.code, 3);
  assert.deepEqual(JSON.parse(absentJson.stdout), {userId: 'user_1', connected: false});
  await tw.agent('user_1');
  await tw.caller().call('user_1', 'echo');  // Control knows it, too.
  const text = await where('user_1');
  assert.equal(text.code, 0);
  assert.match(text.stdout, /^user_1 is at edge-7 since \d{4}-\S+Z, epoch \d+\n$/);
  const json = JSON.parse((await where('user_1', '--json')).stdout);
  assert.deepEqual([json.userId, json.connected, json.serverId], ['user_1', true, 'edge-7']);
  assert.ok(json.epoch > 0 && Math.abs(json.connectedAt - Date.now()) < 600_000);
  assert.equal((await run('toolwire', ['where', 'user_1', '--address', '127.0.0.1:1'])).code, 1);
});

claim('`toolwire agents --server` lists one edge', async (scope) => {
  const tw = await scope.toolwire({flags: {'server-id': 'edge-7'}});
  await tw.agent('user_1');
  const agents = async (server) => (await run('toolwire', ['agents', '--server', server, '--json', ...addressOf(tw)])).stdout;
  const listed = JSON.parse(await agents('edge-7'));
  assert.deepEqual([listed.userId, listed.connected, listed.serverId], ['user_1', true, 'edge-7']);
  assert.equal(await agents('edge-8'), '');
});

claimInBoth('Ctrl-C cancels a call, and shows whether the tool may have run', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', {answer: () => undefined});
  const call = scope.process('toolwire', ['call', 'user_1', 'slow', ...addressOf(tw)]);
  await until('the agent got the call', () => agent.calls.length === 1);
  call.signal('SIGINT');
  call.stopped = true;  // Its status is not 0, and checked here.
  assert.deepEqual(await call.exited(), {code: 4, signal: null});
  assert.match(call.stderr, /CALLER_CANCELLED, SENT: the tool may have run/);
  await tw.idle();
});

claim('params come from the command line, a file, or standard input', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  const file = `${await scope.directory()}/params.json`;
  await writeFile(file, '{"from":"file"}');
  assert.equal((await run('toolwire', ['call', 'user_1', 'any', `@${file}`, ...addressOf(tw)])).code, 0);
  const piped = scope.process('toolwire', ['call', 'user_1', 'any', '-', ...addressOf(tw)], {stdin: 'pipe'});
  piped.write('{"from":"stdin"}');
  assert.equal((await piped.exited()).code, 0);
  assert.deepEqual(agent.calls.map(({params}) => params.from), ['file', 'stdin']);
  const missing = await run('toolwire', ['call', 'user_1', 'any', '@/no/such/file', ...addressOf(tw)]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /cannot read \/no\/such\/file/);
});

clusterClaim('`toolwire watch` hears of the end of nobody when its control is started again, however slow the links to edges are', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 2, controls: 1, gates: {}});
  await cluster.agent('user_0', {edge: 0});
  await cluster.agent('user_1', {edge: 1});
  const [control] = cluster.controls;
  const watch = watching(scope, control);
  for (const user of ['user_0', 'user_1']) await watch.saw('CONNECTED', user);
  await watch.snapshot();
  await control.process.kill();
  cluster.forget(control);
  // A link's hello has two seconds, in which TLS has a round trip of its own.
  for (const {gate} of cluster.edges) await gate.tell({command: 'delay', delayMs: testTls ? 300 : 800});
  await cluster.addControl({flags: {'grpc-port': control.ports.callers}});
  // Whoever asks before the links are up hears of all agents first, and only then that this was all.
  const early = scope.own(cluster.caller().watch());
  assert.deepEqual((await early.snapshot()).map(({kind, agent}) => [kind, agent.userId]).sort(),
    [['CONNECTED', 'user_0'], ['CONNECTED', 'user_1']]);
  await cluster.agent('user_2', {edge: 1});
  await watch.saw('CONNECTED', 'user_2');
  await until('the control knows every agent', async () => (await cluster.controls[0].metric('toolwire_control_agents')) === 3);
  assert.deepEqual(watch.events().filter(({kind}) => kind === 'DISCONNECTED'), []);
});
