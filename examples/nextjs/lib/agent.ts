// A user's agent as the page and the API see it.

export interface AgentState {
  connected: boolean;
  // The edge that holds the connection; null if there is none.
  serverId: string | null;
  // ISO 8601, by the edge's clock; null if there is no connection.
  connectedAt: string | null;
}

export function agentState(agent: {connected: boolean; serverId?: string; connectedAt?: Date}): AgentState {
  if (!agent.connected) return {connected: false, serverId: null, connectedAt: null};
  return {connected: true, serverId: agent.serverId || null, connectedAt: agent.connectedAt?.toISOString() ?? null};
}
