// Toolwire as in production: edges and controls in processes of their own, over one Redis and one PostgreSQL.
import {randomBytes} from 'node:crypto';
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import {after} from 'node:test';
import {Caller} from './caller.js';
import {Gate} from './gate.js';
import {OldBackend} from './old_backend.js';
import {Postgres} from './postgres.js';
import {output, testTls} from './process.js';
import {Redis, redisMissing} from './redis.js';
import {SeedAgent} from './seed_agent.js';
import {Scope, agentsUrl, argumentsOf, claim, get, loginQuery, metric} from './toolwire.js';
import {until} from './until.js';

// A test that needs Redis and PostgreSQL.
export const clusterClaim = (name, body, options) => claim(name, body, {skip: redisMissing ?? Postgres.missing, ...options});

// What the tests of one file share; ends after the last of them.
const file = new Scope();
after(() => file.close());
let postgres;
let databases = 0;

// A database of its own in the file's PostgreSQL.
async function newDatabase() {
  postgres ??= Postgres.start(file);
  const server = await postgres;
  const name = `toolwire_${++databases}`;
  await server.query(`CREATE DATABASE ${name}`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  return {server, url: url.href};
}

// A cluster for all tests of the file that break nothing; they take users of their own.
let common;
export async function sharedCluster(scope, options) {
  scope.borrow(file);
  common ??= Cluster.start(file, options);
  return common;
}

// One process and the ports it got.
class Member {
  constructor(process, ports, serverId) {
    Object.assign(this, {process, ports, serverId});
  }
  metric(name, labels) {
    return metric(this.ports.metrics, name, labels);
  }
  get running() {
    return !this.process.ended && !this.process.signalled;
  }

  // --- of edges ---
  http(where) {
    return get(this.ports.agents, where, {ca: testTls?.ca});
  }
  async health() {
    return JSON.parse((await this.http('/health')).body);
  }
  url(query = '') {
    return agentsUrl(this.ports.agents, query);
  }
}

export class Cluster {
  edges = [];
  controls = [];
  #secrets = new Map();
  #members = [];
  #names = 0;

  // `flags` and `env` go to every process, `edgeFlags` and `controlFlags` to some. The SQL `prepare` runs on the empty
  // database before the first process, and `toolwire migrate` then, unless `migrate` is false. With `ownPostgres` the
  // cluster has a PostgreSQL that it may stop. With `gates` controls reach each edge through its `gate`, a Gate with
  // these options. `redis` and `postgres`, a server or a pair, are those that run already; `dataDir` is there already.
  static async start(scope, {
    edges = 2, controls = 2, flags = {}, edgeFlags = {}, controlFlags = {}, env = {}, prepare, migrate = true, ownPostgres = false, gates,
    redis, postgres, dataDir,
  } = {}) {
    const cluster = new Cluster();
    Object.assign(cluster, {scope, flags, edgeFlags, controlFlags, env, gates});
    cluster.dataDir = dataDir ?? (await scope.directory());
    cluster.redis = redis ?? (await Redis.start(scope));
    if (ownPostgres || postgres) {
      cluster.postgres = postgres ?? (await Postgres.start(scope));
      cluster.databaseUrl = cluster.postgres.url;
    } else {
      const {server, url} = await newDatabase();
      Object.assign(cluster, {postgres: server, databaseUrl: url});
    }
    if (prepare) await cluster.sql(prepare);
    if (migrate) await output('toolwire', ['migrate', '--database-url', cluster.databaseUrl]);
    scope.own(cluster);  // After the servers it needs, so that it ends before them.
    for (let i = 0; i < edges; ++i) await cluster.addEdge();
    for (let i = 0; i < controls; ++i) await cluster.addControl();
    await cluster.linked();
    return cluster;
  }

  #start(kind, flags, env) {
    const all = {
      'metrics-port': 0, ...this.redis.flags, 'database-url': this.databaseUrl, 'data-dir': this.dataDir,
      'log-format': 'json', ...this.flags, ...flags,
    };
    return this.scope.process(kind, argumentsOf(all), {env: {...this.env, ...env}});
  }
  // `binary`: of another build.
  async addEdge({serverId = `edge-${++this.#names}`, flags, env, binary = 'toolwire-edge'} = {}) {
    const gate = this.gates && this.scope.backend(await Gate.start(this.gates));
    const process = this.#start(binary, {
      port: 0, 'relay-port': 0, ...(gate && {'relay-address': gate.address}), 'server-id': serverId, ...this.edgeFlags, ...flags,
    }, env);
    const {agents, relay, metrics} = await process.ready();
    const edge = new Member(process, {agents, relay, metrics}, serverId);
    if (gate) Object.assign(edge, {gate}).gate.to = {port: relay};
    this.edges.push(edge);
    this.#members.push(edge);
    return edge;
  }
  async addControl({flags, env} = {}) {
    const process = this.#start('toolwire-control', {'grpc-port': 0, ...this.controlFlags, ...flags}, env);
    const {callers, metrics} = await process.ready();
    const control = new Member(process, {callers, metrics});
    this.controls.push(control);
    this.#members.push(control);
    return control;
  }
  // Takes a member out that was stopped or killed, so that nothing asks it any more.
  forget(member) {
    this.edges = this.edges.filter((one) => one !== member);
    this.controls = this.controls.filter((one) => one !== member);
  }

  // Every control knows every edge, and all their agents.
  async linked() {
    for (const control of this.controls) {
      await until(`a control is linked to ${this.edges.length} edges`, async () =>
        (await control.metric('toolwire_control_edges_linked')) === this.edges.length, 90_000);
    }
  }

  // --- the two databases ---
  // One statement; the rows of one that returns some, as objects.
  async sql(text) {
    if (!/^\s*SELECT\b|\bRETURNING\b/i.test(text)) return this.postgres.query(text, this.databaseUrl);
    const [[json]] = await this.postgres.query(
      `WITH answer AS (${text}) SELECT coalesce(json_agg(answer), '[]') FROM answer`, this.databaseUrl);
    return JSON.parse(json);
  }
  rows(where = 'true') {
    return this.sql(`SELECT * FROM tool_execution_logs WHERE ${where} ORDER BY id`);
  }
  // The rows once there are `count`: they are written behind the calls.
  rowsOnceThere(count, where = 'true', deadlineMs) {
    return until(`${count} audit rows`, async () => {
      const rows = await this.rows(where);
      return rows.length >= count && rows;
    }, deadlineMs);
  }
  async statusOf(userId) {
    const [row] = await this.sql(`SELECT status FROM agent_credentials WHERE user_id = ${quoted(userId)}`);
    return row?.status;
  }

  // --- agents ---
  // The user's secret, kept in plain as the replaced server did.
  async secret(userId) {
    if (!this.#secrets.has(userId)) {
      const secret = randomBytes(32).toString('hex');
      await this.sql(`INSERT INTO agent_credentials (user_id, shared_secret, platform)
                      VALUES (${quoted(userId)}, '${secret}', 'linux')`);
      this.#secrets.set(userId, secret);
    }
    return this.#secrets.get(userId);
  }
  // Many at once, for users PREFIX0, PREFIX1, ...; returns the file of `user secret` lines.
  async secrets(prefix, count) {
    const made = await this.sql(`INSERT INTO agent_credentials (user_id, shared_secret, platform)
      SELECT '${prefix}' || i, md5(random()::text) || md5(random()::text), 'linux' FROM generate_series(0, ${count - 1}) i
      RETURNING user_id, shared_secret`);
    for (const {user_id, shared_secret} of made) this.#secrets.set(user_id, shared_secret);
    const list = path.join(await this.scope.directory(), 'credentials');
    await writeFile(list, made.map(({user_id, shared_secret}) => `${user_id} ${shared_secret}\n`).join(''), {mode: 0o600});
    return list;
  }
  // A socket of this user, not waited for.
  async dial(userId, {edge = 0, scope = this.scope, ...options} = {}) {
    return scope.own(new SeedAgent(this.edges[edge].url(loginQuery(userId, await this.secret(userId))), options));
  }
  // A connected agent that echoes, unless `options.answer` says otherwise.
  async agent(userId, options) {
    const agent = await this.dial(userId, options);
    await agent.connected();
    return agent;
  }

  // --- callers ---
  caller({control = 0} = {}) {
    return this.scope.own(new Caller(this.controls[control].ports.callers));
  }
  // A caller at each control.
  callers() {
    return this.controls.map((_, control) => this.caller({control}));
  }
  oldBackend() {
    return OldBackend.connect(this.redis);
  }
  // Every control knows where this user's agent is.
  async known(userId, serverId) {
    for (const caller of this.callers()) {
      await until(`a control knows that ${userId} is at ${serverId}`, async () =>
        (await caller.ask('GetAgent', {userId})).serverId === serverId);
    }
  }

  // Stops what runs, the controls first, and checks how it ended.
  async stop() {
    for (const kind of ['toolwire-control', 'toolwire-edge']) {
      const running = this.#members.map(({process}) => process).filter((one) => path.basename(one.name) === kind && !one.stopped);
      await Promise.all(running.map((one) => one.stop()));
    }
  }
}

export const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
