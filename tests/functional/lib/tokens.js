// Callers' tokens: their file, and every RPC that there is.
import grpc from '@grpc/grpc-js';
import {createHash, randomBytes} from 'node:crypto';
import {renameSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {testTls} from './process.js';
import {deferred, within} from './until.js';

export const makeToken = () => `tw_${randomBytes(32).toString('base64url')}`;

// The file of --tokens-file.
export class TokensFile {
  #lines = new Map();

  static async create(scope) {
    const file = new TokensFile();
    file.path = path.join(await scope.directory(), 'tokens');
    return file;
  }
  // Adds a line and returns its token. `rest`: the fields behind the scopes.
  add(name, scopes, rest = '', token = makeToken()) {
    const hash = createHash('sha256').update(token).digest('hex');
    this.#lines.set(token, `${name} sha256:${hash} ${scopes}${rest && ` ${rest}`}\n`);
    this.write();
    return token;
  }
  remove(token) {
    this.#lines.delete(token);
    this.write();
  }
  get text() {
    return [...this.#lines.values()].join('');
  }
  // In one step, as tools that care do it.
  write(text = this.text) {
    writeFileSync(`${this.path}.new`, text);
    renameSync(`${this.path}.new`, this.path);
  }
}

const bytes = (given) => given;

const credentialsOf = (ca) => (ca ? grpc.credentials.createSsl(ca) : grpc.credentials.createInsecure());

// One RPC with this request, over TLS with a `ca`: its status. A stream that begins to answer counts as OK, and is left.
export function statusOf(port, {path: where, requestStream = false, responseStream = false}, token, request = Buffer.alloc(0), ca = testTls?.ca) {
  const client = new grpc.Client(`127.0.0.1:${port}`, credentialsOf(ca), {'grpc.use_local_subchannel_pool': 1});
  const metadata = new grpc.Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  const done = deferred();
  if (!responseStream) {
    client.makeUnaryRequest(where, bytes, bytes, request, metadata, (error) => done.resolve(error ?? {code: 0, details: ''}));
  } else {
    const stream = requestStream
      ? client.makeBidiStreamRequest(where, bytes, bytes, metadata)
      : client.makeServerStreamRequest(where, bytes, bytes, request, metadata);
    stream.on('error', () => {});
    stream.on('data', () => {
      done.resolve({code: 0, details: ''});
      stream.cancel();
    });
    stream.on('status', (status) => done.resolve(status));
    if (requestStream) {
      if (request.length > 0) stream.write(request);
      stream.end();
    }
  }
  return within(`${where} ends`, done.promise).finally(() => client.close());
}

// The fields of a protobuf message, as [number, bytes] of those that have a length.
function* fieldsOf(message) {
  let at = 0;
  const varint = () => {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = message[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    if ((tag & 7) !== 2) varint();
    else {
      const length = varint();
      yield [tag >> 3, message.subarray(at, at += length)];
    }
  }
}
const texts = (message, number) => [...fieldsOf(message)].filter(([one]) => one === number).map(([, text]) => text);

// The names of the services that a server has, by gRPC's reflection.
export async function servicesOf(port) {
  const client = new grpc.Client(`127.0.0.1:${port}`, credentialsOf(testTls?.ca));
  const done = deferred();
  const stream = client.makeBidiStreamRequest('/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', bytes, bytes);
  stream.on('error', done.reject);
  stream.on('data', (answer) => {
    const [list] = texts(answer, 6);
    done.resolve(texts(list, 1).map((service) => String(texts(service, 1)[0])));
    stream.end();
  });
  stream.write(Buffer.from([0x3a, 0x00]));  // list_services.
  return within('reflection answers', done.promise).finally(() => client.close());
}
