// JSON Web Tokens as the client's token: one user's, and short-lived ones that a function makes anew.
import assert from 'node:assert/strict';
import {PermissionDeniedError, UnauthenticatedError} from '../dist/index.mjs';
import {Issuer} from '../../../tests/functional/lib/jwt.js';
import {claim, clientOf, rejection, until} from './lib.js';

claim('a token of an issuer reaches its user alone', async (scope) => {
  const issuer = await Issuer.create(scope);
  const tw = await scope.toolwire({flags: issuer.flags});
  await tw.agent('user_1');
  const client = clientOf(scope, tw, {token: issuer.token()});
  assert.deepEqual((await client.callTool('user_1', 'echo', {n: 1})).result, {n: 1});
  const denied = await rejection(client.callTool('user_2', 'echo'));
  assert.equal(denied.constructor, PermissionDeniedError, denied.stack);
  assert.equal(denied.delivery, 'NOT_SENT');
  const other = clientOf(scope, tw, {token: issuer.token({aud: 'other'})});
  const refused = await rejection(other.callTool('user_1', 'echo'));
  assert.equal(refused.constructor, UnauthenticatedError, refused.stack);
  assert.match(refused.message, /its aud does not name/);
});

claim('tokens that expire while calls run are followed by new ones, and no call fails', async (scope) => {
  const issuer = await Issuer.create(scope);
  const tw = await scope.toolwire({flags: {...issuer.flags, 'jwt-leeway': 0}});
  await tw.agent('user_1');
  const made = new Set();
  const token = () => {
    const one = issuer.token({exp: Math.floor(Date.now() / 1000) + 2});
    made.add(one);
    return one;
  };
  const client = clientOf(scope, tw, {token});
  await until('several tokens were used', async () => {
    assert.equal((await client.callTool('user_1', 'echo', {})).success, true);
    return made.size >= 4;
  });
});
