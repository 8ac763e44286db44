'use client';

import type {AgentView} from '@/lib/api';
import {Install} from './Install';

// Whether the user's computer is connected, live, and how to connect one.
export function AgentStatus({agent}: {agent?: AgentView}) {
  const {state, headline, more} = describe(agent);
  return (
    <section className="card agent" aria-label="Your computer">
      <div className="agent-line" data-state={state}>
        <span className="lamp" aria-hidden="true" />
        <div role="status">
          <p className="headline">{headline}</p>
          <p className="muted">{more}</p>
        </div>
      </div>
      <Install connected={state === 'connected'} />
    </section>
  );
}

function describe(agent?: AgentView): {state: string; headline: string; more: string} {
  if (agent === undefined) {
    return {state: 'unknown', headline: 'Looking for your computer …', more: 'This takes a moment.'};
  }
  if (agent === 'unknown') {
    return {state: 'unknown', headline: 'It is not known whether your computer is connected.', more: 'This page asks again by itself.'};
  }
  if (agent === 'loggedOut') {
    return {state: 'unknown', headline: 'You are not logged in any more.', more: 'Load the page again to log in.'};
  }
  if (!agent.connected) {
    return {state: 'disconnected', headline: 'Your computer is not connected.', more: 'It will show here as soon as its agent runs.'};
  }
  const since = agent.connectedAt ? `since ${new Date(agent.connectedAt).toLocaleTimeString()}` : 'now';
  return {
    state: 'connected',
    headline: 'Your computer is connected.',
    more: `Online ${since}${agent.serverId ? `, through ${agent.serverId}` : ''}.`,
  };
}
