// With TOOLWIRE_CALLERS_TLS in the environment every control that a test starts speaks TLS with its callers, and those of
// the tests know its CA. So a file can be run once more as it is: see callers_port_tls.test.js.
import grpc from '@grpc/grpc-js';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {output, testTls} from './process.js';

export const callersTls = testTls ? {ca: testTls.ca} : process.env.TOOLWIRE_CALLERS_TLS ? {} : undefined;
let made;

// Flags of a control; the certificates are made once.
export async function callersTlsFlags() {
  if (!callersTls || testTls) return {};  // The latter gives them by itself.
  made ??= make();
  return made;
}
async function make() {
  const dir = mkdtempSync(path.join(tmpdir(), 'toolwire-test-'));
  process.on('exit', () => rmSync(dir, {recursive: true, force: true}));
  await output('toolwire', ['certificates', 'create', '--dir', dir]);
  callersTls.ca = readFileSync(path.join(dir, 'ca.crt'));
  return {'grpc-tls-cert': path.join(dir, 'control.crt'), 'grpc-tls-key': path.join(dir, 'control.key')};
}

// What a gRPC client of the tests trusts, unless it says otherwise.
export const callerCredentials = () =>
  callersTls ? grpc.credentials.createSsl(callersTls.ca) : grpc.credentials.createInsecure();
