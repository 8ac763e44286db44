// The application's own modules (lib/*.ts), compiled so that they can be tested without Next around them.
import {readdir, readFile, writeFile} from 'node:fs/promises';
import {createRequire} from 'node:module';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';

const LIB = fileURLToPath(new URL('../../lib', import.meta.url));
const OPTIONS = {module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022};

// A function that loads one of them by its name.
export async function compiled(scope) {
  const directory = await scope.directory();
  for (const file of await readdir(LIB)) {
    const {outputText} = ts.transpileModule(await readFile(path.join(LIB, file), 'utf8'), {compilerOptions: OPTIONS});
    await writeFile(path.join(directory, file.replace(/\.ts$/, '.js')), outputText);
  }
  const require = createRequire(path.join(directory, 'index.js'));
  return (name) => require(`./${name}.js`);
}
