// The same with TLS everywhere: lib/tls_everywhere.js.
process.env.TOOLWIRE_TEST_TLS = 'yes';
await import('./admin.test.js');
