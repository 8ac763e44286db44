// The same classes for ESM: one copy for a process, whichever way it is imported. By name, since bundlers cannot tell what
// `export *` takes from CommonJS, and warn.
export {
  ToolwireClient, ToolwireAdmin, ToolResult, ToolwireError, AgentNotConnectedError, EdgeUnavailableError, AgentBusyError,
  CallTimeoutError, AgentLostError, CallCancelledError, InvalidRequestError, DuplicateRequestError, CallerBusyError,
  UnauthenticatedError, PermissionDeniedError, ControlUnavailableError, ConnectionLostError, ClientClosedError,
  type CallToolOptions, type ToolParams, type ParamsObject, type AbortSignalLike, type Agent, type AgentEvent,
  type ListAgentsOptions, type WatchAgentsOptions, type ClientOptions, type ConnectOptions, type TlsOptions, type Code,
  type Delivery, type Credential, type CredentialSecret, type Execution, type ListExecutionsOptions, type Platform,
} from './index.js';
