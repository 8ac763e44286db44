// Failed logins, and too many at once: who has to wait, and who gets in all the same.
import assert from 'node:assert/strict';
import {Postgres} from './lib/postgres.js';
import {output} from './lib/process.js';
import {proxyHeader} from './lib/proxy.js';
import {SeedAgent} from './lib/seed_agent.js';
import {claim, claimInBoth} from './lib/toolwire.js';
import {until, within} from './lib/until.js';

const TOO_MANY = {code: 1013, reason: 'Too many failed logins'};
const hits = (tw, limit) => tw.metric('toolwire_edge_limit_hits_total', {limit});

// Logins that fail, without end: `next` gives the query and the options of each. Ends with the scope.
function attack(scope, tw, parallel, next) {
  let going = true;
  const one = async () => {
    for (let i = 0; going; ++i) {
      const [query, options] = next(i);
      const agent = new SeedAgent(tw.url(query), options);
      await agent.end;
      agent.destroy();
    }
  };
  const all = Promise.all(Array.from({length: parallel}, one));
  scope.own({close: () => { going = false; return all; }});
}

claimInBoth('while an address fails in a loop, agents elsewhere get in, and at that address those that were in before', async (scope, {topology}) => {
  const tw = await scope.toolwire({topology, flags: {'failed-logins-per-minute-max': 20}});
  const there = {localAddress: '127.0.0.2'};
  const before = await tw.agent('before', there);
  await before.close();
  attack(scope, tw, 4, (i) => [`?userId=nobody_${i}&secret=wrong`, there]);
  await until('the address has to wait', async () => (await hits(tw, 'failed_logins')) > 0);
  for (const user of ['a', 'b', 'c']) await tw.agent(user);
  await tw.agent('before', there);
  const unknown = tw.dial(tw.loginQuery('unknown', await tw.secret('unknown')), there);
  assert.deepEqual(await unknown.closed(), TOO_MANY);
  const line = await tw.edge.saw('too many failed logins');
  assert.deepEqual([line.of, line.address, line.wait_ms], ['address', '127.0.0.2', 60_000]);
  await until('the store is asked for few of them', async () =>
    (await hits(tw, 'failed_logins')) > 10 * (await tw.metric('toolwire_edge_logins_wrong_total')));
});

claimInBoth('while many addresses fail for one user, that user gets in from elsewhere, and then from one of theirs', async (scope, {topology}) => {
  const flags = {'user-failed-logins-max': 3, 'trusted-proxies': '127.0.0.1', 'proxy-protocol': true};
  const tw = await scope.toolwire({topology, flags});
  const addresses = Array.from({length: 200}, (_, i) => (i % 2 ? {localAddress: `127.0.2.${i + 1}`} : {prologue: proxyHeader(`192.0.2.${i + 1}`)}));
  let next = 0;
  attack(scope, tw, 8, () => ['?userId=victim&secret=wrong', addresses[next++ % addresses.length]]);
  await until('all have failed, and have to wait', async () => (await hits(tw, 'user_failed_logins')) > 200);
  const query = tw.loginQuery('victim', await tw.secret('victim'));
  const elsewhere = tw.dial(query, {prologue: proxyHeader('198.51.100.1')});
  await elsewhere.connected();
  for (const options of addresses.slice(0, 10)) await tw.dial(query, options).connected();
  await tw.agent('other', addresses[0]);
  assert.equal((await tw.edge.saw('too many failed logins')).of, 'user at address');
  assert.equal(await hits(tw, 'failed_logins'), 0);
});

claim('a user who has corrected the secret gets in within the minute that agents wait at most', async (scope) => {
  const tw = await scope.toolwire({flags: {'user-failed-logins-max': 2}});
  for (let i = 0; i < 2; ++i) assert.equal((await tw.dial('?userId=user_1&secret=wrong').closed()).code, 1008);
  const query = tw.loginQuery('user_1', await tw.secret('user_1'));
  await until('it is in', () => {
    const agent = tw.dial(query);
    return Promise.race([agent.connected().then(() => true, () => false), agent.closed().then(() => false, () => false)]);
  });
});

claim('failed logins leave some lines a second, with the number of the others', async (scope) => {
  const tw = await scope.toolwire({flags: {'failed-logins-per-minute-max': 0, 'user-failed-logins-max': 0}});
  let failed = 0;
  const lines = () => tw.edge.logged('login refused');
  await until('a line says how many others there were', async () => {
    await Promise.all(Array.from({length: 50}, () => tw.dial('?userId=u&secret=wrong').closed()));
    failed += 50;
    return lines().some(({others}) => others > 0);
  });
  const said = lines().reduce((sum, {others}) => sum + 1 + others, 0);
  assert.ok(said > lines().length && said <= failed, `${said} of ${failed} in ${lines().length} lines`);
  assert.ok(lines().every(({why, user, address}) => why === 'invalid credentials' && user === 'u' && address === '127.0.0.1'));
});

claim('of one address so many logins are under way, and others get in beside them', async (scope) => {
  const postgres = await Postgres.start(scope);
  const env = {DATABASE_URL: postgres.url};
  const tw = await scope.toolwire({topology: 'split', env, flags: {'logins-per-address-max': 2, 'login-timeout': 60_000}});
  const query = tw.loginQuery('user_1', (await output('toolwire', ['credentials', 'create', 'user_1'], {env})).trim());
  await tw.dial(query).connected();
  postgres.freeze();
  const there = Array.from({length: 3}, (_, i) => tw.dial(`?userId=u_${i}&secret=wrong`, {localAddress: '127.0.0.2'}));
  const first = await within('one of them is rejected', Promise.race(there.map((agent) => agent.end)));
  assert.deepEqual(first, {code: 1013, reason: 'Too many logins at once'});
  assert.equal(await hits(tw, 'address_logins'), 1);
  assert.equal((await tw.edge.saw('too many logins at once')).address, '127.0.0.2');
  const honest = tw.dial(query);
  postgres.thaw();
  await honest.connected();
}, {skip: Postgres.missing});
