// What a proxy that speaks the PROXY protocol sends before its client's bytes.
import net from 'node:net';

// Version 1, for a client at this address; without one: UNKNOWN.
export const proxyLine = (client) => Buffer.from(
  client === undefined ? 'PROXY UNKNOWN\r\n'
    : `PROXY TCP${net.isIPv6(client) ? '6 ' : '4 '}${client} ${net.isIPv6(client) ? '::1' : '10.0.0.1'} 54321 443\r\n`);

// Version 2, for a client at this IPv4 address; without one: LOCAL, as of health checks. `more` follows the addresses.
export function proxyHeader(client, more = Buffer.alloc(0)) {
  const bytesOf = (address) => Buffer.from(address.split('.').map(Number));
  const addresses = client === undefined ? [] : [bytesOf(client), bytesOf('10.0.0.1'), Buffer.from([0xd4, 0x31, 1, 0xbb])];
  const rest = Buffer.concat([...addresses, more]);
  const [command, family] = client === undefined ? [0x20, 0] : [0x21, 0x11];
  const fixed = Buffer.from([command, family, rest.length >> 8, rest.length & 0xff]);
  return Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n'), fixed, rest]);
}
