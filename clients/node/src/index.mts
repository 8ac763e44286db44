// The same classes for ESM: one copy for a process, whichever way it is imported.
export * from './index.js';
