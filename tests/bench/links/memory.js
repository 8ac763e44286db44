// Memory of a link at rest: one edge with many controls, and what its resident memory has grown by for each link after
// the first two.
//
//   node memory.js [--links 32]
import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {Process} from '../compare/process.js';

const {values: flags} = parseArgs({options: {links: {type: 'string', default: '32'}}});
const LINKS = Number(flags.links);
const bin = (name) => path.resolve(process.env.TOOLWIRE_BIN_DIR ??
  fileURLToPath(new URL('../../../build/release', import.meta.url)), name);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-links-'));
const started = [];
async function start(name, event, args) {
  const one = new Process(bin(name), [...args, '--metrics-port', '0', '--log-format', 'json',
    '--data-dir', path.join(directory, String(started.length))]);
  started.push(one);
  return {one, ports: await one.event(event)};
}
const edge = () => start('toolwire-edge', 'edge ready', ['--port', '0', '--relay-port', '0']);
const control = (relays) => start('toolwire-control', 'control ready',
  ['--grpc-port', '0', ...relays.flatMap((relay) => ['--edge', `127.0.0.1:${relay}`])]);
async function settled({one}) {
  await sleep(3000);  // Several signs of life each way.
  const status = await readFile(`/proc/${one.child.pid}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+)/m.exec(status)[1]);
}
async function linked({one}, links) {
  while (one.events('edge linked').length < links) await sleep(20);
}

try {
  const middle = await edge();
  for (let i = 0; i < 2; ++i) await linked(await control([middle.ports.relay]), 1);
  const few = await settled(middle);
  for (let i = 0; i < LINKS; ++i) await linked(await control([middle.ports.relay]), 1);
  console.log(`edge: ${((await settled(middle) - few) / LINKS).toFixed(1)} kB a link`);
} finally {
  for (const one of started) await one.stop();
  await rm(directory, {recursive: true, force: true});
}
