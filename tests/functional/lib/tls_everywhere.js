// With TOOLWIRE_TEST_TLS in the environment all that a test starts speaks TLS, and nothing else: agents' port, callers'
// port, where each caller shows a token, links, Redis and PostgreSQL. So a file can be run once more as it is: see
// cluster_tls.test.js. Servers and commands get what they need as variables: a flag of a test counts more.
import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';

class TlsEverywhere {
  constructor(toolwire) {
    this.dir = mkdtempSync(path.join(tmpdir(), 'toolwire-test-'));
    process.on('exit', () => rmSync(this.dir, {recursive: true, force: true}));
    execFileSync(toolwire, ['certificates', 'create', '--dir', this.dir]);
    const {token, line} = JSON.parse(execFileSync(toolwire, ['tokens', 'create', 'test', '--scope', 'admin', '--json']));
    writeFileSync(this.file('token'), `${token}\n`, {mode: 0o600});
    writeFileSync(this.file('tokens'), `${line}\n`);
    this.ca = readFileSync(this.file('ca.crt'));
    this.token = token;
  }
  file(name) {
    return path.join(this.dir, name);
  }
  #pair(prefix, name) {
    return {[`${prefix}_CERT`]: this.file(`${name}.crt`), [`${prefix}_KEY`]: this.file(`${name}.key`)};
  }
  // Of a program of ours, and its first argument.
  environmentOf(program, command) {
    const ca = this.file('ca.crt');
    const edge = this.#pair('TLS', 'agents');
    const control = {...this.#pair('GRPC_TLS', 'control'), TOKENS_FILE: this.file('tokens')};
    const links = (role) => ({...this.#pair('LINK_TLS', role), LINK_TLS_CA: ca});
    switch (program) {
      case 'toolwire-edge':
        return {...edge, ...links('edge')};
      case 'toolwire-control':
        return {...control, ...links('control')};
      case 'toolwire':
        if (command === 'dev') return {...edge, ...control};
        return {TOOLWIRE_CA: ca, TOOLWIRE_TOKEN_FILE: this.file('token'), ...(command === 'doctor' && links('control'))};
      default:
        return {};
    }
  }
}

// Made once for each file; undefined without the variable.
let made;
export function tlsEverywhere(toolwire) {
  if (process.env.TOOLWIRE_TEST_TLS) made ??= new TlsEverywhere(toolwire);
  return made;
}
