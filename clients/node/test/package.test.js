// What backends install: the packed package, in a directory of its own, used from both kinds of TypeScript modules.
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {readFile, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {addressOf, claim} from './lib.js';

const run = promisify(execFile);
const PACKAGE = fileURLToPath(new URL('..', import.meta.url));

const TEN_LINES = `
import {ToolwireClient, AgentNotConnectedError} from '@toolwire/client';
import {sendToolCall, disconnect} from '@toolwire/client/compat';
async function main(): Promise<void> {
  await using client = new ToolwireClient();
  const answer = await client.callTool<{path: string}>('user_1', 'echo', {path: '/home'}, {timeoutMs: 30_000});
  const missing: unknown = await client.callTool('nobody', 'echo').catch((error: unknown) => error);
  const old = await sendToolCall('user_1', {tool: 'echo', params: {n: 1}});
  await disconnect();
  console.log(answer.result.path, missing instanceof AgentNotConnectedError, old.success);
}
void main();
`;

claim('npm pack, npm install, ten lines of TypeScript as ESM and as CommonJS: a call to toolwire dev', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const directory = await scope.directory();
  const npm = (args, cwd) => run('npm', args, {cwd, env: {...process.env, npm_config_audit: 'false', npm_config_fund: 'false'}});
  const {stdout} = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', directory], PACKAGE);
  const [{filename, files}] = JSON.parse(stdout);
  for (const {path: name} of files) assert.match(name, /^(dist|generated|src)\/|^(package\.json|README\.md|LICENSE)$/);

  await writeFile(path.join(directory, 'package.json'), JSON.stringify({name: 'backend', private: true}));
  await npm(['install', path.join(directory, filename), 'typescript@5', '@types/node@20'], directory);
  const installed = JSON.parse(await readFile(path.join(directory, 'node_modules/@toolwire/client/package.json'), 'utf8'));
  assert.deepEqual(Object.keys(installed.dependencies), ['@grpc/grpc-js', 'protobufjs']);

  const tsc = path.join(directory, 'node_modules/typescript/bin/tsc');
  const env = {...process.env, TOOLWIRE_ADDRESS: addressOf(tw)};
  for (const [type, extension] of [['module', 'mts'], ['commonjs', 'cts']]) {
    const source = path.join(directory, `backend.${extension}`);
    await writeFile(source, TEN_LINES);
    await run(process.execPath, [tsc, '--strict', '--target', 'es2022', '--lib', 'es2022,esnext.disposable', '--module', 'node16', '--types', 'node', source], {cwd: directory})
      .catch(({stdout: said}) => assert.fail(`as ${type}: ${said}`));
    const {stdout: printed} = await run(process.execPath, [source.replace(/ts$/, 'js')], {cwd: directory, env});
    assert.equal(printed, '/home true true\n', type);
  }
}, {timeout: 300_000});

claim('a process whose client is closed ends by itself; ESM and CommonJS share their classes', async (scope) => {
  const tw = await scope.toolwire();
  await tw.agent('user_1');
  const text = `
    import {ToolwireClient} from '@toolwire/client';
    import {createRequire} from 'node:module';
    const client = new ToolwireClient();
    await client.callTool('user_1', 'echo');
    await client.close();
    console.log(createRequire(import.meta.url)('@toolwire/client').ToolwireClient === ToolwireClient);
  `;
  const {stdout} = await run(process.execPath, ['--input-type=module', '--eval', text], {
    cwd: PACKAGE, timeout: 60_000, env: {...process.env, TOOLWIRE_ADDRESS: addressOf(tw)}});
  assert.equal(stdout, 'true\n');
});
