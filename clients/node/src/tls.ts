// What a connection to control is made of: TLS by the options' files, or none. The files are read again for each new
// connection; a set that does not work is not taken, and the one before stays.
import {X509Certificate, createPrivateKey} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {isIPv4} from 'node:net';
import {checkServerIdentity, type PeerCertificate} from 'node:tls';
import {isUint8Array} from 'node:util/types';
import * as grpc from '@grpc/grpc-js';

/**
 * TLS to control. Certificates and keys are PEM: a Buffer, the text itself, or the path of a file. Files are read again
 * for each new connection, so that they can be replaced while the process runs.
 */
export interface TlsOptions {
  /** The CAs to trust, one or more; those of Node.js if absent. */
  ca?: string | Buffer | undefined;
  /** The client's certificate, with its chain behind it, if control asks for one; `key` belongs to it. */
  cert?: string | Buffer | undefined;
  /** Not encrypted. */
  key?: string | Buffer | undefined;
  /** The name that the server's certificate must have; the host of the address if absent. */
  serverName?: string | undefined;
}

type Name = 'ca' | 'cert' | 'key';
const NAMES: readonly Name[] = ['ca', 'cert', 'key'];
type Contents = Partial<Record<Name, Buffer>>;

const isPem = (given: string): boolean => given.includes('-----BEGIN');
// A key without its first and last line is no path: nothing of it may reach a message.
// In base64 those begin with M, as structures of ASN.1 do.
const isPath = (given: string): boolean =>
  !/[\r\n\0]/.test(given) && !/^(?:[A-Za-z0-9+/=]{100,}|M[A-Za-z0-9+/=]{40,})$/.test(given);

/** @throws TypeError It is neither. */
function isSet(variable: string): boolean | undefined {
  const value = process.env[variable]?.trim().toLowerCase() ?? '';
  if (value === '') return undefined;
  if (['0', 'false', 'no', 'off'].includes(value)) return false;
  if (['1', 'true', 'yes', 'on'].includes(value)) return true;
  throw new TypeError(`${variable}: 1 or 0`);
}

// Text such as 'false' is not taken for one of the two, nor a path for nothing.
function checkTls(given: unknown): void {
  if (typeof given !== 'boolean' && (typeof given !== 'object' || given === null)) {
    throw new TypeError('tls: true, false or {ca, cert, key, serverName}');
  }
  const {ca, cert, key, serverName} = given as Record<string, unknown>;
  for (const [name, one] of Object.entries({ca, cert, key})) {
    if (one !== undefined && typeof one !== 'string' && !isUint8Array(one)) {
      throw new TypeError(`tls.${name}: a Buffer, PEM text or the path of a file`);
    }
  }
  if (serverName !== undefined && typeof serverName !== 'string') throw new TypeError('tls.serverName: a string');
}

/** The options, or else those of the environment. @throws TypeError They are wrong. @internal */
export function tlsOf(given: boolean | TlsOptions | undefined): TlsOptions | undefined {
  if (given !== undefined) {
    checkTls(given);
    return given === true ? {} : given || undefined;
  }
  const {TOOLWIRE_CA: ca, TOOLWIRE_CERT: cert, TOOLWIRE_KEY: key, TOOLWIRE_TLS_SERVER_NAME: serverName} = process.env;
  if (!(isSet('TOOLWIRE_TLS') ?? Boolean(ca || cert || key || serverName))) return undefined;
  return {ca: ca || undefined, cert: cert || undefined, key: key || undefined, serverName: serverName || undefined};
}

// What messages call it: the option, and the file if it is one.
const whereOf = (name: Name, given: string | Buffer): string =>
  typeof given === 'string' && !isPem(given) ? `tls.${name}: ${given}` : `tls.${name}:`;

function contentOf(name: Name, given: string | Buffer | undefined): Buffer | undefined {
  if (given === undefined) return undefined;
  if (typeof given !== 'string') return Buffer.from(given);
  if (isPem(given)) return Buffer.from(given);
  const wrong = isPath(given) ? `${given} cannot be read` : 'neither PEM nor the path of a file';
  try {
    return readFileSync(given);
  } catch (error) {
    const {code} = error as NodeJS.ErrnoException;
    throw new TypeError(`tls.${name}: ${wrong}${code === undefined ? '' : ` (${code})`}`);
  }
}

function certificatesOf(where: string, pem: Buffer): X509Certificate[] {
  const text = pem.toString('latin1');
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new TypeError(`${where} has no certificate in PEM form`);
  // One that is just being written must not be taken for all that there is.
  if (blocks.length !== text.match(/-----BEGIN CERTIFICATE-----/g)!.length) {
    throw new TypeError(`${where} has a certificate without its end`);
  }
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new TypeError(`${where} has a certificate that cannot be parsed`);
    }
  });
}

function checkPair({cert, key}: TlsOptions, contents: Contents): void {
  const where = whereOf('cert', cert!);
  const chain = certificatesOf(where, contents.cert!);
  for (const {validFrom, validTo} of chain) {
    if (Date.parse(validFrom) > Date.now()) throw new TypeError(`${where} is not valid before ${validFrom}`);
    if (Date.parse(validTo) < Date.now()) throw new TypeError(`${where} has expired at ${validTo}`);
  }
  let parsed;
  try {
    parsed = createPrivateKey(contents.key!);
  } catch {
    const encrypted = /BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(contents.key!.toString('latin1'));
    throw new TypeError(`${whereOf('key', key!)} ${encrypted ? 'is encrypted' : 'is no private key in PEM form'}`);
  }
  if (!chain[0]!.checkPrivateKey(parsed)) {
    throw new TypeError(`${whereOf('key', key!)} is not the key of the certificate of tls.cert`);
  }
}

// Names are alternative names; without one Node.js would take the subject's common name.
const checkNames = (host: string, certificate: PeerCertificate): Error | undefined =>
  checkServerIdentity(host, {...certificate, subject: {}} as PeerCertificate);

/** gRPC's credentials for the next connection. @internal */
export class Credentials {
  readonly #options: TlsOptions | undefined;
  #contents: Contents = {};
  #current: grpc.ChannelCredentials;
  #reported = '';

  /** @throws TypeError An option is wrong, or a file. Names the file. */
  constructor(options: TlsOptions | undefined) {
    this.#options = options;
    if (options === undefined) {
      this.#current = grpc.credentials.createInsecure();
      return;
    }
    if ((options.cert === undefined) !== (options.key === undefined)) {
      throw new TypeError('tls.cert and tls.key go together');
    }
    this.#contents = this.#read();
    this.#current = this.#make(this.#contents);
  }

  get secure(): boolean {
    return this.#options !== undefined;
  }
  /** Whether they may become others. */
  get mayChange(): boolean {
    return NAMES.some((name) => typeof this.#options?.[name] === 'string' && !isPem(this.#options[name]));
  }

  /** Those of the files as they are now: the same object until other files are taken. Blocks on the file system. */
  get current(): grpc.ChannelCredentials {
    if (!this.mayChange) return this.#current;
    try {
      const contents = this.#read();
      const same = NAMES.every((name) => (contents[name]?.equals(this.#contents[name]!) ?? true));
      if (!same) {
        this.#current = this.#make(contents);
        this.#contents = contents;
      }
      this.#reported = '';
    } catch (error) {
      const why = (error as Error).message;
      if (why !== this.#reported) process.emitWarning(`${why}; what was read before stays`, 'ToolwireWarning');
      this.#reported = why;
    }
    return this.#current;
  }

  #read(): Contents {
    return Object.fromEntries(NAMES.map((name) => [name, contentOf(name, this.#options![name])]));
  }
  #make(contents: Contents): grpc.ChannelCredentials {
    const {ca, cert, key} = contents;
    if (ca) certificatesOf(whereOf('ca', this.#options!.ca!), ca);
    if (cert) checkPair(this.#options!, contents);
    return grpc.credentials.createSsl(ca ?? null, key ?? null, cert ?? null, {checkServerIdentity: checkNames});
  }
}

/** Whether what is sent to this address of gRPC's, `host:port`, stays on this machine. @internal */
export function isLoopback(address: string): boolean {
  if (/^unix(-abstract)?:/.test(address)) return true;
  const [, inBrackets, plain] = /^(?:dns:(?:\/\/\/)?|ipv[46]:)?(?:\[([^\]]*)\]|([^:/]*))(?::\d+)?$/.exec(address) ?? [];
  const host = (inBrackets ?? plain ?? '').toLowerCase().replace(/%.*$/, '').replace(/^::ffff:/, '');
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

/** Whether a token may be sent to this address. @internal */
export const mayGetToken = (address: string, secure: boolean, plainToken: boolean | undefined): boolean =>
  secure || isLoopback(address) || (plainToken ?? isSet('TOOLWIRE_PLAIN_TOKEN') ?? false);

// What OpenSSL says of an alert or of bytes that are no TLS, in words that say what to do.
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/unable to get (?:local )?issuer certificate|unable to verify the first certificate|self[- ]signed certificate/,
    "control's certificate is of a CA that is not trusted here: name it by tls.ca"],
  [/alert certificate required/, 'control asks for a client certificate: give tls.cert and tls.key'],
  [/alert unknown ca/, "control does not know the CA of the client's certificate (tls.cert)"],
  [/alert handshake failure/, 'control refuses the handshake; it may ask for a client certificate: tls.cert and tls.key'],
  [/alert certificate expired/, "the client's certificate (tls.cert) has expired"],
  [/alert (?:bad|unsupported) certificate|alert certificate unknown/, "control does not take the client's certificate (tls.cert)"],
  [/certificate has expired/, "control's certificate has expired"],
  [/certificate is not yet valid/, "control's certificate is not valid yet; is this machine's clock right?"],
  [/wrong version number|packet length too long|tls_validate_record_header/, 'what listens there does not speak TLS'],
];

/** Why there is no connection, from gRPC's sentence; `secure`: it was to be TLS. @internal */
export function explain(why: string, secure: boolean): string {
  const known = REASONS.find(([pattern]) => pattern.test(why));
  if (known) return known[1];
  // Nothing was said before the end, or what was said was no HTTP/2.
  if (/Failed to connect \(|ECONNRESET|Socket closed|Protocol error|NGHTTP2/.test(why)) {
    return `the connection was closed before it could be used; ${secure
      ? "control may refuse the client's certificate, or ask for one: tls.cert and tls.key" : 'if control speaks TLS, give tls'}`;
  }
  return why.replace(/ \(\d{4}-[\dT:.-]+Z\)/, '').replace(/\. Resolution note: $/, '');
}
