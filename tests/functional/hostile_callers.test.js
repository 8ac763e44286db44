// What one hostile caller costs the others: nothing that lasts, and bounded memory.
import assert from 'node:assert/strict';
import {setTimeout as pause} from 'node:timers/promises';
import {claim} from './lib/toolwire.js';

const silent = {answer: () => undefined};

claim('with all threads of gRPC: streams that are reset while their calls are started leave none in flight', async (scope) => {
  const tw = await scope.toolwire({flags: {'grpc-threads': 0}});
  await tw.agent('user_1', silent);
  const caller = tw.caller();
  const calls = Array.from({length: 2000}, (_, i) => ({id: i, userId: 'user_1', tool: 'slow'}));
  for (let round = 0; round < 40; ++round) {
    const stream = caller.dispatch();
    stream.send({calls});
    await pause(round % 20);
    stream.break();
    await stream.ended();
  }
  await tw.idle();
  assert.equal((await tw.caller().dispatch().call('user_2', 'any')).reason, 'AGENT_NOT_CONNECTED');
});
