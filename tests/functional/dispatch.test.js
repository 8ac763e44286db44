// The multiplexed stream that backends use.
import assert from 'node:assert/strict';
import {code, resultOf} from './lib/caller.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

const silent = {answer: () => undefined};

claimInBoth('1,000 calls at once, a third cancelled midway: each is answered exactly once, nothing is left behind', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const users = ['user_0', 'user_1', 'user_2', 'user_3'];
  const agents = await Promise.all(users.map((user) => tw.agent(user, silent)));
  const stream = tw.caller().dispatch();
  const ids = Array.from({length: 1000}, (_, i) => i);
  const calls = ids.map((id) => ({id, userId: users[id % 4], tool: 'slow', params: {id}}));
  for (let i = 0; i < calls.length; i += 100) stream.send({calls: calls.slice(i, i + 100)});
  await until('all have reached their agents', () => agents.reduce((sum, one) => sum + one.calls.length, 0) === 1000);
  assert.equal(await tw.metric('toolwire_control_calls_in_flight'), 1000);
  assert.equal(await tw.metric('toolwire_edge_calls_in_flight'), 1000);

  const cancelled = ids.filter((id) => id % 3 === 0);
  const half = cancelled.slice(0, cancelled.length / 2);
  stream.cancel(...half);
  await until('half of the cancelled ones are answered', () => stream.answers.size === half.length);
  for (const agent of agents) {  // The answers of all, also of those that are being cancelled.
    for (const {requestId, params} of agent.calls) agent.respond(requestId, {success: true, result: params.id});
  }
  stream.cancel(...cancelled.slice(cancelled.length / 2));
  await until('every call is answered', () => stream.answers.size === 1000);
  await tw.idle();
  let givenUp = 0;
  for (const id of ids) {
    const answers = stream.answers.get(String(id));
    assert.equal(answers.length, 1, `call ${id}`);
    const [outcome] = answers;
    if (outcome.code === 0) {
      assert.equal(resultOf(outcome), id);
    } else {
      assert.ok(cancelled.includes(id), `call ${id} was not cancelled: ${outcome.message}`);
      assert.deepEqual([outcome.code, outcome.reason], [code.CANCELLED, 'CALLER_CANCELLED']);
      ++givenUp;
    }
  }
  assert.ok(givenUp >= half.length, 'those that were cancelled before any answer');
  for (const agent of agents) await agent.roundTrip();
  for (const [id, answers] of stream.answers) assert.equal(answers.length, 1, `call ${id}`);
  await tw.auditRows(1000);
  await tw.stop();
  assert.equal((await tw.audit()).length, 1000, 'one row for each');
});

claimInBoth('1,000 calls that are cancelled in the same message as they are made are each answered once', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await tw.agent('user_1', silent);
  const stream = tw.caller().dispatch();
  const ids = Array.from({length: 1000}, (_, i) => i);
  stream.send({calls: ids.map((id) => ({id, userId: 'user_1', tool: 'slow'})), cancels: ids});
  await until('every call is answered', () => stream.answers.size === 1000);
  await tw.idle();
  for (const id of ids) {
    const answers = stream.answers.get(String(id));
    assert.equal(answers.length, 1);
    assert.equal(answers[0].reason, 'CALLER_CANCELLED');
  }
});

claim('answers come in the order in which the tools finish', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const stream = tw.caller().dispatch();
  const finished = [];
  const calls = [1, 2, 3].map((n) => stream.call('user_1', 'slow', {n}).then((one) => (finished.push(n), one)));
  await agent.called(3);
  for (const n of [2, 3, 1]) {
    agent.respond(agent.calls[n - 1].requestId, {success: true});
    await calls[n - 1];
  }
  assert.deepEqual(finished, [2, 3, 1]);
});

claim('one message may carry several calls, right and wrong ones, for several users', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  await tw.agent('user_2');
  const stream = tw.caller().dispatch();
  stream.send({
    calls: [
      {id: 1, userId: 'user_1', tool: 'echo', params: {n: 1}},
      {id: 2, userId: 'nobody', tool: 'echo'},
      {id: 3, userId: 'user_2', tool: 'echo', params: '[]'},
      {id: 4, userId: 'user_2', tool: 'echo', params: {n: 4}},
      {id: '18446744073709551615', userId: 'user_2', tool: 'echo', params: {n: 5}},
    ],
  });
  assert.deepEqual(resultOf(await stream.answer(1)), {n: 1});
  assert.equal((await stream.answer(2)).reason, 'AGENT_NOT_CONNECTED');
  assert.equal((await stream.answer(3)).reason, 'INVALID_REQUEST');
  assert.deepEqual(resultOf(await stream.answer(4)), {n: 4});
  assert.deepEqual(resultOf(await stream.answer('18446744073709551615')), {n: 5}, 'ids have 64 bits');
});

claim('answers that are ready together come in fewer messages than answers', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const stream = tw.caller().dispatch();
  stream.send({calls: Array.from({length: 2000}, (_, id) => ({id, userId: 'user_1', tool: 'echo'}))});
  await until('every call is answered', () => stream.answers.size === 2000);
  assert.ok(stream.messages < 1000, `${stream.messages} messages`);
});

claim('a stream id that is in flight: DUPLICATE_REQUEST, and the first call goes on; then the id is free again', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const stream = tw.caller().dispatch();
  stream.send({calls: [{id: 5, userId: 'user_1', tool: 'first'}]});
  await agent.called();
  stream.send({calls: [{id: 5, userId: 'user_1', tool: 'second'}]});
  const outcome = await stream.answer(5);
  assert.deepEqual([outcome.code, outcome.reason, outcome.delivery], [code.ALREADY_EXISTS, 'DUPLICATE_REQUEST', 'NOT_SENT']);
  agent.respond(agent.calls[0].requestId, {success: true, result: 'first'});
  await until('the first is answered', () => stream.answers.get('5').length === 2);
  assert.equal(resultOf(stream.answers.get('5')[1]), 'first');
  agent.answer = () => ({success: true, result: 'third'});
  stream.send({calls: [{id: 5, userId: 'user_1', tool: 'third'}]});
  await until('the third is answered', () => stream.answers.get('5').length === 3);
  assert.equal(resultOf(stream.answers.get('5')[2]), 'third');
  assert.equal(agent.calls.length, 2);
});

claim('a cancel of an unknown, answered or cancelled id is ignored', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', silent);
  const stream = tw.caller().dispatch();
  stream.send({calls: [{id: 1, userId: 'user_1', tool: 'slow'}, {id: 2, userId: 'user_1', tool: 'slow'}]});
  await agent.called(2);
  stream.cancel(99, 1, 1);
  stream.cancel(1);
  assert.equal((await stream.answer(1)).reason, 'CALLER_CANCELLED');
  stream.cancel(1);
  agent.respond(agent.calls[1].requestId, {success: true});
  assert.equal((await stream.answer(2)).code, 0);
  stream.cancel(2);
  agent.answer = () => ({success: true});
  assert.equal((await stream.call('user_1', 'echo')).code, 0);
  assert.deepEqual([...stream.answers.values()].map((answers) => answers.length), [1, 1, 1]);
});

claimInBoth('closing the sending side lets the calls in flight finish, then the stream ends OK', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  const stream = tw.caller().dispatch();
  const calls = [stream.call('user_1', 'slow'), stream.call('user_1', 'slow')];
  stream.end();
  await agent.called(2);
  for (const {requestId} of agent.calls) agent.respond(requestId, {success: true, result: requestId});
  for (const one of calls) assert.equal((await one).code, 0);
  assert.equal((await stream.ended()).code, 0);
});

claimInBoth('breaking the stream cancels its calls, and only its', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', silent);
  const caller = tw.caller();
  const [broken, other] = [caller.dispatch(), caller.dispatch()];
  broken.send({calls: Array.from({length: 100}, (_, id) => ({id, userId: 'user_1', tool: 'slow'}))});
  const kept = other.call('user_1', 'slow', {}, {requestId: 'kept'});
  await agent.called(101);
  broken.break();
  await until('100 of 101 have ended', async () => (await tw.metric('toolwire_control_calls_in_flight')) === 1);
  agent.respond('kept', {success: true, result: 'kept'});
  assert.equal(resultOf(await kept), 'kept');
  await tw.idle();
  await until('one stream is left', async () => (await tw.metric('toolwire_control_streams')) === 1);
  const rows = await tw.auditRows(101);
  assert.equal(rows.filter(({error}) => error === 'CALLER_CANCELLED').length, 100);
});

claim('a stream without a call ends OK when its sending side is closed', async (scope) => {
  const tw = await scope.toolwire();
  const stream = tw.caller().dispatch();
  stream.end();
  assert.equal((await stream.ended()).code, 0);
  assert.equal(stream.answers.size, 0);
});
