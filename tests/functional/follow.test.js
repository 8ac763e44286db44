// FollowAgents: one stream for users that come and go.
import assert from 'node:assert/strict';
import {code} from './lib/caller.js';
import {Cluster, clusterClaim} from './lib/cluster.js';
import {testTls} from './lib/process.js';
import {SteadyControls, clientMissing, nodeClient} from './lib/steady_controls.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {TokensFile} from './lib/tokens.js';
import {until} from './lib/until.js';

claimInBoth('users are added and taken away on the open stream, each is answered by its state and then its changes', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1');
  const follow = tw.caller().follow();
  follow.send(['user_1', 'user_2']);
  await follow.saw('CONNECTED', 'user_1');
  await follow.saw('DISCONNECTED', 'user_2');
  const second = await tw.agent('user_2');
  await follow.saw('CONNECTED', 'user_2');
  await tw.agent('user_1');
  await follow.saw('MOVED', 'user_1');
  await agent.closed();
  follow.send(['user_3'], ['user_2', 'nobody']);
  await follow.saw('DISCONNECTED', 'user_3');
  second.destroy();
  await tw.agent('user_3');
  await follow.saw('CONNECTED', 'user_3');
  assert.ok(!follow.events.some(({kind, agent: {userId}}) => kind === 'DISCONNECTED' && userId === 'user_2' && follow.events.length > 6));
  assert.ok(!follow.events.some(({kind}) => kind === 'SNAPSHOT_COMPLETE'));
  follow.end();
  assert.equal((await follow.ended()).code, 0);
  await until('its place is free', async () => (await tw.metric('toolwire_control_watches')) === 0);
});

claim('the limit of users of one stream: at it all are answered, past it INVALID_ARGUMENT', async (scope) => {
  const tw = await scope.toolwire({flags: {'watch-users-max': 3000}});
  const users = Array.from({length: 3000}, (_, i) => `user_${i}`);
  const follow = tw.caller().follow();
  follow.send(users);
  await until('all are answered', () => follow.events.length === 3000);
  follow.send(['user_0'], ['user_1']);
  await until('its state again', () => follow.events.length === 3001);
  follow.send(['user_1', 'one_more']);
  const {code: ended, details} = await follow.ended();
  assert.equal(ended, code.INVALID_ARGUMENT);
  assert.match(details, /3000/);
  assert.equal(await tw.metric('toolwire_control_limit_hits_total', {limit: 'watch_users'}), 1);
});

claim('a caller that closes its side at once still gets all of 10,000 answers', async (scope) => {
  const tw = await scope.toolwire();
  const follow = tw.caller().follow();
  follow.send(Array.from({length: 10_000}, (_, i) => `user_${i}`));
  follow.end();
  assert.equal((await follow.ended()).code, 0);
  assert.equal(new Set(follow.events.map(({agent: {userId}}) => userId)).size, 10_000);
});

claimInBoth('a caller that asks is greeted, and told that control lives while it follows somebody', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'stream-life-interval': 50}});
  const follow = tw.caller().follow({hello: true});
  const {silenceMs, startId} = await until('the hello comes', () => follow.hello);
  assert.equal(silenceMs, 200);
  const calls = tw.caller().dispatch({hello: true});
  assert.equal((await until('the hello comes', () => calls.hello)).startId, startId);
  assert.equal(follow.signs, 0);
  follow.send(['user_1']);
  await follow.saw('DISCONNECTED', 'user_1');
  await until('signs of life come', () => follow.signs >= 3);
  const other = tw.caller().follow();
  other.send(['user_1']);
  await other.saw('DISCONNECTED', 'user_1');
  const before = follow.signs;
  await until('more come', () => follow.signs >= before + 3);
  assert.deepEqual([other.hello, other.signs], [undefined, 0]);
});

claim('a token follows the users whom it may name, and no others', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const token = tokens.add('shop', 'read', 'user-prefix=shop_');
  const tw = await scope.toolwire({flags: {'tokens-file': tokens.path}});
  const follow = tw.caller(token).follow();
  follow.send(['shop_1']);
  await follow.saw('DISCONNECTED', 'shop_1');
  follow.send(['bank_1']);
  assert.equal((await follow.ended()).code, code.PERMISSION_DENIED);
});

claim('a stop of control ends the stream with UNAVAILABLE', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const follow = tw.caller().follow();
  follow.send(['user_1']);
  await follow.saw('DISCONNECTED', 'user_1');
  await tw.control.stop();
  assert.equal((await follow.ended()).code, code.UNAVAILABLE);
});

// With the Node.js client.
clusterClaim('calls that wait for their agents go through the other control when theirs stands still and no call is in flight', async (scope) => {
  const cluster = await Cluster.start(scope, {edges: 1, controls: 0});
  const controls = await SteadyControls.start(cluster);
  const {ToolwireClient} = await nodeClient();
  const client = new ToolwireClient({address: controls.addresses});
  scope.own({close: () => client.close({drainMs: 0})});
  const users = Array.from({length: 5}, (_, i) => `user_${i}`);
  const calls = users.map((user, n) => client.callTool(user, 'echo', {n}, {waitForAgentMs: 100_000, timeoutMs: 100_000}));
  const watching = async () => {
    const of = await Promise.all(controls.controls.map((one) => one.metric('toolwire_control_watches')));
    return of.indexOf(1);
  };
  const which = await until('they are followed', async () => ((await watching()) < 0 ? undefined : {i: await watching()}));
  await until('all have come back', async () => (await controls.sum('toolwire_control_calls_failed_total')) >= users.length);
  controls.controls[which.i].process.pause();
  for (const user of users) await cluster.agent(user);
  assert.deepEqual((await Promise.all(calls)).map(({result}) => result), users.map((_, n) => ({n})));
  controls.controls[which.i].process.resume();
}, {skip: clientMissing ?? (testTls ? 'its client has no TLS' : undefined)});
