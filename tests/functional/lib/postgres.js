// A PostgreSQL server of a test's own: a new cluster in a temporary directory, on a free port of 127.0.0.1.
import {execFile, execFileSync, spawn} from 'node:child_process';
import {accessSync, constants, readdirSync, readFileSync} from 'node:fs';
import {appendFile, chmod, chown, readFile, rm, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {promisify} from 'node:util';
import {freePort} from './ports.js';
import {testTls} from './process.js';
import {SmallDisk} from './small_disk.js';
import {standStill} from './stand_still.js';
import {until, within} from './until.js';

const execute = promisify(execFile);

// The directory of the server's programs: Debian's newest, or else one of PATH.
function findBin() {
  let debian = [];
  try {
    debian = readdirSync('/usr/lib/postgresql').sort((a, b) => b - a).map((version) => `/usr/lib/postgresql/${version}/bin`);
  } catch {}
  return [...debian, ...process.env.PATH.split(':')].find((place) => {
    try {
      for (const name of ['initdb', 'postgres', 'psql']) accessSync(path.join(place, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
const BIN = findBin();

// PostgreSQL refuses to run as root; its package makes a user for it.
const idOf = (flag) => Number(execFileSync('id', [flag, 'postgres'], {encoding: 'utf8'}));
const USER = BIN && process.getuid() === 0 ? {uid: idOf('-u'), gid: idOf('-g')} : undefined;

// A command as that user, which ends with this process. `name`: an absolute path, or a program of PostgreSQL's.
export const asUser = (name, args) => [
  'setpriv', ['--pdeathsig', 'QUIT', ...(USER ? ['--reuid', USER.uid, '--regid', USER.gid, '--clear-groups'] : []),
    path.resolve(BIN, name), ...args].map(String),
];
// Gives files to that user.
export const giveToUser = async (file) => USER && chown(file, USER.uid, USER.gid);

export class Postgres {
  #settings = {listen_addresses: '127.0.0.1', fsync: 'off', full_page_writes: 'off'};

  // For `claim(..., {skip: Postgres.missing})`.
  static missing = BIN ? undefined : 'PostgreSQL is not installed: scripts/setup test';

  // Stopped when the scope ends, after its processes. With `certificates` it speaks TLS, and its URL looks at its name;
  // without `hba`, lines of pg_hba.conf about TCP, it then takes no other connection. `settings` are further ones, which
  // may name the CA as `ca.crt`. With `diskBytes` all of it is on a `disk` of that size, which may be filled.
  static async start(scope, {port, certificates = testTls, hba, settings, diskBytes} = {}) {
    const postgres = await Postgres.#placed(scope, {port, diskBytes});
    await execute(...asUser('initdb', ['-D', postgres.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync']), {cwd: '/'});
    if (certificates) {
      await postgres.#copy(certificates, 'postgres');
      await postgres.#write('ca.crt', await readFile(certificates.file('ca.crt')));
      Object.assign(postgres.#settings, {ssl: 'on', ssl_cert_file: 'postgres.crt', ssl_key_file: 'postgres.key'});
      postgres.url += `?sslmode=verify-full&sslrootcert=${certificates.file('ca.crt')}`;
      hba ??= 'hostssl all all 127.0.0.1/32 trust';
    }
    if (hba) await postgres.#write('pg_hba.conf', `local all all trust\n${hba}\n`);
    Object.assign(postgres.#settings, settings);
    scope.backend(postgres);
    await postgres.start();
    return postgres;
  }

  // A standby of a primary without TLS.
  static async standbyOf(scope, primary, {settings, diskBytes} = {}) {
    const postgres = await Postgres.#placed(scope, {diskBytes});
    Object.assign(postgres.#settings, settings);
    scope.backend(postgres);
    await postgres.follow(primary);
    return postgres;
  }
  static async #placed(scope, {port, diskBytes}) {
    const postgres = new Postgres();
    postgres.directory = await scope.directory();
    if (diskBytes) postgres.disk = await SmallDisk.mount(scope, postgres.directory, diskBytes);
    await giveToUser(postgres.directory);
    postgres.data = path.join(postgres.directory, 'data');
    postgres.port = port ?? (await freePort());
    // The password is not asked for, but must not show up anywhere.
    postgres.url = `postgresql://postgres:hunter2@127.0.0.1:${postgres.port}/postgres`;
    return postgres;
  }
  // Starts as the standby of this primary, with a copy of its data in place of its own. Waits for no other standby.
  async follow(primary) {
    await rm(this.data, {recursive: true, force: true});
    await execute(...asUser('pg_basebackup', [
      '-D', this.data, '-R', '-X', 'stream', '-c', 'fast', '--no-sync',
      '-h', primary.directory, '-p', primary.port, '-U', 'postgres',
    ]), {cwd: '/'});
    await appendFile(path.join(this.data, 'postgresql.auto.conf'), "synchronous_standby_names = ''\n");
    await this.start();
  }

  // One that needs neither TLS nor what pg_hba.conf says of TCP: over the Unix socket.
  get socketUrl() {
    return `postgresql://postgres:hunter2@/postgres?host=${encodeURIComponent(this.directory)}&port=${this.port}`;
  }
  async #write(name, content) {
    const file = path.join(this.data, name);
    await writeFile(file, content);
    await chmod(file, 0o600);
    await giveToUser(file);
  }
  async #copy(certificates, name) {
    for (const end of ['crt', 'key']) await this.#write(`postgres.${end}`, await readFile(certificates.file(`${name}.${end}`)));
  }
  // Takes other certificates, and other lines about TCP if there are such; whoever is connected is cut.
  async reload({certificates, name = 'postgres', hba}) {
    if (certificates) await this.#copy(certificates, name);
    if (hba) await this.#write('pg_hba.conf', `local all all trust\n${hba}\n`);
    const loaded = async () => (await this.query('SELECT pg_conf_load_time()', this.socketUrl))[0][0];
    const before = await loaded();
    this.child.kill('SIGHUP');
    await until('PostgreSQL has taken its new files', async () => (await loaded()) !== before);
    await this.query("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
      this.socketUrl);
  }

  // Also again, with the same data and port.
  async start() {
    this.#run();
    await this.#until('PostgreSQL is ready', async () => (await this.query('SELECT 1', this.socketUrl)).length === 1);
  }
  // The same, but it stays in recovery until `promote`, and refuses all connections with 57P03 meanwhile.
  async startInRecovery() {
    await this.#write('standby.signal', '');
    this.#run({hot_standby: 'off'});
    await this.#until('PostgreSQL refuses connections', async () =>
      (await this.query('SELECT 1', this.socketUrl).catch((error) => error)).stderr?.includes('not accepting connections'));
  }
  async promote() {
    await this.#write('promote', '');
    this.child.kill('SIGUSR1');
    await this.#until('PostgreSQL is ready', async () => (await this.query('SELECT 1', this.socketUrl)).length === 1);
  }
  #run(more = {}) {
    const args = Object.entries({...this.#settings, ...more}).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const [command, all] = asUser('postgres', ['-D', this.data, '-k', this.directory, '-p', this.port, ...args]);
    this.log = '';
    this.child = spawn(command, all, {cwd: '/', stdio: ['ignore', 'ignore', 'pipe']});
    this.child.stderr.setEncoding('utf8').on('data', (text) => (this.log += text));
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
  }
  #until(claim, condition) {
    return until(claim, () => {
      if (this.child.exitCode !== null) throw Object.assign(new Error(`it ended: ${this.log}`), {final: true});
      return condition();
    });
  }

  // It takes no more connections (57P03), keeps those it has, and ends with the last of them.
  async stopSmartly() {
    this.child.kill('SIGTERM');
    await this.#until('PostgreSQL takes no more connections', async () =>
      (await this.query('SELECT 1', this.socketUrl).catch((error) => error)).stderr?.includes('is shutting down'));
  }
  // Ends the processes of all connections over TCP, as pg_terminate_backend would.
  endConnections() {
    for (const pid of this.#children()) {
      try {
        if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('127.0.0.1(')) process.kill(pid, 'SIGTERM');
      } catch (error) {
        if (!['ENOENT', 'ESRCH'].includes(error.code)) throw error;  // It has just ended.
      }
    }
  }

  // Ends connections and server. SIGQUIT: at once, as a crash would.
  async stop(signal = 'SIGINT') {
    if (!this.child || this.child.exitCode !== null) return;
    this.thaw();
    this.child.kill(signal);
    await within('PostgreSQL ends', this.ended);
    this.child = undefined;
  }

  get running() {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  // As a frozen machine: connections stay, and nothing answers.
  freeze() {
    this.#all(standStill);
  }
  thaw() {
    this.#all((pid) => process.kill(pid, 'SIGCONT'));
  }
  // The server first, so that it makes no more processes.
  #all(act) {
    if (!this.running) return;
    act(this.child.pid);
    for (const child of this.#children()) {
      try {
        act(child);
      } catch (error) {
        if (error.code !== 'ESRCH') throw error;  // It has just ended.
      }
    }
  }

  #children() {
    const {pid} = this.child;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  }

  // A session in which `sql` has run, such as BEGIN and LOCK TABLE; until `release` or the scope's end it stays open. It
  // may be `away` meanwhile: then a session that ends is no error.
  async hold(scope, sql, {away = false} = {}) {
    const [command, ...args] = [path.join(BIN, 'psql'), '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', this.socketUrl];
    const child = spawn(command, args, {stdio: ['pipe', 'pipe', 'pipe']});
    const ended = new Promise((resolve) => child.once('close', resolve));
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
    child.stdin.on('error', () => {});  // Told by its end.
    child.stdin.write(`${sql};\n\\echo it is held\n`);
    const release = async () => {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), 2000);  // Its server may stand still.
      await within('psql ends', ended);
      clearTimeout(timer);
    };
    scope.own({close: release});
    await until(`psql holds: ${sql}`, () => {
      const hasEnded = child.exitCode !== null || child.signalCode !== null;
      if (hasEnded && !away) throw Object.assign(new Error(said), {final: true});
      return hasEnded || said.includes('it is held');
    });
    return {release};
  }

  // Runs SQL, in the database of another URL if one is given; the rows, each a list of texts, NULL as ''.
  async query(sql, url = this.url) {
    const {stdout} = await execute(path.join(BIN, 'psql'), [
      '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-F', '\x1f', '-R', '\x1e', '-d', url, '-c', sql,
    ], {maxBuffer: 1 << 28});
    const text = stdout.replace(/\n$/, '');
    return text === '' ? [] : text.split('\x1e').map((row) => row.split('\x1f'));
  }
}
