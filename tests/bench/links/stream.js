// One Dispatch stream: each call's outcome with the time at which it came, and outcomes that came twice.
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const PROTO = fileURLToPath(new URL('../../../proto', import.meta.url));
const definition = protoLoader.loadSync('toolwire/v1/dispatch.proto', {
  includeDirs: [PROTO], longs: String, enums: String, bytes: Buffer, defaults: true, oneofs: true,
});
const {ToolDispatch} = grpc.loadPackageDefinition(definition).toolwire.v1;

// Milliseconds of this machine's steady clock, which all of its processes share.
export const clock = () => Number(process.hrtime.bigint() / 1000n) / 1000;

// The times for which this process has not looked at anything, each with the time at which it did again.
export function watchLag() {
  const lags = [];
  let last = clock();
  setInterval(() => {
    const at = clock();
    if (at - last > 30) lags.push({at, ms: at - last - LOOK_MS});
    last = at;
  }, LOOK_MS).unref();
  return lags;
}
const LOOK_MS = 10;

export class Stream {
  // Outcomes beside the first, by the call's request id.
  repeated = [];
  #client;
  #stream;
  #calls = new Map();
  #ids = 0;

  constructor(port) {
    this.#client = new ToolDispatch(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1, 'grpc.use_local_subchannel_pool': 1,
    });
    this.#stream = this.#client.Dispatch();
    this.#stream.on('data', ({answers}) => answers.forEach((answer) => this.#take(answer)));
    this.#stream.on('error', () => {});
    this.#stream.on('status', ({code, details}) => {
      this.ended = `${code} ${details}`;
      for (const call of this.#calls.values()) {
        if (!call.outcome) call.settle({reason: 'STREAM_ENDED', message: this.ended, at: clock()});
      }
    });
  }

  #take({id, response, failure}) {
    const call = this.#calls.get(id);
    if (!call) throw new Error(`an answer to ${id}, which is no call`);
    if (call.outcome) this.repeated.push(call.requestId);
    else if (failure) call.settle({reason: failure.detail.reason, delivery: failure.detail.delivery, message: failure.message, at: clock()});
    else call.settle({success: response.success, error: response.error, bytes: response.resultJson.length, at: clock()});
  }

  // The outcome comes as a promise; `cancel` may be called until then.
  call({userId, tool, requestId, paramsJson, timeoutMs}) {
    const id = String(++this.#ids);
    const call = {requestId};
    const outcome = new Promise((resolve) => {
      call.settle = (settled) => resolve((call.outcome = settled));
    });
    this.#calls.set(id, call);
    const timeout = {seconds: Math.floor(timeoutMs / 1000), nanos: Math.round((timeoutMs % 1000) * 1e6)};
    if (this.ended) call.settle({reason: 'STREAM_ENDED', message: this.ended, at: clock()});
    else this.#stream.write({calls: [{id, call: {userId, tool, requestId, paramsJson, timeout}}]});
    return {outcome, cancel: () => this.ended || this.#stream.write({cancels: [id]})};
  }
  close() {
    this.#stream.cancel();
    this.#client.close();
  }
}

// A JSON object of exactly so many bytes, with these fields.
export function paramsOf(fields, bytes) {
  const bare = JSON.stringify({...fields, padding: ''});
  return Buffer.from(`${bare.slice(0, -2)}${'x'.repeat(Math.max(0, bytes - bare.length))}"}`);
}
