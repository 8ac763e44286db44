// The client against real processes, in the frame of the functional tests (tests/functional/lib).
import {ToolwireAdmin, ToolwireClient} from '../dist/index.mjs';

export {claim, claimInBoth} from '../../../tests/functional/lib/toolwire.js';
export {freePort} from '../../../tests/functional/lib/ports.js';
export {deferred, until, within} from '../../../tests/functional/lib/until.js';

export const addressOf = ({ports}) => `127.0.0.1:${ports.callers}`;

// A client that ends with the test, without waiting for its calls.
export const clientOf = (scope, tw, options = {}) => clientWith(scope, {address: [tw].flat().map(addressOf), ...options});
export function clientWith(scope, options) {
  const client = new ToolwireClient(options);
  scope.own({close: () => client.close({drainMs: 0})});
  return client;
}
export const adminOf = (scope, tw) => scope.own(new ToolwireAdmin({address: addressOf(tw)}));

// What a promise rejects with.
export async function rejection(promise) {
  const value = await promise.then((result) => ({result}), (error) => ({error}));
  if (!value.error) throw new Error(`it resolved with ${JSON.stringify(value.result)}`);
  return value.error;
}

// Another control of the same edge, on a port of the test's choice.
export async function startControl(scope, tw, port, flags = []) {
  const control = scope.process('toolwire-control', [
    `--edge=127.0.0.1:${tw.ports.relay}`, `--grpc-port=${port}`, '--metrics-port=0', '--log-format=json',
    `--data-dir=${await scope.directory()}`, ...flags]);
  const {callers, metrics} = await control.ready();
  return Object.assign(control, {ports: {callers, metrics: [metrics]}});
}

// An agent that never answers.
export const silent = {answer: () => undefined};

// The agent's answer as text, since JSON.stringify would spoil it.
export const answering = (text) => ({
  answer: ({requestId}, agent) => agent.sendText(`{"type":"tool_response","requestId":"${requestId}",${text}}`),
});
