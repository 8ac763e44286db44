// How a person starts the agent on their computer.

export const PLATFORMS = ['linux', 'darwin', 'win32'] as const;
export type Platform = (typeof PLATFORMS)[number];

export function isPlatform(value: unknown): value is Platform {
  return PLATFORMS.includes(value as Platform);
}

// A line to paste into the platform's terminal. The secret goes in through the environment: command lines can be read
// by every user of a computer. The tools see a new folder and nothing else: where the line is pasted, shells keep their
// history, and other programs their keys.
export function startCommand(platform: Platform, url: string, userId: string, secret: string): string {
  const command = `toolwire agent --url ${url} --user ${userId} --root toolwire-files`;
  return platform === 'win32'
    ? `$env:TOOLWIRE_SECRET='${secret}'; New-Item -ItemType Directory -Force toolwire-files | Out-Null; ${command}`
    : `mkdir -p toolwire-files && TOOLWIRE_SECRET=${secret} ${command}`;
}
