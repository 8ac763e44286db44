// A backend as they are in the field: written from the replaced server's description alone. It knows Redis and nothing else.
import {randomBytes} from 'node:crypto';
import {deferred} from './until.js';

export class OldBackend {
  // Messages on the response channels that it subscribed, by request id, parsed.
  responses = new Map();
  #main;
  #subscriber;
  #waiting = new Map();

  // Two connections, as any backend with publish and subscribe needs.
  static async connect(redis) {
    const backend = new OldBackend();
    backend.#main = await redis.client();
    backend.#subscriber = await redis.client();
    backend.#subscriber.on('message', (channel, text) => backend.#receive(channel, text));
    return backend;
  }
  #receive(channel, text) {
    const requestId = channel.slice('response:'.length);
    const response = JSON.parse(text);
    this.responses.set(requestId, [...(this.responses.get(requestId) ?? []), response]);
    this.#waiting.get(requestId)?.resolve(response);
  }

  async isAgentConnected(userId) {
    return (await this.#main.exists(`agent:${userId}:server`)) === 1;
  }
  getAgentServer(userId) {
    return this.#main.get(`agent:${userId}:server`);
  }

  // The agent's response; throws when the agent is not connected, or after `timeout` ms.
  async sendToolCall(userId, {tool, params = {}, timeout = 60_000, requestId = `req_${randomBytes(12).toString('hex')}`}) {
    if (!(await this.isAgentConnected(userId))) throw new Error('Agent not connected');
    return this.publish(userId, {type: 'tool_call', requestId, tool, params}, timeout);
  }
  // Publishes a message as it is, or `text` in its place, and waits for what comes on the response channel of its
  // requestId.
  async publish(userId, message, timeout = 60_000, text = JSON.stringify(message)) {
    const {requestId} = message;
    const channel = `response:${requestId}`;
    const done = deferred();
    this.#waiting.set(requestId, done);
    done.promise.catch(() => {});  // It may come to nothing while Redis keeps us waiting.
    const timer = setTimeout(() => done.reject(new Error('Tool call timed out')), timeout);
    try {
      await this.#subscriber.subscribe(channel);
      await this.#main.publish(`agent:${userId}:commands`, text);
      return await done.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(requestId);
      this.#subscriber.unsubscribe(channel).catch(() => {});
    }
  }
}
