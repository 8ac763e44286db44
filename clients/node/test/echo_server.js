// A gRPC server that echoes calls whose token is `good`. Its connections can be seen and cut.
import {createRequire} from 'node:module';
import net from 'node:net';
import {once} from 'node:events';

const require = createRequire(import.meta.url);
const grpc = require('@grpc/grpc-js');
const {toolwire: {v1}} = require('../generated/proto.js');

const check = ({metadata}) => {
  const [token] = metadata.get('authorization');
  if (token === 'Bearer good') return undefined;
  return token ? {code: grpc.status.PERMISSION_DENIED, details: 'not you'} : {code: grpc.status.UNAUTHENTICATED, details: 'no token'};
};

const method = (name, request, response, responseStream) => ({
  path: `/toolwire.v1.ToolDispatch/${name}`, requestStream: responseStream, responseStream,
  requestSerialize: (m) => request.encode(m).finish(), requestDeserialize: (bytes) => request.decode(bytes),
  responseSerialize: (m) => response.encode(m).finish(), responseDeserialize: (bytes) => response.decode(bytes)});

const methods = {
  Dispatch: method('Dispatch', v1.DispatchRequest, v1.DispatchReply, true),
  GetAgent: method('GetAgent', v1.GetAgentRequest, v1.Agent, false),
};

// Its `address`. With `tls` ({ca, cert, key}; `ca`: clients must show a certificate of it) the connections are TLS.
export async function startEcho(scope, {tls} = {}) {
  const streams = new Set();
  const implementation = {
    Dispatch(stream) {
      const refusal = check(stream);
      if (refusal) return stream.emit('error', refusal);
      streams.add(stream);
      const end = () => streams.delete(stream) && stream.end();
      stream.on('data', ({calls}) => {
        if (!streams.has(stream)) return;
        stream.write({
          answers: calls.map(({id, call}) => ({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}}))});
      });
      stream.on('end', end).on('cancelled', end);
    },
    GetAgent: (call, done) => done(check(call), {userId: call.request.userId}),
  };
  const listen = async (given) => {
    const server = new grpc.Server();
    server.addService(methods, implementation);
    const credentials = given === undefined ? grpc.ServerCredentials.createInsecure()
      : grpc.ServerCredentials.createSsl(given.ca ?? null, [{cert_chain: given.cert, private_key: given.key}], given.ca !== undefined);
    const port = await new Promise((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound))));
    scope.own({close: () => server.forceShutdown()});
    return {server, port};
  };
  let current = await listen(tls);
  // Clients come through here, so that the server behind can be another one and the address stays.
  const sockets = new Set();
  const front = net.createServer((socket) => {
    const behind = net.connect(current.port, '127.0.0.1');
    for (const [one, other] of [[socket, behind], [behind, socket]]) {
      sockets.add(one);
      one.on('error', () => other.destroy()).on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }).listen(0, '127.0.0.1');
  await once(front, 'listening');
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  scope.own({close: () => {
    front.close();
    cut();
  }});
  return {
    address: `127.0.0.1:${front.address().port}`,
    // Breaks all connections.
    cut,
    // New connections get this `tls`; those that are there end in good order, as those of a control that stops.
    async use(given) {
      const old = current.server;
      current = await listen(given);
      for (const stream of [...streams]) {
        streams.delete(stream);
        stream.end();
      }
      await new Promise((resolve) => old.tryShutdown(resolve));
    },
  };
}
