// How long a call waits for its agent, by a clock that the test moves.
import assert from 'node:assert/strict';
import {createRequire} from 'node:module';
import {mock} from 'node:test';
import {claim} from './lib.js';

const {AgentWaiters} = createRequire(import.meta.url)('../dist/waiters.js');

// A wait of one second that is the sixth of its call, and so pauses for 1.6 s.
function sixthWait(scope) {
  mock.timers.enable({apis: ['setTimeout']});
  scope.own({close: () => mock.timers.reset()});
  let follower;
  const waiters = new AgentWaiters({follow: (_userId, one) => {
    follower = one;
    return () => {};
  }});
  const told = [];
  const end = waiters.wait('user_1', 1_000, 5, (connected) => told.push(connected));
  return {waiters, told, end, comes: () => follower.state('user_1', {})};
}

claim('a call whose agent comes late in its wait pauses until the end of the wait, and no longer', async (scope) => {
  const wait = sixthWait(scope);
  mock.timers.tick(900);
  wait.comes();
  mock.timers.tick(99);
  assert.deepEqual(wait.told, [], 'it pauses');
  mock.timers.tick(1);
  assert.deepEqual(wait.told, [true], 'it is tried while there is time');
  mock.timers.tick(10_000);
  assert.deepEqual(wait.told, [true]);
});

claim('a wait that is ended while it pauses is told so at once, and nothing later', async (scope) => {
  for (const way of ['end', 'close']) {
    const wait = sixthWait(scope);
    wait.comes();
    if (way === 'end') wait.end();
    else wait.waiters.close();
    assert.deepEqual(wait.told, [false]);
    mock.timers.tick(10_000);
    assert.deepEqual(wait.told, [false]);
    mock.timers.reset();
  }
});
