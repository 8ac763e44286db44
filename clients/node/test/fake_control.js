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
  FollowAgents: method('ToolDispatch', 'FollowAgents', v1.FollowRequest, v1.WatchAgentsResponse, true, true),
  CreateCredential: method('AgentAdmin', 'CreateCredential', v1.CreateCredentialRequest, v1.CredentialSecret, false, false),
  ListExecutions: method('AgentAdmin', 'ListExecutions', v1.ListExecutionsRequest, v1.ListExecutionsResponse, false, false),
};

const echo = ({id, call}) => ({id, response: {requestId: call.requestId || 'r', success: true, resultJson: call.paramsJson}});

// What a control says of itself.
export const HELLO = {
  version: 'fake', startId: 'one', callsMax: 20_000, messageBytesMax: 18 << 20, paramsBytesMax: 16 << 20, silenceMs: 2000,
  saysClockRead: true,
};

// The question of a client that wants to know whether an older control is there, as every control answers it.
const refusal = ({id}) => ({id, failure: {code: 3, message: 'user_id must not be empty', detail: {reason: Reason.INVALID_REQUEST, delivery: Delivery.NOT_SENT, field: 'user_id'}}});

const absent = (userId) => ({kind: Kind.DISCONNECTED, agent: {userId}});
export const present = (userId, epoch = 1, serverId = 'edge') =>
  ({kind: Kind.CONNECTED, agent: {userId, connected: true, serverId, epoch}});

/**
 * `answer(calls, stream, cancels)` makes the answers of a message, or nothing; `dispatch(stream)` has the stream to itself,
 * before anything is said on it; `getAgent` and the others take gRPC's `(call, done)`. Of what is not given there is an
 * answer without anything in it. `older`: a control that knows nothing of hello and FollowAgents. `follow(add, stream)`
 * answers those that are added, by default that they are absent; with `followHello` it says that first, and gives signs of life. With a `hello` of null
 * the test itself says it, and questions are not answered.
 */
export async function startFake(scope, {
  answer = (calls) => calls.map(echo), dispatch, getAgent, listAgents, createCredential, listExecutions,
  watch = (stream) => stream.write({events: [{kind: Kind.SNAPSHOT_COMPLETE}]}),
  follow = (add, stream) => stream.write({events: add.map(absent)}),
  hello = HELLO, followHello, older = false, port: wanted = 0,
} = {}) {
  const fake = {
    /** All calls of streams, as {id, call}; all messages. */
    calls: [], cancels: [], messages: [],
    /** Calls without a user, which ask whether it is there, and are not among the `calls`. */
    questions: [],
    /** Requests that are no calls, by their methods. */
    requests: [],
    streams: new Set(), streamsBegun: 0, watches: new Set(), watchesBegun: 0,
    /** Streams that follow users, each with those users in `users`; and how often such a stream was opened at all. */
    follows: new Set(), followsBegun: 0, followsAsked: 0,
    /** It says nothing any more, as a process that is stopped; only pings are answered, as by a proxy in front of it. */
    stopped: false,
    /** It says so when it has read the first clock of a stream, where its hello says that it does. */
    readsClocks: true,
  };
  const unary = (name, given, empty) => (call, done) => {
    fake.requests.push({name, ...call.request});
    if (fake.stopped) return;
    if (given) given(call, done);
    else done(null, empty);
  };
  const server = new grpc.Server({'grpc.max_receive_message_length': -1});
  const {FollowAgents: _, ...olderMethods} = METHODS;
  server.addService(older ? olderMethods : METHODS, {
    Dispatch(stream) {
      ++fake.streamsBegun;
      if (fake.stopped || dispatch?.(stream, fake)) return;
      fake.streams.add(stream);
      if (!older && stream.metadata.get('toolwire-hello')[0] === '1' && hello) stream.write({hello});
      stream.on('data', (message) => {
        const {cancels} = message;
        const questions = message.calls.filter(({call}) => call.userId === '');
        if (questions.length > 0) {
          fake.questions.push(...questions);
          if ((older || hello) && !fake.stopped) stream.write({answers: questions.map(refusal)});
          return;
        }
        const {calls} = message;
        fake.messages.push(message);
        if ((hello ?? HELLO).saysClockRead && Number(message.clockMs) > 0 && fake.readsClocks && !fake.stopped && !stream.clockRead) {
          stream.clockRead = true;
          stream.write({clockRead: true});
        }
        fake.calls.push(...calls);
        fake.cancels.push(...cancels);
        const answers = answer(calls, stream, cancels);
        if (answers?.length > 0 && !fake.stopped) stream.write({answers});
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
    FollowAgents(stream) {
      ++fake.followsAsked;
      if (fake.stopped) return;
      stream.users = new Set();
      let life;
      if (followHello && stream.metadata.get('toolwire-hello')[0] === '1') {
        stream.write({hello: followHello});
        life = setInterval(() => fake.stopped || stream.write({}), followHello.silenceMs / 4);
        scope.own({close: () => clearInterval(life)});
      }
      stream.once('data', () => {
        ++fake.followsBegun;
        fake.follows.add(stream);
      });
      stream.on('data', ({add, remove}) => {
        for (const one of remove) stream.users.delete(one);
        for (const one of add) stream.users.add(one);
        if (add.length > 0 && !fake.stopped) follow(add, stream, fake);
      });
      const end = () => {
        clearInterval(life);
        fake.follows.delete(stream);
        stream.end();
      };
      stream.on('end', end).on('cancelled', end).on('error', () => {});
    },
    GetAgent: unary('GetAgent', getAgent, {userId: 'user_1'}),
    ListAgents: unary('ListAgents', listAgents, {agents: []}),
    CreateCredential: unary('CreateCredential', createCredential, {userId: 'user_1', secret: 's'}),
    ListExecutions: unary('ListExecutions', listExecutions, {executions: []}),
  });
  const port = await new Promise((resolve, reject) => server.bindAsync(`127.0.0.1:${wanted}`, grpc.ServerCredentials.createInsecure(),
    (error, bound) => (error ? reject(error) : resolve(bound))));
  fake.stop = () => server.forceShutdown();
  scope.own({close: fake.stop});
  fake.port = port;
  fake.address = `127.0.0.1:${port}`;
  return fake;
}
