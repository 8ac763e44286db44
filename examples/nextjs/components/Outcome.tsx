'use client';

import type {Answer} from '@/lib/api';
import {isObject} from '@/lib/json';
import {entriesOf, type Entry} from '@/lib/listing';
import {ToneIcon, type Tone} from './Icons';
import type {Run} from './Workbench';

interface Props {
  run?: Run;
  // Runs another tool, for a click into a result.
  onOpen: (tool: string, params: Record<string, unknown>) => void;
}

// What became of the last call. Only the headline is announced: results can be long.
export function Outcome({run, onOpen}: Props) {
  return (
    <section className="card outcome stack" aria-label="Result" data-kind={run ? (run.answer?.kind ?? 'running') : 'none yet'}>
      <div role="status">{run ? <Headline run={run} /> : <p className="muted">What a tool answers will show here.</p>}</div>
      {run?.answer?.kind === 'result' && <Result tool={run.call.tool} result={run.answer.result} onOpen={onOpen} />}
      {run?.answer && <Facts answer={run.answer} />}
    </section>
  );
}

function Headline({run: {call, answer}}: {run: Run}) {
  if (!answer) {
    return (
      <p className="headline verdict">
        <span className="spinner" aria-hidden="true" />
        <span>
          Running <code>{call.tool}</code> on your computer …
        </span>
      </p>
    );
  }
  const [tone, text] = verdict(call.tool, answer);
  return (
    <p className="headline verdict">
      <ToneIcon tone={tone} />
      <span>{text}</span>
    </p>
  );
}

function verdict(tool: string, answer: Answer): [Tone, string] {
  switch (answer.kind) {
    case 'result':
      return ['good', `Your computer ran ${tool}.`];
    case 'toolError':
      return ['bad', `Your computer ran ${tool}, and it failed: ${answer.error}`];
    case 'none':
      return [answer.delivery === 'NOT_SENT' ? 'calm' : 'unsure', answer.sentence];
  }
}

function Facts({answer}: {answer: Answer}) {
  const facts = [];
  if (answer.kind === 'none') facts.push(answer.reason, answer.delivery);
  else if (answer.runMs !== undefined) facts.push(`${answer.runMs || 'under 1'} ms on your computer`);
  facts.push(answer.requestId);
  const shown = facts.filter(Boolean);
  return shown.length > 0 && <p className="facts">{shown.join(' · ')}</p>;
}

function Result({tool, result, onOpen}: {tool: string; result: unknown; onOpen: Props['onOpen']}) {
  if (tool === 'read_file' && isObject(result) && typeof result.content === 'string') {
    return <Text label="The file’s text" text={result.content || '(The file is empty.)'} />;
  }
  const entries = tool === 'list_directory' ? entriesOf(result) : undefined;
  if (entries && isObject(result)) {
    return <Listing path={typeof result.path === 'string' ? result.path : '.'} entries={entries} onOpen={onOpen} />;
  }
  return <Text label="The result" text={result === undefined ? '(no result)' : JSON.stringify(result, null, 2)} />;
}

// Browsers lay out megabytes of text only with pain.
const SHOWN_MAX = 200_000;

function Text({label, text}: {label: string; text: string}) {
  return (
    <>
      <pre className="code" tabIndex={0} role="group" aria-label={label}>
        {text.slice(0, SHOWN_MAX)}
      </pre>
      {text.length > SHOWN_MAX && (
        <p className="hint">
          The first {SHOWN_MAX.toLocaleString()} of {text.length.toLocaleString()} characters.
        </p>
      )}
    </>
  );
}

function Listing({path, entries, onOpen}: {path: string; entries: Entry[]; onOpen: Props['onOpen']}) {
  if (entries.length === 0) return <p className="muted">The directory is empty.</p>;
  return (
    <ul className="listing" aria-label={`Entries of ${path}`}>
      {entries.map(({name, type, size}) => {
        const tool = {file: 'read_file', directory: 'list_directory'}[type];
        const shown = type === 'directory' ? `${name}/` : name;
        return (
          <li key={name}>
            {tool ? (
              <button className="link" onClick={() => onOpen(tool, {path: path === '.' ? name : `${path}/${name}`})}>
                {shown}
              </button>
            ) : (
              <span>{shown}</span>
            )}
            <span className="muted">{type === 'file' ? bytes(size) : type}</span>
          </li>
        );
      })}
    </ul>
  );
}

function bytes(count = 0): string {
  if (count < 1000) return `${count} B`;
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}
