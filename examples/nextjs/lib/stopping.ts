// Aborted when this process is asked to stop. Next.js then waits for its responses: those without an end must be ended.

const shared = globalThis as {stopping?: AbortSignal};

export function stopping(): AbortSignal {
  if (!shared.stopping) {
    const stop = new AbortController();
    shared.stopping = stop.signal;
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
  }
  return shared.stopping;
}
