// The server that Toolwire replaces, written anew from its description for this comparison: ws + ioredis + pg, the
// same steps for a connection, a heartbeat and a call. Where the description leaves a choice, the cheaper one is
// taken: one listener for all channels, no log line per call, answers published before the row is written.
//
//   PORT=0 SERVER_ID=ws-server-1 REDIS_URL=... DATABASE_URL=... node seed_server.js
import {createServer} from 'node:http';
import Redis from 'ioredis';
import pg from 'pg';
import {WebSocketServer} from 'ws';

const {PORT = '8082', SERVER_ID = 'ws-server-1', REDIS_URL, DATABASE_URL} = process.env;
const HEARTBEAT_CHECK_MS = 30_000;
const HEARTBEAT_TIMEOUT_MS = 90_000;
const REGISTRATION_TTL_S = 120;

const redisOptions = {retryStrategy: (attempt) => Math.min(attempt * 50, 2000)};
const [redis, publisher, subscriber] = Array.from({length: 3}, () => new Redis(REDIS_URL, redisOptions));
const pool = new pg.Pool({connectionString: DATABASE_URL, max: 20});
const complain = (error) => console.error(`seed server: ${error.message}`);
for (const one of [redis, publisher, subscriber, pool]) one.on('error', complain);

// --- registry ---
const commandsOf = (userId) => `agent:${userId}:commands`;
const register = (userId) =>
  Promise.all([
    redis.setex(`agent:${userId}:server`, REGISTRATION_TTL_S, SERVER_ID),
    redis.set(`agent:${userId}:status`, 'connected'),
  ]);
const unregister = (userId) => redis.del(`agent:${userId}:server`, `agent:${userId}:status`);
const refresh = (userId) => redis.setex(`agent:${userId}:server`, REGISTRATION_TTL_S, SERVER_ID);

// --- database ---
const validCredentials = async (userId, secret) => {
  const {rowCount} = await pool.query(
    'SELECT user_id FROM agent_credentials WHERE user_id = $1 AND shared_secret = $2', [userId, secret]);
  return rowCount === 1;
};
const updateStatus = (userId, status) =>
  pool.query('UPDATE agent_credentials SET status = $2, last_seen = now() WHERE user_id = $1', [userId, status]);
const logToolExecution = (userId, {tool, params}, response) =>
  pool.query(
    `INSERT INTO tool_execution_logs
       (user_id, request_id, tool_name, params, result, success, error, execution_time_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [userId, response.requestId, tool, JSON.stringify(params), JSON.stringify(response.result ?? null),
      response.success, response.error ?? null, response.executionTime ?? null]);

// --- connections ---
class Connection {
  calls = new Map();
  lastHeartbeat = Date.now();

  constructor(userId, socket) {
    this.userId = userId;
    this.socket = socket;
  }
  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }
  // A call that came in over Redis.
  forward({requestId, tool, params}) {
    this.calls.set(requestId, {tool, params});
    this.send({type: 'tool_call', requestId, tool, params});
  }
  receive(frame) {
    if (frame.type === 'heartbeat') {
      this.lastHeartbeat = Date.now();
      refresh(this.userId).catch(complain);
      this.send({type: 'heartbeat_ack', timestamp: this.lastHeartbeat});
    } else if (frame.type === 'tool_response') {
      const {requestId, success, result, error, executionTime} = frame;
      const call = this.calls.get(requestId);
      if (!call) return;
      this.calls.delete(requestId);
      const answer = {userId: this.userId, success, result, error, executionTime};
      publisher.publish(`response:${requestId}`, JSON.stringify(answer)).catch(complain);
      logToolExecution(this.userId, call, frame).catch(complain);
    }
  }
}

const connections = new Map();
subscriber.on('message', (channel, text) => {
  const userId = channel.slice('agent:'.length, -':commands'.length);
  connections.get(userId)?.forward(JSON.parse(text));
});

async function connect(socket, request) {
  const query = new URL(request.url, 'ws://localhost').searchParams;
  const userId = query.get('userId');
  const secret = query.get('secret');
  if (!userId || !secret) return socket.close(1008, 'Missing credentials');
  if (!(await validCredentials(userId, secret))) return socket.close(1008, 'Invalid credentials');
  connections.get(userId)?.socket.close(4001, 'Replaced by a new connection');
  const connection = new Connection(userId, socket);
  connections.set(userId, connection);
  socket.on('message', (data) => connection.receive(JSON.parse(data)));
  socket.on('close', () => disconnect(connection).catch(complain));
  socket.on('error', complain);
  await register(userId);
  await subscriber.subscribe(commandsOf(userId));
  await updateStatus(userId, 'connected');
  connection.send({type: 'connected', userId, timestamp: Date.now(), serverId: SERVER_ID});
}

async function disconnect(connection) {
  const {userId} = connection;
  if (connections.get(userId) !== connection) return;
  connections.delete(userId);
  await unregister(userId);
  await subscriber.unsubscribe(commandsOf(userId));
  await updateStatus(userId, 'disconnected');
}

setInterval(() => {
  const oldest = Date.now() - HEARTBEAT_TIMEOUT_MS;
  for (const {socket, lastHeartbeat} of connections.values()) {
    if (lastHeartbeat < oldest) socket.close(1000, 'Heartbeat timeout');
  }
}, HEARTBEAT_CHECK_MS);

const http = createServer((request, response) => {
  const known = request.url === '/health';
  response.writeHead(known ? 200 : 404, {'content-type': 'application/json'});
  response.end(JSON.stringify(known ? {status: 'healthy', serverId: SERVER_ID, connections: connections.size} : {}));
});
new WebSocketServer({server: http, perMessageDeflate: false}).on('connection', (socket, request) =>
  connect(socket, request).catch((error) => {
    complain(error);
    socket.close(1011, 'Internal error');
  }));
http.listen(Number(PORT), '127.0.0.1', 4096, () =>
  console.log(JSON.stringify({event: 'seed server ready', agents: http.address().port})));

async function shutDown() {
  http.close();
  const open = [...connections.values()];
  for (const {socket} of open) socket.close(1001, 'Server shutting down');
  await Promise.all(open.map(disconnect));
  for (const one of [redis, publisher, subscriber]) one.disconnect();
  await pool.end();
  process.exit(0);
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => shutDown().catch(() => process.exit(1)));
