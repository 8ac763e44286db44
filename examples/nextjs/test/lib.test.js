// The application's own modules, without a browser or a server.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {claim} from '../../../tests/functional/lib/toolwire.js';
import {compiled} from './lib/compiled.js';

const PROTO = new URL('../../../proto/toolwire/v1/tool.proto', import.meta.url);

// What the proto's comments say of each reason: [{reason, deliveries, http}].
async function reasons() {
  const [, body] = (await readFile(PROTO, 'utf8')).match(/enum Reason \{([^}]*)\}/);
  const found = [...body.replaceAll(/\s*\/\/ ?/g, ' ').matchAll(/([^;]*?)([A-Z_]+) = (\d+);/g)];
  return found
    .filter(([, , , number]) => number !== '0')
    .map(([, comment, reason]) => ({
      reason,
      deliveries: [...new Set(comment.match(/\b(NOT_SENT|SENT)\b/g))],
      http: Number(comment.match(/HTTP (\d+)/)[1]),
    }));
}

claim('every reason has one of the five statuses, its own where that is one of them', async (scope) => {
  const {statusOf} = (await compiled(scope))('outcomes');
  const all = await reasons();
  assert.ok(all.length >= 9, 'the proto was read');
  for (const {reason, http} of all) {
    const expected = {401: 500, 403: 500, 409: 400, 429: 503, 499: 500, 502: 500}[http] ?? http;
    assert.equal(statusOf(reason), expected, reason);
  }
  assert.equal(statusOf('SOMETHING_NEW'), 500);
});

claim('every reason with every delivery has a sentence of its own, which says whether the tool may have run', async (scope) => {
  const {errorText, sentence} = (await compiled(scope))('outcomes');
  const sentences = new Set();
  const all = [...(await reasons()), {reason: '', deliveries: ['SENT', 'NOT_SENT', undefined]}];
  for (const {reason, deliveries} of all) {
    assert.ok(deliveries.length > 0, `${reason}: the proto was read`);
    for (const delivery of deliveries) {
      const said = sentence(reason, delivery);
      assert.match(said, delivery === 'NOT_SENT' ? /nothing was run|not run/i : /may/, `${reason} ${delivery}`);
      assert.ok(!sentences.has(said), `${reason} ${delivery} has a sentence of its own`);
      sentences.add(said);
    }
  }
  assert.equal(sentence('SOMETHING_NEW', 'SENT'), sentence('', 'SENT'));
  assert.match(sentence('AGENT_NOT_CONNECTED', 'SENT'), /may have run/, 'delivery is believed before the reason');
  assert.match(sentence('INVALID_REQUEST', 'NOT_SENT', 'params'), /“params”/);
  assert.equal(errorText('CALL_TIMEOUT'), 'Tool call timed out');
  assert.equal(errorText('AGENT_NOT_CONNECTED'), 'Agent not connected');
});

claim('a session is believed as long as it lasts, and only as it was made', async (scope) => {
  const {makeSession, readSession, SESSION_SECONDS, userIdOf} = (await compiled(scope))('session');
  const before = process.env.SESSION_SECRET;
  try {
    process.env.SESSION_SECRET = 'one';
    const now = 1_800_000_000_000;
    const cookie = makeSession('ada', now);
    assert.equal(readSession(cookie, now), 'ada');
    assert.equal(readSession(cookie, now + SESSION_SECONDS * 1000 - 1), 'ada');
    assert.equal(readSession(cookie, now + SESSION_SECONDS * 1000), undefined);
    const [user, expiry, signature] = cookie.split('~');
    for (const forged of [
      undefined, '', 'ada', '~~', `bob~${expiry}~${signature}`, `${user}~${Number(expiry) + 1}~${signature}`, `${user}~${expiry}~`,
      `${user}~${expiry}~${signature}x`, `${user}~${expiry}~${signature}~`, `${user}~${expiry}~${'A'.repeat(signature.length)}`,
    ]) {
      assert.equal(readSession(forged, now), undefined, `${forged}`);
    }
    process.env.SESSION_SECRET = 'another';
    assert.equal(readSession(cookie, now), undefined);
  } finally {
    if (before === undefined) delete process.env.SESSION_SECRET;
    else process.env.SESSION_SECRET = before;
  }
  assert.equal(userIdOf(' ada.lovelace-1815_ '), 'ada.lovelace-1815_');
  for (const none of ['', ' ', '.ada', '-rf', 'a b', 'a~b', "a'b", 'a;b', '$(id)', 'ä', 'x'.repeat(65), null, 7]) {
    assert.equal(userIdOf(none), undefined, `${none}`);
  }
});

claim('what is typed as parameters is a JSON object, or a sentence says where it is not', async (scope) => {
  const {parseParams} = (await compiled(scope))('tools');
  assert.deepEqual(parseParams('{"a": [1]}'), {ok: true, params: {a: [1]}});
  assert.deepEqual(parseParams(' \n'), {ok: true, params: {}});
  for (const [text, said] of [
    ['{"a": ', /too early/], ['{"a":\n x}', /line 2, column 2|missing/], ['[1]', /object/], ['null', /object/], ['"a"', /object/], ['7', /object/],
  ]) {
    assert.match(parseParams(text).problem, said, text);
  }
});

claim('a listing is shown as one only if all its entries are entries', async (scope) => {
  const {entriesOf} = (await compiled(scope))('listing');
  const entries = [{name: 'a', type: 'file', size: 3}, {name: 'b', type: 'directory'}];
  assert.deepEqual(entriesOf({path: '.', entries}), entries);
  assert.deepEqual(entriesOf({entries: []}), []);
  for (const wrong of [null, 5, [], {}, {entries: null}, {entries: {}}]) assert.equal(entriesOf(wrong), undefined, JSON.stringify(wrong));
  for (const entry of [null, 5, 'a', [], {}, {name: 5, type: 'file'}, {name: 'a', type: null}, {name: 'a', type: 'file', size: '3'}, {name: 'a', type: 'file', size: null}]) {
    assert.equal(entriesOf({entries: [...entries, entry]}), undefined, JSON.stringify(entry));
  }
});
