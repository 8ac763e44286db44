// The package's types and entries, as compilers and bundlers see them.
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {readFile, readdir, writeFile} from 'node:fs/promises';
import {createRequire} from 'node:module';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {claim} from './lib.js';

const require = createRequire(import.meta.url);
const PACKAGE = fileURLToPath(new URL('..', import.meta.url));

const SOURCE = `
import type {
  AbortSignalLike, Agent, CallToolOptions, ClientOptions, ListAgentsOptions, ListExecutionsOptions, TlsOptions, ToolwireAdmin,
  ToolwireClient, WatchAgentsOptions,
} from 'PACKAGE/dist/index.js';
import {sendToolCall, type ToolCall} from 'PACKAGE/dist/compat.js';

// Optional is also undefined.
export const none: [
  CallToolOptions, ClientOptions, ListAgentsOptions, ListExecutionsOptions, TlsOptions, WatchAgentsOptions, Agent, ToolCall,
] = [
  {timeoutMs: undefined, requestId: undefined, signal: undefined, waitForAgentMs: undefined},
  {address: undefined, token: undefined, tokenFile: undefined, tls: undefined, plainToken: undefined, timeoutMs: undefined, controlWaitMs: undefined,
    silenceCloseMs: undefined, callsInFlightMax: undefined, callsQueuedMax: undefined, paramsBytesMax: undefined, stringify: undefined, parse: undefined},
  {serverId: undefined, pageSize: undefined}, {userId: undefined, from: undefined, until: undefined, pageSize: undefined},
  {ca: undefined, cert: undefined, key: undefined, serverName: undefined}, {userIds: undefined, signal: undefined},
  {userId: 'a', connected: false, serverId: undefined, epoch: undefined, connectedAt: undefined}, {tool: 'a', params: undefined, timeout: undefined},
];

declare const client: ToolwireClient;
declare const admin: ToolwireAdmin;
declare const polyfill: AbortSignalLike;
interface Described { path: string }
declare const described: Described;
declare const object: object;
declare const record: Record<string, unknown>;
class Dated { toJSON() { return {}; } }
export const right = () => [
  client.callTool('u', 't', {path: 'x', n: 1n, deep: {a: [1]}}), client.callTool('u', 't', {}), client.callTool('u', 't', described),
  client.callTool('u', 't', object), client.callTool('u', 't', record), client.callTool('u', 't', '{}'), client.callTool('u', 't', Buffer.from('{}')),
  client.callTool('u', 't', new Uint8Array(3)), client.callTool('u', 't', new Dated()),
  client.callTool('u', 't', undefined, {signal: new AbortController().signal}), client.callTool('u', 't', undefined, {signal: polyfill}),
  client.watchAgents({signal: AbortSignal.timeout(5)}), client.close({drainMs: undefined}), admin.createCredential('u', {platform: undefined}),
  admin.rotateCredential('u', {keepSession: undefined}), admin.listCredentials({pageSize: undefined}),
  sendToolCall('u', {tool: 't', params: described}), sendToolCall('u', {tool: 't', params: {a: [1]}}),
];
`;
// What is no type of params.
const WRONG = [
  'new Map()', 'new Set([1])', 'new ArrayBuffer(3)', 'new DataView(new ArrayBuffer(3))', '() => {}', 'function f() {}', 'class {}',
  "Symbol('x')", '5n', '5', '[1]', 'new Uint16Array(3)', 'Promise.resolve({})', 'new WeakMap()', 'new Date()',
].map((value) => `// @ts-expect-error\nvoid client.callTool('u', 't', ${value});\n// @ts-expect-error\nvoid sendToolCall('u', {tool: 't', params: ${value}});\n`).join('');

claim('types: every optional takes undefined under exactOptionalPropertyTypes; params that JSON cannot hold do not compile', async (scope) => {
  const source = path.join(await scope.directory(), 'source.ts');
  await writeFile(source, SOURCE.replaceAll('PACKAGE', PACKAGE) + WRONG);
  await promisify(execFile)(process.execPath, [
    require.resolve('typescript/bin/tsc'), '--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022', '--lib',
    'es2022,esnext.disposable', '--module', 'node16', '--types', 'node', '--typeRoots', path.join(PACKAGE, 'node_modules/@types'), source,
  ]).catch(({stdout}) => assert.fail(stdout));
});

claim('bundlers: no entry says `export *`, of which they warn, and each ESM entry has all that its CommonJS one has', async () => {
  const dist = path.join(PACKAGE, 'dist');
  const entries = (await readdir(dist)).filter((name) => name.endsWith('.mjs'));
  assert.deepEqual(entries.sort(), ['compat.mjs', 'index.mjs']);
  for (const entry of entries) {
    assert.doesNotMatch(await readFile(path.join(dist, entry), 'utf8'), /^export \*/m);
    const names = (module) => Object.keys(module).filter((name) => name !== 'default' && name !== '__esModule').sort();
    const commonJs = require(path.join(dist, entry.replace('.mjs', '.js')));
    assert.deepEqual(names(await import(path.join(dist, entry))), names(commonJs));
  }
});
