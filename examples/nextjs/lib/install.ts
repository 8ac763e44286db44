// How a person starts the agent on their computer.

export const PLATFORMS = ['linux', 'darwin', 'win32'] as const;
export type Platform = (typeof PLATFORMS)[number];

export function isPlatform(value: unknown): value is Platform {
  return PLATFORMS.includes(value as Platform);
}

// A line to paste into the platform's terminal. The secret goes in through the environment: command lines can be read
// by every user of a computer.
export function startCommand(platform: Platform, url: string, userId: string, secret: string): string {
  const command = `toolwire agent --url ${url} --user ${userId} --root .`;
  return platform === 'win32' ? `$env:TOOLWIRE_SECRET='${secret}'; ${command}` : `TOOLWIRE_SECRET=${secret} ${command}`;
}
