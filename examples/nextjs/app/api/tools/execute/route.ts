import type {NextRequest} from 'next/server';
import {isObject} from '@/lib/json';
import {readObject, Refusal, requireSameSite, requireUser} from '@/lib/requests';
import {route} from '@/lib/route';
import {toolwire} from '@/lib/toolwire';

// What Toolwire takes by default, and some room for the rest of the body.
const BODY_BYTES_MAX = (16 << 20) + (64 << 10);
const TIMEOUT_MS_MAX = 3_600_000;

// Runs a tool on the computer of the logged-in user. A tool that ran and failed is a 200 with `success` false: the
// other statuses are for calls without an answer.
export const POST = route(async (request: NextRequest) => {
  requireSameSite(request);
  const userId = requireUser(request);
  const {tool, params = {}, timeout} = await readObject(request, BODY_BYTES_MAX);
  if (typeof tool !== 'string' || tool === '') throw invalid('tool', 'must be the name of a tool');
  if (!isObject(params)) throw invalid('params', 'must be a JSON object');
  if (timeout !== undefined && !isTimeout(timeout)) {
    throw invalid('timeout', `must be a whole number of milliseconds from 1 to ${TIMEOUT_MS_MAX}`);
  }
  // Closing the page or pressing Cancel closes the request, and with it the call.
  const answer = await toolwire().client.callTool(userId, tool, params, {timeoutMs: timeout, signal: request.signal});
  const {success, error, executionTimeMs: executionTime, requestId} = answer;
  const rest = JSON.stringify({success, error: error ?? null, executionTime: executionTime ?? null, requestId});
  // The agent's own JSON, unread: integers over 2^53 survive, and megabytes cost nothing.
  const body = `{"result":${answer.resultJson.toString() || 'null'},${rest.slice(1)}`;
  return new Response(body, {headers: {'Content-Type': 'application/json'}});
});

function isTimeout(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= TIMEOUT_MS_MAX;
}

function invalid(field: string, what: string): Refusal {
  return new Refusal(400, `${field} ${what}`, {reason: 'INVALID_REQUEST', delivery: 'NOT_SENT', field});
}
