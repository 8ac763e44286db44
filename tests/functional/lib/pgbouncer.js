// A PgBouncer of a test's own before its PostgreSQL, with the packaged settings but for its port.
import {spawn, spawnSync} from 'node:child_process';
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import {freePort} from './ports.js';
import {Postgres, asUser, giveToUser} from './postgres.js';
import {until, within} from './until.js';

const PROGRAM = '/usr/sbin/pgbouncer';

export class PgBouncer {
  // For `claim(..., {skip: PgBouncer.missing})`.
  static missing = Postgres.missing ?? (spawnSync(PROGRAM, ['--version']).status === 0 ? undefined : 'PgBouncer is not installed: scripts/setup test');

  // `mode`: session, as packaged, or transaction, with so few connections to PostgreSQL that clients share them.
  static async start(scope, postgres, mode) {
    const bouncer = new PgBouncer();
    const directory = await scope.directory();
    bouncer.port = await freePort();
    bouncer.url = `postgresql://postgres:hunter2@127.0.0.1:${bouncer.port}/postgres`;
    bouncer.settings = path.join(directory, 'pgbouncer.ini');
    await writeFile(bouncer.settings, [
      '[databases]', `* = host=${postgres.directory} user=postgres port=${postgres.port}`,
      '[pgbouncer]', 'listen_addr = 127.0.0.1', `listen_port = ${bouncer.port}`, 'unix_socket_dir =', 'auth_type = any',
      `pool_mode = ${mode}`, ...(mode === 'transaction' ? ['default_pool_size = 3'] : []), '',
    ].join('\n'));
    for (const file of [directory, bouncer.settings]) await giveToUser(file);
    bouncer.postgres = postgres;
    scope.backend(bouncer);
    await bouncer.run();
    return bouncer;
  }

  // Also again, at the same port.
  async run() {
    const [command, args] = asUser(PROGRAM, [this.settings]);
    let log = '';
    this.child = spawn(command, args, {cwd: '/', stdio: ['ignore', 'pipe', 'pipe']});
    for (const stream of ['stdout', 'stderr']) this.child[stream].setEncoding('utf8').on('data', (text) => (log += text));
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    await until('PgBouncer is ready', async () => {
      if (this.child.exitCode !== null) throw Object.assign(new Error(`it ended: ${log}`), {final: true});
      return (await this.postgres.query('SELECT 1', this.url)).length === 1;
    });
  }
  // As a crash would.
  async stop() {
    if (!this.child) return;
    this.child.kill('SIGKILL');
    await within('PgBouncer ends', this.ended);
    this.child = undefined;
  }
}
