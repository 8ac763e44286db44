// Compiles src/ into dist/, which holds nothing else afterwards.
import {execFileSync} from 'node:child_process';
import {rmSync} from 'node:fs';
import {createRequire} from 'node:module';
import {fileURLToPath} from 'node:url';

const here = (where) => fileURLToPath(new URL(where, import.meta.url));
rmSync(here('../dist'), {recursive: true, force: true});
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
execFileSync(process.execPath, [compiler, '--project', here('..')], {stdio: 'inherit'});
