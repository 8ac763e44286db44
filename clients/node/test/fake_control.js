// A gRPC server in control's place, in the test's own process: it keeps what it was asked, and answers as the test says.
import {createRequire} from 'node:module';

const require = createRequire(import.meta.url);
const grpc = require('@grpc/grpc-js');
const {toolwire: {v1}} = require('../generated/proto.js');

export const {Reason, Delivery} = v1.CallError;
export const {Kind} = v1.WatchAgentsResponse;

const method = (service, name, request, response, requestStream, responseStream) => ({
  path: `/toolwire.v1.${service}/${name}`, requestStream, responseStream,
  requestSerialize: (m) => request.encode(m).finish(), requestDeserialize: (bytes) => request.decode(bytes),
  responseSerialize: (m) => response.encode(m).finish(), responseDeserialize: (bytes) => response.decode(bytes)});
const METHODS = {
  Dispatch: method('ToolDispatch', 'Dispatch', v1.DispatchRequest, v1.DispatchReply, true, true),
  GetAgent: method('ToolDispatch', 'GetAgent', v1.GetAgentRequest, v1.Agent, false, false),
  ListAgents: method('ToolDispatch', 'ListAgents', v1.ListAgentsRequest, v1.ListAgentsResponse, false, false),
  WatchAgents: method('ToolDispatch', 'WatchAgents', v1.WatchAgentsRequest, v1.WatchAgentsResponse, false, true),
  CreateCredential: method('AgentAdmin', 'CreateCredential', v1.CreateCredentialRequest, v1.CredentialSecret, false, false),
  ListExecutions: method('AgentAdmin', 'ListExecutions', v1.ListExecutionsRequest, v1.ListExecutionsResponse, false, false),
};

const echo = ({id, call}) => ({id, response: {requestId: call.requestId || 'r', success: true, resultJson: call.paramsJson}});

/**
 * `answer(calls, stream, cancels)` makes the answers of a message, or nothing; `getAgent` and the others take gRPC's `(call, done)`. Of what
 * is not given there is an answer without anything in it.
 */
export async function startFake(scope, {
  answer = (calls) => calls.map(echo), getAgent, listAgents, createCredential, listExecutions,
  watch = (stream) => stream.write({events: [{kind: Kind.SNAPSHOT_COMPLETE}]}),
} = {}) {
  const fake = {
    /** All calls of streams, as {id, call}. */
    calls: [], cancels: [],
    /** Requests that are no calls, by their methods. */
    requests: [],
    streams: new Set(), watches: new Set(), watchesBegun: 0,
  };
  const unary = (name, given, empty) => (call, done) => {
    fake.requests.push({name, ...call.request});
    if (given) given(call, done);
    else done(null, empty);
  };
  const server = new grpc.Server({'grpc.max_receive_message_length': -1});
  server.addService(METHODS, {
    Dispatch(stream) {
      fake.streams.add(stream);
      stream.on('data', ({calls, cancels}) => {
        fake.calls.push(...calls);
        fake.cancels.push(...cancels);
        const answers = answer(calls, stream, cancels);
        if (answers?.length > 0) stream.write({answers});
      });
      const end = () => fake.streams.delete(stream) && stream.end();
      stream.on('end', end).on('cancelled', end).on('error', () => {});
    },
    WatchAgents(stream) {
      ++fake.watchesBegun;
      fake.watches.add(stream);
      fake.requests.push({name: 'WatchAgents', ...stream.request});
      stream.on('cancelled', () => fake.watches.delete(stream)).on('error', () => {});
      watch(stream);
    },
    GetAgent: unary('GetAgent', getAgent, {userId: 'user_1'}),
    ListAgents: unary('ListAgents', listAgents, {agents: []}),
    CreateCredential: unary('CreateCredential', createCredential, {userId: 'user_1', secret: 's'}),
    ListExecutions: unary('ListExecutions', listExecutions, {executions: []}),
  });
  const port = await new Promise((resolve, reject) => server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(),
    (error, bound) => (error ? reject(error) : resolve(bound))));
  scope.own({close: () => server.forceShutdown()});
  fake.address = `127.0.0.1:${port}`;
  return fake;
}
