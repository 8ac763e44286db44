// What the tool list_directory answers, as the page shows it.
import {isObject} from './json';

export interface Entry {
  name: string;
  type: string;
  size?: number;
}

// The entries, or undefined if it is anything else: agents of other makers may have a tool of that name.
export function entriesOf(result: unknown): Entry[] | undefined {
  if (!isObject(result) || !Array.isArray(result.entries)) return undefined;
  return result.entries.every(isEntry) ? result.entries : undefined;
}

function isEntry(value: unknown): value is Entry {
  if (!isObject(value)) return false;
  const {name, type, size} = value;
  return typeof name === 'string' && typeof type === 'string' && (size === undefined || typeof size === 'number');
}
