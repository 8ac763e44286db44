import type {NextRequest} from 'next/server';
import {agentState} from '@/lib/agent';
import {requireUser} from '@/lib/requests';
import {route} from '@/lib/route';
import {toolwire} from '@/lib/toolwire';

export const GET = route(async (request: NextRequest) =>
  Response.json(agentState(await toolwire().client.getAgent(requireUser(request)))),
);
