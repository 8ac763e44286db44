// What strangers and hostile agents cost the others on the agents' port and on the links' port.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import net from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import tls from 'node:tls';
import {resultOf} from './lib/caller.js';
import {testTls} from './lib/process.js';
import {claim, metric} from './lib/toolwire.js';
import {until} from './lib/until.js';

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

claim('of the silent sockets of one address the oldest makes room, and others log in beside thousands of them', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'silent-per-address-max': 100, 'login-timeout': 60_000}});
  const silent = Array.from({length: 1000}, () => net.connect(tw.ports.agents, '127.0.0.1').on('error', () => {}));
  const closed = [];
  silent.forEach((socket, i) => socket.resume().on('close', () => closed.push(i)));
  const hits = () => tw.metric('toolwire_edge_limit_hits_total', {limit: 'silent_sockets'});
  await until('all but the share are closed', async () => {
    for (let i = 0; i < 10; ++i) silent.push(net.connect(tw.ports.agents, '127.0.0.1').on('error', () => {}));
    return (await hits()) >= 900 && closed.length >= 900;
  });
  for (let i = 0; i < 5; ++i) await tw.agent(`user_${i}`);
  silent.forEach((socket) => socket.destroy());
});

claim('answers of 16 MB to no call, in a loop, stay at their edge and end their session, and cost no other user a call', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'stray-bytes-per-minute-max': 640 << 20}});
  const other = await scope.toolwire({topology: 'control', edge: `127.0.0.1:${tw.ports.relay}`, dataDir: tw.dataDir});
  await other.linked();
  const victim = await tw.agent('victim', {answer: ({tool, params}) => (tool === 'slow' ? undefined : {success: true, result: params})});
  const slow = tw.caller().call('victim', 'slow', {}, {requestId: 'slow', timeoutMs: 240_000});
  await victim.called();
  const resident = () => readFile(`/proc/${tw.edge.pid}/statm`, 'utf8').then((text) => Number(text.split(' ')[1]) * 4096);
  const before = await resident();
  const controlBefore = await metric(other.ports.metrics[0], 'process_resident_memory_bytes');
  const attacker = await tw.agent('attacker');
  let most = before;
  const answer = JSON.stringify({type: 'tool_response', requestId: 'slow', success: true, result: 'x'.repeat(16_000_000)});
  const callers = [tw.caller(), other.caller()];
  for (let i = 0; !attacker.closeFrame; ++i) {
    attacker.sendText(answer);
    const outcome = await callers[i % 2].call('victim', 'echo', {i});
    assert.equal(outcome.code, 0, outcome.message);
    most = Math.max(most, await resident());
    await sleep(20);
  }
  assert.deepEqual(await attacker.closed(), {code: 1008, reason: 'Too many unmatched answers'});
  assert.ok(most - before < 250e6, `${Math.round((most - before) / 1e6)} MB more at the edge`);
  const controlMore = (await metric(other.ports.metrics[0], 'process_resident_memory_bytes')) - controlBefore;
  assert.ok(controlMore < 32e6, `${Math.round(controlMore / 1e6)} MB more at a control that has no call`);
  assert.equal(await tw.metric('toolwire_edge_stray_answers_fetched_total'), 0);
  victim.respond('slow', {success: true, result: 'of the right user'});
  assert.equal(resultOf(await slow), 'of the right user');
  await until('what nobody fetched is gone', async () => (await tw.metric('toolwire_edge_kept_stray_bytes')) === 0);
});

claim('a storm of logins from one address, far over its share, loses none', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'silent-per-address-max': 20}});
  await tw.secrets('user_', 300);
  const agents = await Promise.all(Array.from({length: 300}, (_, i) => tw.agent(`user_${i}`)));
  assert.equal(agents.length, 300);
  assert.equal(await tw.metric('toolwire_edge_sessions'), 300);
});

claim('agents whose heartbeats wait unread while the edge is stopped are not closed', async (scope) => {
  // More of them than the edge's loop reads at once.
  const tw = await scope.toolwire({topology: 'split', flags: {'heartbeat-interval': 500, 'heartbeat-timeout': 2500}});
  await tw.secrets('user_', 300);
  const agents = await Promise.all(Array.from({length: 300}, (_, i) => tw.agent(`user_${i}`)));
  const beats = setInterval(() => agents.forEach((agent) => agent.heartbeat()), 300);
  try {
    for (let i = 0; i < 3; ++i) {
      tw.edge.pause();
      await sleep(3000);
      tw.edge.resume();
      const before = await tw.metric('toolwire_edge_heartbeats_total');
      await until('it beats', async () => (await tw.metric('toolwire_edge_heartbeats_total')) > before + 600);
    }
  } finally {
    clearInterval(beats);
  }
  assert.equal(await tw.metric('toolwire_edge_heartbeat_timeouts_total'), 0);
});

claim('an agent that sends one large frame slowly is not silent', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'heartbeat-interval': 100, 'heartbeat-timeout': 600}});
  const agent = await tw.agent('user_1');
  const beat = Buffer.from(JSON.stringify({type: 'heartbeat', timestamp: 1, padding: 'x'.repeat(10_000)}));
  await agent.writeRaw(Buffer.from([0x81, 0xfe, beat.length >> 8, beat.length & 0xff, 0, 0, 0, 0]));
  for (let i = 0; i < 20; ++i) {
    await agent.writeRaw(beat.subarray(i * 100, (i + 1) * 100));
    await sleep(100);
  }
  await agent.writeRaw(beat.subarray(2000));
  await until('it beats', async () => (await tw.metric('toolwire_edge_heartbeats_total')) === 1);
  assert.equal(await tw.metric('toolwire_edge_heartbeat_timeouts_total'), 0);
});

const LINK_TLS = testTls && {
  ca: testTls.ca, cert: readFileSync(testTls.file('control.crt')), key: readFileSync(testTls.file('control.key')),
  checkServerIdentity: () => undefined,
};
// A connection to the links' port, of a control that says a hello and then nothing but that it lives.
let controls = 0;
function linkPeer(port, {silent = false} = {}) {
  const tcp = net.connect(port, '127.0.0.1').on('error', () => {});
  if (silent) return tcp.resume();
  const socket = testTls ? tls.connect({socket: tcp, ...LINK_TLS}).on('error', () => {}) : tcp;
  socket.resume();
  const text = (field, value) => Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), Buffer.from(value)]);
  const hello = Buffer.concat([text(1, 'control'), text(2, `start-${++controls}`)]);
  const word = Buffer.from([2, 0, 0, 0, 0x10, 0]);  // A record that acknowledges nothing.
  socket.write(Buffer.concat([Buffer.from('TWRELAY2'), Buffer.from([hello.length, 0, 0, 0]), hello]));
  const living = setInterval(() => socket.write(word), 1000);
  socket.on('close', () => clearInterval(living));
  return socket;
}

claim('strangers at the port of links keep no control out, and one address has its share of links', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'links-per-address-max': 20}});
  const hits = (limit) => tw.metric('toolwire_edge_limit_hits_total', limit);
  const silent = Array.from({length: 200}, () => linkPeer(tw.ports.relay, {silent: true}));
  await until('the oldest strangers are cut', async () => (await hits({limit: 'link_strangers'})) >= 136);
  const linked = Array.from({length: 19}, () => linkPeer(tw.ports.relay));
  await until('they are linked', async () => (await tw.metric('toolwire_edge_links')) === 20);
  const over = linkPeer(tw.ports.relay);
  await until('one too many', async () => (await hits({limit: 'address_links'})) === 1);
  over.destroy();
  linked[0].destroy();
  await until('its place is free', async () => (await tw.metric('toolwire_edge_links')) === 19);
  linked.push(linkPeer(tw.ports.relay));
  await until('the next has it', async () => (await tw.metric('toolwire_edge_links')) === 20);
  await tw.agent('user_1');
  assert.equal((await tw.caller().call('user_1', 'echo')).code, 0);
  [...silent, ...linked].forEach((socket) => socket.destroy());
});

claim('an edge has 1,024 links, and the next is refused', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'links-per-address-max': 1024}});
  const linked = [];
  while (linked.length < 1023) {
    while (linked.length < 1023 && linked.push(linkPeer(tw.ports.relay)) % 33 !== 0);
    await until('they are linked', async () => (await tw.metric('toolwire_edge_links')) === linked.length + 1);
  }
  linked.push(linkPeer(tw.ports.relay));
  await until('one too many', async () => (await tw.metric('toolwire_edge_limit_hits_total', {limit: 'links'})) === 1);
  assert.equal(await tw.metric('toolwire_edge_links'), 1024);
  linked.forEach((socket) => socket.destroy());
});
