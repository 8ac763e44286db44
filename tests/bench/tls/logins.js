// What TLS handshakes of agents cost, and what a storm of logins does to the agents that are connected.
//
//   node logins.js [--handshakes 2000] [--agents 1000] [--logins 10000] [--seconds 10]
//
// Handshakes: the edge's CPU time for one full and one resumed handshake of TLS 1.3, ended at once, and how many of
// them keep a core busy. Storm: calls to connected agents, 8 in flight, alone and beside so many logins at once, over
// TLS and without, at the default pace. Needs toolwire, toolwire-edge, toolwire-control and tests/call_load.
import {execFile} from 'node:child_process';
import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import {fileURLToPath} from 'node:url';
import {parseArgs, promisify} from 'node:util';
import {Process} from '../compare/process.js';

const {values: flags} = parseArgs({options: {
  handshakes: {type: 'string', default: '2000'}, agents: {type: 'string', default: '1000'},
  logins: {type: 'string', default: '10000'}, seconds: {type: 'string', default: '10'}}});
const run = promisify(execFile);
const bin = (name) => path.resolve(process.env.TOOLWIRE_BIN_DIR ??
  fileURLToPath(new URL('../../../build/release', import.meta.url)), name);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const directory = await mkdtemp(path.join(tmpdir(), 'toolwire-tls-'));
const certificates = path.join(directory, 'tls');
const started = new Set();

async function start(name, event, args) {
  const one = new Process(bin(name), [...args, '--log-format', 'json']);
  started.add(one);
  return {one, ports: await one.event(event)};
}
async function stop(...some) {
  for (const {one} of some) {
    started.delete(one);
    await one.stop();
  }
}
const lock = ['--tls-cert', path.join(certificates, 'agents.crt'), '--tls-key', path.join(certificates, 'agents.key')];
const edge = (data, more) => start('toolwire-edge', 'edge ready',
  ['--port', '0', '--relay-port', '0', '--metrics-port', '0', '--data-dir', data, ...more]);

// --- handshakes ---
const cpuSeconds = async ({one}) => {
  const fields = (await readFile(`/proc/${one.child.pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
};
// Resolves to the session's ticket. The connection stays until the edge has sent it.
const shake = (port, ca, session) => new Promise((resolve, reject) => {
  const socket = tls.connect({host: '127.0.0.1', port, ca, servername: 'localhost', session, ALPNProtocols: ['http/1.1']});
  socket.once('error', reject);
  socket.once('session', (ticket) => {
    if (session && !socket.isSessionReused()) return reject(new Error('not resumed'));
    socket.destroy();
    resolve(ticket);
  });
});
async function handshakes(port, server, ca, session) {
  const count = Number(flags.handshakes), before = await cpuSeconds(server);
  let left = count;
  await Promise.all(Array.from({length: 8}, async () => {
    while (left-- > 0) await shake(port, ca, session);
  }));
  await sleep(200);
  return (await cpuSeconds(server) - before) / count;
}
async function measureHandshakes() {
  const server = await edge(path.join(directory, 'handshakes'), [...lock, '--tls-handshakes-per-second-max', '100000']);
  const ca = await readFile(path.join(certificates, 'ca.crt'));
  const ticket = await shake(server.ports.agents, ca);
  for (const [kind, session] of [['full', undefined], ['resumed', ticket]]) {
    const seconds = await handshakes(server.ports.agents, server, ca, session);
    console.log(`handshake, ${kind.padEnd(7)}  ${(seconds * 1e6).toFixed(0)} us of the edge's CPU, ${(1 / seconds).toFixed(0)} a core and second`);
  }
  await stop(server);
}

// --- storm ---
async function agents(port, prefix, count, data, secure) {
  const secrets = path.join(directory, `${prefix}secrets`);
  await run(bin('toolwire'), ['credentials', 'create', prefix, '--count', String(count), '--out', secrets, '--data-dir', data]);
  const scheme = secure ? 'wss' : 'ws', ca = secure ? ['--ca', path.join(certificates, 'ca.crt')] : [];
  return () => start('toolwire', 'all agents connected',
    ['agent', '--url', `${scheme}://127.0.0.1:${port}`, '--count', String(count), '--user-prefix', prefix, '--credentials', secrets, ...ca]);
}
async function load(address, seconds) {
  const {stdout} = await run(bin('tests/call_load'), ['--address', address, '--agents', flags.agents, '--concurrency', '8',
    '--seconds', String(seconds), '--warmup', '1', '--user-prefix', 'user_']);
  return JSON.parse(stdout);
}
async function storm(secure) {
  const data = path.join(directory, secure ? 'tls-data' : 'plain-data');
  const server = await edge(data, secure ? lock : []);
  const control = await start('toolwire-control', 'control ready',
    ['--grpc-port', '0', '--metrics-port', '0', '--data-dir', data, '--edge', `127.0.0.1:${server.ports.relay}`]);
  const address = `127.0.0.1:${control.ports.callers}`;
  const connect = await agents(server.ports.agents, 'user_', Number(flags.agents), data, secure);
  const connectMore = await agents(server.ports.agents, 'late_', Number(flags.logins), data, secure);
  const connected = await connect();
  const calm = await load(address, Number(flags.seconds));
  // Longer than the storm: only what is called meanwhile counts, so the load is in slices of three seconds.
  const slices = [];
  let over = false;
  const began = Date.now();
  const late = connectMore().then((one) => {
    over = true;
    return {one, ms: Date.now() - began};
  });
  do slices.push(await load(address, 3)); while (!over);
  const {one, ms} = await late;
  const worst = slices.length > 1 ? slices.slice(0, -1) : slices;  // The last one was partly after it.
  const p99 = Math.max(...worst.map((slice) => slice.p99_us));
  const p50 = worst.map((slice) => slice.p50_us).sort((a, b) => a - b)[worst.length >> 1];
  const failed = slices.reduce((sum, slice) => sum + slice.failed, 0);
  console.log(`storm of ${flags.logins}, ${secure ? 'TLS  ' : 'plain'}  ${(ms / 1000).toFixed(1)} s; calls calm p50 ${calm.p50_us} us p99 ${calm.p99_us} us; ` +
    `beside p50 ${p50} us, worst p99 of 3 s ${p99} us (${(p99 / calm.p99_us).toFixed(1)} x calm), ${failed} failed`);
  await stop(one, connected, control, server);
}

try {
  await run(bin('toolwire'), ['certificates', 'create', '--dir', certificates]);
  await measureHandshakes();
  for (const secure of [false, true]) await storm(secure);
} finally {
  for (const one of started) await one.stop();
  await rm(directory, {recursive: true, force: true});
}
