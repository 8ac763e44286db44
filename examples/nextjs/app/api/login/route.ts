import {NextResponse, type NextRequest} from 'next/server';
import {requireSameSite} from '@/lib/requests';
import {route} from '@/lib/route';
import {makeSession, SESSION_COOKIE, SESSION_SECONDS, userIdOf} from '@/lib/session';

// The login form: works without JavaScript, too.
export const POST = route(async (request: NextRequest) => {
  requireSameSite(request);
  const form = await request.formData().catch(() => undefined);
  const userId = userIdOf(form?.get('name'));
  if (!userId) return seeOther('/?problem=name');
  const response = seeOther('/');
  response.cookies.set(SESSION_COOKIE, makeSession(userId), {
    httpOnly: true,
    sameSite: 'lax',
    secure: request.headers.get('x-forwarded-proto') === 'https',
    maxAge: SESSION_SECONDS,
    path: '/',
  });
  return response;
});

function seeOther(location: string): NextResponse {
  return new NextResponse(null, {status: 303, headers: {location}});
}
