// The ports of an edge while open files run out, and while it stops under connects.
import assert from 'node:assert/strict';
import net from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import {claim, get} from './lib/toolwire.js';
import {until} from './lib/until.js';

// Sockets that are connected, or about to be, and send nothing.
function silentSockets(scope, port, count) {
  return Array.from({length: count}, () => {
    const socket = scope.own(net.connect(port, '127.0.0.1'));
    return socket.on('error', () => {}).resume();
  });
}

claim('an edge that ran out of open files serves again when they are free, and says how often it could not', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', edgeOptions: {openFiles: 256}});
  const agent = await tw.agent('user_1');
  const sockets = silentSockets(scope, tw.ports.agents, 240);
  await tw.edge.saw('out of file descriptors');
  await agent.roundTrip();
  for (const socket of sockets) socket.destroy();
  await until('it answers again', async () => (await tw.http('/health')).status === 200);
  assert.ok((await tw.metric('toolwire_edge_accept_errors_total')) > 0);
  assert.equal(tw.edge.logged('out of file descriptors').length, 1, 'once for a spell');
  await tw.stop();
});

claim('an edge that ran out of open files still shows its metrics', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', edgeOptions: {openFiles: 256}});
  const sockets = silentSockets(scope, tw.ports.agents, 240);
  await tw.edge.saw('out of file descriptors');
  for (let i = 0; i < 5; ++i) {
    const {status, body} = await get(tw.ports.metrics[0], '/metrics');
    assert.equal(status, 200);
    assert.match(body, /^toolwire_edge_accept_errors_total [1-9]/m);
    assert.match(body, /^process_open_fds 2[0-9][0-9]$/m);
  }
  for (const socket of sockets) socket.destroy();
  await tw.stop();
});

claim('an edge that ran out of open files stops in order though nobody connects any more', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', edgeOptions: {openFiles: 256}});
  const agent = await tw.agent('user_1');
  const sockets = silentSockets(scope, tw.ports.agents, 240);
  await tw.edge.saw('out of file descriptors');
  const refused = () => sockets.filter((socket) => socket.closed).length;
  for (let before = -1; before !== refused();) {  // Until no peer is left in the kernel's queue.
    before = refused();
    await sleep(300);
  }
  for (const socket of sockets) socket.destroy();
  await tw.stop();
  assert.equal((await agent.closed()).code, 1001);
});

for (const port of ['agents', 'relay']) {
  claim(`an edge that is stopped under connects to its ${port} port closes its agents' sockets and ends in order`, async (scope) => {
    for (let round = 0; round < 4; round++) {
      const tw = await scope.toolwire({topology: 'split'});
      const agent = await tw.agent('user_1');
      const sockets = silentSockets(scope, tw.ports[port], 200);
      tw.edge.signal('SIGTERM');
      await tw.edge.stop();
      assert.equal((await agent.closed()).code, 1001, `round ${round}`);
      for (const socket of sockets) socket.destroy();
      await tw.stop();
    }
  });
}
