// What became of a call that produced no answer: the HTTP status of the route, and the sentence for the person. The
// one table of the application that knows Toolwire's reasons.

// Whether the tool may have run. Absent where it is not known: the browser cancelled and got no answer.
export type Delivery = 'SENT' | 'NOT_SENT';

interface Outcome {
  // Of 400, 503, 504 and 500, which the application's API promises: what has a status of its own in Toolwire (401, 403,
  // 409, 429, 499, 502) takes the nearest. AGENT_LOST is a 500, since clients and proxies repeat a 503 by themselves.
  status: number;
  // Short, for programs and logs.
  error: string;
  NOT_SENT?: string;
  SENT?: string;
  unknown?: string;
}

const OUTCOMES: Record<string, Outcome> = {
  AGENT_NOT_CONNECTED: {
    status: 503,
    error: 'Agent not connected',
    NOT_SENT: 'Your computer is not connected, so nothing was run. Start the agent there, then try again.',
  },
  EDGE_UNAVAILABLE: {
    status: 503,
    error: 'Agent not reachable',
    NOT_SENT: 'Your computer cannot be reached for the moment. Nothing was run; try again shortly.',
  },
  AGENT_BUSY: {
    status: 503,
    error: 'Agent busy',
    NOT_SENT: 'Your computer has as many requests as it can take. Nothing was run; try again when some of them are done.',
  },
  CALLER_BUSY: {
    status: 503,
    error: 'Too many calls',
    NOT_SENT: 'This site has too many requests under way. Nothing was run; try again shortly.',
  },
  CALL_TIMEOUT: {
    status: 504,
    error: 'Tool call timed out',
    NOT_SENT: 'Time ran out before the request reached your computer. Nothing was run; you can try again.',
    SENT: 'Your computer got the request but did not answer in time. It may still be at it; check before you try again.',
  },
  AGENT_LOST: {
    status: 500,
    error: 'Agent lost',
    SENT: 'Your computer went offline after it got the request. It may have run; check before you try again.',
  },
  CALLER_CANCELLED: {
    status: 500,
    error: 'Tool call cancelled',
    NOT_SENT: 'You cancelled before the request reached your computer. Nothing was run.',
    SENT: 'You cancelled after your computer got the request. It was told to stop; part of it may have been done.',
    unknown: 'You cancelled. If your computer had the request already, it was told to stop; part of it may have been done.',
  },
  INVALID_REQUEST: {
    status: 400,
    error: 'Invalid request',
    NOT_SENT: 'There is something wrong with the request. Nothing was run.',
  },
  DUPLICATE_REQUEST: {
    status: 400,
    error: 'Duplicate request',
    NOT_SENT: 'This very request is under way already. It was not run a second time.',
  },
  // Between this application and Toolwire: of no use to the browser but that somebody has to know.
  UNAUTHENTICATED: {
    status: 500,
    error: 'Toolwire refuses this site',
    NOT_SENT: 'This site has no valid token for Toolwire. Nothing was run; tell whoever runs the site.',
  },
  PERMISSION_DENIED: {
    status: 500,
    error: 'Toolwire does not permit it',
    NOT_SENT: 'This site may not call tools for you. Nothing was run; tell whoever runs the site.',
  },
  CONTROL_UNAVAILABLE: {
    status: 503,
    error: 'Toolwire not reachable',
    NOT_SENT: 'This site has lost touch with Toolwire for the moment. Nothing was run; try again shortly.',
  },
  CONNECTION_LOST: {
    status: 500,
    error: 'Connection to Toolwire lost',
    SENT: 'This site lost touch with Toolwire while your request was under way. It may have run; check before you try again.',
  },
};

// Of reasons that are not in the table.
const OTHERS: Outcome = {
  status: 500,
  error: 'Tool call failed',
  NOT_SENT: 'The request could not be passed on. Nothing was run; try again shortly.',
  SENT: 'The request was passed on, but its outcome got lost. It may have run; check before you try again.',
  unknown: 'The connection broke before there was an answer. It may have run; check before you try again.',
};

// For requests of the page after the session is over.
export const NOT_LOGGED_IN = 'You are not logged in any more. Nothing was run; load the page again.';

export function statusOf(reason: string): number {
  return (OUTCOMES[reason] ?? OTHERS).status;
}

export function errorText(reason: string): string {
  return (OUTCOMES[reason] ?? OTHERS).error;
}

// Whether a call that ended for this reason may have run its tool, where no more is known.
export function mayHaveRun(reason: string): boolean {
  return (OUTCOMES[reason] ?? OTHERS).SENT !== undefined;
}

// The sentence for the person. `field` is the field that is wrong, for INVALID_REQUEST.
export function sentence(reason: string, delivery?: Delivery, field?: string): string {
  if (reason === 'INVALID_REQUEST' && field) return `There is something wrong with “${field}”. Nothing was run.`;
  const outcome = OUTCOMES[reason] ?? OTHERS;
  const key = delivery ?? 'unknown';
  return outcome[key] ?? OTHERS[key]!;
}
