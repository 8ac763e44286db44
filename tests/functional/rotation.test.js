// `toolwire credentials rotate` and RotateCredential in two steps: the old secret holds until the new one is told.
import assert from 'node:assert/strict';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import {spawn} from 'node:child_process';
import {readFile} from 'node:fs/promises';
import path from 'node:path';
import {code} from './lib/caller.js';
import {REPOSITORY, binary} from './lib/process.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {within} from './lib/until.js';

const definition = protoLoader.loadSync('toolwire/v1/admin.proto', {includeDirs: [path.join(REPOSITORY, 'proto')], defaults: true});
const SECRET = '0123456789abcdef'.repeat(4);

// A control that knows RotateCredential alone, and answers as `answer(request, call number)` says.
async function fakeControl(scope, answer) {
  const requests = [];
  const server = new grpc.Server();
  server.addService(definition['toolwire.v1.AgentAdmin'], {
    RotateCredential: ({request}, done) => {
      requests.push(request);
      const {error, ...response} = answer(request, requests.length);
      done(error ?? null, {userId: request.userId, ...response});
    },
  });
  const port = await new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))));
  scope.own({close: () => server.forceShutdown()});
  return {requests, address: ['--address', `127.0.0.1:${port}`], die: () => server.forceShutdown()};
}
// `toolwire credentials rotate user_1`, with its standard output at hand.
function rotate(scope, args) {
  const child = spawn(binary('toolwire'), ['credentials', 'rotate', 'user_1', ...args], {env: {}, stdio: ['ignore', 'pipe', 'pipe']});
  scope.own({close: () => child.kill('SIGKILL')});
  const said = {stdout: '', stderr: ''};
  for (const stream of ['stdout', 'stderr']) child[stream].setEncoding('utf8').on('data', (text) => (said[stream] += text));
  const end = new Promise((resolve) => child.on('close', (status, signal) => resolve({code: status, signal, ...said})));
  return {child, said, ended: () => within('rotate ends', end)};
}
const dial = (tw, secret) => tw.dial(tw.loginQuery('user_1', secret));

claimInBoth('a secret that was prepared is none until it is given back: then it holds, and the old one is refused', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const caller = tw.caller();
  const old = await tw.secret('user_1');
  const agent = await tw.agent('user_1');
  const prepared = await caller.admin('RotateCredential', {userId: 'user_1', prepare: true});
  assert.match(prepared.secret, /^[0-9a-f]{64}$/);
  assert.equal(prepared.prepared, true);
  assert.equal((await dial(tw, prepared.secret).closed()).code, 1008);
  await agent.roundTrip();
  const done = await caller.admin('RotateCredential', {userId: 'user_1', secret: prepared.secret});
  assert.deepEqual([done.secret, done.prepared, done.everywhere], [prepared.secret, false, true]);
  assert.equal((await agent.closed()).code, 1008);
  assert.equal((await dial(tw, old).closed()).code, 1008);
  await dial(tw, prepared.secret).connected();
  for (const [request, expected] of [
    [{prepare: true, secret: SECRET}, code.INVALID_ARGUMENT], [{secret: 'short'}, code.INVALID_ARGUMENT],
    [{secret: SECRET.toUpperCase()}, code.INVALID_ARGUMENT], [{secret: `${SECRET}0`}, code.INVALID_ARGUMENT],
    [{userId: 'nobody', prepare: true}, code.NOT_FOUND], [{userId: '', prepare: true}, code.INVALID_ARGUMENT],
  ]) {
    assert.equal((await caller.admin('RotateCredential', {userId: 'user_1', ...request})).code, expected, JSON.stringify(request));
  }
  await caller.admin('RevokeCredential', {userId: 'user_1'});
  assert.equal((await caller.admin('RotateCredential', {userId: 'user_1', prepare: true})).code, code.NOT_FOUND);
});

claim('a new secret that is lost on its way to the output leaves the old one as it was', async (scope) => {
  let run;
  const control = await fakeControl(scope, () => {
    run.child.stdout.destroy();  // The reader goes after the output was found to be good.
    return {secret: SECRET, prepared: true};
  });
  run = rotate(scope, control.address);
  const {code: status, signal, stderr} = await run.ended();
  assert.ok(status !== 0, `${status} ${signal}`);
  assert.match(stderr, /the new secret could not be written; the old one holds/);
  assert.deepEqual(control.requests.map(({prepare, secret}) => [prepare, secret]), [[true, '']]);
});

claim('the new secret is in the output before it holds, and is said to be void if it does not come to hold', async (scope) => {
  for (const [error, exit, sentence] of [
    [undefined, 0, /the old secret is refused from now on/],
    [{code: code.NOT_FOUND, details: 'gone'}, 1, /gone; the old secret holds, not the one that was printed/],
    // It may have been done before the store, or control, was lost.
    [{code: code.UNAVAILABLE, details: 'the store is away'}, 4, /either the secret that was printed holds now, or the old one/],
    ['dies', 4, /either the secret that was printed holds now, or the old one/],
  ]) {
    const file = path.join(await scope.directory(), 'secret');
    let written;
    const control = await fakeControl(scope, ({secret}, number) => {
      if (number === 1) return {secret: SECRET, prepared: true};
      written = readFile(file, 'utf8');
      if (error === 'dies') control.die();
      return {error: error === 'dies' ? undefined : error, secret, everywhere: true};
    });
    const child = spawn('/bin/sh', ['-c', `exec "$0" "$@" > ${file}`, binary('toolwire'), 'credentials', 'rotate', 'user_1', ...control.address],
      {env: {}, stdio: ['ignore', 'ignore', 'pipe']});
    scope.own({close: () => child.kill('SIGKILL')});
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    const ended = new Promise((resolve) => child.on('close', resolve));
    assert.equal(await within('rotate ends', ended), exit, stderr);
    assert.match(stderr, sentence);
    assert.equal(await written, `${SECRET}\n`);
    assert.deepEqual(control.requests.map(({prepare, secret}) => [prepare, secret]), [[true, ''], [false, SECRET]]);
  }
});

claim('a control of before rotates in one step, and its secret is the one that is printed', async (scope) => {
  const control = await fakeControl(scope, () => ({secret: SECRET, everywhere: true}));
  const {code: status, stdout, stderr} = await rotate(scope, control.address).ended();
  assert.deepEqual([status, stdout], [0, `${SECRET}\n`], stderr);
  assert.equal(control.requests.length, 1);
});

claim('without a control it is the same: a user who has none gets no secret', async (scope) => {
  const tw = await scope.toolwire();
  await tw.secret('user_2');
  const {code: status, stdout, stderr} = await rotate(scope, ['--data-dir', tw.dataDir]).ended();
  assert.deepEqual([status, stdout], [1, ''], stderr);
  await tw.secret('user_1');
  const rotated = await rotate(scope, ['--data-dir', tw.dataDir]).ended();
  assert.equal(rotated.code, 0, rotated.stderr);
  await dial(tw, rotated.stdout.trim()).connected();
});
