// PostgreSQL over TLS: every sslmode of libpq, with the real server.
import assert from 'node:assert/strict';
import {chmod, copyFile, mkdir, writeFile} from 'node:fs/promises';
import {networkInterfaces} from 'node:os';
import path from 'node:path';
import {Postgres} from './lib/postgres.js';
import {output, run} from './lib/process.js';
import {Certificates, openssl} from './lib/tls.js';
import {claim, linesOf} from './lib/toolwire.js';
import {until} from './lib/until.js';

const postgresClaim = (name, body, skip) => claim(name, body, {skip: Postgres.missing ?? skip});
const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];
const BOTH = 'host all all all trust';  // With TLS and without.

// The URL of a database with these parameters alone.
function urlOf(postgres, parameters = {}, host = '127.0.0.1') {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined));
  return `postgresql://postgres:hunter2@${host}:${postgres.port}/postgres?${query}`;
}
// A command that opens the store: its exit status, and what it said.
async function list(url, options) {
  const {code, stdout, stderr} = await run('toolwire', ['migrate', '--timeout', '0'], {env: {DATABASE_URL: url, HOME: '/nonexistent'}, ...options});
  assert.doesNotMatch(stdout + stderr, /hunter2/, 'no password');
  return {code, stderr};
}
async function refusal(url, pattern, options) {
  const {code, stderr} = await list(url, options);
  assert.equal(code, 3, stderr);
  const [line] = stderr.split('\n').filter((one) => one.startsWith('toolwire'));
  assert.match(line, pattern);
}
async function doctor(url) {
  const {stdout, stderr} = await run('toolwire', ['doctor', '--json', '--address=127.0.0.1:1'], {env: {DATABASE_URL: url, HOME: '/nonexistent'}});
  assert.doesNotMatch(stdout + stderr, /hunter2/, 'no password');
  const findings = linesOf(stdout);
  return {postgres: findings.find(({check}) => check === 'postgres'), tls: findings.find(({check}) => check === 'postgres tls')};
}
// Certificates of one CA beside those that are there: `certificates` is what PostgreSQL is to show at last.
async function keep(scope, certificates, ...args) {
  await certificates.renew(...args);
  const directory = path.join(await scope.directory(), 'kept');
  await mkdir(directory);
  for (const file of ['postgres.crt', 'postgres.key', 'caller.crt', 'caller.key']) await copyFile(certificates.file(file), path.join(directory, file));
  return {file: (name) => path.join(directory, name)};
}
const unavailable = (process) => process.logged('database unavailable').map(({error}) => error);
const sawReason = (process, pattern) => until(`the log says ${pattern}`, () => unavailable(process).some((error) => pattern.test(error)));

// A running edge and control, and an agent that tries to log in.
async function serve(scope, url) {
  const env = {DATABASE_URL: url, HOME: '/nonexistent'};
  const tw = await scope.toolwire({topology: 'split', env});
  const secret = (await output('toolwire', ['credentials', 'create', 'user_1'], {env})).trim();
  const dial = () => tw.dial(tw.loginQuery('user_1', secret));
  return {
    tw,
    // As agents do, until one of them is in.
    getsIn: () => until('the agent logs in', () => {
      const agent = dial();
      return Promise.race([agent.connected().then(() => true, () => false), agent.closed().then(() => false, () => false)]);
    }),
    refused: async () => assert.equal((await dial().closed()).code, 1013),
  };
}

postgresClaim('every sslmode against a server with a certificate: who must have TLS has it, and the doctor says what is checked', async (scope) => {
  const certificates = await Certificates.create(scope);
  const postgres = await Postgres.start(scope, {certificates, hba: BOTH});
  const ca = certificates.file('ca.crt');
  for (const sslmode of MODES) {
    for (const sslrootcert of [undefined, ca]) {
      const url = urlOf(postgres, {sslmode, sslrootcert});
      if (sslmode.startsWith('verify') && !sslrootcert) {
        await refusal(url, /root certificate file .* does not exist/);
        continue;
      }
      assert.equal((await list(url)).code, 0, sslmode);
      const {postgres: found, tls} = await doctor(url);
      assert.deepEqual([found.level, tls.level], ['ok', 'ok'], 'on this machine');
      const encrypted = ['disable', 'allow'].includes(sslmode) ? /^not encrypted/ : /^encrypted by TLSv1\.3/;
      assert.match(tls.message, encrypted, sslmode);
      assert.equal(/names the host/.test(tls.message), sslmode === 'verify-full', tls.message);
    }
  }
  assert.match((await doctor(urlOf(postgres))).tls.message, /sslmode=prefer/, "libpq's default");
  assert.match((await doctor(postgres.socketUrl)).tls.message, /does not leave this machine/);
  const unknown = await list(urlOf(postgres, {sslmode: 'hunter2'}));
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /sslmode is none of disable, allow, prefer, require, verify-ca, verify-full/);
});

postgresClaim('every sslmode against a server without a certificate: who must have TLS gets nothing', async (scope) => {
  const sslrootcert = (await Certificates.create(scope)).file('ca.crt');
  const postgres = await Postgres.start(scope, {certificates: null});
  for (const sslmode of MODES) {
    const url = urlOf(postgres, {sslmode, sslrootcert});
    if (['disable', 'allow', 'prefer'].includes(sslmode)) {
      assert.equal((await list(url)).code, 0, sslmode);
      assert.match((await doctor(url)).tls.message, /^not encrypted/);
    } else {
      await refusal(url, /server does not support SSL, but SSL was required/);
      assert.match((await doctor(url)).postgres.do, /ssl = on/);
    }
  }
});

postgresClaim('a server that takes TLS alone refuses who comes without, in one line with both attempts', async (scope) => {
  const certificates = await Certificates.create(scope);
  const postgres = await Postgres.start(scope, {certificates});
  await refusal(urlOf(postgres, {sslmode: 'disable'}), /no pg_hba\.conf entry .* no encryption$/);
  const {postgres: found} = await doctor(urlOf(postgres, {sslmode: 'disable'}));
  assert.match(found.do, /sslmode=verify-full/);
  assert.equal((await list(urlOf(postgres, {sslmode: 'allow'}))).code, 0, 'the second attempt is with TLS');
  await refusal(urlOf(postgres, {sslmode: 'prefer', sslrootcert: (await Certificates.create(scope)).file('ca.crt')}),
    /certificate verify failed; .*no encryption$/);
});

postgresClaim('each wrong certificate is in the log once, in words of libpq, and the right one is taken again', async (scope) => {
  const certificates = await Certificates.create(scope);
  const expired = await keep(scope, certificates, '--days', '1', '--starts-in-days', '-10');
  const right = await keep(scope, certificates);
  const other = await Certificates.create(scope);
  const postgres = await Postgres.start(scope, {certificates, hba: BOTH, settings: {listen_addresses: '127.0.0.1,127.0.0.2'}});
  const {tw, getsIn, refused} = await serve(scope, postgres.url);
  await getsIn();
  let times = 0;
  for (const wrong of [expired, other]) {
    await postgres.reload({certificates: wrong});
    await refused();
    await sawReason(tw.edge, /SSL error: certificate verify failed$/);
    await refused();
    assert.equal(unavailable(tw.edge).length, ++times, 'once for each outage');
    assert.match((await doctor(postgres.url)).postgres.do, /sslrootcert .*expired/);
    await postgres.reload({certificates: right});
    await getsIn();
  }
  await refusal(urlOf(postgres, {sslmode: 'verify-full', sslrootcert: certificates.file('ca.crt')}, '127.0.0.2'),
    /server certificate for .* does not match host name "127\.0\.0\.2"/);
  assert.equal((await list(urlOf(postgres, {sslmode: 'verify-ca', sslrootcert: certificates.file('ca.crt')}, '127.0.0.2'))).code, 0);
  assert.equal((await list(urlOf(postgres, {sslmode: 'require'}, '127.0.0.2'))).code, 0);
  assert.doesNotMatch(tw.logText, /hunter2/);
});

postgresClaim('a CA that is replaced on disk is used by new connections, and cuts no old one', async (scope) => {
  const certificates = await Certificates.create(scope);
  const next = await Certificates.create(scope);
  const trusted = path.join(await scope.directory(), 'trusted.crt');
  await copyFile(certificates.file('ca.crt'), trusted);
  const postgres = await Postgres.start(scope, {certificates});
  const {tw, getsIn, refused} = await serve(scope, urlOf(postgres, {sslmode: 'verify-full', sslrootcert: trusted}));
  await getsIn();
  const connections = async () => (await postgres.query(
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'toolwire' ORDER BY pid", postgres.socketUrl)).join();
  const before = await connections();
  await writeFile(trusted, Buffer.concat([certificates.ca, next.ca]));
  await getsIn();
  assert.equal(await connections(), before, 'nobody was cut');
  await postgres.reload({certificates: next});
  await getsIn();
  assert.deepEqual(unavailable(tw.edge), [], 'the bundle has both');
  await writeFile(trusted, certificates.ca);
  await postgres.reload({certificates: next});
  await refused();
  await sawReason(tw.edge, /certificate verify failed/);
  await writeFile(trusted, next.ca);
  await getsIn();
});

postgresClaim('a server that asks for certificates gets ours; a missing, an expired and another one are named', async (scope) => {
  const certificates = await Certificates.create(scope);
  const expired = await keep(scope, certificates, '--days', '1', '--starts-in-days', '-10');
  await certificates.renew();
  const other = await Certificates.create(scope);
  const postgres = await Postgres.start(scope, {
    certificates, hba: 'hostssl all all 127.0.0.1/32 trust clientcert=verify-ca', settings: {ssl_ca_file: 'ca.crt'}});
  const shown = (from, rest) => urlOf(postgres, {
    sslmode: 'verify-full', sslrootcert: certificates.file('ca.crt'), sslcert: from?.file('caller.crt'), sslkey: from?.file('caller.key'), ...rest});
  assert.equal((await list(shown(certificates))).code, 0);
  await refusal(shown(undefined), /connection requires a valid client certificate/);
  assert.match((await doctor(shown(undefined))).postgres.do, /sslcert and sslkey/);
  await refusal(shown(expired), /alert certificate expired/);
  assert.match((await doctor(shown(expired))).postgres.do, /renew the certificate/);
  await refusal(shown(other), /alert unknown ca/);
  await refusal(shown(certificates, {sslkey: other.file('caller.key')}), /certificate .* private key|key values mismatch/);
  await chmod(certificates.file('caller.key'), 0o644);
  await refusal(shown(certificates), /private key file .* has group or world access/);
});

postgresClaim('an encrypted key is an error at once, and nobody is asked for its passphrase', async (scope) => {
  const certificates = await Certificates.create(scope);
  const home = await scope.directory();
  await mkdir(path.join(home, '.postgresql'));
  const encrypted = path.join(home, '.postgresql/postgresql.key');
  await copyFile(certificates.file('caller.crt'), path.join(home, '.postgresql/postgresql.crt'));
  await openssl('pkcs8', '-topk8', '-in', certificates.file('caller.key'), '-out', encrypted, '-passout', 'pass:swordfish');
  await chmod(encrypted, 0o600);
  const postgres = await Postgres.start(scope, {
    certificates, hba: 'hostssl all all 127.0.0.1/32 trust clientcert=verify-ca', settings: {ssl_ca_file: 'ca.crt'}});
  const url = (rest) => urlOf(postgres, {sslmode: 'verify-full', sslrootcert: certificates.file('ca.crt'), ...rest});
  const named = {sslcert: certificates.file('caller.crt'), sslkey: encrypted};
  // Whoever asks waits for the answer: nothing comes from the standard input.
  const asking = {stdin: 'pipe'};
  const {code, stderr} = await list(url(named), asking);
  assert.equal(code, 2);
  assert.match(stderr, /postgresql\.key: the key is encrypted; one without a passphrase is needed, or sslpassword/);
  const edge = await run('toolwire-edge', ['--port=0'], {env: {DATABASE_URL: url(named)}, ...asking});
  assert.equal(edge.code, 2);
  assert.match(edge.stderr, /the key is encrypted/);
  // One that libpq finds by itself.
  await refusal(url(), /could not load private key file/, {env: {DATABASE_URL: url(), HOME: home}, ...asking});
  assert.equal((await list(url({...named, sslpassword: 'swordfish'}), asking)).code, 0);
  const wrong = await list(url({...named, sslpassword: 'hunter3'}), asking);
  assert.match(wrong.stderr, /could not load private key file/);
  assert.doesNotMatch(wrong.stderr, /hunter/);
});

const elsewhere = Object.values(networkInterfaces()).flat().find(({family, internal}) => family === 'IPv4' && !internal)?.address;
postgresClaim('a database on another machine whose certificate is not checked is warned of once', async (scope) => {
  const certificates = await Certificates.create(scope, {names: [elsewhere]});
  const postgres = await Postgres.start(scope, {certificates, hba: BOTH, settings: {listen_addresses: `127.0.0.1,${elsewhere}`}});
  const ca = {sslrootcert: certificates.file('ca.crt')};
  for (const [parameters, why, level] of [
    [{}, /sslmode=prefer, which is libpq's default: any server/, 'warn'],
    [{sslmode: 'disable'}, /nothing is encrypted/, 'warn'],
    [{sslmode: 'allow'}, /also one without encryption/, 'warn'],
    [{sslmode: 'require'}, /without a CA: encrypted, but any server/, 'warn'],
    [{sslmode: 'require', ...ca}, /whatever it names/, 'warn'],
    [{sslmode: 'verify-ca', ...ca}, /whatever it names/, 'warn'],
    [{sslmode: 'verify-full', ...ca}, undefined, 'ok'],
  ]) {
    const url = urlOf(postgres, parameters, elsewhere);
    const {code, stderr} = await list(url);
    assert.equal(code, 0, stderr);
    assert.equal(/not protected as it should be/.test(stderr), level === 'warn', stderr);
    const {tls} = await doctor(url);
    assert.equal(tls.level, level, tls.message);
    if (why) assert.match(tls.message, why);
    if (why) assert.match(tls.do, /sslmode=verify-full/);
  }
  const {tw, getsIn} = await serve(scope, urlOf(postgres, {sslmode: 'require'}, elsewhere));
  for (let i = 0; i < 2; ++i) {
    await getsIn();
    for (const process of [tw.edge, tw.control]) {
      await process.saw('database is not protected as it should be');
      const warnings = process.logged('database is not protected as it should be');
      assert.deepEqual(warnings.map(({why}) => why), ['sslmode=require without a CA: encrypted, but any server is taken for this one']);
    }
    await postgres.reload({});
  }
  assert.doesNotMatch(tw.logText, /hunter2/);
}, elsewhere ? undefined : 'this machine has no other address');
