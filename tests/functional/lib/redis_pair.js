// Two Redis servers, one the other's replica, behind one address: a name with a failover, as managed ones have.
import net from 'node:net';
import {testTls} from './process.js';
import {Redis} from './redis.js';
import {deferred, until} from './until.js';

export class RedisPair {
  #admins = new Map();  // A client of each server, not through the address.

  static async start(scope) {
    const pair = new RedisPair();
    const tls = testTls ? ['--tls-replication', 'yes', '--tls-ca-cert-file', testTls.file('ca.crt')] : [];
    pair.master = await Redis.start(scope, {args: tls});
    pair.replica = await Redis.start(scope, {args: [...tls, '--replicaof', '127.0.0.1', pair.master.port]});
    for (const one of [pair.master, pair.replica]) pair.#admins.set(one, await one.client());
    await pair.#replicates();
    await pair.#listen(scope);
    return pair;
  }
  async #listen(scope) {
    const listener = net.createServer((client) => {
      const server = net.connect({port: this.master.port, host: '127.0.0.1', noDelay: true});
      client.setNoDelay();
      for (const [from, to] of [[client, server], [server, client]]) {
        from.pipe(to);
        from.on('error', () => undefined).on('close', () => to.destroy());
      }
    });
    const listening = deferred();
    listener.on('error', listening.reject).listen(0, '127.0.0.1', listening.resolve);
    await listening.promise;
    this.port = listener.address().port;
    scope.own({close: () => listener.close()});
  }
  #replicates() {
    return until('the replica has the master\'s data', async () =>
      /master_link_status:up/.test(await this.#admins.get(this.replica).info('replication')));
  }

  // --- as of one server ---
  get flags() {
    return {...this.master.flags, 'redis-url': this.master.urlAt({port: this.port})};
  }
  client(options) {
    return this.master.client({port: this.port, ...options});
  }
  pause() {
    this.master.pause();
  }
  resume() {
    this.master.resume();
  }

  // The replica becomes the master, and the master its replica, which closes its connections as Sentinel makes it do.
  // With `sparing` it keeps the subscriptions of our processes.
  async failOver({sparing = false} = {}) {
    const [old, next] = [this.master, this.replica].map((one) => this.#admins.get(one));
    await next.replicaof('NO', 'ONE');
    [this.master, this.replica] = [this.replica, this.master];
    await old.replicaof('127.0.0.1', this.master.port);
    for (const line of (await old.client('LIST')).split('\n').filter((text) => text !== '')) {
      const of = (name) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)[1];
      const isPeer = /[MS]/.test(of('flags'));  // Of the replication.
      const isSpared = sparing && of('name').startsWith('toolwire') && Number(of('sub')) > 0;
      if (!isPeer && !isSpared) await old.call('CLIENT', 'KILL', 'ID', of('id'), 'SKIPME', 'yes');
    }
    await this.#replicates();
  }
}
