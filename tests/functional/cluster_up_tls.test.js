// scripts/cluster up --tls: real calls go through it, and nothing in it is to be had without TLS.
import assert from 'node:assert/strict';
import {chmod, readFile, stat} from 'node:fs/promises';
import path from 'node:path';
import {code, RPCS} from './lib/caller.js';
import {clusterClaim} from './lib/cluster.js';
import {REPOSITORY, binary, output, run} from './lib/process.js';
import {answerTo, connectTls, refusal} from './lib/tls.js';
import {statusOf} from './lib/tokens.js';
import {linesOf} from './lib/toolwire.js';
import {until} from './lib/until.js';

const LIST_AGENTS = RPCS.find(({name}) => name === 'ListAgents');
// What a peer says first that knows nothing of TLS.
const HTTP = 'GET /health HTTP/1.1\r\nHost: a\r\n\r\n';
const HTTP2 = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0';
const POSTGRES = Buffer.concat([Buffer.from([0, 0, 0, 23, 0, 3, 0, 0]), Buffer.from('user\0toolwire\0\0')]);

// The cluster as a script's user has it: what was printed, and the ports of each kind.
async function up(scope) {
  const parent = await scope.directory();
  await chmod(parent, 0o711);  // PostgreSQL's own user must pass.
  const dir = path.join(parent, 'cluster');
  const env = {TOOLWIRE_CLUSTER_DIR: dir, TOOLWIRE_BIN_DIR: path.dirname(binary('toolwire-edge'))};
  const cluster = (...args) => output(path.join(REPOSITORY, 'scripts/cluster'), args, {env});
  scope.own({stop: () => cluster('down')});
  const shown = await cluster('up', '--tls');
  const ports = (pattern) => [...shown.matchAll(pattern)].map(([, port]) => Number(port));
  const logs = await Promise.all(['edge-1', 'edge-2'].map(async (name) =>
    linesOf(await readFile(path.join(dir, `${name}.log`), 'utf8')).find(({event}) => event === 'edge ready')));
  return {
    dir, shown, ca: await readFile(path.join(dir, 'tls/ca.crt')), token: (await readFile(path.join(dir, 'tls/token'), 'utf8')).trim(),
    databaseUrl: shown.match(/^DATABASE_URL=(.*)$/m)[1],
    agents: ports(/agents +wss:\/\/127\.0\.0\.1:(\d+)/g), callers: ports(/callers +127\.0\.0\.1:(\d+)/g),
    links: logs.map(({relay}) => relay), redis: ports(/^REDIS_URL=rediss:\/\/127\.0\.0\.1:(\d+)$/gm),
    postgres: ports(/^DATABASE_URL=postgresql:\/\/\S+:(\d+)\//gm),
  };
}

clusterClaim('scripts/cluster up --tls answers calls of whoever has its CA and its token, and nobody without TLS', async (scope) => {
  const tls = await up(scope);
  assert.deepEqual([tls.agents, tls.callers, tls.links, tls.redis, tls.postgres].map(({length}) => length), [2, 2, 2, 1, 1], tls.shown);

  const secret = (await output('toolwire', ['credentials', 'create', 'me', '--database-url', tls.databaseUrl])).trim();
  const agent = scope.process('toolwire', ['agent', '--url', `wss://127.0.0.1:${tls.agents[0]}`, '--ca', path.join(tls.dir, 'tls/ca.crt'), '--user', 'me'],
    {env: {TOOLWIRE_SECRET: secret}});
  const access = ['--ca', path.join(tls.dir, 'tls/ca.crt'), '--token-file', path.join(tls.dir, 'tls/token')];
  for (const port of tls.callers) {
    await until(`the control at ${port} reaches the agent`, async () => {
      assert.equal(agent.ended, undefined);
      const {code: status, stdout} = await run('toolwire', ['call', '--address', `127.0.0.1:${port}`, ...access, 'me', 'echo', '{"a":1}']);
      return status === 0 && /"a": ?1/.test(stdout);
    });
    assert.equal((await statusOf(port, LIST_AGENTS, undefined, undefined, tls.ca)).code, code.UNAUTHENTICATED);
    assert.equal((await statusOf(port, LIST_AGENTS, tls.token, undefined, tls.ca)).code, code.OK);
  }

  for (const port of [...tls.agents, ...tls.callers, ...tls.links]) {
    for (const bytes of [HTTP, HTTP2]) assert.equal((await answerTo(scope, port, bytes)).length, 0, `port ${port} answers without TLS`);
  }
  // Links are for controls alone.
  for (const port of tls.links) await assert.rejects(async () => {
    const socket = await connectTls(scope, port, {ca: tls.ca, checkServerIdentity: () => undefined});
    await new Promise((resolve, reject) => socket.on('error', reject).on('close', () => reject(new Error('closed'))).on('data', resolve));
  });
  // Node.js's word for a CA that it does not have; which one depends on whether the chain is sent with it.
  assert.match(await refusal(scope, tls.agents[0], {}), /^(UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN)$/);
  for (const port of tls.redis) assert.doesNotMatch(String(await answerTo(scope, port, 'PING\r\n')), /PONG|NOAUTH|ERR/);
  for (const port of tls.postgres) assert.match(String(await answerTo(scope, port, POSTGRES)), /^E.*no encryption/s);
  for (const name of ['tls/ca.key', 'tls/token', 'tls/tokens', 'tls/agents.key']) {
    assert.equal((await stat(path.join(tls.dir, name))).mode & 0o077, 0, name);
  }
});
