// What a call costs the client when its caller is alone, each call after the answer to the one before: builds of the client
// in turns, each in a process of its own, against one control that answers at once and is in another process.
//
//   node bench/lone.mjs [--calls 20000] [--rounds 5] [DIST...]        (default: dist)
import {fork} from 'node:child_process';
import {once} from 'node:events';
import {createRequire} from 'node:module';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';

const require = createRequire(import.meta.url);
const {values: flags, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    calls: {type: 'string', default: '20000'}, rounds: {type: 'string', default: '5'},
    serve: {type: 'boolean'}, client: {type: 'string'}, address: {type: 'string'},
  },
});
const SELF = fileURLToPath(import.meta.url);
const PADDING = 'x'.repeat(150);

async function serve() {
  const {startFake} = await import('../test/fake_control.js');
  const {address} = await startFake({own: () => {}});
  process.send(address);
}

async function measure() {
  const {ToolwireClient} = require(path.resolve(flags.client, 'index.js'));
  const client = new ToolwireClient({address: flags.address});
  const calls = async (count) => {
    for (let n = 0; n < count; ++n) {
      const {result} = await client.callTool(`user_${n % 100}`, 'echo', {call: n, path: PADDING});
      if (result.call !== n) throw new Error("another call's answer");
    }
  };
  const count = Number(flags.calls);
  await calls(count / 2);
  const before = process.cpuUsage();
  const began = performance.now();
  await calls(count);
  const {user, system} = process.cpuUsage(before);
  process.send({cpuUs: (user + system) / count, wallUs: 1000 * (performance.now() - began) / count});
  await client.close();
  process.disconnect();
}

async function compare() {
  const server = fork(SELF, ['--serve']);
  const [address] = await once(server, 'message');
  const builds = positionals.length > 0 ? positionals : [path.join(path.dirname(SELF), '../dist')];
  const cpu = builds.map(() => []);
  for (let round = 0; round < Number(flags.rounds); ++round) {
    for (const [n, client] of builds.entries()) {
      const child = fork(SELF, ['--client', client, '--address', address, '--calls', flags.calls]);
      const [{cpuUs, wallUs}] = await once(child, 'message');
      cpu[n].push(cpuUs);
      const ratio = n === 0 ? '' : ` ${(cpuUs / cpu[0].at(-1)).toFixed(3)} of the first`;
      console.log(`${client}: ${cpuUs.toFixed(1)} us of CPU, ${wallUs.toFixed(1)} us in all${ratio}`);
    }
  }
  const middle = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
  for (const [n, client] of builds.entries()) {
    const ratios = cpu[n].map((one, round) => one / cpu[0][round]);
    console.log(`${client}: middle ${middle(cpu[n]).toFixed(1)} us of CPU; ${middle(ratios).toFixed(3)} of the first in the same turn`);
  }
  server.kill();
}

await (flags.serve ? serve() : flags.client ? measure() : compare());
