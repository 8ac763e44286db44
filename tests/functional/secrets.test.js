// A secret is shown once, to the one who creates it, and nowhere else.
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {readdir, readFile, stat} from 'node:fs/promises';
import path from 'node:path';
import {run} from './lib/process.js';
import {claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

// Every file below `directory`, as one text.
async function contents(directory) {
  let all = '';
  for (const entry of await readdir(directory, {withFileTypes: true})) {
    const file = path.join(directory, entry.name);
    all += entry.isDirectory() ? await contents(file) : await readFile(file, 'latin1');
  }
  return all;
}

claim('no log line at any level, no answer and no file of the store holds a secret', async (scope) => {
  const tw = await scope.toolwire({topology: 'split', flags: {'log-level': 'debug'}});
  const secrets = [await tw.secret('user_1'), await tw.secret('user_2')];
  await tw.agent('user_1');
  const bearer = tw.dial('?userId=user_2', {headers: {Authorization: `Bearer ${secrets[1]}`}});
  await bearer.connected();
  const refused = [
    tw.dial(tw.loginQuery('user_1', secrets[1])), tw.dial(tw.loginQuery('nobody', secrets[0])), tw.dial(`?secret=${secrets[0]}`),
    tw.dial('', {headers: {Authorization: `Basic ${Buffer.from(`nobody:${secrets[1]}`).toString('base64')}`}}),
  ];
  const closes = await Promise.all(refused.map((agent) => agent.closed()));
  await tw.caller().call('user_1', 'echo');
  const told = [
    JSON.stringify(closes), (await tw.http('/health')).body, (await tw.http('/metrics')).body,
    JSON.stringify(await tw.credentials()), JSON.stringify(await tw.auditRows(1)),
  ].join('\n');
  const stored = await contents(tw.dataDir);
  await tw.stop();
  for (const [what, text] of Object.entries({'the log': tw.logText, 'an answer': told, 'the store': stored})) {
    for (const secret of secrets) assert.ok(!text.includes(secret), `${what} holds a secret`);
    for (const secret of secrets) assert.ok(!text.includes(secret.slice(0, 16)), `${what} holds a part of a secret`);
  }
  assert.ok(tw.logText.includes('login refused'), 'the log was on');
});

claim('the store keeps `sha256:` and the hash, in a file that only its owner reads', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user_1');
  assert.match(secret, /^[0-9a-f]{64}$/);
  const hash = createHash('sha256').update(secret).digest('hex');
  assert.ok((await contents(tw.dataDir)).includes(`sha256:${hash}`));
  for (const file of await readdir(tw.dataDir)) {
    assert.equal((await stat(path.join(tw.dataDir, file))).mode & 0o077, 0, `${file} is private`);
  }
});

claim('a credential is made once: a second one for the same user is refused and changes nothing', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user_1');
  const again = await run('toolwire', ['credentials', 'create', 'user_1', '--data-dir', tw.dataDir]);
  assert.notEqual(again.code, 0);
  assert.equal(again.stdout, '');
  assert.ok(again.stderr.length > 0);
  const agent = tw.dial(tw.loginQuery('user_1', secret));
  await agent.connected();
});

claim('a file of many secrets is private', async (scope) => {
  const tw = await scope.toolwire();
  const file = await tw.secrets('user_', 3);
  assert.equal((await stat(file)).mode & 0o077, 0);
  const lines = (await readFile(file, 'utf8')).trim().split('\n');
  assert.equal(lines.length, 3);
  for (const [i, line] of lines.entries()) assert.match(line, new RegExp(`^user_${i} [0-9a-f]{64}$`));
});

claim('the secret of `toolwire agent` is in neither its command line nor its log', async (scope) => {
  const tw = await scope.toolwire();
  const secret = await tw.secret('user_1');
  const agent = scope.process(
    'toolwire', ['agent', '--url', tw.url(), '--user', 'user_1', '--log-level', 'debug', '--log-format', 'json'],
    {env: {TOOLWIRE_SECRET: secret}});
  await until('it is connected', async () => JSON.parse((await tw.http('/health')).body).connections === 1);
  assert.ok(!(await readFile(`/proc/${agent.pid}/cmdline`, 'utf8')).includes(secret));
  await agent.stop();
  assert.ok(!agent.lines.join('\n').includes(secret));
});
