'use client';

import {useId, useRef, type FormEvent, type KeyboardEvent} from 'react';
import type {Call} from '@/lib/api';
import {parseParams, TOOLS, type Field} from '@/lib/tools';

// What the form holds: the parameters as text, since a person may be in the middle of typing them.
export interface Draft {
  // The name of a known tool, or `other`.
  choice: string;
  otherTool: string;
  text: string;
  seconds: number;
}

const OTHER = 'other';

export function draftOf(tool: string, params?: Record<string, unknown>): Draft {
  const known = TOOLS.find(({name}) => name === tool);
  const text = JSON.stringify(params ?? known?.example ?? {}, null, 2);
  return {choice: known ? tool : OTHER, otherTool: known ? '' : tool, text, seconds: 60};
}

interface Props {
  draft: Draft;
  onChange: (draft: Draft) => void;
  running: boolean;
  onRun: (call: Call) => void;
  onCancel: () => void;
}

export function ToolForm({draft, onChange, running, onRun, onCancel}: Props) {
  const id = useId();
  const runButton = useRef<HTMLButtonElement>(null);
  const tool = TOOLS.find(({name}) => name === draft.choice);
  const name = tool ? tool.name : draft.otherTool.trim();
  const parsed = parseParams(draft.text);
  const problem = parsed.ok ? '' : parsed.problem;

  function submit(event?: FormEvent) {
    event?.preventDefault();
    if (running || !parsed.ok || !name) return;
    onRun({tool: name, params: parsed.params, timeoutMs: draft.seconds * 1000});
  }

  function cancel() {
    runButton.current?.focus();  // The other button is about to go.
    onCancel();
  }

  function onKeyDown(event: KeyboardEvent<HTMLFormElement>) {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
    if (event.key === 'Escape' && running) cancel();
  }

  function setParam(field: Field, value: string) {
    if (!parsed.ok) return;
    const params = {...parsed.params, [field.name]: field.kind === 'number' ? Number(value) : value};
    onChange({...draft, text: JSON.stringify(params, null, 2)});
  }

  return (
    <form className="card stack" onSubmit={submit} onKeyDown={onKeyDown} aria-label="Run a tool">
      <fieldset className="choices">
        <legend>Tool</legend>
        {[...TOOLS.map((one) => one.name), OTHER].map((choice) => (
          <label key={choice} className="choice">
            <input
              type="radio"
              name="tool"
              value={choice}
              checked={draft.choice === choice}
              onChange={() => onChange({...draftOf(choice === OTHER ? '' : choice), seconds: draft.seconds})}
            />
            <span>{choice === OTHER ? 'other …' : choice}</span>
          </label>
        ))}
      </fieldset>
      {tool ? (
        <p className="muted">{tool.summary}</p>
      ) : (
        <label className="field">
          <span>Name of the tool</span>
          <input
            required
            value={draft.otherTool}
            maxLength={256}
            autoCapitalize="none"
            spellCheck={false}
            onChange={(event) => onChange({...draft, otherTool: event.target.value})}
          />
        </label>
      )}
      {tool && tool.fields.length > 0 && (
        <div className="fields">
          {tool.fields.map((field) => (
            <ParamField
              key={field.name}
              field={field}
              value={parsed.ok ? parsed.params[field.name] : undefined}
              disabled={!parsed.ok}
              onChange={(value) => setParam(field, value)}
            />
          ))}
        </div>
      )}
      <label className="field">
        <span>Parameters, as JSON</span>
        <textarea
          className="code"
          rows={Math.min(12, Math.max(3, draft.text.split('\n').length))}
          value={draft.text}
          spellCheck={false}
          autoCapitalize="none"
          aria-invalid={problem !== ''}
          aria-describedby={`${id}-problem`}
          onChange={(event) => onChange({...draft, text: event.target.value})}
        />
      </label>
      <p id={`${id}-problem`} className="problem" role="alert">
        {problem}
      </p>
      <div className="row actions">
        <button ref={runButton} className="primary" aria-disabled={running || problem !== ''}>
          {running ? 'Running …' : 'Run'}
        </button>
        {running && (
          <button type="button" onClick={cancel}>
            Cancel
          </button>
        )}
        <label className="field inline push">
          <span>Give up after</span>
          <input
            type="number"
            className="short"
            min={1}
            max={3600}
            value={draft.seconds}
            onChange={(event) => onChange({...draft, seconds: Number(event.target.value)})}
          />
          <span>s</span>
        </label>
      </div>
      <p className="hint keys">
        <kbd>Ctrl</kbd>+<kbd>Enter</kbd> runs, <kbd>Esc</kbd> cancels.
      </p>
    </form>
  );
}

interface FieldProps {
  field: Field;
  value: unknown;
  disabled: boolean;
  onChange: (value: string) => void;
}

// One parameter outside of the JSON text, which stays what counts.
function ParamField({field, value, disabled, onChange}: FieldProps) {
  if (field.kind === 'choice') {
    return (
      <label className="field">
        <span>{field.label}</span>
        <select
          value={typeof value === 'string' ? value : field.choices![0]}
          disabled={disabled}
          onChange={(event) => onChange(event.target.value)}
        >
          {field.choices!.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      </label>
    );
  }
  return (
    <label className="field">
      <span>{field.label}</span>
      <input
        type={field.kind}
        value={typeof value === (field.kind === 'number' ? 'number' : 'string') ? String(value) : ''}
        disabled={disabled}
        min={field.kind === 'number' ? 0 : undefined}
        autoCapitalize="none"
        spellCheck={false}
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  );
}
