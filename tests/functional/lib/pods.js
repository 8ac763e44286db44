// Pods of a render of helm/toolwire, run as processes: command, arguments, environment, probes and user are read from
// the rendered pod, as a kubelet reads them. A pod has an address of its own on the loopback.
import assert from 'node:assert/strict';
import {execFileSync, spawnSync} from 'node:child_process';
import {chmodSync, existsSync, mkdirSync, writeFileSync} from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import grpc from '@grpc/grpc-js';
import {health} from './caller.js';
import {binary, Process, REPOSITORY} from './process.js';
import {until} from './until.js';

const HELM = path.join(REPOSITORY, '.tools/bin/helm');
const PYTHON = path.join(REPOSITORY, '.tools/python/bin/python');
export const helmMissing = existsSync(HELM) && existsSync(PYTHON) ? undefined
  : 'helm or kubernetes-validate is not in .tools: scripts/setup test';

// Whether a process here can have a read-only root and another user, as its pod says.
const CONFINE = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c',
  'mount --bind "$0" "$0" && mount -o remount,ro,bind / && exec setpriv --reuid 65532 --regid 65532 --clear-groups ' +
  '--bounding-set=-all --no-new-privs "$@"'];
const confines = process.getuid() === 0 &&
  spawnSync(CONFINE[0], [...CONFINE.slice(1), '/tmp', 'true']).status === 0;

export async function render(scope, values) {
  const file = path.join(await scope.directory(), 'values.json');
  writeFileSync(file, JSON.stringify(values));
  const text = execFileSync(HELM, ['template', 'r', path.join(REPOSITORY, 'helm/toolwire'), '--namespace', 'tools',
    '--kube-version', '1.36.0', '--values', file]);
  const toJson = 'import json, sys, yaml; print(json.dumps([one for one in yaml.safe_load_all(sys.stdin) if one]))';
  const objects = JSON.parse(execFileSync(PYTHON, ['-c', toJson], {input: text}));
  return {
    objects,
    find: (kind, end) => objects.find((one) => one.kind === kind && one.metadata.name.endsWith(end)),
  };
}

// One container of a pod.
export class Pod {
  static #count = 0;

  // `services`: addresses that the names of Services stand for.
  static async create(scope, rendered, template, {services = {}, directory} = {}) {
    const pod = new Pod();
    Object.assign(pod, {scope, rendered, template, services, spec: template.spec});
    pod.ip = `127.${10 + (process.pid % 200)}.0.${++Pod.#count}`;
    pod.name = `pod-${Pod.#count}`;
    pod.directory = directory ?? (await scope.directory());  // The emptyDir of its volume.
    chmodSync(pod.directory, 0o777);
    pod.files = await scope.directory();
    chmodSync(pod.files, 0o755);
    return pod;
  }

  // Where a mounted path is. A volume of a Secret or a ConfigMap has the keys that the pod names, for everybody to read:
  // the directory above it is the pod's.
  #mount({name, mountPath}) {
    const {secret, configMap} = this.spec.volumes.find((one) => one.name === name);
    if (!secret && !configMap) return this.directory;
    const directory = path.join(this.files, name);
    mkdirSync(directory, {recursive: true, mode: 0o755});
    const {secretName, name: mapName = secretName, items, optional} = secret ?? configMap;
    const source = this.rendered.find(secret ? 'Secret' : 'ConfigMap', mapName);
    for (const {key, path: file} of items) {
      const value = source?.data[key];
      if (value === undefined && optional) continue;
      assert.ok(value !== undefined, `${mountPath}: ${mapName} has no ${key}`);
      writeFileSync(path.join(directory, file), secret ? Buffer.from(value, 'base64') : value, {mode: 0o644});
    }
    return directory;
  }

  #value({value, valueFrom}) {
    if (valueFrom?.fieldRef) return {'metadata.name': this.name, 'metadata.uid': this.name, 'status.podIP': this.ip}[valueFrom.fieldRef.fieldPath];
    if (valueFrom?.secretKeyRef) {
      const {name, key} = valueFrom.secretKeyRef;
      return Buffer.from(this.rendered.objects.find((one) => one.kind === 'Secret' && one.metadata.name === name).data[key], 'base64').toString();
    }
    return value;
  }
  // $(NAME) of variables that stand before; names of Services are looked up, and mounts are where their volumes are.
  #expand(text, env) {
    let out = text.replace(/\$\((\w+)\)/g, (whole, name) => env[name] ?? whole);
    for (const [name, address] of Object.entries(this.services)) out = out.replaceAll(`${name}:`, `${address}:`);
    return out;
  }

  start(container = this.spec.containers[0], more = {}) {
    assert.equal(this.spec.enableServiceLinks, false);
    const env = {...more};
    for (const {configMapRef} of container.envFrom ?? []) {
      Object.assign(env, this.rendered.objects.find((one) => one.kind === 'ConfigMap' && one.metadata.name === configMapRef.name).data);
    }
    for (const entry of container.env ?? []) env[entry.name] = this.#expand(this.#value(entry), env);
    const mounts = (container.volumeMounts ?? []).map((one) => [new RegExp(`^${one.mountPath}(?=/|$)`), this.#mount(one)]);
    const mounted = (text) => mounts.reduce((done, [from, to]) => done.replace(from, to), text);
    for (const [name, value] of Object.entries(env)) env[name] = mounted(value);
    // All interfaces of a pod are one address here.
    if (env.LISTEN) env.LISTEN = this.ip;
    const [program, ...rest] = container.command;
    const words = [binary(path.basename(program)), ...[...rest, ...(container.args ?? [])].map((word) => mounted(this.#expand(word, env)))];
    const {runAsNonRoot} = this.spec.securityContext;
    const {readOnlyRootFilesystem} = container.securityContext;
    assert.deepEqual([runAsNonRoot, readOnlyRootFilesystem], [true, true]);
    const [command, ...args] = confines ? ['/usr/bin/env', ...CONFINE, this.directory, ...words] : words;
    this.container = container;
    this.process = this.scope.process(command, args, {env});
    return this.process;
  }
  // An init container or a last one: to its end.
  async run(container, more) {
    const process = this.start(container, more);
    const {code} = await process.exited();
    process.stopped = true;
    return {code, stdout: process.stdout, stderr: process.stderr};
  }

  port(name) {
    return this.container.ports.find((one) => one.name === name).containerPort;
  }
  // As a kubelet probes.
  async #probe({httpGet, tcpSocket, grpc: rpc}) {
    if (tcpSocket) {
      return new Promise((resolve) => {
        const socket = net.connect(this.port(tcpSocket.port), this.ip, () => resolve(true)).on('error', () => resolve(false));
        socket.on('connect', () => socket.destroy());
      });
    }
    if (httpGet) {
      const port = this.port(httpGet.port);
      const {get} = httpGet.scheme === 'HTTPS' ? https : http;
      const where = {host: this.ip, port, path: httpGet.path, agent: false, rejectUnauthorized: false};
      return new Promise((resolve, reject) => get(where, (response) => {
        response.resume();
        resolve(response.statusCode < 400);
      }).on('error', reject));
    }
    const client = new grpc.Client(`${this.ip}:${rpc.port}`, grpc.credentials.createInsecure());
    try {
      return (await health({client}, '')) === 'SERVING';
    } finally {
      client.close();
    }
  }
  async ready() {
    for (const kind of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      await until(`the ${kind} of ${this.process.command} succeeds`, () => {
        if (this.process.ended) throw Object.assign(new Error(this.process.tail()), {final: true});
        return this.#probe(this.container[kind]);
      });
    }
  }
  async stop() {
    const began = Date.now();
    await sleep(1000 * (this.container.lifecycle?.preStop.sleep.seconds ?? 0));
    await this.process.stop();
    assert.ok(Date.now() - began < 1000 * this.spec.terminationGracePeriodSeconds, 'it ends within its grace period');
  }
}
