// Writes generated/ from the protos of this repository: protobuf.js' static code for the two public services.
//
//   node scripts/generate.mjs           writes it
//   node scripts/generate.mjs --check   fails if what is there is not what would be written
import {execFileSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const here = (where) => fileURLToPath(new URL(where, import.meta.url));
const tool = (name) => createRequire(import.meta.url).resolve(`protobufjs-cli/bin/${name}`);
const PROTOS = here('../../../proto');
const FILES = ['proto.js', 'proto.d.ts'];
// protobuf.js keeps roots by name for all that is in the process, and whatever is generated later takes the place of what
// is there: another version of this client, or an application's own messages. So the file has a root of its own.
const SHARED_ROOT = '$protobuf.roots["default"] || ($protobuf.roots["default"] = {})';

function generate(directory) {
  mkdirSync(directory, {recursive: true});
  const [code, types] = FILES.map((name) => path.join(directory, name));
  const run = (...args) => execFileSync(process.execPath, args, {stdio: ['ignore', 'ignore', 'inherit']});
  run(tool('pbjs'), '--target', 'static-module', '--wrap', 'commonjs', '--no-create', '--no-verify', '--no-convert',
    '--no-delimited', '--no-typeurl', '--no-service', '--path', PROTOS, '--out', code,
    path.join(PROTOS, 'toolwire/v1/dispatch.proto'), path.join(PROTOS, 'toolwire/v1/admin.proto'));
  run(tool('pbts'), '--no-comments', '--out', types, code);
  const parts = readFileSync(code, 'utf8').split(SHARED_ROOT);
  if (parts.length !== 2) throw new Error(`${code}: not one root, but ${parts.length - 1}`);
  writeFileSync(code, parts.join('{}'));
}

if (process.argv[2] !== '--check') {
  generate(here('../generated'));
} else {
  const fresh = mkdtempSync(path.join(tmpdir(), 'toolwire-generate-'));
  try {
    generate(fresh);
    const stale = FILES.filter((name) => readFileSync(path.join(fresh, name), 'utf8') !== readFileSync(here(`../generated/${name}`), 'utf8'));
    if (stale.length > 0) {
      console.error(`generated/${stale.join(', generated/')}: not what the protos say; run: npm run generate`);
      process.exitCode = 1;
    }
  } finally {
    rmSync(fresh, {recursive: true});
  }
}
