// This process's connection to Toolwire: one for all routes and requests, which it carries over a single stream.
import {ToolwireAdmin, ToolwireClient} from '@toolwire/client';

interface Connection {
  client: ToolwireClient;
  admin: ToolwireAdmin;
}

// Outside of this module, of which the development server makes a new one with each change.
const shared = globalThis as {toolwire?: Connection};

export function toolwire(): Connection {
  if (!shared.toolwire) {
    const options = {address: process.env.TOOLWIRE_ADDRESS ?? '127.0.0.1:50051', token: process.env.TOOLWIRE_TOKEN};
    shared.toolwire = {client: new ToolwireClient(options), admin: new ToolwireAdmin(options)};
  }
  return shared.toolwire;
}

// Where agents connect, as their users' computers reach it.
export function agentUrl(): string {
  return process.env.TOOLWIRE_AGENT_URL ?? 'ws://127.0.0.1:8082';
}
