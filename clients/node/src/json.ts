// JSON of params: what JSON.stringify writes, and BigInt values as integers, which it does not write.
import {randomUUID} from 'node:crypto';

// Stands before the digits while they pass through JSON.stringify as a string; no text can hold it by chance.
const MARK = `bigint:${randomUUID()}:`;
const MARKED = new RegExp(`"${MARK}(-?\\d+)"`, 'g');

export function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const text = JSON.stringify(value, (_key, one: unknown) => (typeof one === 'bigint' ? MARK + one : one));
    return text.replace(MARKED, '$1');
  }
}
