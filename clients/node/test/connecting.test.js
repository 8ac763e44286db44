// Several controls, of which some neither connect nor refuse, or never answer.
import assert from 'node:assert/strict';
import net from 'node:net';
import {once} from 'node:events';
import {ToolwireAdmin} from '../dist/index.mjs';
import {startBalancer} from './fake_balancer.js';
import {present, startFake} from './fake_control.js';
import {claim, clientWith, freePort, rejection, until} from './lib.js';

// Takes connections, and never says anything: as a control that is stopped, or a load balancer with nothing behind it.
async function startMute(scope) {
  const sockets = new Set();
  const server = net.createServer((socket) => sockets.add(socket.on('error', () => {}))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address();
  const close = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  scope.own({close});
  return {address: `127.0.0.1:${port}`, port, sockets, close};
}
const named = (fake, name) => fake.requests.filter((one) => one.name === name).length;

claim('beside an address that neither connects nor refuses: reads, watches, admin and calls all reach the other control', async (scope) => {
  const mute = await startMute(scope);
  const fake = await startFake(scope, {watch: (stream) => stream.write({events: [present('user_1'), {kind: 4}]})});
  // In both orders, on fresh clients: nothing is remembered.
  for (const address of [[mute.address, fake.address], [fake.address, mute.address]]) {
    const client = () => clientWith(scope, {address});
    const admin = scope.own(new ToolwireAdmin({address}));
    await client().getAgent('user_1');
    for await (const _ of client().listAgents()) break;
    assert.equal((await client().watchAgents().next()).value.kind, 'connected');
    assert.equal((await client().watchAgents({userIds: ['user_2']}).next()).value.kind, 'snapshot');
    await client().callTool('user_1', 'echo');
    await admin.createCredential('user_1');
    for await (const _ of admin.listExecutions()) break;
  }
  assert.ok(mute.sockets.size > 0, 'it was tried');
});

claim('reads are spread over the controls', async (scope) => {
  const fakes = [await startFake(scope), await startFake(scope)];
  const client = clientWith(scope, {address: fakes.map(({address}) => address)});
  await until('both are connected', async () => {
    await client.callTool('user_1', 'echo');
    return fakes.every(({calls}) => calls.length > 0);
  });
  const before = fakes.map((one) => named(one, 'GetAgent'));
  for (let n = 0; n < 20; ++n) await client.getAgent('user_1');
  assert.deepEqual(fakes.map((one, n) => named(one, 'GetAgent') - before[n]), [10, 10]);
});

claim('a control that does not answer reads is passed over, and asked again when it has spoken', async (scope) => {
  let stopped = false;
  const held = [];
  const answers = (call, done) => {
    if (stopped) held.push(() => done(null, {userId: call.request.userId}));
    else done(null, {userId: call.request.userId});
  };
  const [first, second] = [await startFake(scope, {getAgent: answers}), await startFake(scope)];
  const client = clientWith(scope, {address: [first.address, second.address]});
  await until('both are connected', async () => {
    await client.callTool('user_1', 'echo');
    return first.calls.length > 0 && second.calls.length > 0;
  });
  stopped = true;
  for (let n = 0; n < 4; ++n) await client.getAgent('user_1');
  const asked = named(first, 'GetAgent');
  assert.ok(held.length >= 1, 'it was asked once');
  for (let n = 0; n < 20; ++n) await client.getAgent('user_1');
  assert.equal(named(first, 'GetAgent'), asked);
  stopped = false;
  // An answer of any kind: of a call.
  await until('it is asked again', async () => {
    await client.callTool('user_1', 'echo');
    await client.getAgent('user_1');
    return named(first, 'GetAgent') > asked;
  });
});

claim('what changes something is asked once, though its control is slow', async (scope) => {
  let done;
  const slow = await startFake(scope, {createCredential: (_call, answer) => (done = () => answer(null, {userId: 'user_1', secret: 's'}))});
  const other = await startFake(scope);
  const admin = scope.own(new ToolwireAdmin({address: [slow.address, other.address]}));
  const made = admin.createCredential('user_1');
  await until('it is there', () => done !== undefined);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(named(other, 'CreateCredential'), 0);
  done();
  assert.equal((await made).secret, 's');
});

claim('no control at all: reads fail at once and say why, for each address', async (scope) => {
  const ports = [await freePort(), await freePort()];
  const client = clientWith(scope, {address: ports.map((port) => `127.0.0.1:${port}`)});
  const error = await rejection(client.getAgent('user_1'));
  assert.equal(error.reason, 'CONTROL_UNAVAILABLE');
  assert.equal(error.delivery, 'NOT_SENT');
  for (const port of ports) assert.match(error.message, new RegExp(`127.0.0.1:${port}: .*ECONNREFUSED`));
});

claim('an attempt that never ends is given up and made again: a control that comes to that address is found', async (scope) => {
  const mute = await startMute(scope);
  const client = clientWith(scope, {address: mute.address, controlWaitMs: 60_000});
  const call = client.callTool('user_1', 'echo', {n: 1});
  await until('it tries again', () => mute.sockets.size >= 2);
  mute.close();
  await startFake(scope, {port: mute.port});
  assert.equal((await call).result.n, 1);
});

claim('behind one address a control that leaves a read without a word: the next one goes over another connection', async (scope) => {
  const fakes = [await startFake(scope), await startFake(scope)];
  const balancer = await startBalancer(scope, fakes.map(({port}) => port));
  const client = clientWith(scope, {address: balancer.address});
  await client.getAgent('user_1');
  const first = fakes.find((one) => named(one, 'GetAgent') > 0);
  first.stopped = true;
  assert.equal((await rejection(client.getAgent('user_1'))).code, 'DEADLINE_EXCEEDED');
  assert.equal((await client.getAgent('user_1')).connected, false);
  assert.equal(named(first, 'GetAgent'), 2);
});
