// What became of a call that has no answer: the server's table of outcomes (proto/toolwire/v1/tool.proto) and what only
// a client can see, as classes.
import {toolwire} from '../generated/proto.js';

/** Names of gRPC status codes, by number. */
const CODES = [
  'OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS',
  'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED',
  'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED',
] as const;

/** The name of a gRPC status code. */
export type Code = (typeof CODES)[number];

/** Whether the tool may have run: `NOT_SENT` it did not, `SENT` it is not known. */
export type Delivery = 'SENT' | 'NOT_SENT';

const HTTP_STATUSES: Partial<Record<Code, number>> = {
  CANCELLED: 499, INVALID_ARGUMENT: 400, DEADLINE_EXCEEDED: 504, NOT_FOUND: 404, ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403, RESOURCE_EXHAUSTED: 429, FAILED_PRECONDITION: 412, ABORTED: 502, OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501, UNAVAILABLE: 503, UNAUTHENTICATED: 401,
};

/** What an error is made of beside its message. */
export interface ErrorFields {
  code: Code;
  reason?: string | undefined;
  delivery?: Delivery | undefined;
  retryAfterMs?: number | undefined;
  requestId?: string | undefined;
  field?: string | undefined;
  cause?: unknown;
}

/**
 * A request that got no answer. A tool that ran and failed is no error: see {@link ToolResult.success}.
 *
 * Reasons that this version does not know come as a plain `ToolwireError` with their code.
 */
export class ToolwireError extends Error {
  /** The gRPC status code, by name. */
  readonly code: Code;
  /** What happened, such as `AGENT_NOT_CONNECTED`; the name of the code if nothing more is known. */
  readonly reason: string;
  /** Whether the tool may have run. */
  readonly delivery: Delivery;
  /** How long to wait before trying again is worth it, in milliseconds; `undefined` if the server did not say. */
  readonly retryAfterMs: number | undefined;
  /** The id of the call in the audit log; `undefined` if it never got one. */
  readonly requestId: string | undefined;
  /** The field of the request that is wrong, as the proto names it. */
  readonly field: string | undefined;

  constructor(message: string, fields: ErrorFields) {
    super(message, fields.cause === undefined ? undefined : {cause: fields.cause});
    this.code = fields.code;
    this.reason = fields.reason ?? fields.code;
    this.delivery = fields.delivery ?? 'SENT';
    this.retryAfterMs = fields.retryAfterMs;
    this.requestId = fields.requestId;
    this.field = fields.field;
  }

  override get name(): string {
    return this.constructor.name;
  }
  /** The tool did not run, and the same call may succeed if it is made again. */
  get safeToRetry(): boolean {
    return this.delivery === 'NOT_SENT' && ['UNAVAILABLE', 'RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED'].includes(this.code);
  }
  /** The status for an HTTP response that reports this error. */
  get httpStatus(): number {
    return HTTP_STATUSES[this.code] ?? 500;
  }
}

/** No live agent for this user. 503, NOT_SENT. */
export class AgentNotConnectedError extends ToolwireError {}
/** The edge that holds the agent is gone, overloaded or draining. 503, NOT_SENT. */
export class EdgeUnavailableError extends ToolwireError {}
/** The agent has too many calls in flight. 429, NOT_SENT. */
export class AgentBusyError extends ToolwireError {}
/** No answer within `timeoutMs`. 504, NOT_SENT or SENT. */
export class CallTimeoutError extends ToolwireError {}
/** The agent or its edge was lost after the call had left, and no answer came. 502, SENT. */
export class AgentLostError extends ToolwireError {}
/** The call's AbortSignal was aborted; `cause` is the signal's reason. 499, NOT_SENT or SENT. */
export class CallCancelledError extends ToolwireError {}
/** The request is wrong; `field` names the field. 400, NOT_SENT. */
export class InvalidRequestError extends ToolwireError {}
/** A call with this `requestId` is in flight for this user. 409, NOT_SENT. */
export class DuplicateRequestError extends ToolwireError {}
/** Too many calls of this process wait, here or at the server. 429, NOT_SENT. */
export class CallerBusyError extends ToolwireError {}
/** The token is missing or wrong. 401, NOT_SENT. */
export class UnauthenticatedError extends ToolwireError {}
/** The token may not do this. 403, NOT_SENT. */
export class PermissionDeniedError extends ToolwireError {}
/** No control could be reached in time. 503, NOT_SENT. */
export class ControlUnavailableError extends ToolwireError {}
/** The connection to control broke after the call had left. 502, SENT. */
export class ConnectionLostError extends ToolwireError {}
/** The client is closed. 503; SENT if the call had left when `close` gave it up. */
export class ClientClosedError extends ToolwireError {
  override get safeToRetry(): boolean {
    return false;
  }
}

const CLASSES: Record<string, typeof ToolwireError> = {
  AGENT_NOT_CONNECTED: AgentNotConnectedError,
  EDGE_UNAVAILABLE: EdgeUnavailableError,
  AGENT_BUSY: AgentBusyError,
  CALL_TIMEOUT: CallTimeoutError,
  AGENT_LOST: AgentLostError,
  CALLER_CANCELLED: CallCancelledError,
  INVALID_REQUEST: InvalidRequestError,
  DUPLICATE_REQUEST: DuplicateRequestError,
  CALLER_BUSY: CallerBusyError,
  UNAUTHENTICATED: UnauthenticatedError,
  PERMISSION_DENIED: PermissionDeniedError,
};

const {Delivery, Reason} = toolwire.v1.CallError;

const millisecondsOf = (duration: toolwire.v1.ICallError['retryAfter']): number | undefined =>
  duration ? Number(duration.seconds ?? 0) * 1000 + (duration.nanos ?? 0) / 1e6 : undefined;

/** The error of a failed request, whichever way the failure came. @internal */
export function errorOf(code: number, message: string, detail?: toolwire.v1.ICallError | null, cause?: unknown): ToolwireError {
  const name = CODES[code] ?? 'UNKNOWN';
  const known = detail?.reason ? Reason[detail.reason] : undefined;
  // Said of a whole request, before anything is done for it.
  const refused = name === 'UNAUTHENTICATED' || name === 'PERMISSION_DENIED' || name === 'UNIMPLEMENTED';
  const Class = CLASSES[known ?? name] ?? ToolwireError;
  return new Class(message, {
    code: name,
    reason: known,
    delivery: detail?.delivery === Delivery.NOT_SENT || (!detail?.delivery && refused) ? 'NOT_SENT' : 'SENT',
    retryAfterMs: millisecondsOf(detail?.retryAfter),
    requestId: detail?.requestId || undefined,
    field: detail?.field || undefined,
    cause,
  });
}

/** @internal */
export const timedOut = (timeoutMs: number, delivery: Delivery, requestId?: string): CallTimeoutError =>
  new CallTimeoutError(`no answer within ${timeoutMs} ms`, {code: 'DEADLINE_EXCEEDED', reason: 'CALL_TIMEOUT', delivery, requestId});

/** @internal */
export const cancelled = (delivery: Delivery, cause: unknown, requestId?: string): CallCancelledError =>
  new CallCancelledError('the caller cancelled', {code: 'CANCELLED', reason: 'CALLER_CANCELLED', delivery, cause, requestId});

/** @internal */
export const invalid = (field: string, message: string): InvalidRequestError =>
  new InvalidRequestError(message, {code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST', delivery: 'NOT_SENT', field});

/** @internal */
export const controlUnavailable = (message: string, requestId?: string, cause?: unknown): ControlUnavailableError =>
  new ControlUnavailableError(message, {code: 'UNAVAILABLE', reason: 'CONTROL_UNAVAILABLE', delivery: 'NOT_SENT', requestId, cause});

/** @internal */
export const connectionLost = (why: string, requestId?: string): ConnectionLostError =>
  new ConnectionLostError(`the connection to control broke after the call had left (${why})`,
    {code: 'ABORTED', reason: 'CONNECTION_LOST', delivery: 'SENT', requestId});

/** @internal */
export const queueFull = (waiting: number, requestId?: string): CallerBusyError =>
  new CallerBusyError(`${waiting} calls are waiting for a control`,
    {code: 'RESOURCE_EXHAUSTED', reason: 'CALLER_BUSY', delivery: 'NOT_SENT', retryAfterMs: 100, requestId});

/** @internal */
export const streamsFull = (why: string, requestId?: string): CallerBusyError =>
  new CallerBusyError(why, {code: 'RESOURCE_EXHAUSTED', reason: 'CALLER_BUSY', delivery: 'NOT_SENT', retryAfterMs: 100, requestId});

/** @internal */
export const closed = (delivery: Delivery, requestId?: string): ClientClosedError =>
  new ClientClosedError('the client is closed', {code: 'UNAVAILABLE', reason: 'CLIENT_CLOSED', delivery, requestId});
