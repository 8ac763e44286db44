// Many agents in one process. Each echoes: the result of a call is its params.
//
//   node agents.js --system toolwire|seed|nats --url ws://127.0.0.1:PORT --count N [--credentials FILE]
//
// Toolwire and the seed's server speak the same protocol and get the same agents. Agents of NATS speak its protocol,
// which is text, on the same `ws` package with the least there is to it: its full client, once per agent, would burden
// NATS with the cost of the load generator. Prints JSON lines: once when all are connected, and when one is lost.
import {readFileSync} from 'node:fs';
import {parseArgs} from 'node:util';
import WebSocket from 'ws';

const {values: flags} = parseArgs({
  options: {system: {type: 'string'}, url: {type: 'string'}, count: {type: 'string'}, credentials: {type: 'string'}},
});
const count = Number(flags.count);
const HEARTBEAT_MS = 30_000;
const DIALLING_MAX = 256;  // Handshakes under way at once.
const RECONNECT_MIN_MS = 1_000;
const RECONNECT_MAX_MS = 60_000;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

// What the tool does.
const run = ({params}) => ({success: true, result: params, error: null, executionTime: 0});

// `connected` is called once the agent may be called.
function toolwireAgent(userId, secret, connected) {
  const query = `/?userId=${encodeURIComponent(userId)}&secret=${encodeURIComponent(secret)}`;
  const socket = new WebSocket(flags.url + query, {perMessageDeflate: false});
  const send = (frame) => socket.send(JSON.stringify(frame));
  const heartbeat = () => send({type: 'heartbeat', timestamp: Date.now()});
  let timer;
  socket.on('message', (data) => {
    const frame = JSON.parse(data);
    if (frame.type === 'tool_call') {
      send({type: 'tool_response', requestId: frame.requestId, ...run(frame)});
    } else if (frame.type === 'connected') {
      // Spread over the interval, as those of agents that did not start together.
      timer = setTimeout(() => {
        heartbeat();
        timer = setInterval(heartbeat, HEARTBEAT_MS);
      }, Math.random() * HEARTBEAT_MS);
      connected();
    }
  });
  socket.on('close', () => clearTimeout(timer));  // Clears intervals, too.
  return socket;
}

function natsAgent(userId, _secret, connected) {
  const socket = new WebSocket(flags.url, {perMessageDeflate: false});
  let rest = Buffer.alloc(0);
  // Handles one protocol message at `at` and returns where it ends; nothing if it is not there in full.
  const receive = (at) => {
    const end = rest.indexOf('\r\n', at);
    if (end < 0) return undefined;
    const [verb, ...fields] = rest.toString('latin1', at, end).split(' ');
    if (verb === 'MSG') {  // MSG subject sid reply-to bytes CRLF payload CRLF
      const begin = end + 2;
      const payloadEnd = begin + Number(fields.at(-1));
      if (rest.length < payloadEnd + 2) return undefined;
      const answer = JSON.stringify(run(JSON.parse(rest.toString('utf8', begin, payloadEnd))));
      socket.send(`PUB ${fields[2]} ${Buffer.byteLength(answer)}\r\n${answer}\r\n`);
      return payloadEnd + 2;
    }
    if (verb === 'INFO') {
      socket.send(`CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\nSUB agent.${userId} 1\r\nPING\r\n`);
    } else if (verb === 'PONG') {
      connected();
    } else if (verb === 'PING') {
      socket.send('PONG\r\n');
    } else {
      say({event: 'unexpected', verb, fields});
    }
    return end + 2;
  };
  socket.on('message', (data) => {
    rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
    let at = 0;
    for (let next; at < rest.length && (next = receive(at)) !== undefined; ) at = next;
    rest = rest.subarray(at);
  });
  return socket;
}

const secrets = new Map();
if (flags.credentials) {
  for (const line of readFileSync(flags.credentials, 'utf8').trim().split('\n')) secrets.set(...line.split(' '));
}
const agent = flags.system === 'nats' ? natsAgent : toolwireAgent;
const began = performance.now();
let next = 0, connectedCount = 0, refused = 0;

function dial(userId, waitMs = RECONNECT_MIN_MS) {
  let isConnected = false;
  const socket = agent(userId, secrets.get(userId), () => {
    isConnected = true;
    if (++connectedCount === count) {
      say({event: 'all agents connected', elapsed_ms: Math.round(performance.now() - began), refused});
    }
    dialNext();
  });
  let trouble = '';
  socket.on('error', (error) => (trouble = error.message));
  socket.on('close', (code, reason) => {
    if (isConnected) {
      --connectedCount;
      say({event: 'agent lost', user: userId, code, reason: reason.toString(), trouble});
    } else {
      ++refused;
    }
    setTimeout(dial, waitMs, userId, Math.min(2 * waitMs, RECONNECT_MAX_MS));
  });
}
function dialNext() {
  if (next < count) dial(`user_${next++}`);
}
for (let i = 0; i < DIALLING_MAX; ++i) dialNext();
process.once('SIGTERM', () => process.exit(0));
