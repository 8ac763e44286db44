// What is compared. Each starts its servers and says how agents and callers reach them:
// {pids, agents: {system, url, credentials}, callers: {system, url}, redis, database, stop}.
import {randomBytes} from 'node:crypto';
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {Process, freePort, run} from './process.js';
import {startRedis} from './servers.js';

export const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const bin = (name) => path.resolve(process.env.TOOLWIRE_BIN_DIR ?? here('../../../build/release'), name);

async function stopAll(processes) {
  for (const one of processes) await one.stop();
}

// Makes the credentials of all agents in a store; returns their file.
async function makeCredentials(directory, agents, store) {
  const file = path.join(directory, 'credentials');
  await run(bin('toolwire'), ['credentials', 'create', 'user_', '--count', String(agents), '--out', file, ...store]);
  return file;
}

// Edge and control. Without Redis control is told where the edge is, without a database they share SQLite.
async function startPair({agents, directory, redis, database}) {
  const sqlite = ['--data-dir', `${directory}/data`];
  const postgres = database ? ['--database-url', database.url] : [];
  const credentials = await makeCredentials(directory, agents, database ? postgres : sqlite);
  const common = [
    '--metrics-port', '0', '--log-format', 'json', ...sqlite, ...postgres, ...(redis ? ['--redis-url', redis.url] : []),
  ];
  const edge = new Process(bin('toolwire-edge'), ['--port', '0', '--relay-port', '0', ...common]);
  const edgeReady = await edge.event('edge ready');
  const found = redis ? [] : ['--edge', `127.0.0.1:${edgeReady.relay}`];
  const control = new Process(bin('toolwire-control'), ['--grpc-port', '0', ...common, ...found]);
  const controlReady = await control.event('control ready');
  await control.event('edge linked');
  return {
    pids: [edge.pid, control.pid],
    agents: {system: 'toolwire', url: `ws://127.0.0.1:${edgeReady.agents}`, credentials},
    callers: {system: 'toolwire', url: `127.0.0.1:${controlReady.callers}`},
    redis,
    database,
    stop: () => stopAll(redis ? [control, edge, redis] : [control, edge]),
  };
}

// As in production.
const startToolwire = async (options) => startPair({...options, redis: await startRedis(options.directory)});
// Without the servers beside them that NATS does not have either.
const startSplit = ({agents, directory}) => startPair({agents, directory});

// The embedded default: one process, as NATS is; audited in SQLite.
async function startDev({agents, directory}) {
  const store = ['--data-dir', `${directory}/data`];
  const credentials = await makeCredentials(directory, agents, store);
  const dev = new Process(bin('toolwire'), [
    'dev', '--port', '0', '--grpc-port', '0', '--metrics-port', '0', '--log-format', 'json', ...store,
  ]);
  const ready = await dev.event('toolwire dev ready');
  return {
    pids: [dev.pid],
    agents: {system: 'toolwire', url: `ws://127.0.0.1:${ready.agents}`, credentials},
    callers: {system: 'toolwire', url: `127.0.0.1:${ready.callers}`},
    stop: () => stopAll([dev]),
  };
}

async function startSeed({agents, directory, database}) {
  const redis = await startRedis(directory);
  const credentials = path.join(directory, 'credentials');
  const secrets = Array.from({length: agents}, () => randomBytes(32).toString('hex'));
  await database.createCredentials(secrets);
  await writeFile(credentials, secrets.map((secret, i) => `user_${i} ${secret}\n`).join(''), {mode: 0o600});
  const server = new Process(process.execPath, [here('seed_server.js')], {
    env: {PORT: '0', REDIS_URL: redis.url, DATABASE_URL: database.url, NODE_ENV: 'production'},
  });
  const {agents: port} = await server.event('seed server ready');
  return {
    pids: [server.pid],
    agents: {system: 'seed', url: `ws://127.0.0.1:${port}`, credentials},
    callers: {system: 'seed', url: redis.url},
    redis,
    database,
    stop: () => stopAll([server, redis]),
  };
}

async function startNats({directory}) {
  const callersPort = await freePort();
  const agentsPort = await freePort();
  const config = path.join(directory, 'nats.conf');
  await writeFile(config, `
    listen: "127.0.0.1:${callersPort}"
    websocket { listen: "127.0.0.1:${agentsPort}", no_tls: true }
  `);
  const server = new Process('nats-server', ['-c', config]);
  await server.says('Server is ready');
  return {
    pids: [server.pid],
    agents: {system: 'nats', url: `ws://127.0.0.1:${agentsPort}`},
    callers: {system: 'nats', url: `127.0.0.1:${callersPort}`},
    stop: () => stopAll([server]),
  };
}

// Two servers, callers at one and agents at the other, as they are at Toolwire's control and edge.
async function startNatsPair({directory}) {
  const [callersPort, callersRoutes, agentsPort, agentsRoutes, unused] = await Promise.all(Array.from({length: 5}, freePort));
  const configs = {
    callers: `
      listen: "127.0.0.1:${callersPort}"
      cluster { name: "pair", listen: "127.0.0.1:${callersRoutes}" }
    `,
    agents: `
      listen: "127.0.0.1:${unused}"
      websocket { listen: "127.0.0.1:${agentsPort}", no_tls: true }
      cluster { name: "pair", listen: "127.0.0.1:${agentsRoutes}", routes: ["nats://127.0.0.1:${callersRoutes}"] }
    `,
  };
  const servers = [];
  for (const [name, text] of Object.entries(configs)) {
    const config = path.join(directory, `${name}.conf`);
    await writeFile(config, text);
    servers.push(new Process('nats-server', ['-c', config]));
    await servers.at(-1).says('Server is ready');
  }
  await servers[1].says('Route connection created');
  return {
    pids: servers.map(({pid}) => pid),
    agents: {system: 'nats', url: `ws://127.0.0.1:${agentsPort}`},
    callers: {system: 'nats', url: `127.0.0.1:${callersPort}`},
    stop: () => stopAll(servers),
  };
}

const nodeAgents = ({system, url, credentials}, count) =>
  new Process(process.execPath, [
    here('agents.js'), '--system', system, '--url', url, '--count', String(count),
    ...(credentials ? ['--credentials', credentials] : []),
  ]);
const cppAgents = ({url, credentials}, count) =>
  new Process(bin('toolwire'), [
    'agent', '--url', url, '--count', String(count), '--credentials', credentials, '--log-format', 'json',
  ]);

// `database`: audited in PostgreSQL. `callsOnly`: shows what the agents cost the calls, no more.
export const SYSTEMS = {
  toolwire: {title: 'Toolwire', start: startToolwire, startAgents: nodeAgents, database: true},
  'toolwire-split': {title: 'Toolwire, SQLite', start: startSplit, startAgents: nodeAgents, database: false},
  'toolwire-dev': {title: 'Toolwire dev (SQLite)', start: startDev, startAgents: nodeAgents, database: false},
  nats: {title: 'NATS', start: startNats, startAgents: nodeAgents, database: false},
  'nats-pair': {title: 'NATS, 2 servers', start: startNatsPair, startAgents: nodeAgents, database: false},
  seed: {title: 'Node.js server (seed)', start: startSeed, startAgents: nodeAgents, database: true},
  'toolwire-cpp-agents': {
    title: 'Toolwire, agents in C++', start: startToolwire, startAgents: cppAgents, database: true, callsOnly: true,
  },
};
