// One shared client for a process, whichever way it is imported.
export {
  configure, disconnect, sendToolCall, isAgentConnected, getAgentServer, type ClientOptions, type ToolCall,
  type ToolCallResponse,
} from './compat.js';
