// What strangers and hostile agents cost the others on the agents' port and on the links' port.
import assert from 'node:assert/strict';
import {claim} from './lib/toolwire.js';

claim('/metrics shows the counts to everybody, and the users only to the networks that the option names', async (scope) => {
  const metrics = async (flags) => {
    const tw = await scope.toolwire({topology: 'split', flags});
    await tw.agent('user_1');
    const {status, body} = await tw.http('/metrics');
    assert.equal(status, 200);
    return JSON.parse(body);
  };
  const stranger = await metrics({'user-list-networks': 'none'});
  assert.equal(stranger.connections, 1);
  assert.equal(stranger.connectedUsers, undefined);
  assert.deepEqual(Object.keys(stranger), ['serverId', 'connections', 'uptime', 'memory']);
  const known = await metrics({'user-list-networks': '10.0.0.0/8'});
  assert.deepEqual(known.connectedUsers, ['user_1'], 'loopback may see them');
  assert.deepEqual(Object.keys(known), ['serverId', 'connections', 'connectedUsers', 'uptime', 'memory']);
});
