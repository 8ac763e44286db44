export {ToolwireClient, type CallToolOptions, type ParamsObject, type ToolParams} from './client.js';
export type {Agent, AgentEvent, ListAgentsOptions, WatchAgentsOptions} from './agents.js';
export type {ClientOptions, ConnectOptions} from './options.js';
export type {TlsOptions} from './tls.js';
export type {AbortSignalLike} from './signals.js';
export {ToolResult} from './result.js';
export {
  ToolwireError, AgentNotConnectedError, EdgeUnavailableError, AgentBusyError, CallTimeoutError, AgentLostError,
  CallCancelledError, InvalidRequestError, DuplicateRequestError, CallerBusyError, UnauthenticatedError,
  PermissionDeniedError, ControlUnavailableError, ConnectionLostError, ClientClosedError, type Code, type Delivery,
} from './errors.js';
export {
  ToolwireAdmin, type Credential, type CredentialSecret, type Execution, type ListExecutionsOptions, type Platform,
} from './admin.js';
