// Requests that are no calls, when the client or the admin is closed.
import assert from 'node:assert/strict';
import net from 'node:net';
import {once} from 'node:events';
import {ToolwireAdmin} from '../dist/index.mjs';
import {startFake} from './fake_control.js';
import {claim, clientWith, rejection, until} from './lib.js';

const fields = ({reason, delivery}) => [reason, delivery];
const all = async (iterator) => {
  const found = [];
  for await (const one of iterator) found.push(one);
  return found;
};

// Takes connections, and never says anything.
async function startSilent(scope) {
  const sockets = new Set();
  const server = net.createServer((socket) => sockets.add(socket.on('error', () => {}))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.own({close: () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  }});
  return {address: `127.0.0.1:${server.address().port}`, sockets};
}

claim('requests that wait for a connection fail when the client is closed, as NOT_SENT', async (scope) => {
  const {address, sockets} = await startSilent(scope);
  const client = clientWith(scope, {address});
  const admin = scope.own(new ToolwireAdmin({address}));
  const requests = [
    client.getAgent('user_1'), all(client.listAgents()), admin.createCredential('user_1'), all(admin.listExecutions())].map(rejection);
  await until('they connect', () => sockets.size >= 2);
  await client.close({drainMs: Infinity});
  admin.close();
  for (const request of requests) assert.deepEqual(fields(await request), ['CLIENT_CLOSED', 'NOT_SENT']);
});

claim('requests after close fail at once, and so does the next page', async (scope) => {
  const fake = await startFake(scope, {
    listAgents: (_call, done) => done(null, {agents: [{userId: 'user_1', connected: true, serverId: 'e', epoch: 1}], nextPageToken: 'more'}),
  });
  const client = clientWith(scope, {address: fake.address});
  const admin = scope.own(new ToolwireAdmin({address: fake.address}));
  const list = client.listAgents();
  assert.equal((await list.next()).value.userId, 'user_1');
  await client.close();
  admin.close();
  const asked = fake.requests.length;
  for (const request of [
    list.next(), client.getAgent('user_1'), all(client.listAgents()), all(client.watchAgents()), client.callTool('user_1', 'echo'),
    admin.createCredential('user_1'), all(admin.listExecutions())]) {
    assert.deepEqual(fields(await rejection(request)), ['CLIENT_CLOSED', 'NOT_SENT']);
  }
  assert.equal(fake.requests.length, asked);
});

claim('a request that control has may be answered within drainMs; then it fails', async (scope) => {
  const waiting = [];
  const fake = await startFake(scope, {getAgent: (call, done) => waiting.push(() => done(null, {userId: call.request.userId}))});
  const patient = clientWith(scope, {address: fake.address});
  const answered = patient.getAgent('user_1');
  await until('control has it', () => waiting.length === 1);
  const closed = patient.close({drainMs: Infinity});
  waiting[0]();
  assert.deepEqual(await answered, {userId: 'user_1', connected: false});
  await closed;
  const hasty = clientWith(scope, {address: fake.address});
  const lost = rejection(hasty.getAgent('user_1'));
  await until('control has it', () => waiting.length === 2);
  await hasty.close({drainMs: 0});
  assert.deepEqual(fields(await lost), ['CLIENT_CLOSED', 'SENT']);
});

claim('close called again may shorten the wait: both end, and what is under way fails', async (scope) => {
  const fake = await startFake(scope, {answer: () => [], getAgent: () => {}});
  const client = clientWith(scope, {address: fake.address});
  const lost = [rejection(client.callTool('user_1', 'slow')), rejection(client.getAgent('user_1'))];
  await until('control has both', () => fake.calls.length === 1 && fake.requests.length === 1);
  const [first, second] = [client.close({drainMs: Infinity}), client.close({drainMs: 0})];
  for (const one of await Promise.all(lost)) assert.deepEqual(fields(one), ['CLIENT_CLOSED', 'SENT']);
  await Promise.all([first, second, client.close({drainMs: Infinity})]);
});

claim('admin: a change that control has when it is closed counts as SENT', async (scope) => {
  const waiting = [];
  const fake = await startFake(scope, {createCredential: (_call, done) => waiting.push(done)});
  const admin = scope.own(new ToolwireAdmin({address: fake.address}));
  const lost = rejection(admin.createCredential('user_1'));
  await until('control has it', () => waiting.length === 1);
  admin.close();
  assert.deepEqual(fields(await lost), ['CLIENT_CLOSED', 'SENT']);
});
