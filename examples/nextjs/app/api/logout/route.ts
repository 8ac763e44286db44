import {NextResponse, type NextRequest} from 'next/server';
import {requireSameSite} from '@/lib/requests';
import {route} from '@/lib/route';
import {SESSION_COOKIE} from '@/lib/session';

export const POST = route(async (request: NextRequest) => {
  requireSameSite(request);
  const response = new NextResponse(null, {status: 303, headers: {location: '/'}});
  response.cookies.delete(SESSION_COOKIE);
  return response;
});
