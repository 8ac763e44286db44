'use client';

import {useEffect, useRef, useState} from 'react';
import {execute, watchAgent, type AgentView, type Answer, type Call} from '@/lib/api';
import {AgentStatus} from './AgentStatus';
import {History} from './History';
import {Logo} from './Icons';
import {Outcome} from './Outcome';
import {draftOf, ToolForm, type Draft} from './ToolForm';

export interface Run {
  call: Call;
  // Undefined while it runs.
  answer?: Answer;
}

// What a logged-in user sees.
export function Workbench({userId}: {userId: string}) {
  const [agent, setAgent] = useState<AgentView>();
  const [draft, setDraft] = useState<Draft>(() => draftOf('read_file'));
  const [run, setRun] = useState<Run>();
  const [runsDone, setRunsDone] = useState(0);
  const canceller = useRef<AbortController>(undefined);

  useEffect(() => watchAgent(setAgent), []);
  useEffect(() => () => canceller.current?.abort(), []);

  async function start(call: Call) {
    const mine = new AbortController();
    canceller.current = mine;
    setRun({call});
    const answer = await execute(call, mine.signal);
    setRun({call, answer});
    setRunsDone((count) => count + 1);
  }

  function open(tool: string, params: Record<string, unknown>) {
    const next = draftOf(tool, params);
    setDraft({...next, seconds: draft.seconds});
    void start({tool, params, timeoutMs: draft.seconds * 1000});
  }

  const running = run !== undefined && run.answer === undefined;
  return (
    <>
      <header className="bar">
        <div className="bar-inner">
          <span className="brand">
            <Logo /> Toolwire <span className="brand-more">example</span>
          </span>
          <form className="who" action="/api/logout" method="post">
            <span className="who-name" title={userId}>
              {userId}
            </span>
            <button className="quiet">Log out</button>
          </form>
        </div>
      </header>
      <main id="main" className="page">
        <h1 className="hidden">Run tools on your computer</h1>
        <AgentStatus agent={agent} />
        <div className="columns">
          <div className="stack wide-gap">
            <ToolForm
              draft={draft}
              onChange={setDraft}
              running={running}
              onRun={start}
              onCancel={() => canceller.current?.abort()}
            />
            <Outcome run={run} onOpen={open} />
          </div>
          <History runsDone={runsDone} onUse={(tool, params) => setDraft({...draftOf(tool, params), seconds: draft.seconds})} />
        </div>
      </main>
    </>
  );
}
