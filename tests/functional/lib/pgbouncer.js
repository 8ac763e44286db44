// A PgBouncer before a PostgreSQL of a test's own, in transaction mode.
import {execFileSync, spawn} from 'node:child_process';
import {accessSync, constants} from 'node:fs';
import {chown, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {freePort} from './ports.js';
import {standStill} from './stand_still.js';
import {deferred, until, within} from './until.js';

const PROGRAM = '/usr/sbin/pgbouncer';
const idOf = (flag) => Number(execFileSync('id', [flag, 'postgres'], {encoding: 'utf8'}));

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
  #poolSize;

  static missing = whyMissing();

  // `poolSize`: how many connections to the server all of its clients share.
  static async start(scope, {serverPort, poolSize}) {
    const pooler = new PgBouncer();
    pooler.#directory = await scope.directory();
    pooler.#poolSize = poolSize;
    pooler.port = await freePort();
    pooler.url = `postgresql://postgres:hunter2@127.0.0.1:${pooler.port}/postgres`;
    await pooler.#lead(serverPort);
    scope.backend(pooler);
    await pooler.start();
    return pooler;
  }

  // As root it refuses to run: it is told another user, who must be able to read its file.
  async #lead(serverPort) {
    const file = path.join(this.#directory, 'pgbouncer.ini');
    await writeFile(file, [
      '[databases]', `* = host=127.0.0.1 user=postgres port=${serverPort}`,
      '[pgbouncer]', 'listen_addr = 127.0.0.1', `listen_port = ${this.port}`, 'unix_socket_dir =', 'auth_type = any',
      'pool_mode = transaction', `default_pool_size = ${this.#poolSize}`,
      // Its default of 15 s is how long it answers for the server after a connection to it failed.
      'server_login_retry = 0.2', 'server_connect_timeout = 2', '',
    ].join('\n'));
    if (process.getuid() !== 0) return;
    for (const one of [this.#directory, file]) await chown(one, idOf('-u'), idOf('-g'));
  }
  // From now on another server is behind it.
  async lead(serverPort) {
    await this.#lead(serverPort);
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
