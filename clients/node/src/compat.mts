// One shared client for a process, whichever way it is imported.
export * from './compat.js';
