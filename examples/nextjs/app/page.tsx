import {cookies} from 'next/headers';
import {Login} from '@/components/Login';
import {Workbench} from '@/components/Workbench';
import {readSession, SESSION_COOKIE} from '@/lib/session';

export default async function Page({searchParams}: {searchParams: Promise<{problem?: string}>}) {
  const userId = readSession((await cookies()).get(SESSION_COOKIE)?.value);
  return userId ? <Workbench userId={userId} /> : <Login problem={(await searchParams).problem === 'name'} />;
}
