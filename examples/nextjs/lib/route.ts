// How every route answers what it refuses and what fails: `{success: false, error, ...}` with the status that fits.
import {ToolwireError} from '@toolwire/client';
import type {NextRequest} from 'next/server';
import {errorText, statusOf} from './outcomes';
import {Refusal} from './requests';

export function route(handler: (request: NextRequest) => Promise<Response>): (request: NextRequest) => Promise<Response> {
  return async (request) => {
    try {
      return await handler(request);
    } catch (error) {
      if (error instanceof Refusal) return failure(error.status, error.message, error.extra);
      if (error instanceof ToolwireError) return callFailure(error);
      console.error(error);
      return failure(500, 'Internal error');
    }
  };
}

// A call without an answer: why, and whether the tool may have run.
function callFailure(error: ToolwireError): Response {
  const {reason, delivery, field, requestId, retryAfterMs} = error;
  const text = reason === 'INVALID_REQUEST' ? error.message : errorText(reason);
  const headers: Record<string, string> = retryAfterMs ? {'Retry-After': `${Math.ceil(retryAfterMs / 1000)}`} : {};
  return failure(statusOf(reason), text, {reason, delivery, field, requestId}, headers);
}

function failure(status: number, error: string, extra: Record<string, unknown> = {}, headers?: HeadersInit): Response {
  return Response.json({success: false, error, ...extra}, {status, headers});
}
