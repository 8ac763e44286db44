// A real HAProxy in front of the agents' port: its checks, and agents that come through it. Its checks of a control, whose
// callers come through it in callers_proxies.test.js.
import assert from 'node:assert/strict';
import {spawn, spawnSync} from 'node:child_process';
import {writeFile} from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import {resultOf} from './lib/caller.js';
import {testTls} from './lib/process.js';
import {freePort} from './lib/ports.js';
import {SeedAgent} from './lib/seed_agent.js';
import {claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

const HAPROXY = '/usr/sbin/haproxy';
const missing = testTls ? 'these are agents in plain'
  : spawnSync(HAPROXY, ['-v']).status === 0 ? undefined : 'haproxy is not installed';
const haproxyClaim = (name, body) => claim(name, body, {skip: missing});

// HAProxy with one backend, `edge`, of these lines. Its port, and what its check of the edge came to, as `L7OK/200`.
async function haproxy(scope, {mode, lines}) {
  const directory = await scope.directory();
  const [port, command] = [await freePort(), path.join(directory, 'command')];
  const file = path.join(directory, 'haproxy.cfg');
  await writeFile(file, [
    'global', `  stats socket ${command}`,
    'defaults', `  mode ${mode}`, '  timeout connect 10s', '  timeout client 1h', '  timeout server 1h', '  timeout tunnel 1h',
    'frontend agents', `  bind 127.0.0.1:${port}`, '  default_backend edges',
    'backend edges', ...lines.map((line) => `  ${line}`), '',
  ].join('\n'));
  const child = spawn(HAPROXY, ['-db', '-f', file], {stdio: 'inherit'});
  const gone = new Promise((resolve) => child.on('close', resolve));
  scope.own({close: () => (child.kill(), gone)});
  const told = (order) => new Promise((resolve, reject) => {
    let text = '';
    net.connect(command).on('error', reject).on('data', (more) => (text += more)).on('close', () => resolve(text)).end(`${order}\n`);
  });
  const check = async () => {
    const [head, ...rows] = (await told('show stat')).replace(/^# /, '').split('\n').map((line) => line.split(','));
    const row = rows.find(([proxy, server]) => proxy === 'edges' && server === 'edge');
    const status = row[head.indexOf('check_status')];
    return status.startsWith('* ') ? check() : [status, row[head.indexOf('check_code')]].join('/');  // One is under way.
  };
  return {port, check};
}

async function agentThrough(scope, tw, {port}) {
  const query = tw.loginQuery('user_1', await tw.secret('user_1'));
  await scope.own(new SeedAgent(`ws://127.0.0.1:${port}${query}`)).connected();
}

for (const [what, lines] of [
  ['of HTTP/1.0 without Host', ['option httpchk GET /health']],
  ['of HTTP/1.0 by OPTIONS', ['option httpchk OPTIONS /health']],
  ['of HTTP/1.0 by HEAD', ['option httpchk HEAD /health']],
  ['of HTTP/1.1', ['option httpchk', 'http-check send meth GET uri /health ver HTTP/1.1 hdr Host edge.example']],
]) {
  haproxyClaim(`HAProxy's check ${what} keeps an edge in, and agents come through it`, async (scope) => {
    const tw = await scope.toolwire();
    const proxy = await haproxy(scope, {
      mode: 'http', lines: [...lines, `server edge 127.0.0.1:${tw.ports.agents} check inter 100ms fall 1`]});
    await until('the check passes', async () => (await proxy.check()) === 'L7OK/200');
    await agentThrough(scope, tw, proxy);
    assert.deepEqual(resultOf(await tw.caller().call('user_1', 'echo', {a: 1})), {a: 1});
    assert.equal(await proxy.check(), 'L7OK/200');
  });
}

for (const [what, lines] of [
  ['of HTTP/1.0 without Host', ['option httpchk GET /readyz']],
  ['as it is by default', ['option httpchk']],
  ['of HTTP/1.0 by OPTIONS', ['option httpchk OPTIONS /metrics']],
  ['of HTTP/1.0 by HEAD', ['option httpchk HEAD /metrics']],
  ['of HTTP/1.1', ['option httpchk', 'http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host control.example']],
]) {
  haproxyClaim(`HAProxy's check ${what} keeps a control in that runs, and one that is stopped out`, async (scope) => {
    const tw = await scope.toolwire({topology: 'split'});
    const proxy = await haproxy(scope, {mode: 'http', lines: [...lines, 'timeout check 1s',
      `server edge 127.0.0.1:${tw.ports.callers} proto h2 check check-proto h1 port ${tw.ports.metrics[1]} inter 100ms fall 1`]});
    await until('the check passes', async () => (await proxy.check()) === 'L7OK/200');
    tw.control.pause();
    await until('the check fails', async () => (await proxy.check()).startsWith('L7TOUT'));
    tw.control.resume();
    await until('the check passes again', async () => (await proxy.check()) === 'L7OK/200');
  });
}

for (const version of ['send-proxy', 'send-proxy-v2']) {
  haproxyClaim(`behind HAProxy's ${version} its checks pass, and agents count by their own address`, async (scope) => {
    const tw = await scope.toolwire({flags: {'trusted-proxies': '127.0.0.0/8', 'proxy-protocol': true}});
    const proxy = await haproxy(scope, {
      mode: 'tcp', lines: ['option httpchk GET /health', `server edge 127.0.0.1:${tw.ports.agents} ${version} check check-send-proxy inter 100ms fall 1`]});
    await until('the check passes', async () => (await proxy.check()) === 'L7OK/200');
    await agentThrough(scope, tw, proxy);
    assert.deepEqual(resultOf(await tw.caller().call('user_1', 'echo', {a: 1})), {a: 1});
    assert.ok((await tw.metric('toolwire_edge_proxy_headers_total')) >= 1);
    assert.equal(await tw.metric('toolwire_edge_proxy_headers_refused_total'), 0);
  });
}
