'use client';

import {useEffect, useState} from 'react';
import {history, type PastCall} from '@/lib/api';
import {isObject} from '@/lib/json';
import {errorText, mayHaveRun} from '@/lib/outcomes';
import {ToneIcon, type Tone} from './Icons';

// Rows appear some milliseconds after their call settled; a slow disk may take longer.
const LOOK_AGAIN_MS = [100, 500, 2000];

interface Props {
  // How many calls of this page have ended: another one is a reason to look.
  runsDone: number;
  onUse: (tool: string, params: Record<string, unknown>) => void;
}

// The user's calls from Toolwire's audit log, newest first.
export function History({runsDone, onUse}: Props) {
  const [calls, setCalls] = useState<PastCall[]>();
  const [next, setNext] = useState<string | null>(null);
  const [problem, setProblem] = useState('');

  useEffect(() => {
    const looks = (runsDone === 0 ? [0] : LOOK_AGAIN_MS).map((wait) => setTimeout(load, wait));
    return () => looks.forEach(clearTimeout);

    async function load() {
      try {
        const page = await history();
        setCalls(page.calls);
        setNext(page.next);
        setProblem('');
      } catch (error) {
        setProblem((error as Error).message);
      }
    }
  }, [runsDone]);

  async function loadMore() {
    try {
      const page = await history(next!);
      setCalls((known = []) => [...known, ...page.calls]);
      setNext(page.next);
    } catch (error) {
      setProblem((error as Error).message);
    }
  }

  return (
    <section className="card stack history" aria-labelledby="history">
      <h2 id="history">Your calls</h2>
      {problem && <p className="problem">{problem}</p>}
      {calls?.length === 0 && <p className="muted">None yet. Every call leaves a line here, also those that failed.</p>}
      <ol>
        {calls?.map((call) => (
          <li key={`${call.requestId} ${call.at}`}>
            <PastCallRow call={call} onUse={onUse} />
          </li>
        ))}
      </ol>
      {next && (
        <button type="button" onClick={loadMore}>
          Show older ones
        </button>
      )}
    </section>
  );
}

function PastCallRow({call, onUse}: {call: PastCall; onUse: Props['onUse']}) {
  const {tone, spoken, error} = ending(call);
  const params = JSON.stringify(call.params);
  const use = () => onUse(call.tool, isObject(call.params) ? call.params : {});
  return (
    <button className="past" type="button" onClick={use} title="Put into the form">
      <ToneIcon tone={tone} />
      <span className="past-what">
        <span className="hidden">{spoken}: </span>
        <b>{call.tool}</b> <span className="past-params">{params === '{}' ? '' : params}</span>
      </span>
      <time dateTime={call.at}>{new Date(call.at).toLocaleTimeString()}</time>
      {error && <span className="past-error">{error}</span>}
    </button>
  );
}

function ending({success, error}: PastCall): {tone: Tone; spoken: string; error?: string} {
  if (success) return {tone: 'good', spoken: 'Succeeded'};
  // Of calls without an answer the log has the reason, in capitals.
  if (!error || !/^[A-Z_]+$/.test(error)) return {tone: 'bad', spoken: 'Failed', error: error ?? undefined};
  return {tone: mayHaveRun(error) ? 'unsure' : 'calm', spoken: 'No answer', error: errorText(error)};
}
