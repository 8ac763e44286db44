// Random minutes of the store: tables and rows locked, backends ended and killed, PostgreSQL frozen, restarted,
// read-only, failed over to its standby, its disk full, the spool's disk full, slow and raising triggers, the pooler
// killed and paused, controls killed; 200 calls in a second, logins and revocations. TOOLWIRE_STORE_MINUTES is how long,
// less than half a minute by default; TOOLWIRE_STORE_SEED makes the same plan again; TOOLWIRE_STORE_FAULTS names the only
// ones there are to be, with commas. Prints its figures as one line of JSON.
import assert from 'node:assert/strict';
import {setTimeout as sleep} from 'node:timers/promises';
import {monitorEventLoopDelay} from 'node:perf_hooks';
import {Cluster, clusterClaim, quoted} from './lib/cluster.js';
import {FieldAgent} from './lib/field_agent.js';
import {Outages} from './lib/outages.js';
import {PgBouncer} from './lib/pgbouncer.js';
import {PostgresPair} from './lib/postgres_pair.js';
import {testTls} from './lib/process.js';
import {SmallDisk} from './lib/small_disk.js';
import {newSeed, randomOf} from './lib/storm.js';
import {StoreFaults} from './lib/store_faults.js';
import {StoreUsers} from './lib/store_users.js';
import {get, loginQuery} from './lib/toolwire.js';
import {Traffic} from './lib/traffic.js';
import {until} from './lib/until.js';

const ONLY = process.env.TOOLWIRE_STORE_FAULTS?.split(',');
const MINUTES = Number(process.env.TOOLWIRE_STORE_MINUTES ?? 0.4);
const users = (prefix, count) => Array.from({length: count}, (_, i) => `${prefix}_${i}`);
const CALLED = users('user', 12);
const LOGGING_IN = users('login', 20);
const REVOKED = users('revoked', 4);
const CALLS_PER_SECOND = 200;
const SLOW_ANSWERS = 0.1;
const SLOW_ANSWER_MS = 300;
// The promise is a second. A busy machine may be late, by a lot in the short form, which runs beside anything: then only
// what hangs counts.
const LIMIT_MS = MINUTES >= 2 ? 5000 : 60_000;
const DISK_BYTES = 1 << 30;
const SPOOL_DISK_BYTES = 64 << 20;
const POOL_SIZE = 10;   // As many as its two processes may have: none waits for what another one does.

async function startCluster(scope) {
  const noDisks = SmallDisk.missing();
  const withDisks = noDisks === undefined;
  if (!withDisks) console.log(`SKIPPED full disks: ${noDisks}`);
  const pair = await PostgresPair.start(scope, {diskBytes: withDisks ? DISK_BYTES : undefined});
  const pooler = await PgBouncer.start(scope, {server: pair.primary, poolSize: POOL_SIZE});
  const dataDir = await scope.directory();
  const spool = withDisks ? await SmallDisk.mount(scope, dataDir, SPOOL_DISK_BYTES) : undefined;
  // Whoever shows that a revoked secret is refused fails more often than people may.
  const edgeFlags = {'user-failed-logins-max': 0, 'failed-logins-per-minute-max': 0};
  const cluster = await Cluster.start(scope, {edges: 0, controls: 0, postgres: pair, dataDir, edgeFlags});
  const pooled = {'database-url': pooler.url};
  await cluster.addEdge({flags: {'database-url': pair.urlFor('primary')}});
  Object.assign(await cluster.addEdge({flags: pooled}), {pooled: true});
  for (const flags of [{'database-url': pair.urlFor('read-write')}, pooled]) {
    Object.assign(await cluster.addControl({flags}), {flags, pooled: flags === pooled});
  }
  await cluster.linked();
  return {cluster, pair, pooler, spool};
}

// Each fault once, in a random order, then each once again, and so on; now and then one of the others beside it.
async function disturb(faults, random, {seed, minutes}) {
  const done = [];
  const run = async (name) => {
    const from = Date.now();
    await faults[name]();
    done.push({name, from, to: Date.now()});
  };
  let deck = [];
  for (const end = Date.now() + minutes * 60_000; Date.now() < end;) {
    if (deck.length === 0) deck = [...faults.names];
    const [name] = deck.splice(faults.below(deck.length), 1);
    const others = faults.besides(name);
    const beside = random() < 0.3 && others.length > 0 ? [others[faults.below(others.length)]] : [];
    console.log(`seed ${seed}: ${[name, ...beside].join(' beside ')}`);
    await Promise.all([name, ...beside].map(run));
    await sleep(faults.below(1500));
  }
  return done;
}

const skip = PgBouncer.missing ?? (testTls ? 'neither the pair nor the pooler of this test speaks TLS' : undefined);
clusterClaim(`in ${MINUTES} random minutes of the store each call leaves one row, and logins and revocations wait for nothing but PostgreSQL itself`, async (scope) => {
  const seed = Number(process.env.TOOLWIRE_STORE_SEED ?? newSeed());
  console.log(`TOOLWIRE_STORE_SEED=${seed}`);
  const random = randomOf(seed);
  const {cluster, pair, pooler, spool} = await startCluster(scope);
  // Some take so long that a control which is killed has calls in flight.
  const answer = ({requestId, params}, agent) => {
    const response = {success: true, result: params};
    if (Math.random() > SLOW_ANSWERS) return response;
    setTimeout(() => agent.closeFrame || agent.respond(requestId, response), SLOW_ANSWER_MS);
  };
  const agents = [];
  for (const [i, userId] of CALLED.entries()) {
    const query = loginQuery(userId, await cluster.secret(userId));
    agents.push(cluster.scope.own(new FieldAgent(() => cluster.edges[i % 2].url(query), {answer})));
  }
  for (const agent of agents) await agent.connected();
  const outages = new Outages();
  const operators = await StoreUsers.start(cluster, outages, {loginUsers: LOGGING_IN, operatorUsers: REVOKED});
  const traffic = await Traffic.start(cluster, CALLED, {callers: 10, backends: 1, perSecond: CALLS_PER_SECOND});
  await traffic.recovered(Date.now(), 'before');

  const faults = new StoreFaults({
    cluster, pair, pooler, outages, random, spool, users: [...LOGGING_IN, ...REVOKED], isLong: MINUTES >= 2,
    only: ONLY,
  });
  const loop = monitorEventLoopDelay();
  loop.enable();
  const [begun, before] = [Date.now(), traffic.calls.size];
  const done = await disturb(faults, random, {seed, minutes: MINUTES});
  const calm = Date.now();
  const away = (one) => [one, calm - begun - outages.presentMs(begun, calm, [one])];
  const awayMs = Object.fromEntries(['reads', 'writes', 'pooler'].map(away));
  loop.disable();
  const perSecond = Math.round(1000 * (traffic.calls.size - before) / (calm - begun));

  await traffic.recovered(calm, 'random minutes');
  await operators.stop();
  const rows = await traffic.sum(agents, 'random minutes');
  console.log(`random minutes: every call had its row ${Date.now() - calm} ms later`);
  const members = [...cluster.edges, ...cluster.controls];
  for (const {ports} of members) {
    await until('it is ready', async () => {
      const {status, body} = await get(ports.metrics, '/readyz');
      if (status !== 200) throw new Error(body);
      return true;
    });
  }
  console.log(`figures: ${JSON.stringify({
    seed, minutes: MINUTES, faults: done.length,
    of_each: Object.fromEntries(faults.names.map((one) => [one, done.filter(({name}) => name === one).length])),
    calls: traffic.calls.size, calls_per_second: perSecond, rows: rows.size, away_ms: awayMs,
    ...operators.sum(), failed_attempts: operators.failed.length, test_stood_still_ms: Math.round(loop.max / 1e6),
  })}`);
  const during = ({begun: from, ended: to}) =>
    done.filter((one) => one.from <= to && from <= one.to).map(({name}) => name);
  for (const one of operators.over(1000)) {
    console.log(`over a second: ${JSON.stringify({...one, during: during(one)})}`);
  }
  for (const {at, ms, ...one} of operators.failed.slice(0, 20)) {
    console.log(`failed: ${JSON.stringify({...one, ms, during: during({begun: at, ended: at + ms})})}`);
  }

  assert.deepEqual(operators.wrong, []);
  assert.deepEqual(operators.over(LIMIT_MS), [], 'logins and changes that waited for something else than PostgreSQL');
  for (const member of members) {
    assert.equal(await member.metric('toolwire_audit_rows_refused_total'), 0);
    assert.equal(await member.metric('toolwire_audit_rows_dropped_total'), 0);
  }
  const called = `user_id IN (${CALLED.map(quoted)})`;
  const shortened = await cluster.sql(`SELECT request_id, params FROM tool_execution_logs
    WHERE ${called} AND params->>'requestId' IS DISTINCT FROM request_id LIMIT 5`);
  assert.deepEqual(shortened, [], 'rows without what the call was for');
  await until('each status is right', async () => {
    const wrong = await cluster.sql(`SELECT user_id, status FROM agent_credentials
      WHERE (status = 'connected') <> (${called})`);
    assert.deepEqual(wrong, []);
    return true;
  });
}, {...(skip && {skip}), timeout: 600_000 + MINUTES * 60_000});
