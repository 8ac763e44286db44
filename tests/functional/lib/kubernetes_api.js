// The API of Kubernetes as far as a pod of the chart asks it: Secrets and ConfigMaps of one namespace, and an account that
// may get, create and patch them. Over TLS, with a CA of its own.
import {chmodSync, writeFileSync} from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import {Certificates} from './tls.js';

const KINDS = {secrets: 'Secret', configmaps: 'ConfigMap'};

export class KubernetesApi {
  objects = new Map();  // `Secret/name` -> the object, as it was sent.
  requests = [];  // `METHOD Secret/name`
  forbidden = new Set();  // Methods that the account may not use.

  static async start(scope) {
    const api = new KubernetesApi();
    const certificates = await Certificates.create(scope);
    api.account = await scope.directory();
    chmodSync(api.account, 0o755);  // As Kubernetes mounts it: pods have users of their own.
    const token = 'token-of-the-account';
    for (const [file, text] of Object.entries({token, namespace: 'tools', 'ca.crt': certificates.ca})) {
      writeFileSync(path.join(api.account, file), text);
    }
    const server = https.createServer({cert: certificates.read('agents.crt'), key: certificates.read('agents.key')}, (request, response) => {
      const chunks = [];
      request.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
        const authorized = request.headers.authorization === `Bearer ${token}`;
        const [status, body] = authorized ? api.#answer(request, Buffer.concat(chunks).toString()) : refusal(401, 'Unauthorized');
        response.writeHead(status, {'Content-Type': 'application/json'}).end(JSON.stringify(body));
      });
    });
    scope.own({stop: () => server.close()});
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    api.environment = {KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: `${server.address().port}`};
    return api;
  }

  #answer({method, url, headers}, body) {
    const [, kind, name] = url.match(/^\/api\/v1\/namespaces\/tools\/(secrets|configmaps)(?:\/([\w-]+))?$/) ?? [];
    if (!kind) return refusal(404, 'NotFound');
    const sent = body && JSON.parse(body);
    const key = `${KINDS[kind]}/${name ?? sent.metadata.name}`;
    this.requests.push(`${method} ${key}`);
    if (this.forbidden.has(method)) return refusal(403, 'Forbidden');
    const found = this.objects.get(key);
    if (method === 'POST') {
      if (found) return refusal(409, 'AlreadyExists');
      this.objects.set(key, sent);
      return [201, sent];
    }
    if (!found) return refusal(404, 'NotFound');
    if (method === 'PATCH') {
      if (headers['content-type'] !== 'application/merge-patch+json') return refusal(415, 'UnsupportedMediaType');
      Object.assign(found.data, sent.data);
    }
    return [200, found];
  }

  // The values of a Secret.
  secret(name) {
    const {data} = this.objects.get(`Secret/${name}`);
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
  }
}

const refusal = (code, reason) => [code, {kind: 'Status', status: 'Failure', reason, code}];
