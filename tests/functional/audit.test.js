// Every call leaves exactly one audit row, whatever became of it.
import assert from 'node:assert/strict';
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import {toStruct} from './lib/caller.js';
import {output, testTls} from './lib/process.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until} from './lib/until.js';

// The name of the token that all show, where tokens are asked for.
const CALLER = testTls ? 'test' : null;

const rowsById = (rows) => {
  const ids = rows.map(({requestId}) => requestId);
  assert.equal(new Set(ids).size, ids.length, `no row twice: ${ids.sort()}`);
  return Object.fromEntries(rows.map((row) => [row.requestId, row]));
};

claimInBoth('one row for every outcome, with what was asked, what came of it and how long it took', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'agent-calls-max': 3}});
  const agent = await tw.agent('user_1', {
    answer: ({tool, params}) => ({
      ok: {success: true, result: {got: params}, executionTime: 12},
      failing: {success: false, error: 'ENOENT', executionTime: 3},
    })[tool],
  });
  const caller = tw.caller();
  const stream = caller.dispatch();
  const before = Date.now();
  await caller.call('user_1', 'ok', {n: 1}, {requestId: 'ok'});
  await stream.call('user_1', 'ok', {n: 2}, {requestId: 'ok by stream'});
  await caller.start({userId: 'user_1', tool: 'ok', requestId: 'ok by Struct', params: toStruct({n: 3})}).outcome;
  await caller.call('user_1', 'failing', {}, {requestId: 'failing'});
  await caller.call('nobody', 'ok', {}, {requestId: 'not connected'});
  await caller.call('user_1', 'ok', '[]', {requestId: 'wrong params'});
  await stream.call('user_1', '', {}, {requestId: 'no tool'});
  await caller.call('user_1', 'slow', {}, {requestId: 'timeout', timeoutMs: 1000});
  stream.send({calls: [{id: 1, userId: 'user_1', tool: 'slow', requestId: 'cancelled'}]});
  await until('it is sent', () => agent.calls.some(({requestId}) => requestId === 'cancelled'));
  stream.cancel(1);
  await stream.answer(1);
  const running = ['lost 1', 'lost 2', 'lost 3'].map((requestId) => caller.call('user_1', 'slow', {}, {requestId}));
  await until('they are sent', () => agent.calls.filter(({requestId}) => requestId.startsWith('lost')).length === 3);
  await caller.call('user_1', 'ok', {}, {requestId: 'busy'});
  assert.equal((await stream.call('user_1', 'slow', {}, {requestId: 'lost 1'})).reason, 'DUPLICATE_REQUEST');
  agent.destroy();
  await Promise.all(running);
  await tw.stop();

  const rows = await tw.audit();
  const duplicate = rows.filter(({requestId, error}) => requestId === 'lost 1' && error === 'DUPLICATE_REQUEST');
  assert.equal(duplicate.length, 1);
  const byId = rowsById(rows.filter((row) => row !== duplicate[0]));
  const expected = {
    'ok': [true, ''], 'ok by stream': [true, ''], 'ok by Struct': [true, ''], 'failing': [false, 'ENOENT'],
    'not connected': [false, 'AGENT_NOT_CONNECTED'], 'wrong params': [false, 'INVALID_REQUEST'], 'no tool': [false, 'INVALID_REQUEST'],
    'timeout': [false, 'CALL_TIMEOUT'], 'cancelled': [false, 'CALLER_CANCELLED'], 'busy': [false, 'AGENT_BUSY'],
    'lost 1': [false, 'AGENT_LOST'], 'lost 2': [false, 'AGENT_LOST'], 'lost 3': [false, 'AGENT_LOST'],
  };
  assert.deepEqual(Object.fromEntries(Object.entries(byId).map(([id, {success, error}]) => [id, [success, error]])), expected);
  const {at, ...ok} = byId.ok;
  assert.deepEqual(ok, {
    userId: 'user_1', requestId: 'ok', tool: 'ok', success: true, error: '', params: '{"n":1}', result: '{"got":{"n":1}}',
    executionTimeMs: 12, caller: CALLER,
  });
  assert.ok(at >= before - 1 && at <= Date.now() + 1);
  assert.deepEqual(JSON.parse(byId['ok by Struct'].params), {n: 3});
  assert.equal(byId.failing.executionTimeMs, 3);
  assert.equal(byId.timeout.executionTimeMs, null);
});

claim('text that databases refuse is kept in a safe form: NUL, lone surrogates, SQL, numbers past all bounds', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1', {
    answer: ({requestId, tool}, agent) => agent.sendText(
      tool === 'failing'
        ? `{"type":"tool_response","requestId":${JSON.stringify(requestId)},"success":false,"error":"a\\u0000b \\ud800"}`
        : `{"type":"tool_response","requestId":${JSON.stringify(requestId)},"success":true,"result":{"x":"\\u0000","n":1e999999}}`),
  });
  const caller = tw.caller();
  const odd = {
    'nul': '{"a":"x\\u0000y"}', 'surrogate': '{"a":"\\udfff"}', 'number': '{"a":1e999999}',
    "sql'); DROP TABLE tool_execution_logs; --": '{"a":"\'; DROP TABLE tool_execution_logs; --"}',
  };
  for (const [requestId, params] of Object.entries(odd)) assert.equal((await caller.call('user_1', 'any', params, {requestId})).code, 0);
  await caller.call('user_1', 'failing', {}, {requestId: 'failing'});
  await caller.call('nobody\u0000', 'to\u0000ol', {}, {requestId: 'nul\u0000names'});
  await tw.stop();
  const rows = await tw.audit();
  assert.equal(rows.length, Object.keys(odd).length + 2);
  for (const json of rows.flatMap(({params, result}) => [params, result]).filter(Boolean)) {
    const parsed = JSON.parse(json);
    if (parsed.toolwire_truncated) assert.ok(!parsed.prefix.includes('\u0000'), json);
    else assert.doesNotMatch(json, /\\u0000|\\ud[89a-f]|1e999999/i);
  }
  const byId = Object.fromEntries(rows.map((row) => [row.requestId, row]));
  assert.equal(JSON.parse(byId.nul.params).toolwire_truncated, true, 'marked');
  assert.match(byId.failing.error, /^a.b /);
  assert.ok(byId["sql'); DROP TABLE tool_execution_logs; --"]);
});

claim('params and results over the audit limit are kept marked and shortened, at the limit whole', async (scope) => {
  const tw = await scope.toolwire({flags: {'audit-json-bytes-max': 1000}});
  await tw.agent('user_1');
  const caller = tw.caller();
  const ofSize = (bytes) => `{"a":"${'x'.repeat(bytes - 8)}"}`;
  await caller.call('user_1', 'echo', ofSize(1000), {requestId: 'whole'});
  await caller.call('user_1', 'echo', ofSize(1001), {requestId: 'cut'});
  await tw.stop();
  const {whole, cut} = rowsById(await tw.audit());
  assert.equal(whole.params, ofSize(1000));
  assert.equal(whole.result, ofSize(1000));
  for (const json of [cut.params, cut.result]) {
    assert.ok(json.length <= 1000);
    const marked = JSON.parse(json);
    assert.equal(marked.toolwire_truncated, true);
    assert.equal(marked.bytes, 1001);
    assert.ok(marked.prefix.startsWith('{"a":"xxx'));
  }
});

claimInBoth('rows of calls in flight are written before the server ends', async (scope, shape) => {
  const tw = await scope.toolwire({...shape, flags: {'drain-timeout': 100}});
  const agent = await tw.agent('user_1', {answer: () => undefined});
  const stream = tw.caller().dispatch();
  stream.send({calls: Array.from({length: 300}, (_, id) => ({id, userId: 'user_1', tool: 'slow', requestId: `r${id}`}))});
  await agent.called(300);
  await tw.stop();
  const rows = await tw.audit();
  assert.equal(rows.length, 300);
  rowsById(rows);
});

claimInBoth('kill -9 with calls answered and in flight: after the next start each has exactly one row, in flight CONTROL_LOST', async (scope, shape) => {
  const tw = await scope.toolwire(shape);
  const agent = await tw.agent('user_1', {
    answer: ({tool, params}) => (tool === 'quick' ? {success: true, result: params} : undefined),
  });
  const stream = tw.caller().dispatch();
  const quick = Array.from({length: 300}, (_, id) => ({id, userId: 'user_1', tool: 'quick', params: {id}, requestId: `quick ${id}`}));
  const slow = Array.from({length: 50}, (_, i) => ({id: 1000 + i, userId: 'user_1', tool: 'slow', params: {i}, requestId: `slow ${i}`}));
  const before = Date.now();
  stream.send({calls: slow});
  stream.send({calls: quick.slice(0, 250)});
  await agent.called(300);
  stream.send({calls: quick.slice(250)});
  for (const {id} of quick) assert.equal((await stream.answer(id)).code, 0);
  await tw.control.kill();
  const after = Date.now();

  const {ports, dataDir} = tw;
  const again = await scope.toolwire(
    shape.topology === 'dev' ? {dataDir} : {topology: 'control', edge: `127.0.0.1:${ports.relay}`, dataDir});
  await again.auditRows(350);
  assert.equal(await again.metric('toolwire_audit_spool_errors_total'), 0);
  await again.stop();
  const rows = await again.audit();
  assert.equal(rows.length, 350);
  const byId = rowsById(rows);
  for (const {requestId, params} of quick) {
    const row = byId[requestId];
    assert.deepEqual([row.success, row.error, row.result], [true, '', JSON.stringify(params)], requestId);
  }
  for (const {requestId, params} of slow) {
    const {success, error, at, ...row} = byId[requestId];
    assert.deepEqual([success, error], [false, 'CONTROL_LOST'], requestId);
    assert.deepEqual(row, {
      userId: 'user_1', requestId, tool: 'slow', params: JSON.stringify(params), result: '', executionTimeMs: null, caller: CALLER});
    assert.ok(at >= before - 1 && at <= after + 1, 'the time when it began');
  }
});

claim('of processes on one data directory one that lives on writes what a killed one leaves, and keeps its own', async (scope) => {
  const tw = await scope.toolwire({topology: 'split'});
  const agent = await tw.agent('user_1', {answer: () => undefined});
  const other = await scope.toolwire({topology: 'control', edge: `127.0.0.1:${tw.ports.relay}`, dataDir: tw.dataDir});
  await other.linked();
  const lost = tw.caller().call('user_1', 'slow', {}, {requestId: 'lost'});
  const kept = other.caller().call('user_1', 'slow', {}, {requestId: 'kept'});
  await agent.called(2);
  await tw.control.kill();
  await lost;
  const [row] = await other.auditRows(1);
  assert.deepEqual([row.requestId, row.error], ['lost', 'CONTROL_LOST']);
  other.ports.metrics.push(tw.ports.metrics[0]);  // The edge shares the directory, too.
  await until('it is counted', async () => (await other.metric('toolwire_audit_rows_recovered_total')) === 1);
  agent.respond('kept', {success: true, result: 1});
  assert.equal((await kept).code, 0);
  await other.stop();
  assert.deepEqual((await other.audit()).map(({requestId, error}) => [requestId, error]), [['lost', 'CONTROL_LOST'], ['kept', '']]);
});

claim('a spool that cannot be written fails no call, is counted and logged once', async (scope) => {
  const dataDir = await scope.directory();
  await writeFile(path.join(dataDir, 'spool'), 'a file where the directory should be');
  const tw = await scope.toolwire({dataDir});
  await tw.agent('user_1');
  const caller = tw.caller();
  for (let i = 0; i < 20; ++i) assert.equal((await caller.call('user_1', 'echo', {}, {requestId: `r${i}`})).code, 0);
  assert.equal(await tw.metric('toolwire_audit_spool_errors_total'), 40, 'the beginning and the row of each');
  await tw.control.saw('audit spool failed, rows wait in memory only');
  assert.equal(tw.control.logged('audit spool failed, rows wait in memory only').length, 1);
  await tw.stop();
  assert.equal((await tw.audit()).length, 20);
});

claim('`toolwire audit` shows the newest rows of one user, oldest first, as text and as JSON', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const caller = tw.caller();
  for (let i = 0; i < 5; ++i) await caller.call('user_1', 'echo', {}, {requestId: `r${i}`});
  await caller.call('user_2', 'echo', {}, {requestId: 'other'});
  await tw.stop();
  const newest = await output('toolwire', ['audit', 'user_1', '--limit', 3, '--json', '--data-dir', tw.dataDir]);
  assert.deepEqual(newest.trim().split('\n').map((line) => JSON.parse(line).requestId), ['r2', 'r3', 'r4']);
  const text = await output('toolwire', ['audit', '--data-dir', tw.dataDir]);
  assert.equal(text.trim().split('\n').length, 6);
  assert.match(text, /user_2\s+echo\s+failed: AGENT_NOT_CONNECTED/);
});
