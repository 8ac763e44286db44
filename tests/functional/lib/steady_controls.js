// Controls that come back at the same addresses, as behind a proxy or with a client that has a list of them.
import {existsSync} from 'node:fs';
import path from 'node:path';
import {freePort} from './ports.js';
import {REPOSITORY} from './process.js';

const built = path.join(REPOSITORY, 'clients/node/dist/index.mjs');
export const clientMissing = existsSync(built) ? undefined : 'clients/node is not built';
// The Node.js client as it is built; it is looked for here, since a test without it is left out.
export const nodeClient = () => import(built);

export class SteadyControls {
  // For a cluster without controls.
  static async start(cluster, count = 2) {
    const all = new SteadyControls();
    all.cluster = cluster;
    all.ports = [];
    for (let i = 0; i < count; ++i) all.ports.push({callers: await freePort(), metrics: await freePort()});
    all.controls = all.ports.map(() => undefined);
    await Promise.all(all.ports.map((_, i) => all.begin(i)));
    await cluster.linked();
    return all;
  }
  get addresses() {
    return this.ports.map(({callers}) => `127.0.0.1:${callers}`);
  }
  get running() {
    return this.controls.filter(Boolean).length;
  }
  async begin(i) {
    const {callers, metrics} = this.ports[i];
    this.controls[i] = await this.cluster.addControl({flags: {'grpc-port': callers, 'metrics-port': metrics}});
  }
  #take(i) {
    const control = this.controls[i];
    this.controls[i] = undefined;
    this.cluster.forget(control);
    return control.process;
  }
  // Without a word to anybody.
  async kill(i) {
    await this.#take(i).kill();
  }
  // In good order.
  async stop(i) {
    await this.#take(i).stop();
  }
  async sum(metric) {
    const values = await Promise.all(this.controls.filter(Boolean).map((one) => one.metric(metric)));
    return values.reduce((sum, value) => sum + value, 0);
  }
}
