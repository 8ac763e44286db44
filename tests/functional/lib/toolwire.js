// A running Toolwire in either of its two shapes, and the frame in which every test runs.
import {appendFileSync} from 'node:fs';
import {mkdtemp, readFile, rm} from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {test} from 'node:test';
import tls from 'node:tls';
import {Caller} from './caller.js';
import {callersTls, callersTlsFlags} from './callers_tls.js';
import {Gate} from './gate.js';
import {Process, output, testTls} from './process.js';
import {SeedAgent} from './seed_agent.js';
import {until, within} from './until.js';

// `dev`: edge and control in one process. `split`: two processes, linked over a socket.
export const TOPOLOGIES = ['dev', 'split'];

// Flags that only one of the two processes knows; all others go to both.
const CONTROL_ONLY = [
  'call-timeout-default', 'call-timeout-max', 'stream-calls-max', 'streams-max', 'grpc-threads', 'message-calls-max',
  'hand-form-bytes-max', 'watch-users-max', 'stream-unread-bytes-max', 'watch-unread-bytes-max', 'caller-bytes-max',
  'connections-max', 'address-connections-max', 'silent-connections-max', 'connect-timeout', 'connection-streams-max',
  'address-unfinished-streams-max', 'unfinished-streams-max',
  'grpc-memory-bytes', 'keepalive-interval', 'keepalive-timeout', 'connection-idle-timeout', 'stream-idle-timeout',
  'stream-life-interval', 'watches-max', 'unary-calls-max', 'operators-requests-max',
  'caller-share-percent-max',
  'unanswered-requests-max', 'tokens-file', 'grpc-tls-cert', 'grpc-tls-key', 'grpc-tls-client-ca',
  'grpc-tls-handshakes-per-second-max', 'no-tokens', 'plain-grpc', 'jwks-file', 'jwt-issuer', 'jwt-audience',
  'jwt-scope-claim', 'jwt-scope-prefix', 'jwt-user-claim', 'jwt-leeway', 'jwt-lifetime-max', 'jwt-cache-bytes-max',
  'jwt-failures-per-second-max',
];
const BOTH = [
  'drain-timeout', 'payload-bytes-max', 'json-depth-max', 'data-dir', 'log-format', 'log-level', 'audit-json-bytes-max',
  'audit-spool-bytes-max', 'listen', 'plain-links',
];

// Undefined values stand for flags that are not there.
export const argumentsOf = (flags) =>
  Object.entries(flags).filter(([, value]) => value !== undefined).map(([name, value]) => `--${name}=${value}`);
const only = (flags, wanted) => Object.fromEntries(Object.entries(flags).filter(([name]) => wanted(name)));

export class Toolwire {
  // `flags` maps names without dashes to values. With `dataDir` an earlier store is used again. The topology `control`
  // is a control alone, for the edge whose relay is at `edge`. `edgeOptions` and `controlOptions` are those of their
  // Process. With `gate` the two are linked through a Gate, with these options. With `certificates` the agents' port
  // speaks TLS, and agents trust their CA; with null it does not, whatever the others do. With `linkCertificates`, or
  // flags for each, the link is encrypted. A control with tokens or keys of the test's own takes no others. The tables
  // of a DATABASE_URL in `env` are made before, unless `migrate` is false.
  static async start(scope, {topology = 'dev', flags = {}, env, dataDir, edge: relay, edgeOptions, controlOptions, gate,
    certificates = testTls, linkCertificates, migrate = true, edgeFlags = linkCertificates?.linkFlags('edge'),
    controlFlags = linkCertificates?.linkFlags('control')} = {}) {
    const tw = new Toolwire();
    tw.scope = scope;
    tw.certificates = certificates;
    if (certificates !== testTls) flags = {...certificates?.edgeFlags, ...flags};
    if (certificates === null) env = {TLS_CERT: undefined, TLS_KEY: undefined, ...env};
    if (flags['jwks-file']) env = {TOKENS_FILE: undefined, ...env};
    tw.token = flags['tokens-file'] ?? flags['jwks-file'] ? null : testTls?.token;
    tw.dataDir = dataDir ?? (await scope.directory());
    const all = {'log-format': 'json', 'metrics-port': 0, 'data-dir': tw.dataDir, ...await callersTlsFlags(), ...flags};
    if (topology === 'dev') {
      tw.edge = tw.control = scope.process('toolwire', ['dev', ...argumentsOf({port: 0, 'grpc-port': 0, ...all})], {env, ...edgeOptions});
      tw.processes = [tw.edge];
      const ready = await tw.edge.ready();
      tw.ports = {agents: ready.agents, plainAgents: ready.plainAgents, callers: ready.callers, metrics: [ready.metrics]};
      return tw;
    }
    if (env?.DATABASE_URL && migrate) await output('toolwire', ['migrate'], {env: {DATABASE_URL: env.DATABASE_URL}});
    const startControl = async () => {
      const wanted = (name) => CONTROL_ONLY.includes(name) || BOTH.includes(name) || name === 'metrics-port';
      tw.control = scope.process(
        'toolwire-control', argumentsOf({edge: relay, 'grpc-port': 0, ...only(all, wanted), ...controlFlags}),
        {env, ...controlOptions});
      return tw.control.ready();
    };
    if (topology === 'control') {
      const control = await startControl();
      tw.processes = [tw.control];
      tw.ports = {callers: control.callers, metrics: [control.metrics]};
      return tw;
    }
    const forEdge = only(all, (name) => !CONTROL_ONLY.includes(name));
    tw.edge = scope.process('toolwire-edge', argumentsOf({port: 0, 'relay-port': 0, ...forEdge, ...edgeFlags}),
      {env, ...edgeOptions});
    const edge = await tw.edge.ready();
    relay = `127.0.0.1:${edge.relay}`;
    if (gate) {
      tw.gate = scope.backend(await Gate.start({to: {port: edge.relay}, ...gate}));
      relay = tw.gate.address;
    }
    const control = await startControl();
    tw.processes = [tw.control, tw.edge];  // In the order in which they stop.
    tw.ports = {agents: edge.agents, relay: edge.relay, callers: control.callers, metrics: [edge.metrics, control.metrics]};
    await tw.linked();
    return tw;
  }

  // The control knows the edge and its agents.
  linked() {
    return until('control is linked to its edge', async () => (await this.metric('toolwire_control_edges_linked')) === 1);
  }

  // --- agents ---
  #secrets = new Map();

  // The user's secret; makes the credential if there is none yet.
  async secret(userId) {
    if (!this.#secrets.has(userId)) {
      const printed = await output('toolwire', ['credentials', 'create', '--data-dir', this.dataDir, '--', userId]);
      this.#secrets.set(userId, printed.trim());
    }
    return this.#secrets.get(userId);
  }
  // Many at once, for users PREFIX0, PREFIX1, ...; returns the file of `user secret` lines.
  async secrets(prefix, count) {
    const file = path.join(await this.scope.directory(), 'credentials');
    await output('toolwire', ['credentials', 'create', prefix, '--count', count, '--out', file, '--data-dir', this.dataDir]);
    const lines = (await readFile(file, 'utf8')).trim().split('\n');
    for (const line of lines) this.#secrets.set(...line.split(' '));
    return file;
  }
  url(query = '') {
    return `${this.certificates ? 'wss' : 'ws'}://127.0.0.1:${this.ports.agents}${query}`;
  }
  // A connection to the agents' port, or another one, for bytes. `prologue`: as of SeedAgent.
  connect({prologue, port = this.ports.agents} = {}) {
    const host = '127.0.0.1';
    const socket = this.scope.own(net.connect({port, host}));
    if (prologue) socket.write(prologue);
    return this.certificates ? this.scope.own(tls.connect({socket, host, ca: this.certificates.ca})) : socket;
  }
  // A socket with this query, not waited for.
  dial(query, options) {
    return this.scope.own(new SeedAgent(this.url(query), {ca: this.certificates?.ca, ...options}));
  }
  loginQuery(userId, secret) {
    return loginQuery(userId, secret);
  }
  // A connected agent that echoes, unless `options.answer` says otherwise.
  async agent(userId, options) {
    const agent = this.dial(this.loginQuery(userId, await this.secret(userId)), options);
    await agent.connected();
    return agent;
  }

  // --- callers ---
  // `token` goes with each request; by default that of all tests, if the control asks for it. `credentials`: of gRPC, for TLS.
  caller(token = this.token, credentials) {
    return this.scope.own(new Caller(this.ports.callers, undefined, {token, credentials}));
  }

  // --- looking in ---
  http(where, port = this.ports.agents) {
    return get(port, where, {ca: port === this.ports.agents ? this.certificates?.ca : undefined});
  }
  // The value of a Prometheus sample, summed over labels that are not named. Undefined if there is none.
  async metric(name, labels = {}) {
    let sum;
    for (const port of this.ports.metrics) {
      const value = await metric(port, name, labels);
      if (value !== undefined) sum = (sum ?? 0) + value;
    }
    return sum;
  }
  // Nothing of any call is left behind.
  async idle() {
    for (const gauge of ['toolwire_control_calls_in_flight', 'toolwire_edge_calls_in_flight']) {
      await until(`${gauge} is 0`, async () => (await this.metric(gauge)) === 0);
    }
  }
  async audit(userId) {
    const args = ['audit', '--json', '--limit', 1000000, '--data-dir', this.dataDir, ...(userId ? ['--', userId] : [])];
    return linesOf(await output('toolwire', args));
  }
  // The rows of a user once there are `count`. Written behind the calls, hence waited for.
  auditRows(count, userId) {
    return until(`${count} audit rows`, async () => {
      const rows = await this.audit(userId);
      return rows.length >= count && rows;
    });
  }
  async credentials() {
    return linesOf(await output('toolwire', ['credentials', 'list', '--json', '--data-dir', this.dataDir]));
  }
  get logText() {
    return this.processes.flatMap((one) => one.lines).join('\n');
  }

  async stop(signal) {
    for (const one of this.processes) await one.stop(signal);
  }
}

// Where agents dial, by the port of an edge that was started like all others.
export const agentsUrl = (port, query = '') => `${testTls ? 'wss' : 'ws'}://127.0.0.1:${port}${query}`;

// How an agent logs in, as its query.
export const loginQuery = (userId, secret) => `?userId=${encodeURIComponent(userId)}&secret=${encodeURIComponent(secret)}`;

// The value of a Prometheus sample of one process, summed over labels that are not named. Undefined if there is none.
export async function metric(port, name, labels = {}) {
  const {body} = await get(port, '/metrics');
  let sum;
  for (const line of body.split('\n')) {
    const [, sample, inner = '', value] = line.match(/^(\w+)(?:\{(.*)\})? (\S+)$/) ?? [];
    const matches = Object.entries(labels).every(([key, wanted]) => inner.includes(`${key}="${wanted}"`));
    if (sample === name && matches) sum = (sum ?? 0) + Number(value);
  }
  return sum;
}

export const linesOf = (text) => text.split('\n').filter(Boolean).map((line) => JSON.parse(line));

// By https:// with a `ca`.
export function get(port, where, {method = 'GET', headers, ca} = {}) {
  const answer = new Promise((resolve, reject) => {
    const options = {host: '127.0.0.1', port, path: where, method, headers, agent: false, ca};
    const request = (ca ? https : http).request(options, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => (body += text));
      response.on('end', () => resolve({status: response.statusCode, headers: response.headers, body}));
    });
    request.on('error', reject).end();
  });
  return within(`${where} answers`, answer);
}

// What one test has open. Ends with it, the last first; servers must end with exit status 0.
export class Scope {
  #owned = [];
  #processes = [];
  #backends = [];
  #directories = [];
  #lenders = [];

  toolwire(options) {
    return Toolwire.start(this, options);
  }
  // Uses what another scope has open: what its servers logged is shown with this scope's.
  borrow(other) {
    this.#lenders.push(other);
  }
  // Anything with destroy(), close() or stop(), which may take its time.
  own(thing) {
    this.#owned.push(thing);
    return thing;
  }
  // A server that processes depend on, with stop(): it ends after them.
  backend(server) {
    this.#backends.push(server);
    return server;
  }
  process(name, args, options) {
    const one = new Process(name, args, options);
    this.#processes.push(one);
    return one;
  }
  async directory() {
    const made = await mkdtemp(path.join(tmpdir(), 'toolwire-test-'));
    this.#directories.push(made);
    return made;
  }

  async close() {
    let failure;
    for (const one of this.#owned.reverse()) {
      const end = (one.destroy ?? one.close ?? one.stop).bind(one);
      await Promise.resolve().then(end).catch((error) => (failure ??= error));
    }
    for (const one of this.#processes.reverse()) {
      if (!one.stopped) await one.stop().catch((error) => (failure ??= error));
    }
    for (const one of this.#backends.reverse()) await one.stop().catch((error) => (failure ??= error));
    for (const one of this.#directories) await rm(one, {recursive: true, force: true});
    if (failure) throw failure;
  }
  logTails() {
    return [
      ...this.#lenders.map((one) => one.logTails()),
      ...this.#processes.map((one) => `--- ${one.command}\n${one.tail()}`),
      ...this.#backends.filter((one) => one.tail).map((one) => `--- ${one.constructor.name}\n${one.tail()}`),
    ].join('\n');
  }
}

// For scripts/test, which adds up the tests of all files: node's own sums differ between its versions.
function note(result, name) {
  if (process.env.TOOLWIRE_TEST_RESULTS) appendFileSync(process.env.TOOLWIRE_TEST_RESULTS, `${result} ${name}\n`);
}

// One test. Its name is what it proves. `body` gets a scope of its own; what the servers logged is shown if it fails.
export function claim(name, body, {skip, ...options} = {}) {
  if (callersTls) name = `${name} (${testTls ? 'TLS everywhere' : 'callers over TLS'})`;
  if (skip) {
    note('skipped', name);
    console.log(`SKIPPED: ${name}: ${skip}`);
    return;
  }
  test(name, {timeout: 600_000, ...options}, async (context) => {
    const scope = new Scope();
    try {
      let failure;
      await body(scope, context).catch((error) => (failure = error));
      await scope.close().catch((error) => (failure ??= error));
      if (failure) throw failure;
      note('passed', name);
    } catch (error) {
      note('failed', name);
      process.stderr.write(`\n=== "${name}" failed; the servers said:\n${scope.logTails()}\n`);
      throw error;
    }
  });
}

// The same test in both topologies.
export function claimInBoth(name, body, options) {
  for (const topology of TOPOLOGIES) {
    claim(`${name} (${topology})`, (scope, context) => body(scope, {topology}, context), options);
  }
}
