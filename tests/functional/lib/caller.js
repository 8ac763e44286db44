// A backend: the public gRPC services, unary and as one stream.
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import path from 'node:path';
import {callerCredentials} from './callers_tls.js';
import {REPOSITORY, testTls} from './process.js';
import {deferred, until, within, DEADLINE_MS} from './until.js';

const definition = protoLoader.loadSync(['toolwire/v1/dispatch.proto', 'toolwire/v1/admin.proto'], {
  includeDirs: [path.join(REPOSITORY, 'proto')],
  longs: String,
  enums: String,
  bytes: Buffer,
  defaults: true,
  oneofs: true,
});
const v1 = grpc.loadPackageDefinition(definition).toolwire.v1;
// Every method of every service, with its path and whether it streams.
export const RPCS = Object.entries(definition)
  .filter(([, one]) => Object.values(one).every((method) => typeof method?.path === 'string'))
  .flatMap(([service, methods]) => Object.entries(methods).map(([name, method]) => ({...method, service, name})));
const StatusDetails = definition['toolwire.v1.StatusDetails'];
const CallError = definition['toolwire.v1.CallError'];

export const code = grpc.status;

// The standard health check: one string in, one enum out, on the caller's channel.
export function health(caller, service) {
  const done = deferred();
  caller.client.makeUnaryRequest(
    '/grpc.health.v1.Health/Check',
    (name) => Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name)]),
    (bytes) => ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'][bytes[1] ?? 0],
    service,
    (error, status) => (error ? done.reject(error) : done.resolve(status)));
  return within('the health check answers', done.promise);
}

// The typed detail of a failed call, as every gRPC client finds it in the trailers.
function detailOf(metadata) {
  const [packed] = metadata?.get('grpc-status-details-bin') ?? [];
  if (packed === undefined) return undefined;
  const status = StatusDetails.deserialize(packed);
  const found = status.details.find((one) => one.typeUrl === 'type.googleapis.com/toolwire.v1.CallError');
  return {status, ...CallError.deserialize(found.value)};
}

// What a call came to, in one form for both ways of calling: {response} or {code, reason, delivery, ...}.
function outcomeOfError(error) {
  if (!(error.metadata instanceof grpc.Metadata)) throw error;
  return {code: error.code, message: error.details, ...detailOf(error.metadata)};
}

// The result of an answered call, parsed.
export function resultOf(outcome) {
  if (outcome.response === undefined) throw new Error(`the call failed: ${outcome.reason}, ${outcome.delivery}: ${outcome.message}`);
  return JSON.parse(outcome.response.resultJson.toString());
}

// A JSON object as the fields of google.protobuf.Struct, and back.
export const toStruct = (object) => ({
  fields: Object.fromEntries(Object.entries(object).map(([key, value]) => [key, toValue(value)])),
});
function toValue(json) {
  if (json === null) return {nullValue: 'NULL_VALUE'};
  if (Array.isArray(json)) return {listValue: {values: json.map(toValue)}};
  switch (typeof json) {
    case 'object':
      return {structValue: toStruct(json)};
    case 'number':
      return {numberValue: json};
    case 'string':
      return {stringValue: json};
    default:
      return {boolValue: json};
  }
}
export function fromValue(value) {
  switch (value.kind) {
    case 'structValue':
      return Object.fromEntries(Object.entries(value.structValue.fields).map(([key, one]) => [key, fromValue(one)]));
    case 'listValue':
      return value.listValue.values.map(fromValue);
    case 'nullValue':
      return null;
    default:
      return value[value.kind];
  }
}

// `params` may be JSON text, bytes, or an object.
function requestOf({params, ...request}) {
  if (params === undefined) return request;
  const json = Buffer.isBuffer(params) || typeof params === 'string' ? params : JSON.stringify(params);
  return {...request, paramsJson: Buffer.from(json)};
}
const durationOf = (ms) => ({seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6});

// As options of a client; null is no token.
const withToken = (token) => token == null ? {} : {interceptors: [(options, next) => new grpc.InterceptingCall(next(options), {
  start(metadata, listener, begin) {
    metadata.set('authorization', `Bearer ${token}`);
    begin(metadata, listener);
  },
})]};

// `hello`: it asks for control's first word.
function metadataOf(hello) {
  const metadata = new grpc.Metadata();
  if (hello) metadata.set('toolwire-hello', '1');
  return metadata;
}

export class Caller {
  constructor(port, host = '127.0.0.1', {token = testTls?.token, credentials = callerCredentials()} = {}) {
    const to = [`${host}:${port}`, credentials];
    const options = {'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0, ...withToken(token)};
    this.client = new v1.ToolDispatch(...to, {
      'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1, ...options,
    });
    this.administration = new v1.AgentAdmin(...to, options);  // With gRPC's own limits, as most clients have them.
  }

  // One CallTool. The outcome; throws only if something other than the call failed.
  call(userId, tool, params = {}, {timeoutMs, grpcDeadlineMs, ...fields} = {}) {
    const request = requestOf({userId, tool, params, ...fields});
    if (timeoutMs !== undefined) request.timeout = durationOf(timeoutMs);
    return this.start(request, {grpcDeadlineMs}).outcome;
  }

  // The request as it is given, without defaults, and a handle to cancel it.
  start(request, {grpcDeadlineMs} = {}) {
    const done = deferred();
    const options = {deadline: Date.now() + (grpcDeadlineMs ?? 2 * DEADLINE_MS)};
    const sent = this.client.CallTool(request, new grpc.Metadata(), options, (error, response) => {
      if (!error) return done.resolve({code: 0, response});
      try {
        done.resolve(outcomeOfError(error));
      } catch (unexpected) {
        done.reject(unexpected);
      }
    });
    return {outcome: done.promise, cancel: () => sent.cancel()};
  }

  // The other unary methods.
  ask(method, request) {
    const done = deferred();
    this.client[method](request, (error, response) => (error ? done.reject(error) : done.resolve(response)));
    return within(`${method} answers`, done.promise);
  }

  // A method of AgentAdmin: its response, or {code, message}.
  admin(method, request = {}) {
    return this.startAdmin(method, request).outcome;
  }
  // The same, and a handle to cancel it.
  startAdmin(method, request = {}) {
    const done = deferred();
    const sent = this.administration[method](request, {deadline: Date.now() + 2 * DEADLINE_MS}, (error, response) =>
      done.resolve(error ? {code: error.code, message: error.details} : response));
    return {outcome: done.promise, cancel: () => sent.cancel()};
  }
  // The pages of a listing of AgentAdmin, as an array of responses.
  async adminPages(method, request) {
    const pages = [];
    for (let token = ''; token !== '' || pages.length === 0; token = pages.at(-1).nextPageToken) {
      const page = await this.admin(method, {...request, pageToken: token});
      if (page.code) throw new Error(`${method}: ${page.message}`);
      pages.push(page);
    }
    return pages;
  }

  // `hello`: asks for control's first word, for `draining` and for signs of life.
  dispatch({hello = false} = {}) {
    return new Dispatch(this.client.Dispatch(metadataOf(hello)));
  }
  follow({hello = false} = {}) {
    return new Follow(this.client.FollowAgents(metadataOf(hello)));
  }
  watch(userIds = []) {
    return new Watch(this.client.WatchAgents({userIds}));
  }
  close() {
    this.client.close();
    this.administration.close();
  }
}

// One Dispatch stream. Every answer is kept under its id, so that a second one for the same id shows.
export class Dispatch {
  answers = new Map();
  messages = 0;
  signs = 0;  // Of life.
  #stream;
  #ended = deferred();
  #nextId = 1_000_000;  // Out of the way of ids that tests choose.

  constructor(stream) {
    this.#stream = stream;
    stream.on('metadata', () => (this.begun = true));
    stream.on('data', ({answers, hello, draining, clockRead}) => {
      ++this.messages;
      if (hello) this.hello = hello;
      if (draining) this.draining = true;
      if (clockRead) this.clockRead = true;
      if (!hello && !draining && !clockRead && answers.length === 0) ++this.signs;
      for (const answer of answers) this.#take(answer);
    });
    stream.on('error', () => {});  // Told by `status`.
    stream.on('status', (status) => {
      this.status = status;
      this.#ended.resolve(status);
    });
  }

  #take(answer) {
    const failure = answer.failure;
    const outcome = failure
      ? {code: failure.code, message: failure.message, ...failure.detail}
      : {code: 0, response: answer.response};
    const known = this.answers.get(answer.id);
    if (known) known.push(outcome);
    else this.answers.set(answer.id, [outcome]);
  }

  // Sends one message as it is; calls in the form of `call`.
  send({calls = [], cancels = [], clockMs = 0}) {
    const message = {
      calls: calls.map(({id, timeoutMs, ...call}) => ({
        id: String(id),
        call: {...requestOf(call), ...(timeoutMs === undefined ? {} : {timeout: durationOf(timeoutMs)})},
      })),
      cancels: cancels.map(String),
      clockMs: String(clockMs),
    };
    this.#stream.write(message);
  }
  cancel(...ids) {
    this.send({cancels: ids});
  }

  // The one answer to a call. The stream may be paused meanwhile.
  async answer(id) {
    const [outcome] = await until(`call ${id} of the stream is answered`, () => {
      if (this.status && !this.answers.has(String(id))) {
        throw Object.assign(new Error(`the stream ended with ${this.status.code} ${this.status.details}`), {final: true});
      }
      return this.answers.get(String(id));
    }, 2 * DEADLINE_MS);
    return outcome;
  }
  call(userId, tool, params = {}, options = {}) {
    const id = ++this.#nextId;
    this.send({calls: [{id, userId, tool, params, ...options}]});
    return this.answer(id);
  }

  // From now on no answer is read, until `resume`.
  pause() {
    this.#stream.pause();
  }
  resume() {
    this.#stream.resume();
  }
  // Closes the sending side.
  end() {
    this.#stream.end();
  }
  // Breaks the stream.
  break() {
    this.#stream.cancel();
  }
  ended() {
    return within('the stream ends', this.#ended.promise);
  }
}

// One WatchAgents stream.
export class Watch {
  events = [];
  #stream;
  #ended = deferred();

  constructor(stream) {
    this.#stream = stream;
    stream.on('data', ({events}) => this.events.push(...events));
    stream.on('error', () => {});
    stream.on('status', (status) => this.#ended.resolve(status));
  }
  async snapshot() {
    await until('the snapshot is complete', () => this.events.some(({kind}) => kind === 'SNAPSHOT_COMPLETE'));
    return this.events.slice(0, this.events.findIndex(({kind}) => kind === 'SNAPSHOT_COMPLETE'));
  }
  // Waits for an event and returns it.
  saw(kind, userId) {
    return until(`${kind} of ${userId} is seen`, () =>
      this.events.find((event) => event.kind === kind && event.agent.userId === userId));
  }
  async ended() {
    return within('the watch ends', this.#ended.promise);
  }
  stop() {
    this.#stream.cancel();
  }
}

// One FollowAgents stream.
export class Follow extends Watch {
  signs = 0;  // Of life.
  #stream;

  constructor(stream) {
    super(stream);
    this.#stream = stream;
    stream.on('data', ({events, hello}) => {
      if (hello) this.hello = hello;
      if (!hello && events.length === 0) ++this.signs;
    });
  }
  send(add, remove = []) {
    this.#stream.write({add, remove});
  }
  end() {
    this.#stream.end();
  }
}

// A watch of gRPC's health service, which never ends by itself: a stream with its first answer.
export async function healthWatch(caller) {
  const done = deferred();
  const stream = caller.client.makeServerStreamRequest(
    '/grpc.health.v1.Health/Watch', () => Buffer.alloc(0), (bytes) => bytes, {}, new grpc.Metadata(), {});
  stream.on('data', () => done.resolve()).on('error', () => {});
  await within('the health service answers', done.promise);
  return stream;
}
