// The routes as programs use them: shapes and statuses.
import assert from 'node:assert/strict';
import {claim} from '../../../tests/functional/lib/toolwire.js';
import {until} from '../../../tests/functional/lib/until.js';
import {Site} from './lib/site.js';

const bodyOf = async (response) => ({status: response.status, ...(await response.json())});
const execute = (visitor, body, ...more) => visitor.post('/api/tools/execute', body, ...more);

claim('nobody gets anywhere without a login: 401', async (scope) => {
  const site = await Site.start(scope);
  for (const where of ['/api/agent/status', '/api/agent/events', '/api/history']) {
    for (const cookie of ['', 'session=ada~99999999999~forged']) {
      const {status, success} = await bodyOf(await fetch(site.url + where, {headers: {cookie}}));
      assert.deepEqual([status, success], [401, false], where);
    }
  }
  for (const where of ['/api/tools/execute', '/api/agent/install']) {
    assert.equal((await site.post(where, {tool: 'echo'})).status, 401, where);
  }
  const refused = await site.post('/api/login', new URLSearchParams({name: '../etc'}));
  assert.deepEqual([refused.status, refused.headers.get('location'), refused.headers.getSetCookie()], [303, '/?problem=name', []]);
  const [cookie] = (await site.post('/api/login', new URLSearchParams({name: 'ada'}))).headers.getSetCookie();
  assert.match(cookie, /HttpOnly/i);
  assert.match(cookie, /SameSite=lax/i);
});

claim('what another site sends in a user\'s name is refused: 403', async (scope) => {
  const site = await Site.start(scope);
  const ada = await site.visitor('ada');
  for (const where of ['/api/tools/execute', '/api/agent/install', '/api/login', '/api/logout']) {
    for (const headers of [{'sec-fetch-site': 'cross-site'}, {'sec-fetch-site': 'same-site'}, {origin: 'https://evil.example'}, {origin: 'null'}]) {
      assert.equal((await ada.post(where, {tool: 'echo'}, headers)).status, 403, `${where} ${JSON.stringify(headers)}`);
    }
  }
  assert.equal((await ada.post('/api/agent/install', {}, {origin: site.url})).status, 200);
});

claim('a body that is wrong is a 400 that names the field', async (scope) => {
  const site = await Site.start(scope);
  const ada = await site.visitor('ada');
  for (const [body, field] of [
    [{}, 'tool'], [{tool: ''}, 'tool'], [{tool: 7}, 'tool'], [{tool: 'x'.repeat(257)}, 'tool'], [{tool: 'echo', params: [1]}, 'params'],
    [{tool: 'echo', params: 'text'}, 'params'], [{tool: 'echo', params: null}, 'params'], [{tool: 'echo', timeout: 0}, 'timeout'],
    [{tool: 'echo', timeout: '1'}, 'timeout'], [{tool: 'echo', timeout: 1.5}, 'timeout'], ['not JSON', 'body'], [[], 'body'],
    [{tool: 'echo', params: {long: 'x'.repeat(17 << 20)}}, 'body'],
  ]) {
    const answer = await bodyOf(await execute(ada, body));
    assert.deepEqual([answer.status, answer.success, answer.field], [400, false, field], JSON.stringify(body).slice(0, 80));
    assert.equal(typeof answer.error, 'string');
  }
  assert.equal((await ada.post('/api/agent/install', {platform: 'amiga'})).status, 400);
});

claim('without an agent a call is a 503 at once, and the status says so', async (scope) => {
  const site = await Site.start(scope);
  const ada = await site.visitor('ada');
  const {status, error, reason, delivery, success} = await bodyOf(await execute(ada, {tool: 'echo', timeout: 3_600_000}));
  assert.deepEqual([status, error, reason, delivery, success], [503, 'Agent not connected', 'AGENT_NOT_CONNECTED', 'NOT_SENT', false]);
  assert.deepEqual(await bodyOf(await ada.get('/api/agent/status')), {status: 200, connected: false, serverId: null, connectedAt: null});
});

claim('install, status, results, tool errors and time-outs have the shapes they had', async (scope) => {
  const site = await Site.start(scope);
  const ada = await site.visitor('ada');
  const made = await bodyOf(await ada.post('/api/agent/install', {platform: 'linux'}));
  assert.equal(made.userId, 'ada');
  assert.match(made.sharedSecret, /^[0-9a-f]{64}$/);
  assert.equal(made.websocketUrl, site.tw.url());
  assert.ok(made.command.includes(made.sharedSecret) && made.command.includes(made.websocketUrl));
  await site.startAgent(made.command, await site.files());
  const status = await until('it is connected', async () => {
    const answer = await bodyOf(await ada.get('/api/agent/status'));
    return answer.connected && answer;
  });
  assert.equal(status.serverId, 'dev');
  assert.ok(Math.abs(Date.parse(status.connectedAt) - Date.now()) < 60_000);

  const {requestId, executionTime, ...echoed} = await bodyOf(await execute(ada, {tool: 'echo', params: {a: 1}}));
  assert.deepEqual(echoed, {status: 200, success: true, result: {a: 1}, error: null});
  assert.ok(requestId && executionTime >= 0);
  const failed = await bodyOf(await execute(ada, {tool: 'read_file', params: {path: 'missing'}}));
  assert.deepEqual([failed.status, failed.success, failed.result], [200, false, null]);
  assert.match(failed.error, /no such file/);
  const late = await bodyOf(await execute(ada, {tool: 'sleep', params: {ms: 60_000}, timeout: 300}));
  assert.deepEqual([late.status, late.error, late.reason, late.delivery], [504, 'Tool call timed out', 'CALL_TIMEOUT', 'SENT']);

  const again = await bodyOf(await ada.post('/api/agent/install', {platform: 'win32'}));
  assert.notEqual(again.sharedSecret, made.sharedSecret);
  assert.match(again.command, /^\$env:TOOLWIRE_SECRET=/);
  await until('the computer with the old secret is out', async () => !(await (await ada.get('/api/agent/status')).json()).connected);
});

claim('who hangs up cancels: the call is gone from every server', async (scope) => {
  const site = await Site.start(scope);
  const ada = await site.visitor('ada');
  const {command} = await (await ada.post('/api/agent/install', {})).json();
  await site.startAgent(command, await site.files());
  await until('it is connected', async () => (await (await ada.get('/api/agent/status')).json()).connected);
  const hangUp = new AbortController();
  const call = execute(ada, {tool: 'sleep', params: {ms: 3_000_000}, timeout: 3_600_000}, {}, {signal: hangUp.signal});
  await until('it runs', async () => (await site.tw.metric('toolwire_edge_calls_in_flight')) === 1);
  hangUp.abort();
  await assert.rejects(call, {name: 'AbortError'});
  await site.tw.idle();
  const [row] = await site.tw.auditRows(1, 'ada');
  assert.equal(row.error, 'CALLER_CANCELLED');
});

claim('the history is everyone\'s own, newest first, a page at a time', async (scope) => {
  const site = await Site.start(scope);
  const [ada, bob] = [await site.visitor('ada'), await site.visitor('bob')];
  for (let i = 0; i < 45; ++i) await execute(ada, {tool: 'echo', params: {i}});
  await execute(bob, {tool: 'secret_tool'});
  await site.tw.auditRows(45, 'ada');
  await site.tw.auditRows(1, 'bob');
  const seen = [];
  let pages = 0;
  for (let next = ''; next !== null; ++pages) {
    const page = await (await ada.get(`/api/history${next && `?after=${encodeURIComponent(next)}`}`)).json();
    seen.push(...page.calls);
    next = page.next;
  }
  assert.equal(pages, 3);
  assert.deepEqual(seen.map(({params}) => params.i), Array.from({length: 45}, (_, i) => 44 - i));
  assert.equal(new Set(seen.map(({requestId}) => requestId)).size, 45);
  const {at, requestId, ...row} = seen[0];
  assert.deepEqual(row, {tool: 'echo', params: {i: 44}, success: false, error: 'AGENT_NOT_CONNECTED', executionTime: null});
  assert.ok(requestId && Math.abs(Date.parse(at) - Date.now()) < 60_000);
  const others = await (await bob.get('/api/history')).json();
  assert.deepEqual(others.calls.map(({tool}) => tool), ['secret_tool']);
  assert.equal((await bodyOf(await ada.get('/api/history?after=nonsense'))).status, 400);
});

claim('events: the state at once, then each change, until the browser goes', async (scope) => {
  const site = await Site.start(scope);
  const ada = await site.visitor('ada');
  const {command} = await (await ada.post('/api/agent/install', {})).json();
  const response = await ada.get('/api/agent/events');
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  const states = [];
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const reading = (async () => {
    let text = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      states.splice(0, states.length, ...[...text.matchAll(/event: agent\ndata: (.*)\n\n/g)].map(([, data]) => JSON.parse(data)));
    }
  })();
  await until('the first state', () => states.length === 1);
  assert.deepEqual(states[0], {connected: false, serverId: null, connectedAt: null});
  const agent = await site.startAgent(command, await site.files());
  await until('connected', () => states.length === 2 && states[1].connected && states[1].serverId === 'dev');
  await agent.kill();
  await until('disconnected', () => states.length === 3 && !states[2].connected);
  const streams = () => site.tw.metric('toolwire_control_streams');
  const watched = await streams();
  await reader.cancel();
  await reading;
  await until('nobody watches any more', async () => (await streams()) === watched - 1);
});
