// Who is connected: what is said of agents, and asking for it.
import {method} from './channel.js';
import type {Channels} from './channels.js';
import {pageSizeField, optionalNameField} from './checks.js';
import {dateOf, numberOf, v1} from './codec.js';
import type {AbortSignalLike} from './signals.js';

/** One user's agent. */
export interface Agent {
  userId: string;
  /** Without a live agent all fields but `userId` are absent. */
  connected: boolean;
  /** The id of the edge that holds the session (`SERVER_ID`). */
  serverId?: string | undefined;
  /** The lease's number: a later connection of the same user has a greater one. */
  epoch?: number | undefined;
  connectedAt?: Date | undefined;
}

export type AgentEvent =
  | {
      /**
       * `connected`: also each agent that is connected when the watch begins. `disconnected`: the session ended and none
       * replaced it. `moved`: a newer session replaced the one known before.
       */
      kind: 'connected' | 'disconnected' | 'moved';
      agent: Agent;
    }
  | {
      /** All agents that were connected when the watch began have been reported. Once for each watch. */
      kind: 'snapshot';
      agent?: undefined;
    };

export interface WatchAgentsOptions {
  /** Only these users; all if absent or empty. */
  userIds?: readonly string[] | undefined;
  /** Ends the iteration, as if nothing came any more. */
  signal?: AbortSignalLike | undefined;
}

export interface ListAgentsOptions {
  /** Only agents of this edge; all if absent. */
  serverId?: string | undefined;
  /** Agents fetched at a time: default 100, at most 1,000. */
  pageSize?: number | undefined;
}

const GET = method('/toolwire.v1.ToolDispatch/GetAgent', v1.GetAgentRequest, v1.Agent);
const LIST = method('/toolwire.v1.ToolDispatch/ListAgents', v1.ListAgentsRequest, v1.ListAgentsResponse);

/** @internal */
export const agentOf = ({userId, connected, serverId, epoch, connectedAt}: v1.IAgent): Agent =>
  connected
    ? {userId: userId!, connected: true, serverId: serverId!, epoch: numberOf(epoch), connectedAt: dateOf(connectedAt)}
    : {userId: userId!, connected: false};

/** @internal */
export const getAgent = async (channels: Channels, userId: string, timeoutMs: number): Promise<Agent> =>
  agentOf(await channels.unary(GET, {userId}, timeoutMs));

/** @internal */
export async function* listAgents(
  channels: Channels, options: ListAgentsOptions, timeoutMs: number,
): AsyncGenerator<Agent, void, undefined> {
  const serverId = optionalNameField('server_id', options.serverId);
  const pageSize = pageSizeField(options.pageSize);
  for (let pageToken = ''; ; ) {
    const page = await channels.unary(LIST, {serverId, pageSize, pageToken}, timeoutMs);
    for (const agent of page.agents) yield agentOf(agent);
    pageToken = page.nextPageToken;
    if (pageToken === '') return;
  }
}
