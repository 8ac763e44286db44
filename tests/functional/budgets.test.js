// Callers' budgets: streams of calls, watches, unary calls and operators take nothing from each other.
import assert from 'node:assert/strict';
import {code} from './lib/caller.js';
import {claim} from './lib/toolwire.js';
import {TokensFile} from './lib/tokens.js';
import {until} from './lib/until.js';

const silent = {answer: () => undefined};
const hits = (tw, limit) => tw.metric('toolwire_control_limit_hits_total', {limit});
const full = {'caller-share-percent-max': 100};

claim('as many watches as there may be take no place of a stream of calls, a unary call or an operator', async (scope) => {
  const tw = await scope.toolwire({flags: {...full, 'watches-max': 20, 'streams-max': 1}});
  await tw.agent('user_1');
  const caller = tw.caller();
  const watches = Array.from({length: 20}, (_, i) => (i % 2 ? caller.watch(['user_1']) : caller.follow()));
  await until('they are open', async () => (await tw.metric('toolwire_control_watches')) === 20);
  const refused = await caller.watch().ended();
  assert.equal(refused.code, code.RESOURCE_EXHAUSTED);
  assert.match(refused.details, /--watches-max/);
  assert.equal((await caller.follow().ended()).code, code.RESOURCE_EXHAUSTED);
  assert.equal(await hits(tw, 'watches'), 2);
  assert.equal((await caller.dispatch().call('user_1', 'echo')).code, 0);
  assert.equal((await caller.call('user_1', 'echo')).code, 0);
  assert.equal((await caller.admin('ListCredentials')).credentials.length, 1);
  const [line] = tw.control.logged('caller refused, a limit is full');
  assert.deepEqual([line.limit, line.caller, line.open], ['--watches-max', 'ipv4:127.0.0.1', 20]);
  watches[0].stop();
  await until('its place is free', async () => (await tw.metric('toolwire_control_watches')) === 19);
  await caller.watch().snapshot();
});

claim('unary calls that wait are bounded, and what is past it is CALLER_BUSY, NOT_SENT', async (scope) => {
  const tw = await scope.toolwire({flags: {...full, 'unary-calls-max': 3}});
  const agent = await tw.agent('user_1', silent);
  const caller = tw.caller();
  const calls = [1, 2, 3].map(() => caller.call('user_1', 'slow'));
  await agent.called(3);
  const refused = await caller.call('user_1', 'slow');
  assert.deepEqual([refused.code, refused.reason, refused.delivery], [code.RESOURCE_EXHAUSTED, 'CALLER_BUSY', 'NOT_SENT']);
  assert.equal(await hits(tw, 'unary_calls'), 1);
  assert.equal(await tw.metric('toolwire_control_unary_calls'), 3);
  for (const {requestId} of agent.calls) agent.respond(requestId, {success: true});
  for (const call of calls) assert.equal((await call).code, 0);
  await until('their places are free', async () => (await tw.metric('toolwire_control_unary_calls')) === 0);
});

claim('one token has its share of each budget, and another one the rest', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const [much, other] = [tokens.add('much', 'call,read'), tokens.add('other', 'call,read')];
  const tw = await scope.toolwire({flags: {'tokens-file': tokens.path, 'streams-max': 4, 'caller-share-percent-max': 50}});
  await tw.agent('user_1');
  const caller = tw.caller(much);
  const open = [caller.dispatch(), caller.dispatch()];
  for (const stream of open) assert.equal((await stream.call('user_1', 'echo')).code, 0);
  const refused = await caller.dispatch().ended();
  assert.equal(refused.code, code.RESOURCE_EXHAUSTED);
  assert.match(refused.details, /--caller-share-percent-max/);
  assert.equal(await hits(tw, 'caller_share'), 1);
  assert.equal((await tw.caller(other).dispatch().call('user_1', 'echo')).code, 0);
  const [line] = tw.control.logged('caller refused, a limit is full');
  assert.equal(line.caller, 'much');
});
