// Who is logged in, kept in the browser: a user id and an expiry, signed so that only this server can have made them.
// Stands in for an identity service; a real application puts its own in this file's place.
import {createHmac, randomBytes, timingSafeEqual} from 'node:crypto';

export const SESSION_COOKIE = 'session';
export const SESSION_SECONDS = 7 * 24 * 3600;

// Also safe in a shell's command line and in a URL.
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

// The user id of someone who gives this name, or undefined if the name is not allowed.
export function userIdOf(name: unknown): string | undefined {
  const trimmed = typeof name === 'string' ? name.trim() : '';
  return NAME.test(trimmed) ? trimmed : undefined;
}

// The value of the session cookie: `userId~expiry~signature`, the expiry in seconds since 1970.
export function makeSession(userId: string, nowMs = Date.now()): string {
  const claim = `${userId}~${Math.floor(nowMs / 1000) + SESSION_SECONDS}`;
  return `${claim}~${sign(claim)}`;
}

// The user id in a cookie's value, or undefined if it was not made here or is over.
export function readSession(cookie: string | undefined, nowMs = Date.now()): string | undefined {
  const [userId, expiry, signature, ...rest] = (cookie ?? '').split('~');
  if (!userId || !expiry || !signature || rest.length > 0) return undefined;
  const given = Buffer.from(signature);
  const wanted = Buffer.from(sign(`${userId}~${expiry}`));
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined;
  return Number(expiry) * 1000 > nowMs ? userId : undefined;
}

function sign(claim: string): string {
  return createHmac('sha256', secret()).update(claim).digest('base64url');
}

const shared = globalThis as {sessionSecret?: string};

function secret(): string {
  if (process.env.SESSION_SECRET) return process.env.SESSION_SECRET;
  if (!shared.sessionSecret) {
    shared.sessionSecret = randomBytes(32).toString('hex');
    console.warn('SESSION_SECRET is not set: logins last until this process ends, and no other process knows them');
  }
  return shared.sessionSecret;
}
