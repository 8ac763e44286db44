import {fileURLToPath} from 'node:url';
import type {NextConfig} from 'next';

// `@toolwire/client` is linked from this repository, outside of this directory: both tracers start at its root.
const repository = fileURLToPath(new URL('../..', import.meta.url));

const config: NextConfig = {
  poweredByHeader: false,
  outputFileTracingRoot: repository,
  turbopack: {root: repository},
  // Node.js loads these as they are. (The client, linked as it is here, is bundled all the same; gRPC is not.)
  serverExternalPackages: ['@toolwire/client', '@grpc/grpc-js'],
  headers: async () => [
    {
      source: '/:path*',
      headers: [
        {key: 'Content-Security-Policy', value: "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"},
        {key: 'Referrer-Policy', value: 'same-origin'},
        {key: 'X-Content-Type-Options', value: 'nosniff'},
      ],
    },
  ],
};

export default config;
