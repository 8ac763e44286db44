// What a load balancer is to TCP: one address, behind which each new connection goes to the next control. A control can be
// stopped as by SIGSTOP: connections to it are taken, and nothing passes any more, until it goes on.
import net from 'node:net';
import {once} from 'node:events';

export async function startBalancer(scope, ports) {
  const balancer = {connections: 0};
  const pairs = new Set();
  const stopped = new Set();
  let next = 0;
  const server = net.createServer((near) => {
    const port = ports[next++ % ports.length];
    ++balancer.connections;
    const far = net.connect(port, '127.0.0.1');
    const pair = {port, sockets: [near, far]};
    pairs.add(pair);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on('error', () => {}).on('data', (bytes) => to.write(bytes)).on('end', () => to.end());
      from.on('close', () => {
        to.destroy();
        pairs.delete(pair);
      });
      if (stopped.has(port)) from.pause();
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const each = (port, then) => {
    for (const pair of pairs) if (pair.port === port) for (const one of pair.sockets) then(one);
  };
  balancer.stop = (port) => {
    stopped.add(port);
    each(port, (one) => one.pause());
  };
  balancer.goOn = (port) => {
    stopped.delete(port);
    each(port, (one) => one.resume());
  };
  scope.own({close: () => {
    for (const {sockets} of pairs) for (const one of sockets) one.destroy();
    server.close();
  }});
  balancer.address = `127.0.0.1:${server.address().port}`;
  return balancer;
}
