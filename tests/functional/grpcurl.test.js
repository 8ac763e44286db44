// The service by hand, with the real grpcurl and no proto files: reflection, plain JSON params, readable errors.
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {accessSync} from 'node:fs';
import path from 'node:path';
import {Issuer} from './lib/jwt.js';
import {REPOSITORY, testTls} from './lib/process.js';
import {TokensFile} from './lib/tokens.js';
import {claim} from './lib/toolwire.js';

// scripts/setup installs it where Go is.
const grpcurl = process.env.GRPCURL ?? path.join(REPOSITORY, '.tools/bin/grpcurl');
let missing = false;
try {
  accessSync(grpcurl);
} catch {
  missing = 'grpcurl is not installed';
}

// With the token of all tests, if the control asks for it.
const accessTo = ({token}) =>
  testTls ? ['-cacert', testTls.file('ca.crt'), ...(token ? [`-H=authorization: Bearer ${token}`] : [])] : ['-plaintext'];
const ask = (tw, ...args) => new Promise((resolve) => {
  const address = `127.0.0.1:${tw.ports.callers}`;
  const at = args.findIndex((arg) => !arg.startsWith('-') && !arg.startsWith('{'));
  const all = [...accessTo(tw), ...args.slice(0, at), address, ...args.slice(at)];
  execFile(grpcurl, all, (error, stdout, stderr) => resolve({code: error ? error.code : 0, stdout, stderr}));
});

claim('`list` and `describe` work by reflection', async (scope) => {
  const tw = await scope.toolwire();
  const listed = await ask(tw, 'list');
  assert.equal(listed.code, 0, listed.stderr);
  assert.ok(listed.stdout.includes('toolwire.v1.ToolDispatch'));
  assert.ok(listed.stdout.includes('grpc.health.v1.Health'));
  const described = await ask(tw, 'describe', 'toolwire.v1.ToolDispatch');
  for (const method of ['CallTool', 'Dispatch', 'GetAgent', 'ListAgents', 'WatchAgents']) {
    assert.ok(described.stdout.includes(`rpc ${method} `), method);
  }
  assert.match((await ask(tw, 'describe', 'toolwire.v1.CallToolRequest')).stdout, /google\.protobuf\.Struct params/);
}, {skip: missing});

claim('CallTool takes plain JSON params and prints the result as JSON', async (scope) => {
  const tw = await scope.toolwire();
  const agent = await tw.agent('user_1', {answer: () => ({success: true, result: {content: 'hello', size: 5}, executionTime: 2})});
  const request = {user_id: 'user_1', tool: 'read_file', params: {path: 'hello.txt', deep: [1, {a: null}]}};
  const {code, stdout, stderr} = await ask(tw, '-d', JSON.stringify(request), 'toolwire.v1.ToolDispatch/CallTool');
  assert.equal(code, 0, stderr);
  assert.deepEqual(agent.calls[0].params, request.params);
  const response = JSON.parse(stdout);
  assert.deepEqual(response.result, {content: 'hello', size: 5});
  assert.equal(response.success, true);
  assert.equal(response.execution_time_ms ?? response.executionTimeMs, '2');
}, {skip: missing});

claim('a JSON Web Token in a header reaches its user', async (scope) => {
  const issuer = await Issuer.create(scope, {algorithm: 'RS256'});
  const tw = await scope.toolwire({flags: issuer.flags});
  await tw.agent('user_1');
  const call = (token, user) =>
    ask(tw, `-H=authorization: Bearer ${token}`, '-d', JSON.stringify({user_id: user, tool: 'echo'}), 'toolwire.v1.ToolDispatch/CallTool');
  const good = await call(issuer.token(), 'user_1');
  assert.equal(good.code, 0, good.stderr);
  assert.match((await call(issuer.token(), 'user_2')).stderr, /Code: PermissionDenied/);
  assert.match((await call(issuer.token({iss: 'other'}), 'user_1')).stderr, /Code: Unauthenticated[^]*its iss is not/);
}, {skip: missing});

claim('a failed call shows its reason and delivery', async (scope) => {
  const tw = await scope.toolwire();
  const {code, stderr} = await ask(tw, '-d', '{"user_id":"nobody","tool":"any"}', 'toolwire.v1.ToolDispatch/CallTool');
  assert.notEqual(code, 0);
  assert.match(stderr, /Code: Unavailable/);
  assert.match(stderr, /toolwire\.v1\.CallError/);
  assert.match(stderr, /"reason":\s*"AGENT_NOT_CONNECTED"/);
  assert.match(stderr, /"delivery":\s*"NOT_SENT"/);
  assert.match(stderr, /"retry_?[aA]fter":\s*"/);
}, {skip: missing});

claim('a token goes in by -H, and reflection needs none', async (scope) => {
  const tokens = await TokensFile.create(scope);
  const token = tokens.add('grpcurl', 'read');
  const tw = await scope.toolwire({flags: {'tokens-file': tokens.path}});
  const method = 'toolwire.v1.ToolDispatch/ListAgents';
  const {code, stdout, stderr} = await ask(tw, `-H=authorization: Bearer ${token}`, method);
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), {});
  const without = await ask(tw, method);
  assert.match(without.stderr, /Code: Unauthenticated/);
  assert.match(without.stderr, /"reason":\s*"UNAUTHENTICATED"/);
  assert.equal((await ask(tw, 'list')).code, 0);
}, {skip: missing});

claim('`describe` without a symbol shows every service that `list` names', async (scope) => {
  const tw = await scope.toolwire();
  const {code, stdout, stderr} = await ask(tw, 'describe');
  assert.equal(code, 0, stderr);
  assert.ok(stdout.includes('toolwire.v1.ToolDispatch is a service'));
  assert.ok(stdout.includes('grpc.health.v1.Health is a service'));
}, {skip: missing});
