// What the callers' port promises against those who take its connections, files and memory, once more over TLS.
process.env.TOOLWIRE_CALLERS_TLS = 'yes';
await import('./callers_port.test.js');
await import('./hostile_callers.test.js');
