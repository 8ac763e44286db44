// A private Redis and a private PostgreSQL with the tables of the running system.
import {mkdir, readdir} from 'node:fs/promises';
import path from 'node:path';
import {Process, cpuUs, freePort, run, treeCpuUs} from './process.js';

export async function startRedis(directory) {
  const port = await freePort();
  const server = new Process('redis-server', [
    '--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', directory,
  ].map(String));
  await server.says('Ready to accept connections');
  return {url: `redis://127.0.0.1:${port}`, cpuUs: () => cpuUs([server.pid]), stop: () => server.stop()};
}

// The newest that is installed; Debian does not put it into PATH.
async function postgresPrograms() {
  const root = '/usr/lib/postgresql';
  const versions = await readdir(root).catch(() => []);
  return versions.length ? path.join(root, versions.sort((a, b) => b - a)[0], 'bin') : '';
}

// The columns are those of the running system, which Toolwire takes over as they are.
const TABLES = `
  CREATE TABLE agent_credentials (
    user_id text PRIMARY KEY,
    shared_secret text NOT NULL UNIQUE,
    platform text CHECK (platform IN ('win32', 'linux', 'darwin')),
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'connected', 'disconnected')),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz,
    metadata jsonb);
  CREATE TABLE tool_execution_logs (
    id bigserial PRIMARY KEY,
    user_id text NOT NULL,
    request_id text NOT NULL,
    tool_name text NOT NULL,
    params jsonb,
    result jsonb,
    success boolean NOT NULL,
    error text,
    execution_time_ms integer,
    created_at timestamptz NOT NULL DEFAULT now());`;

// Its own settings but for where it listens: fsync and synchronous_commit are on.
export class Postgres {
  static async start(directory) {
    // PostgreSQL refuses to run as root.
    const asRoot = process.getuid() === 0;
    const programs = await postgresPrograms();
    const as = (program, args) =>
      asRoot
        ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--init-groups', path.join(programs, program), ...args]]
        : [path.join(programs, program), args];
    await mkdir(directory);
    if (asRoot) await run('chown', ['postgres:postgres', directory]);
    const data = path.join(directory, 'data');
    await run(...as('initdb', ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale']));
    const self = new Postgres();
    self.port = await freePort();
    const options = [
      '-D', data, '-p', String(self.port),
      '-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${directory}`,
    ];
    // SIGINT is PostgreSQL's fast shutdown.
    self.server = new Process(...as('postgres', options), {signal: 'SIGINT'});
    await self.server.says('database system is ready to accept connections');
    return self;
  }
  #url(database) {
    return `postgresql://postgres@127.0.0.1:${this.port}/${database}`;
  }
  // A new database with the tables.
  async database(name) {
    const {default: pg} = await import('pg');
    await this.#administer(`CREATE DATABASE ${name}`);
    const url = this.#url(name);
    const client = new pg.Client(url);
    client.on('error', () => {});  // The server's end; the next query says so.
    await client.connect();
    await client.query(TABLES);
    const {rows: [{pid}]} = await client.query('SELECT pg_backend_pid() AS pid');
    return new Database(this, url, client, pid);
  }
  // Settings that need no restart, such as "log_lock_waits = on".
  set(...settings) {
    return this.#administer(...settings.map((one) => `ALTER SYSTEM SET ${one}`), 'SELECT pg_reload_conf()');
  }
  async #administer(...statements) {
    const {default: pg} = await import('pg');
    const client = new pg.Client(this.#url('postgres'));
    await client.connect();
    for (const statement of statements) await client.query(statement);
    await client.end();
  }
  stop() {
    return this.server.stop();
  }
}

class Database {
  constructor(postgres, url, client, observerPid) {
    Object.assign(this, {postgres, url, client, observerPid});
  }
  // Without that of looking at it from here.
  cpuUs() {
    return treeCpuUs(this.postgres.server.pid, {without: this.observerPid});
  }
  // Credentials with plain secrets, for user_0, user_1, ...
  createCredentials(secrets) {
    return this.client.query(
      `INSERT INTO agent_credentials (user_id, shared_secret, platform)
       SELECT 'user_' || (at - 1), secret, 'linux' FROM unnest($1::text[]) WITH ORDINALITY AS one (secret, at)`,
      [secrets]);
  }
  // So that no work of an earlier run is done in the next measurement.
  async settle() {
    await this.client.query('VACUUM ANALYZE');
    await this.client.query('CHECKPOINT');
  }
  async auditRows() {
    const {rows: [row]} = await this.client.query(
      `SELECT count(*)::int AS rows, count(DISTINCT request_id)::int AS request_ids,
         count(*) FILTER (WHERE success)::int AS successes FROM tool_execution_logs`);
    return row;
  }
  async lastAuditId() {
    const {rows: [{id}]} = await this.client.query('SELECT coalesce(max(id), 0) AS id FROM tool_execution_logs');
    return id;
  }
  async auditRowsSince(id) {
    const {rows: [{rows}]} = await this.client.query(
      'SELECT count(*)::int AS rows FROM tool_execution_logs WHERE id > $1', [id]);
    return rows;
  }
  close() {
    return this.client.end();
  }
}
