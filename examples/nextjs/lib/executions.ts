// The audit log a part at a time, for pages that are asked for one by one.
import type {Execution} from '@toolwire/client';
import {Refusal} from './requests';
import {toolwire} from './toolwire';

// The last row of a page: the next one begins after it, whatever calls have been made meanwhile.
interface Cursor {
  at: Date;
  requestId: string;
}

export function writeCursor({createdAt, requestId}: Execution): string {
  return `${createdAt?.getTime() ?? 0}~${requestId}`;
}

// 400 if it is none of ours.
export function readCursor(text: string | null): Cursor | undefined {
  if (text === null) return undefined;
  const [, ms, requestId] = text.match(/^(\d{1,15})~(.+)$/) ?? [];
  if (!ms || !requestId) throw new Refusal(400, 'after is not from a page before', {field: 'after'});
  return {at: new Date(Number(ms)), requestId};
}

// Rows of one user, newest first, that come after the cursor.
export async function* executionsAfter(userId: string, cursor: Cursor | undefined, pageSize: number): AsyncGenerator<Execution> {
  // Times here have milliseconds, those of the log more: the row of the cursor and its neighbours come once more.
  const until = cursor && new Date(cursor.at.getTime() + 1);
  let skipping = cursor !== undefined;
  for await (const row of toolwire().admin.listExecutions({userId, until, pageSize})) {
    skipping &&= row.createdAt! >= cursor!.at;
    if (!skipping) yield row;
    skipping &&= row.requestId !== cursor!.requestId;
  }
}
