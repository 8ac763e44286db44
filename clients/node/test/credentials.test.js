// Token and TLS, as a server that asks for them sees them: a gRPC server of the test's own, since control's side of both
// is not there yet.
import assert from 'node:assert/strict';
import {execFileSync, spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import {PermissionDeniedError, ToolwireClient, UnauthenticatedError} from '../dist/index.mjs';
import {claim, rejection} from './lib.js';

const require = createRequire(import.meta.url);
const grpc = require('@grpc/grpc-js');
const {toolwire: {v1}} = require('../generated/proto.js');
const opensslMissing = spawnSync('openssl', ['version']).status === 0 ? undefined : 'openssl is not installed';

// Echoes calls whose token is `good`.
async function startServer(scope, credentials) {
  const check = ({metadata}) => {
    const [token] = metadata.get('authorization');
    if (token === 'Bearer good') return undefined;
    return token ? {code: grpc.status.PERMISSION_DENIED, details: 'not you'} : {code: grpc.status.UNAUTHENTICATED, details: 'no token'};
  };
  const server = new grpc.Server();
  const method = (name, request, response, responseStream) => ({
    path: `/toolwire.v1.ToolDispatch/${name}`, requestStream: responseStream, responseStream,
    requestSerialize: (m) => request.encode(m).finish(), requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: (m) => response.encode(m).finish(), responseDeserialize: (bytes) => response.decode(bytes)});
  server.addService({
    Dispatch: method('Dispatch', v1.DispatchRequest, v1.DispatchReply, true),
    GetAgent: method('GetAgent', v1.GetAgentRequest, v1.Agent, false),
  }, {
    Dispatch(stream) {
      const refusal = check(stream);
      if (refusal) return stream.emit('error', refusal);
      stream.on('data', ({calls}) => stream.write({
        answers: calls.map(({id, call}) => ({id, response: {requestId: 'r', success: true, resultJson: call.paramsJson}}))}));
      stream.on('end', () => stream.end());
    },
    GetAgent: (call, done) => done(check(call), {userId: call.request.userId}),
  });
  const port = await new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound))));
  scope.own({close: () => server.forceShutdown()});
  return `127.0.0.1:${port}`;
}
const clientOf = (scope, options) => {
  const client = new ToolwireClient(options);
  scope.own({close: () => client.close({drainMs: 0})});
  return client;
};

claim('token: goes with every request; a wrong one ends calls at once, as NOT_SENT', async (scope) => {
  const address = await startServer(scope, grpc.ServerCredentials.createInsecure());
  const good = clientOf(scope, {address, token: 'good'});
  assert.deepEqual((await good.callTool('user_1', 'echo', {n: 1})).result, {n: 1});
  assert.equal((await good.getAgent('user_1')).connected, false);
  for (const [token, Class, status] of [['bad', PermissionDeniedError, 403], [undefined, UnauthenticatedError, 401]]) {
    const client = clientOf(scope, {address, token});
    for (const request of [client.callTool('user_1', 'echo'), client.getAgent('user_1')]) {
      const error = await rejection(request);
      assert.equal(error.constructor, Class, error.stack);
      assert.deepEqual([error.delivery, error.httpStatus, error.safeToRetry], ['NOT_SENT', status, false]);
    }
  }
});

claim("tls: the client's certificate, the server's name, files and text; a server that is not trusted is not spoken to", async (scope) => {
  const directory = await scope.directory();
  const file = (name) => path.join(directory, name);
  const openssl = (...args) => execFileSync('openssl', args, {cwd: directory, stdio: 'pipe'});
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'key.pem', '-out', 'cert.pem',
    '-days', '2', '-subj', '/CN=control.test', '-addext', 'subjectAltName=DNS:control.test');
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => readFileSync(file(name)));
  const address = await startServer(scope, grpc.ServerCredentials.createSsl(cert, [{cert_chain: cert, private_key: key}], true));
  const serverName = 'control.test';
  for (const tls of [
    {ca: cert, cert, key, serverName},
    {ca: file('cert.pem'), cert: file('cert.pem'), key: file('key.pem'), serverName},
    {ca: String(cert), cert: String(cert), key: String(key), serverName},
  ]) {
    const client = clientOf(scope, {address, token: 'good', tls});
    assert.deepEqual((await client.callTool('user_1', 'echo', {n: 1})).result, {n: 1});
  }
  for (const tls of [true, {ca: cert, cert, key}, {ca: cert, serverName}]) {
    const error = await rejection(clientOf(scope, {address, token: 'good', tls, controlWaitMs: 1000}).callTool('user_1', 'echo'));
    assert.deepEqual([error.reason, error.delivery], ['CONTROL_UNAVAILABLE', 'NOT_SENT'], error.stack);
  }
}, {skip: opensslMissing});
