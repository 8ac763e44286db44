// This process's connection to Toolwire: one for all routes and requests. It carries all calls over one stream, and what all
// open pages watch over another.
import {ToolwireAdmin, ToolwireClient} from '@toolwire/client';

interface Connection {
  client: ToolwireClient;
  admin: ToolwireAdmin;
}

// Outside of this module, of which the development server makes a new one with each change.
const shared = globalThis as {toolwire?: Connection};

export function toolwire(): Connection {
  if (!shared.toolwire) {
    // Address, token and TLS are those of the environment: README.md lists the variables.
    shared.toolwire = {client: new ToolwireClient(), admin: new ToolwireAdmin()};
  }
  return shared.toolwire;
}

// Where agents connect, as their users' computers reach it.
export function agentUrl(): string {
  return process.env.TOOLWIRE_AGENT_URL ?? 'ws://127.0.0.1:8082';
}
