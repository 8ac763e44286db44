// `toolwire certificates create`, as the openssl program sees what it made.
import assert from 'node:assert/strict';
import {X509Certificate} from 'node:crypto';
import {cp, mkdir, readFile, readdir, rm, stat, writeFile} from 'node:fs/promises';
import {KubernetesApi} from './lib/kubernetes_api.js';
import {output, run} from './lib/process.js';
import {Certificates, openssl} from './lib/tls.js';
import {claim} from './lib/toolwire.js';

const SERVERS = ['agents', 'control', 'edge', 'postgres', 'redis'];
const SIGNED = ['caller', ...SERVERS];

claim('makes a CA and certificates that openssl verifies, keys for their owner alone, and says what each is for', async (scope) => {
  const made = await Certificates.create(scope, {names: ['edge.example.com', '10.1.2.3']});
  const files = (await readdir(made.dir)).sort();
  assert.deepEqual(files, ['ca', ...SIGNED].flatMap((name) => [`${name}.crt`, `${name}.key`]).sort());
  for (const file of files) {
    assert.equal((await stat(made.file(file))).mode & 0o777, file.endsWith('.key') ? 0o600 : 0o644, file);
  }
  for (const name of SIGNED) {
    const verify = (...args) => openssl('verify', '-x509_strict', ...args, '-CAfile', made.file('ca.crt'), made.file(`${name}.crt`));
    if (SERVERS.includes(name)) {
      for (const host of ['localhost', 'edge.example.com']) await verify('-purpose', 'sslserver', '-verify_hostname', host);
      await verify('-verify_ip', '10.1.2.3');
    } else {
      await verify('-purpose', 'sslclient');
      await assert.rejects(verify('-purpose', 'sslserver'));
    }
    const text = await openssl('x509', '-noout', '-text', '-in', made.file(`${name}.crt`));
    assert.match(text, /prime256v1/);
    assert.equal(text.includes(`DNS:${name}.toolwire.internal`), ['edge', 'control'].includes(name), name);
    assert.equal(text.includes('TLS Web Client Authentication'), ['edge', 'control', 'caller'].includes(name), name);
    assert.match(made.printed, new RegExp(`^${name}\\.crt`, 'm'));
  }
  await openssl('x509', '-noout', '-checkend', String(364 * 86400), '-in', made.file('agents.crt'));
  await assert.rejects(openssl('x509', '-noout', '-checkend', String(366 * 86400), '-in', made.file('agents.crt')));
});

claim('never overwrites without being told to', async (scope) => {
  const made = await Certificates.create(scope);
  const ca = await readFile(made.file('ca.crt'), 'utf8');
  const create = (...args) => run('toolwire', ['certificates', 'create', '--dir', made.dir, ...args]);
  const {code, stderr} = await create();
  assert.equal(code, 1);
  assert.match(stderr, /ca\.key exists; --renew makes new certificates of its CA, --force a new CA/);
  assert.equal(await readFile(made.file('ca.crt'), 'utf8'), ca);

  const serial = await made.serial();
  assert.equal((await create('--renew', '--days', '30')).code, 0);
  assert.equal(await readFile(made.file('ca.crt'), 'utf8'), ca);
  assert.notEqual(await made.serial(), serial);
  await openssl('verify', '-CAfile', made.file('ca.crt'), made.file('agents.crt'));

  assert.equal((await create('--force')).code, 0);
  assert.notEqual(await readFile(made.file('ca.crt'), 'utf8'), ca);
  await openssl('verify', '-CAfile', made.file('ca.crt'), made.file('agents.crt'));
  assert.equal((await create('--force', '--renew')).code, 1);
});

claim('renewed certificates keep their names unless others are given', async (scope) => {
  const made = await Certificates.create(scope, {names: ['edge.example.com', '10.1.2.3', 'fd00::7']});
  const namesOf = async (name) => (await openssl('x509', '-noout', '-ext', 'subjectAltName', '-in', made.file(`${name}.crt`))).split('\n')[1].trim();
  const before = [await namesOf('agents'), await namesOf('edge')];
  await output('toolwire', ['certificates', 'create', '--dir', made.dir, '--renew']);
  assert.deepEqual([await namesOf('agents'), await namesOf('edge')], before);
  await output('toolwire', ['certificates', 'create', '--dir', made.dir, '--renew', '--name', 'other.example.com']);
  assert.equal(await namesOf('redis'), 'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:other.example.com');
});

claim('changes nothing if it cannot write all of it; two at once make one set', async (scope) => {
  const made = await Certificates.create(scope);
  const contents = async () => Promise.all((await readdir(made.dir)).sort().map(async (name) =>
    (await stat(made.file(name))).isDirectory() ? name : [name, await readFile(made.file(name), 'utf8')]));
  await mkdir(made.file('postgres.crt.part'));  // The last one.
  const before = await contents();
  for (const how of ['--renew', '--force']) {
    const {code, stderr} = await run('toolwire', ['certificates', 'create', '--dir', made.dir, how]);
    assert.equal(code, 1);
    assert.match(stderr, /cannot write .*postgres\.crt\.part/);
    assert.deepEqual(await contents(), before);
  }
  await rm(made.file('postgres.crt.part'), {recursive: true});
  const all = await Promise.all(Array.from({length: 6}, () => run('toolwire', ['certificates', 'create', '--dir', made.dir, '--force'])));
  assert.ok(all.every(({code}) => code === 0));
  for (const name of SIGNED) {
    await openssl('verify', '-CAfile', made.file('ca.crt'), made.file(`${name}.crt`));
    assert.equal(await openssl('x509', '-noout', '-pubkey', '-in', made.file(`${name}.crt`)), await openssl('pkey', '-pubout', '-in', made.file(`${name}.key`)));
  }
});

claim('says what it cannot do', async (scope) => {
  const dir = await scope.directory();
  const why = async (...args) => {
    const where = args.includes('--dir') ? [] : ['--dir', dir];
    const {code, stderr} = await run('toolwire', ['certificates', 'create', ...where, ...args]);
    assert.equal(code, 1, stderr);
    return stderr;
  };
  assert.match(await why('--name', 'a,DNS:b'), /neither a DNS name nor an IP address: a,DNS:b/);
  for (const name of ['edge.toolwire.internal', 'Control.toolwire.internal.', '*.toolwire.internal']) {
    assert.match(await why('--name', 'edge.example', '--name', name), /is a role of links/, name);
  }
  assert.match(await why('--renew'), /cannot read .*ca\.crt/);
  await writeFile(`${dir}/file`, '');
  assert.match(await why('--dir', `${dir}/file/below`), /cannot make/);
  assert.deepEqual(await readdir(dir), ['file']);
});

const inPod = (api, ...args) =>
  run('toolwire', ['certificates', 'create', `--service-account-dir=${api.account}`, ...args], {env: api.environment});

claim('in a pod they are made once and kept in a Secret; other names, and half of the time, make new ones of the same CA', async (scope) => {
  const api = await KubernetesApi.start(scope);
  const keep = async (...args) => {
    const {code, stdout, stderr} = await inPod(api, '--kubernetes-secret', 'r-tls', ...args);
    assert.equal(code, 0, stderr);
    return {said: stdout, ...api.secret('r-tls')};
  };
  const made = await keep('--name', 'edge.tools.svc');
  assert.equal(made.said, 'Secret r-tls: made\n');
  const files = ['ca', ...SIGNED].flatMap((name) => [`${name}.crt`, `${name}.key`]);
  assert.deepEqual(Object.keys(made).sort(), [...files, 'names', 'renew-after', 'said'].sort());
  const agents = new X509Certificate(made['agents.crt']);
  assert.ok(agents.checkHost('edge.tools.svc') && agents.verify(new X509Certificate(made['ca.crt']).publicKey));
  // The CA, and no key, is where those may read it who trust it.
  assert.deepEqual(api.objects.get('ConfigMap/r-tls').data, {'ca.crt': made['ca.crt']});

  api.requests = [];
  assert.deepEqual(await keep('--name', 'edge.tools.svc'), {...made, said: 'Secret r-tls: kept\n'});
  assert.deepEqual(api.requests, ['GET Secret/r-tls', 'GET ConfigMap/r-tls']);

  const renewed = await keep('--name', 'edge.tools.svc', '--name', 'edge.example.com');
  assert.match(renewed.said, /renewed, of the CA that was there/);
  assert.equal(renewed['ca.crt'], made['ca.crt']);
  assert.ok(new X509Certificate(renewed['agents.crt']).checkHost('edge.example.com'));
  assert.ok(new X509Certificate(renewed['edge.crt']).verify(new X509Certificate(made['ca.crt']).publicKey));

  // Made 60 days ago for 100.
  const old = await keep('--renew', '--starts-in-days', '-60', '--days', '100');
  const young = await keep('--days', '100');
  assert.match(young.said, /renewed/);
  assert.notEqual(young['control.crt'], old['control.crt']);
  assert.match((await keep('--days', '100')).said, /kept/);
  assert.match((await keep('--days', '100', '--force')).said, /with a new CA/);
  assert.notEqual(api.secret('r-tls')['ca.crt'], made['ca.crt']);
  assert.equal(api.objects.get('ConfigMap/r-tls').data['ca.crt'], api.secret('r-tls')['ca.crt']);
});

claim('in a pod it says what keeps it from the Secret, and nothing of what is in it', async (scope) => {
  const api = await KubernetesApi.start(scope);
  const why = async (...args) => {
    const {code, stdout, stderr} = await inPod(api, '--kubernetes-secret', 'r-tls', ...args);
    assert.equal(code, 1, stderr);
    assert.doesNotMatch(stdout + stderr, /PRIVATE|BEGIN|token-of-the-account/);
    return stderr;
  };
  api.forbidden.add('POST');
  assert.match(await why(), /Secret r-tls: the API answers 403 Forbidden; the pod's service account may not create it/);
  assert.equal(api.objects.size, 0);
  api.forbidden.clear();
  api.objects.set('Secret/r-tls', {data: {password: 'c2VjcmV0'}});
  assert.match(await why(), /Secret r-tls has no ca\.crt or no ca\.key: it is none of this command's/);
  assert.deepEqual(api.objects.get('Secret/r-tls'), {data: {password: 'c2VjcmV0'}});
  const without = await run('toolwire', ['certificates', 'create', '--kubernetes-secret', 'r-tls', '--service-account-dir', '/nonexistent'],
    {env: api.environment});
  assert.match(without.stderr, /cannot read \/nonexistent\/token/);
  const outside = await run('toolwire', ['certificates', 'create', '--kubernetes-secret', 'r-tls']);
  assert.match(outside.stderr, /this is no pod: KUBERNETES_SERVICE_HOST/);
  assert.equal((await run('toolwire', ['certificates', 'create'])).code, 2);
  assert.equal((await inPod(api, '--kubernetes-secret', 'r-tls', '--dir', '/nonexistent')).code, 2);

  // To an API of another CA the account's token is not sent.
  const other = await Certificates.create(scope);
  await cp(other.file('ca.crt'), `${api.account}/ca.crt`);
  api.requests = [];
  assert.match(await why(), /its certificate is not trusted/);
  assert.deepEqual(api.requests, []);
});
