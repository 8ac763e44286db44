import type {NextRequest} from 'next/server';
import {isPlatform, PLATFORMS, startCommand, type Platform} from '@/lib/install';
import {readObject, Refusal, requireSameSite, requireUser} from '@/lib/requests';
import {route} from '@/lib/route';
import {agentUrl, toolwire} from '@/lib/toolwire';

// Makes the secret that connects a computer of this user, or a new one in place of the last: a computer that connected
// with that is disconnected. This answer is the only place where the secret can be read.
export const POST = route(async (request: NextRequest) => {
  requireSameSite(request);
  const userId = requireUser(request);
  const {platform = 'linux'} = await readObject(request, 4096);
  if (!isPlatform(platform)) throw new Refusal(400, `platform must be one of ${PLATFORMS.join(', ')}`, {field: 'platform'});
  const sharedSecret = await newSecret(userId, platform);
  const websocketUrl = agentUrl();
  const command = startCommand(platform, websocketUrl, userId, sharedSecret);
  return Response.json({userId, sharedSecret, websocketUrl, command}, {headers: {'Cache-Control': 'no-store'}});
});

async function newSecret(userId: string, platform: Platform): Promise<string> {
  const {admin} = toolwire();
  try {
    return (await admin.createCredential(userId, {platform})).secret;
  } catch (error) {
    if (!(error instanceof Error) || (error as {code?: unknown}).code !== 'ALREADY_EXISTS') throw error;
    return (await admin.rotateCredential(userId)).secret;
  }
}
