'use client';

import {useRef, useState} from 'react';
import {install, type Installation} from '@/lib/api';
import type {Platform} from '@/lib/install';

const NAMES: Record<Platform, string> = {linux: 'Linux', darwin: 'macOS', win32: 'Windows'};

// Makes the secret of the user's computer, and shows it once, with the line that starts the agent.
export function Install({connected}: {connected: boolean}) {
  const [platform, setPlatform] = useState<Platform>('linux');
  const [made, setMade] = useState<Installation>();
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);

  async function make() {
    setBusy(true);
    setProblem('');
    await install(platform).then(setMade, (error: Error) => setProblem(error.message));
    setBusy(false);
  }

  return (
    <details className="install">
      <summary>Connect a {connected ? 'different ' : ''}computer</summary>
      <div className="stack">
        <p className="muted">
          Your computer’s agent proves who it is with a secret. Making a new one voids the one before
          {connected ? ': the computer that is connected now will be disconnected.' : '.'}
        </p>
        <div className="row">
          <label className="field inline">
            <span>It runs on</span>
            <select value={platform} onChange={(event) => setPlatform(event.target.value as Platform)}>
              {Object.entries(NAMES).map(([value, name]) => (
                <option key={value} value={value}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <button type="button" aria-disabled={busy} onClick={() => busy || make()}>
            Make a secret
          </button>
        </div>
        <div aria-live="polite">
          {problem && <p className="problem">{problem}</p>}
          {made && <Made made={made} />}
        </div>
      </div>
    </details>
  );
}

function Made({made}: {made: Installation}) {
  return (
    <div className="stack">
      <p>
        Go to the directory that you want to offer, and paste this line into a terminal. <strong>It is shown only this once.</strong>
      </p>
      <Copyable label="Line that starts the agent" text={made.command} />
      <p>
        Or give the secret to an agent of your own, which connects to <code>{made.websocketUrl}</code>:
      </p>
      <Copyable label="Secret" text={made.sharedSecret} />
    </div>
  );
}

function Copyable({label, text}: {label: string; text: string}) {
  const shown = useRef<HTMLElement>(null);
  const [said, setSaid] = useState('Copy');

  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied');
    } catch {
      // Browsers lend the clipboard to https and localhost only: leave it marked for the keyboard.
      getSelection()?.selectAllChildren(shown.current!);
      setSaid('Press Ctrl+C');
    }
  }

  return (
    <div className="copyable">
      <code ref={shown} tabIndex={0} aria-label={label} role="group">
        {text}
      </code>
      <button type="button" onClick={copy} onBlur={() => setSaid('Copy')} aria-label={`${said}: ${label.toLowerCase()}`}>
        {said}
      </button>
    </div>
  );
}
