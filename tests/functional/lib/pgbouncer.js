// A PgBouncer before a PostgreSQL of a test's own, with the packaged settings but for what a test says.
import {spawn} from 'node:child_process';
import {accessSync, constants} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import {freePort} from './ports.js';
import {Postgres, giveToUser} from './postgres.js';
import {standStill} from './stand_still.js';
import {deferred, until, within} from './until.js';

const PROGRAM = '/usr/sbin/pgbouncer';

function whyMissing() {
  try {
    accessSync(PROGRAM, constants.X_OK);
  } catch {
    return 'PgBouncer is not installed: scripts/setup test';
  }
}

export class PgBouncer {
  #directory;
  #child;
  #exit;
  #log = '';
  #reloads = 0;
  #pool;

  // For `claim(..., {skip: PgBouncer.missing})`.
  static missing = Postgres.missing ?? whyMissing();

  // `server`: the address and port of PostgreSQL; the address may be the directory of its socket. `mode`: session, as
  // packaged, or transaction. `poolSize`: how many connections to the server all of its clients share.
  static async start(scope, {server, mode = 'transaction', poolSize}) {
    const pooler = new PgBouncer();
    pooler.#directory = await scope.directory();
    pooler.#pool = [`pool_mode = ${mode}`, ...(poolSize ? [`default_pool_size = ${poolSize}`] : [])];
    pooler.port = await freePort();
    pooler.url = `postgresql://postgres:hunter2@127.0.0.1:${pooler.port}/postgres`;
    await pooler.#lead(server);
    scope.backend(pooler);
    await pooler.start();
    return pooler;
  }

  // As root it refuses to run: it is told another user, who must be able to read its file.
  async #lead({host = '127.0.0.1', port}) {
    const file = path.join(this.#directory, 'pgbouncer.ini');
    await writeFile(file, [
      '[databases]', `* = host=${host} user=postgres port=${port}`,
      '[pgbouncer]', 'listen_addr = 127.0.0.1', `listen_port = ${this.port}`, 'unix_socket_dir =', 'auth_type = any',
      ...this.#pool,
      // Its default of 15 s is how long it answers for the server after a connection to it failed.
      'server_login_retry = 0.2', 'server_connect_timeout = 2', '',
    ].join('\n'));
    for (const one of [this.#directory, file]) await giveToUser(one);
  }
  // From now on another server is behind it.
  async lead(server) {
    await this.#lead(server);
    const before = this.#reloads;
    this.#child?.kill('SIGHUP');
    await until('PgBouncer has read its file', () => !this.#child || this.#reloads > before);
  }

  async start() {
    const user = process.getuid() === 0 ? ['-u', 'postgres'] : [];
    const exit = (this.#exit = deferred());
    this.#log = '';
    const command = [PROGRAM, ...user, path.join(this.#directory, 'pgbouncer.ini')];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], {stdio: ['ignore', 'ignore', 'pipe'], cwd: '/'});
    child.stderr.setEncoding('utf8').on('data', (text) => {
      if (text.includes('re-reading config')) ++this.#reloads;
      this.#log = (this.#log + text).slice(-65_536);
    });
    child.on('close', exit.resolve);
    this.#child = child;
    await until('PgBouncer is ready', () => {
      if (child.exitCode !== null) throw Object.assign(new Error(`it ended: ${this.#log}`), {final: true});
      return this.#log.includes('process up');
    });
  }
  pause() {
    standStill(this.#child.pid);
  }
  resume() {
    this.#child?.kill('SIGCONT');
  }
  // At once, as when it is killed.
  async stop() {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
    await within('PgBouncer ends', this.#exit.promise);
  }
  tail() {
    return this.#log.split('\n').slice(-40).join('\n');
  }
}
