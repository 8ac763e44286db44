// The tools that `toolwire agent` offers, as the page presents them. Toolwire itself knows no tools: any name goes through.
import {isObject} from './json';

export interface Field {
  name: string;
  label: string;
  kind: 'text' | 'number' | 'choice';
  choices?: string[];
  hint?: string;
}

export interface Tool {
  name: string;
  summary: string;
  example: Record<string, unknown>;
  fields: Field[];
}

export const TOOLS: Tool[] = [
  {
    name: 'read_file',
    summary: 'Reads a file below the directory that the agent offers.',
    example: {path: 'hello.txt'},
    fields: [
      {name: 'path', label: 'Path', kind: 'text'},
      {name: 'encoding', label: 'Encoding', kind: 'choice', choices: ['utf8', 'base64']},
    ],
  },
  {
    name: 'list_directory',
    summary: 'Lists a directory. Click a name to open it.',
    example: {path: '.'},
    fields: [{name: 'path', label: 'Path', kind: 'text'}],
  },
  {name: 'echo', summary: 'Gives the parameters back as they are.', example: {hello: 'world'}, fields: []},
  {
    name: 'sleep',
    summary: 'Waits, and then answers. Good for trying Cancel.',
    example: {ms: 3000},
    fields: [{name: 'ms', label: 'Milliseconds', kind: 'number'}],
  },
];

export type ParamsText = {ok: true; params: Record<string, unknown>} | {ok: false; problem: string};

// Reads what a person typed as parameters.
export function parseParams(text: string): ParamsText {
  if (text.trim() === '') return {ok: true, params: {}};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return {ok: false, problem: `This is not JSON yet: ${place(error, text)}.`};
  }
  if (isObject(value)) return {ok: true, params: value};
  return {ok: false, problem: 'Parameters are a JSON object, in braces: {"name": value}.'};
}

// Where a JSON text went wrong, in words; browsers say it in different ways.
function place(error: unknown, text: string): string {
  const message = error instanceof Error ? error.message : '';
  const position = Number(message.match(/position (\d+)/)?.[1] ?? (/end/i.test(message) ? text.length : NaN));
  if (Number.isNaN(position)) return 'look for a missing quote, comma or brace';
  const before = text.slice(0, position).split('\n');
  const where = `line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`;
  return position >= text.length ? `it ends too early, at ${where}` : `look at ${where}`;
}
