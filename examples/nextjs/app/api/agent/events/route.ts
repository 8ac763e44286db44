import type {NextRequest} from 'next/server';
import {agentState, type AgentState} from '@/lib/agent';
import {requireUser} from '@/lib/requests';
import {route} from '@/lib/route';
import {stopping} from '@/lib/stopping';
import {toolwire} from '@/lib/toolwire';

// Proxies and load balancers close connections on which nothing moves, often after 30 s.
const HEARTBEAT_MS = 15_000;
const RETRY_MS = 1000;

// The state of the user's agent, now and whenever it changes, as server-sent `agent` events. Ends when the browser goes,
// this process stops or Toolwire refuses to be watched; browsers that are still there ask again by themselves. All pages of
// this process stand on one stream to Toolwire, the client's.
export const GET = route(async (request: NextRequest) => {
  const userId = requireUser(request);
  const gone = new AbortController();
  request.signal.addEventListener('abort', () => gone.abort());
  const body = new ReadableStream<Uint8Array>({
    start: (stream) => void follow(userId, stream, gone.signal),
    cancel: () => gone.abort(),
  });
  return new Response(body, {
    headers: {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store, no-transform',
      'X-Accel-Buffering': 'no',  // nginx passes events on as they come.
      Connection: 'close',  // Ends with the stream: a server that stops waits for its connections.
    },
  });
});

async function follow(userId: string, stream: ReadableStreamDefaultController<Uint8Array>, gone: AbortSignal) {
  const write = (text: string) => gone.aborted || stream.enqueue(new TextEncoder().encode(text));
  const heartbeat = setInterval(() => write(': still here\n\n'), HEARTBEAT_MS);
  write(`retry: ${RETRY_MS}\n\n`);
  try {
    const signal = AbortSignal.any([gone, stopping()]);
    for await (const state of states(userId, signal)) write(`event: agent\ndata: ${JSON.stringify(state)}\n\n`);
  } catch (error) {
    console.error(error);
  } finally {
    clearInterval(heartbeat);
    if (!gone.aborted) stream.close();
  }
}

// The state at first, then each change of it.
async function* states(userId: string, signal: AbortSignal): AsyncGenerator<AgentState> {
  let state = agentState({connected: false});
  let begun = false;
  for await (const {kind, agent} of toolwire().client.watchAgents({userIds: [userId], signal})) {
    if (kind === 'snapshot') begun = true;
    else state = agentState(agent);
    if (begun) yield state;
  }
}
