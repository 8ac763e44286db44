// An issuer of JSON Web Tokens: its keys, the file that publishes them, and the tokens that it signs.
import {generateKeyPairSync, sign} from 'node:crypto';
import {renameSync, writeFileSync} from 'node:fs';
import path from 'node:path';

export const ISSUER = 'https://issuer.example', AUDIENCE = 'toolwire';

const encode = (json) => Buffer.from(typeof json === 'string' ? json : JSON.stringify(json)).toString('base64url');

// A token with this header and these claims, signed or with the signature that is given.
export function tokenOf(header, claims, privateKey, signature) {
  const text = `${encode(header)}.${encode(claims)}`;
  signature ??= sign('sha256', Buffer.from(text), {key: privateKey, dsaEncoding: 'ieee-p1363'}).toString('base64url');
  return `${text}.${signature}`;
}

export class Issuer {
  #keys = new Map();  // By their ids.

  static async create(scope, {algorithm = 'ES256'} = {}) {
    const issuer = new Issuer();
    issuer.path = path.join(await scope.directory(), 'jwks.json');
    issuer.kid = issuer.addKey(algorithm);
    return issuer;
  }
  // Makes a key, publishes it, and returns its id. Tokens go on to be signed by `kid`.
  addKey(algorithm = 'ES256', kid = `key-${this.#keys.size + 1}`) {
    const pair = algorithm === 'RS256' ? generateKeyPairSync('rsa', {modulusLength: 2048}) : generateKeyPairSync('ec', {namedCurve: 'P-256'});
    this.#keys.set(kid, {...pair, algorithm, published: true});
    this.write();
    return kid;
  }
  // Takes a key out of the file; it can still sign.
  withdraw(kid) {
    this.#keys.get(kid).published = false;
    this.write();
  }
  publicKey(kid = this.kid) {
    const {publicKey, algorithm} = this.#keys.get(kid);
    return {...publicKey.export({format: 'jwk'}), kid, use: 'sig', alg: algorithm};
  }
  get text() {
    return JSON.stringify({keys: [...this.#keys].filter(([, {published}]) => published).map(([kid]) => this.publicKey(kid))});
  }
  // In one step, as tools that care do it.
  write(text = this.text) {
    writeFileSync(`${this.path}.new`, text);
    renameSync(`${this.path}.new`, this.path);
  }

  // The flags of a control that takes this issuer's tokens.
  get flags() {
    return {'jwks-file': this.path, 'jwt-issuer': ISSUER, 'jwt-audience': AUDIENCE};
  }
  claims(changed = {}) {
    const now = Math.floor(Date.now() / 1000);
    return {iss: ISSUER, aud: AUDIENCE, sub: 'user_1', iat: now, exp: now + 600, scope: 'toolwire:call toolwire:read', azp: 'shop', ...changed};
  }
  header(kid = this.kid) {
    return {alg: this.#keys.get(kid).algorithm, kid, typ: 'JWT'};
  }
  // A token with these claims instead of the usual ones; undefined takes one away.
  token(changed = {}, {kid = this.kid, header = {}, claims} = {}) {
    return tokenOf({...this.header(kid), ...header}, claims ?? this.claims(changed), this.#keys.get(kid).privateKey);
  }
}
