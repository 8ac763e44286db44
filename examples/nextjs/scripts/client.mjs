// Builds the client package of this repository, which this application uses as it lies there; installs what that needs,
// once.
import {execSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

const cwd = fileURLToPath(new URL('../../../clients/node', import.meta.url));
const npm = (command) => execSync(`npm ${command}`, {cwd, stdio: 'inherit'});
if (!existsSync(`${cwd}/node_modules/typescript`)) npm('ci');
npm('run --silent build');
