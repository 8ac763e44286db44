// The page's side of the routes.
import type {AgentState} from './agent';
import type {Platform} from './install';
import {NOT_LOGGED_IN, sentence, type Delivery} from './outcomes';

export interface Call {
  tool: string;
  params: Record<string, unknown>;
  timeoutMs: number;
}

export type Answer = {requestId?: string} & (
  | {kind: 'result'; result: unknown; runMs?: number}
  // The tool ran, and says that it failed.
  | {kind: 'toolError'; error: string; runMs?: number}
  // There is no answer. `sentence` says so to the person.
  | {kind: 'none'; sentence: string; reason?: string; delivery?: Delivery}
);

// Runs a tool. Never throws; `signal` cancels, all the way to the tool.
export async function execute({tool, params, timeoutMs}: Call, signal: AbortSignal): Promise<Answer> {
  try {
    const response = await post('/api/tools/execute', {tool, params, timeout: timeoutMs}, signal);
    const body = await response.json();
    const {requestId, reason, delivery, field} = body;
    if (response.status === 401) return {kind: 'none', sentence: NOT_LOGGED_IN};
    if (!response.ok) return {kind: 'none', sentence: sentence(reason ?? '', delivery, field), reason, delivery, requestId};
    const runMs: number | undefined = body.executionTime ?? undefined;
    if (body.success) return {kind: 'result', result: body.result, runMs, requestId};
    return {kind: 'toolError', error: body.error || 'The tool gave no reason.', runMs, requestId};
  } catch {
    const reason = signal.aborted ? 'CALLER_CANCELLED' : undefined;
    return {kind: 'none', sentence: sentence(reason ?? ''), reason};
  }
}

export interface Installation {
  userId: string;
  sharedSecret: string;
  websocketUrl: string;
  command: string;
}

// Throws an error with a sentence for people.
export async function install(platform: Platform): Promise<Installation> {
  const response = await post('/api/agent/install', {platform}).catch(() => undefined);
  if (response?.status === 401) throw new Error(NOT_LOGGED_IN);
  if (!response?.ok) throw new Error('No secret could be made. The old one, if there was one, may be void; try again shortly.');
  return response.json();
}

export interface PastCall {
  requestId: string;
  tool: string;
  params: unknown;
  success: boolean;
  error: string | null;
  executionTime: number | null;
  // ISO 8601: when the call settled.
  at: string;
}

export interface HistoryPage {
  calls: PastCall[];
  // For the page after; null on the last.
  next: string | null;
}

export async function history(after?: string): Promise<HistoryPage> {
  const response = await fetch(`/api/history${after ? `?after=${encodeURIComponent(after)}` : ''}`);
  if (!response.ok) throw new Error('The history cannot be read for the moment.');
  return response.json();
}

export type AgentView = AgentState | 'unknown' | 'loggedOut';

const REOPEN_MS = 2000;

// Calls `onChange` with the state of the user's agent, at first and with each change, until the returned function is
// called. `unknown`: nothing can be said for now; it follows the state by itself as soon as it can.
export function watchAgent(onChange: (view: AgentView) => void): () => void {
  let events: EventSource;
  let timer: ReturnType<typeof setTimeout>;
  const open = () => {
    events = new EventSource('/api/agent/events');
    events.addEventListener('agent', (event) => onChange(JSON.parse(event.data)));
    events.addEventListener('error', async () => {
      onChange('unknown');
      if (events.readyState !== EventSource.CLOSED) return;  // It tries again by itself.
      // Refused, and browsers do not report with which status.
      const status = await fetch('/api/agent/status').then((response) => response.status, () => 0);
      if (status === 401) onChange('loggedOut');
      else timer = setTimeout(open, REOPEN_MS);
    });
  };
  open();
  return () => {
    clearTimeout(timer);
    events.close();
  };
}

function post(url: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  return fetch(url, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body), signal});
}
