// Completion scripts, and what is said about commands and flags that there are not.
import assert from 'node:assert/strict';
import {execFile, spawnSync} from 'node:child_process';
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import {promisify} from 'node:util';
import {binary, output, run} from './lib/process.js';
import {claim} from './lib/toolwire.js';

const missing = (shell) =>
  spawnSync(shell, ['--version']).status === 0 ? undefined : `${shell} is not installed`;

// What bash offers after these words, of which the last is being typed.
async function offered(...words) {
  const quoted = words.map((word) => `'${word}'`).join(' ');
  const script = `source <(toolwire completion bash)
    COMP_WORDS=(toolwire ${quoted}); COMP_CWORD=${words.length}
    _toolwire toolwire; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = {...process.env, PATH: `${path.dirname(binary('toolwire'))}:${process.env.PATH}`};
  const {stdout, stderr} = await promisify(execFile)('bash', ['--norc', '-c', script], {env});
  assert.equal(stderr, '');
  return stdout.split('\n').filter(Boolean);
}

claim('bash completes commands, flags and fixed values, those of the command line as it is', async () => {
  const {stdout: help} = await run('toolwire', ['--help']);
  const commands = [...help.split('Subcommands:')[1].matchAll(/^  (\w+)/gm)].map(([, name]) => name);
  assert.ok(commands.length >= 8);
  assert.deepEqual((await offered('')).sort(), commands.sort());
  assert.deepEqual((await offered('w')).sort(), ['watch', 'where']);
  assert.ok((await offered('credentials', '')).includes('create'));
  assert.deepEqual(await offered('call', 'user_1', '--req'), ['--request-id']);
  assert.deepEqual((await offered('dev', '--log-format', '')).sort(), ['auto', 'json', 'text']);
  assert.deepEqual(await offered('dev', '--log-format', '=', 'j'), ['json']);
  assert.deepEqual(await offered('agent', '--root', ''), [], 'file names are left to bash');
  assert.deepEqual(await offered('call', ''), [], 'user ids are not known');
  for (const command of commands) {
    const {stdout} = await run('toolwire', [command, '--help']);
    const flags = [...stdout.matchAll(/^  (?:-\w,)?(--[\w-]+)/gm)].map(([, flag]) => flag);
    const known = await offered(command, '--');
    for (const flag of flags) assert.ok(known.includes(flag), `${command} ${flag}`);
  }
});

for (const shell of ['zsh', 'fish']) {
  claim(`the script for ${shell} is one`, async (scope) => {
    const file = path.join(await scope.directory(), 'script');
    await writeFile(file, await output('toolwire', ['completion', shell]));
    await promisify(execFile)(shell, ['-n', file]);
  }, {skip: missing(shell)});
}

claim('unknown commands and flags are answered with what was probably meant, and status 2', async () => {
  for (const [args, message] of [
    [['cal'], 'toolwire: there is no command cal; did you mean call?'],
    [['wacht'], 'toolwire: there is no command wacht; did you mean watch?'],
    [['frobnicate'], 'toolwire: there is no command frobnicate; see toolwire --help'],
    [['credentials', 'crate'], 'toolwire credentials: there is no command crate; did you mean create?'],
    [['agents', '--jsn'], 'toolwire agents: there is no flag --jsn; did you mean --json?'],
    [['call', 'user', 'tool', '--timeot=5'], 'toolwire call: there is no flag --timeot; did you mean --timeout?'],
  ]) {
    const {code, stdout, stderr} = await run('toolwire', args);
    assert.deepEqual([code, stdout, stderr], [2, '', `${message}\n`]);
  }
  for (const args of [[], ['call'], ['call', 'user'], ['completion', 'tcsh'], ['call', 'u', 't', '--timeout', '-1']]) {
    const {code, stderr} = await run('toolwire', args);
    assert.equal(code, 2, args.join(' '));
    assert.ok(stderr.trim(), args.join(' '));
  }
});

claim('every command has an example and its exit statuses in its --help', async () => {
  const explained = async (...path) => {
    const {code, stdout} = await run('toolwire', [...path, '--help']);
    assert.equal(code, 0);
    const [, commands] = stdout.split('Subcommands:');
    if (commands) {
      for (const [, name] of commands.matchAll(/^  (\w+) /gm)) await explained(...path, name);
    } else {
      assert.match(stdout, /Example: .*toolwire/, path.join(' '));
      assert.match(stdout, /Exit status: /, path.join(' '));
    }
  };
  await explained();
});
