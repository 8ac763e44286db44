// Drawn here, so that the page loads nothing from elsewhere. All are decoration: the text beside them says it.

export function Logo() {
  return (
    <svg className="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M9 21c0-8 14-2 14-10" />
      <circle cx="9" cy="22" r="3.5" />
      <circle cx="23" cy="10" r="3.5" />
    </svg>
  );
}

export type Tone = 'good' | 'bad' | 'unsure' | 'calm';

const SHAPES: Record<Tone, string> = {
  good: 'M5.5 10.5 9 14l6-7.5',
  bad: 'M6.5 6.5l7 7m0-7-7 7',
  unsure: 'M7.5 8a2.5 2.5 0 1 1 3.4 2.3c-.6.3-.9.7-.9 1.5m0 2.7v.1',
  calm: 'M6 10h8',
};

export function ToneIcon({tone}: {tone: Tone}) {
  return (
    <svg className={`tone ${tone}`} viewBox="0 0 20 20" aria-hidden="true">
      <circle cx="10" cy="10" r="9" />
      <path d={SHAPES[tone]} />
    </svg>
  );
}
