// What the servers say of themselves: the replaced server's JSON, Prometheus samples, gRPC health.
import assert from 'node:assert/strict';
import net from 'node:net';
import {health} from './lib/caller.js';
import {claim, claimInBoth, get, metric} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

claim('/health is the JSON of the replaced server', async (scope) => {
  const tw = await scope.toolwire({flags: {'server-id': 'ws-server-1'}});
  await tw.agent('user_1');
  const {status, headers, body} = await tw.http('/health');
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^application\/json/);
  const {uptime, ...rest} = JSON.parse(body);
  assert.deepEqual(rest, {status: 'healthy', serverId: 'ws-server-1', connections: 1});
  assert.equal(typeof uptime, 'number');
  assert.ok(uptime >= 0 && uptime < 600, 'seconds since the start');
});

claim('/metrics is the JSON of the replaced server', async (scope) => {
  const tw = await scope.toolwire({flags: {'server-id': 'ws-server-1'}});
  await tw.agent('user_2');
  await tw.agent('user "1"');
  const {status, headers, body} = await tw.http('/metrics');
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^application\/json/);
  const {uptime, memory, ...rest} = JSON.parse(body);
  assert.deepEqual(
    {...rest, connectedUsers: rest.connectedUsers.sort()},
    {serverId: 'ws-server-1', connections: 2, connectedUsers: ['user "1"', 'user_2']});
  assert.equal(typeof uptime, 'number');
  assert.ok(memory.rss > 1_000_000, 'in bytes');
  for (const name of ['heapTotal', 'heapUsed']) assert.equal(typeof memory[name], 'number');
});

claim('connections are counted down when agents leave', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1');
  await agent.close();
  await until('no connection is counted', async () => JSON.parse((await tw.http('/health')).body).connections === 0);
  assert.deepEqual(JSON.parse((await tw.http('/metrics')).body).connectedUsers, []);
});

claim('queries do not matter, other paths are 404', async (scope) => {
  const tw = await scope.toolwire();
  assert.equal((await tw.http('/health?verbose=1')).status, 200);
  for (const path of ['/', '/healthz', '/health/', '/metrics/x', '/admin', '/%2e%2e/etc/passwd']) {
    assert.equal((await tw.http(path)).status, 404, path);
  }
});

claim('a request that is no HTTP is refused, and the edge goes on', async (scope) => {
  const tw = await scope.toolwire();
  for (const bytes of ['\u0000\u0001\u0002\r\n\r\n', 'HELLO\r\n\r\n', `GET /${'x'.repeat(200_000)} HTTP/1.1\r\n\r\n`]) {
    const socket = tw.connect();
    socket.on('error', () => {}).resume().write(bytes);
    await within('the socket is closed', new Promise((resolve) => socket.on('close', resolve)));
  }
  assert.equal((await tw.http('/health')).status, 200);
});

claimInBoth('the Prometheus endpoint has the gauges and counters of its process', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  await tw.agent('user_1');
  const caller = tw.caller();
  await caller.call('user_1', 'echo');
  await caller.call('nobody', 'echo');
  assert.equal(await tw.metric('toolwire_edge_sessions'), 1);
  assert.equal(await tw.metric('toolwire_edge_calls_answered_total'), 1);
  assert.equal(await tw.metric('toolwire_control_calls_total'), 2);
  assert.equal(await tw.metric('toolwire_control_calls_answered_total'), 1);
  assert.equal(await tw.metric('toolwire_control_calls_failed_total', {reason: 'AGENT_NOT_CONNECTED'}), 1);
  for (const port of tw.ports.metrics) {
    const {status, headers, body} = await get(port, '/metrics');
    assert.equal(status, 200);
    assert.match(headers['content-type'], /^text\/plain/);
    assert.match(body, /^# HELP process_resident_memory_bytes /m);
    assert.match(body, /^# TYPE process_cpu_seconds_total counter$/m);
  }
});

claimInBoth('half requests at the Prometheus port keep nobody else from scraping', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  for (const port of tw.ports.metrics) {
    const halves = Array.from({length: 100}, () => scope.own(net.connect(port, '127.0.0.1')));
    for (const socket of halves) socket.on('error', () => {}).write('GET /metrics HTTP/1.1\r\nHost: x\r\n');
    assert.equal((await get(port, '/metrics')).status, 200);
    await until('the oldest have gone', async () => (await metric(port, 'toolwire_metrics_limit_hits_total', {limit: 'scrape_connections'})) >= 36);
    assert.equal((await get(port, '/metrics')).status, 200);
  }
});

claimInBoth('the gRPC health service says SERVING, and NOT_SERVING while control drains', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', {answer: () => undefined});
  const caller = tw.caller();
  for (const service of ['', 'toolwire.v1.ToolDispatch']) assert.equal(await health(caller, service), 'SERVING');
  const call = caller.call('user_1', 'slow', {}, {requestId: 'running'});
  await agent.called();
  tw.control.signal('SIGTERM');
  await until('it says that it drains', async () => (await health(caller, 'toolwire.v1.ToolDispatch')) === 'NOT_SERVING');
  agent.respond('running', {success: true});
  assert.equal((await call).code, 0);
  await tw.stop();
});
