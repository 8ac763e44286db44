// What every route asks of a request before it does anything.
import type {NextRequest} from 'next/server';
import {isObject} from './json';
import {readSession, SESSION_COOKIE} from './session';

// Thrown by the functions below, and turned into the answer by `route`.
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly extra: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

// The user who is logged in; 401 if nobody is.
export function requireUser(request: NextRequest): string {
  const userId = readSession(request.cookies.get(SESSION_COOKIE)?.value);
  if (!userId) throw new Refusal(401, 'Not logged in');
  return userId;
}

// 403 if another site's page made the browser send this. Browsers say where a request comes from; what says nothing is
// no browser, and has no cookie that it was not given.
export function requireSameSite(request: NextRequest): void {
  const site = request.headers.get('sec-fetch-site');
  const origin = request.headers.get('origin');
  const ours = site ? site === 'same-origin' || site === 'none' : !origin || hostOf(origin) === request.headers.get('host');
  if (!ours) throw new Refusal(403, 'Sent from another site');
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

// The body as a JSON object; 400 if it is none or longer than `bytesMax`.
export async function readObject(request: NextRequest, bytesMax: number): Promise<Record<string, unknown>> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.length;
    if (bytes <= bytesMax) chunks.push(chunk);  // The rest is read too: who still sends does not hear the answer.
  }
  if (bytes > bytesMax) throw new Refusal(400, `The body is longer than ${bytesMax} bytes`, {field: 'body'});
  let body: unknown;
  try {
    body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new Refusal(400, 'The body is not JSON', {field: 'body'});
  }
  if (!isObject(body)) throw new Refusal(400, 'The body is not a JSON object', {field: 'body'});
  return body;
}
