// The module through which backends reached agents by raw Redis, on top of the client: the same functions, promises,
// results and texts of errors.
import {optionsOf} from './checks.js';
import {ToolwireClient, type ParamsObject} from './client.js';
import {AgentBusyError, CallerBusyError, ClientClosedError, InvalidRequestError, ToolwireError} from './errors.js';
import {checkValues, type ClientOptions} from './options.js';

export type {ClientOptions} from './options.js';

const TIMEOUT_MS = 60_000;

export interface ToolCall {
  tool: string;
  params?: ParamsObject | undefined;
  /** How long to wait for the response, in milliseconds. Default 60,000. */
  timeout?: number | undefined;
}

/** What came on the response channel. A tool that ran and failed is a response too. */
export interface ToolCallResponse<T = any> {
  userId: string;
  success: boolean;
  /** `null` if the agent sent none; so are `error` and `executionTime`. */
  result: T;
  error: string | null;
  /** The running time that the agent reported, in milliseconds. */
  executionTime: number | null;
}

let options: ClientOptions = {};
let client: ToolwireClient | undefined;
const shared = (): ToolwireClient => (client ??= new ToolwireClient(options));

/**
 * How to reach control, instead of by TOOLWIRE_ADDRESS, TOOLWIRE_TOKEN and the others. Before the first call. Files are
 * read by that call.
 * @throws TypeError An option is wrong.
 */
export function configure(wanted: ClientOptions): void {
  if (client) throw new Error('configure() comes before the first call');
  checkValues(optionsOf(wanted));
  options = {...wanted};
}

/** Closes the connection; the next call opens it again. */
export async function disconnect(): Promise<void> {
  const open = client;
  client = undefined;
  await open?.close();
}

// What the old module said of it. It knew two failures: its question before the call, whether the agent is connected,
// was answered with no; or nothing came on the response channel, whatever the cause. A call that did not reach the
// agent is the first, and one that is lost is the second, only now at once instead of when the time is over.
function oldErrorOf(error: ToolwireError): Error {
  const cause = error;
  if (error.code === 'DEADLINE_EXCEEDED' || error.httpStatus === 502) return new Error('Tool call timed out', {cause});
  const newer = [AgentBusyError, CallerBusyError, ClientClosedError, InvalidRequestError].some((one) => error instanceof one);
  if (error.httpStatus === 503 && !newer) return new Error('Agent not connected', {cause});
  return new Error(error.message, {cause});
}

/**
 * Runs a tool on the user's agent and resolves with its response.
 *
 * Rejects with an `Error` whose `cause` is the {@link ToolwireError}: `Agent not connected`, at once, if the call did not
 * reach the agent; `Tool call timed out` if no response came within `timeout` or none can come any more, because the
 * agent or a connection was lost; else with what is wrong with the request.
 */
export async function sendToolCall<T = any>(
  userId: string, {tool, params = {}, timeout = TIMEOUT_MS}: ToolCall,
): Promise<ToolCallResponse<T>> {
  try {
    const {success, result, error, executionTimeMs} = await shared().callTool<T>(userId, tool, params, {timeoutMs: timeout});
    return {userId, success, result: result ?? (null as T), error: error ?? null, executionTime: executionTimeMs ?? null};
  } catch (error) {
    throw error instanceof ToolwireError ? oldErrorOf(error) : error;
  }
}

/** Whether the user's agent is connected. */
export async function isAgentConnected(userId: string): Promise<boolean> {
  return (await shared().getAgent(userId)).connected;
}

/** The id of the server that the user's agent is connected to, or `null`. */
export async function getAgentServer(userId: string): Promise<string | null> {
  return (await shared().getAgent(userId)).serverId ?? null;
}
