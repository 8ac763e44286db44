import type {NextRequest} from 'next/server';
import {executionsAfter, readCursor, writeCursor} from '@/lib/executions';
import {requireUser} from '@/lib/requests';
import {route} from '@/lib/route';

const PAGE = 20;

// The user's calls from Toolwire's audit log, newest first. `next` goes into `after` for the page after; null on the last.
export const GET = route(async (request: NextRequest) => {
  const userId = requireUser(request);
  const cursor = readCursor(request.nextUrl.searchParams.get('after'));
  const rows = [];
  for await (const row of executionsAfter(userId, cursor, PAGE + 1)) {
    if (rows.push(row) > PAGE) break;
  }
  const page = rows.slice(0, PAGE);
  const calls = page.map(({requestId, tool, paramsJson, success, error, executionTimeMs, createdAt}) => ({
    requestId,
    tool,
    params: paramsOf(paramsJson.toString()),
    success,
    error: error ?? null,
    executionTime: executionTimeMs ?? null,
    at: createdAt?.toISOString() ?? null,
  }));
  return Response.json({calls, next: rows.length > PAGE ? writeCursor(page.at(-1)!) : null});
});

// What the log shortened may be more than the page can show, but never breaks it.
function paramsOf(json: string): unknown {
  try {
    return JSON.parse(json || '{}');
  } catch {
    return json;
  }
}
