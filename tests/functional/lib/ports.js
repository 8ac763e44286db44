// Ports of servers that come back at the same place, or that are named before they start.
import net from 'node:net';
import {deferred, until} from './until.js';

const FIRST_PORT = 20_000;
const PORTS = 12_000;

// One that stays free while nobody listens there: the kernel takes none of these for connections out of the machine, as
// it does with those that it chooses itself.
export async function freePort() {
  return until('a port is free', () => {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    const found = deferred();
    const listener = net.createServer().on('error', () => found.resolve(undefined));
    listener.listen(port, '127.0.0.1', () => listener.close(() => found.resolve(port)));
    return found.promise;
  });
}
export const freePorts = (count) => Promise.all(Array.from({length: count}, freePort));
