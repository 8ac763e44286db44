// What the pods of helm/toolwire would run, run as processes: they become ready by their own probes, and helm's test,
// taken from its pod, calls a real agent through them.
import assert from 'node:assert/strict';
import {X509Certificate} from 'node:crypto';
import net from 'node:net';
import {Caller} from './lib/caller.js';
import {KubernetesApi} from './lib/kubernetes_api.js';
import {helmMissing, Pod, render} from './lib/pods.js';
import {Postgres} from './lib/postgres.js';
import {run} from './lib/process.js';
import {Redis, redisMissing} from './lib/redis.js';
import {claim} from './lib/toolwire.js';
import {until} from './lib/until.js';

const skip = helmMissing ?? redisMissing ?? Postgres.missing;
const PORTS = {edge: {agents: 28082, links: 28052, metrics: 28090}, control: {callers: 28051, metrics: 28091}};

// `before`: what is there before the pods, such as Secrets, given the render.
async function install(scope, values = {}, {before} = {}) {
  const [redis, postgres] = [await Redis.start(scope), await Postgres.start(scope)];
  const rendered = await render(scope, {
    redis: {url: redis.url}, database: {url: postgres.url}, ...values,
    edge: {ports: PORTS.edge, service: {port: PORTS.edge.agents}, drainSeconds: 5, preStopSeconds: 1, ...values.edge},
    control: {ports: PORTS.control, service: {port: PORTS.control.callers}, drainSeconds: 5, preStopSeconds: 1, ...values.control},
  });
  await before?.(rendered);
  const job = await Pod.create(scope, rendered, rendered.find('Job', '-migrate').spec.template);
  const migrated = await job.run(job.spec.containers[0]);
  assert.equal(migrated.code, 0, migrated.stderr);
  assert.match(migrated.stdout, /is ready/);
  const start = async (part) => {
    const pod = await Pod.create(scope, rendered, rendered.find('Deployment', `-${part}`).spec.template);
    pod.start();
    await pod.ready();
    return pod;
  };
  return {rendered, start, postgres};
}

// Runs helm's test, taken from its pod.
async function helmTest(scope, rendered, services) {
  const test = await Pod.create(scope, rendered, rendered.find('Pod', '-test'), {services});
  const [credential, agent, call] = test.spec.initContainers;
  const made = await test.run(credential);
  assert.equal(made.code, 0, made.stderr);
  const beside = test.start(agent);
  // A kubelet starts it again until it succeeds.
  const called = await until('the call is answered', async () => {
    const one = await test.run(call);
    return one.code === 0 && one;
  });
  assert.match(called.stdout, /answered/);
  // Had the call failed, the pod would end the credential by this alone; both in turn do no harm.
  const [program, ...args] = agent.lifecycle.preStop.exec.command;
  for (const last of [{...agent, command: [program], args}, test.spec.containers[0]]) {
    const cleaned = await test.run(last);
    assert.equal(cleaned.code, 0, cleaned.stderr);
    assert.match(cleaned.stdout, /^revoked helm-test-/);
  }
  beside.signal('SIGTERM');
  await beside.exited();
  beside.stopped = true;
}

claim('pods become ready by their probes, a real agent answers in the test pod, and a stop fits into the grace period', async (scope) => {
  const {rendered, start, postgres} = await install(scope);
  const [edge, control] = [await start('edge'), await start('control')];
  await helmTest(scope, rendered, {'r-toolwire-edge': edge.ip, 'r-toolwire-control': control.ip});
  await control.stop();
  await edge.stop();
  assert.deepEqual(await postgres.query('SELECT count(*) FROM tool_execution_logs WHERE success'), [['1']]);
}, {skip});

// The hook's container, as a kubelet runs it beside the API; what it has written becomes Secrets of the render.
async function certificatesHook(scope, rendered, api) {
  const hook = await Pod.create(scope, rendered, rendered.find('Job', '-certificates').spec.template);
  const container = hook.spec.containers[0];
  const made = await hook.run({...container, args: [...container.args, `--service-account-dir=${api.account}`]}, api.environment);
  assert.equal(made.code, 0, made.stderr);
  const before = rendered.objects.findIndex(({kind, metadata}) => kind === 'Secret' && metadata.name === 'r-toolwire-tls');
  if (before >= 0) rendered.objects.splice(before, 1);
  rendered.objects.push(api.objects.get('Secret/r-toolwire-tls'));
  return made.stdout;
}

claim('with certificates of the hook and tokens every door is locked: pods become ready, links know each other, the test gets in', async (scope) => {
  const {stdout: token, stderr: said} = await run('toolwire', ['tokens', 'create', 'test', '--scope', 'admin']);
  const [line] = said.match(/^test\s+sha256:.*$/m);
  const {rendered, start} = await install(scope, {
    tls: {mode: 'generated', callers: {clientCertificates: true}}, auth: {tokens: {lines: [line]}}, test: {token: {existingSecret: 'token'}},
  }, {before: async (made) => {
    const api = await KubernetesApi.start(scope);
    made.objects.push({kind: 'Secret', metadata: {name: 'token'}, data: {token: Buffer.from(token).toString('base64')}});
    assert.match(await certificatesHook(scope, made, api), /: made$/m);
    const before = api.secret('r-toolwire-tls');
    // As an upgrade runs it.
    assert.match(await certificatesHook(scope, made, api), /: kept$/m);
    assert.deepEqual(api.secret('r-toolwire-tls'), before);
    assert.ok(new X509Certificate(before['edge.crt']).checkHost('edge.toolwire.internal'));
  }});
  const [edge, control] = [await start('edge'), await start('control')];
  for (const {args = []} of [edge.container, control.container]) {
    assert.deepEqual(args.filter((arg) => /^--(plain|no-tokens)/.test(arg)), []);
  }
  await helmTest(scope, rendered, {'r-toolwire-edge': edge.ip, 'r-toolwire-control': control.ip});
  // A port that answers to plain bytes has no lock.
  for (const [ip, port] of [[edge.ip, PORTS.edge.agents], [edge.ip, PORTS.edge.links], [control.ip, PORTS.control.callers]]) {
    const got = await new Promise((resolve) => {
      let bytes = '';
      const socket = net.connect(port, ip, () => socket.end('GET /health HTTP/1.1\r\n\r\n'));
      socket.on('data', (chunk) => (bytes += chunk)).on('error', () => {}).on('close', () => resolve(bytes));
    });
    assert.doesNotMatch(got, /HTTP/, `${port}`);
  }
  await control.stop();
  await edge.stop();
}, {skip});

claim('a pod whose database or own address is missing does not start, and says which', async (scope) => {
  const values = {redis: {url: 'redis://127.0.0.1:1'}, database: {url: 'postgresql://127.0.0.1:1/d'}};
  for (const part of ['edge', 'control']) {
    const rendered = await render(scope, values);
    rendered.find('Secret', '-urls').data['database-url'] = '';  // As in a Secret of one's own that is empty.
    const pod = await Pod.create(scope, rendered, rendered.find('Deployment', `-${part}`).spec.template);
    const {code, stderr} = await pod.run(pod.spec.containers[0]);
    assert.equal(code, 1);
    assert.match(stderr, /DATABASE_URL is empty/, part);
  }
  const rendered = await render(scope, {...values, edge: {extraEnv: [{name: 'RELAY_ADDRESS', value: '$(MY_IP):50052'}]}});
  const pod = await Pod.create(scope, rendered, rendered.find('Deployment', '-edge').spec.template);
  const {code, stderr} = await pod.run(pod.spec.containers[0]);
  assert.equal(code, 2);
  assert.match(stderr, /RELAY_ADDRESS=\$\(MY_IP\):50052: the variable in it was not replaced/);
}, {skip});

// A Service: connections go to its endpoints in turn.
async function service(scope, port) {
  const endpoints = [];
  let turn = 0;
  const server = net.createServer((socket) => {
    const to = net.connect(port, endpoints[turn++ % endpoints.length]);
    for (const [one, other] of [[socket, to], [to, socket]]) {
      one.on('error', () => {}).on('close', () => other.destroy());
      one.pipe(other);
    }
  });
  scope.own({stop: () => server.close()});
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {endpoints, port: server.address().port};
}

claim('an upgrade under load loses no call that may have run: each is answered, or was certainly not sent', async (scope) => {
  const {rendered, start, postgres} = await install(scope);
  const pods = {edge: [await start('edge'), await start('edge')], control: [await start('control'), await start('control')]};
  const agents = await service(scope, PORTS.edge.agents);
  agents.endpoints.push(...pods.edge.map(({ip}) => ip));
  const credentials = `${await scope.directory()}/credentials`;
  const count = 20;
  const made = await run('toolwire', ['credentials', 'create', 'load', '--count', `${count}`, '--out', credentials,
    '--database-url', postgres.url]);
  assert.equal(made.code, 0, made.stderr);
  scope.process('toolwire', ['agent', '--url', `ws://127.0.0.1:${agents.port}`, '--count', `${count}`, '--user-prefix', 'load',
    '--credentials', credentials]);
  // As a caller with a connection to each pod of control-headless; one that stops takes no new calls.
  const callerOf = new Map();
  const open = (pod) => callerOf.set(pod, scope.own(new Caller(PORTS.control.callers, pod.ip)));
  pods.control.forEach(open);
  await until('every agent answers', async () => {
    const outcomes = await Promise.all(Array.from({length: count}, (_, i) => callerOf.get(pods.control[i % 2]).call(`load${i}`, 'echo')));
    return outcomes.every(({response}) => response);
  });

  const came = {};
  let calls = 0, stop = false;
  const caller = async (i) => {
    while (!stop) {
      const pod = pods.control[calls++ % pods.control.length];
      const {response, reason, delivery, code} = await callerOf.get(pod).call(`load${i}`, 'sleep', {ms: 20}, {timeoutMs: 10000});
      const what = response ? 'answered' : `${reason ?? `gRPC ${code}`} ${delivery ?? ''}`.trim();
      came[what] = (came[what] ?? 0) + 1;
      if (!response) await new Promise((resolve) => setTimeout(resolve, 50));  // As a backend that tries again.
    }
  };
  const callers = Array.from({length: count}, (_, i) => caller(i));
  // As a Deployment rolls, with one more pod and none less.
  for (const part of ['edge', 'control']) {
    for (const old of [...pods[part]]) {
      const next = await start(part);
      if (part === 'control') open(next);
      pods[part].push(next);
      pods[part].splice(pods[part].indexOf(old), 1);
      agents.endpoints.splice(0, Infinity, ...pods.edge.map(({ip}) => ip));
      await old.stop();
    }
  }
  stop = true;
  await Promise.all(callers);
  console.log(`upgrade of 2 edges and 2 controls under load: ${JSON.stringify(came)}`);
  assert.ok(came.answered > 0);
  assert.deepEqual(Object.keys(came).filter((what) => !/^answered$|NOT_SENT$/.test(what)), []);
  assert.equal(rendered.find('Deployment', '-edge').spec.strategy.rollingUpdate.maxUnavailable, 0);
}, {skip});
