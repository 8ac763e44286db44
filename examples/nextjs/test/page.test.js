// The page as a person uses it, in a real browser: connect, run, the agent killed while it runs, the agent back.
import assert from 'node:assert/strict';
import {claim} from '../../../tests/functional/lib/toolwire.js';
import {until} from '../../../tests/functional/lib/until.js';
import {noBrowser, screenshot, sees, Site} from './lib/site.js';

const inBrowser = (name, body) => claim(name, body, {skip: noBrowser});

const CONNECTED = 'Your computer is connected.';
const NOT_CONNECTED = 'Your computer is not connected.';
const outcome = (page) => page.getByRole('region', {name: 'Result'});
const says = (page, text) => outcome(page).getByText(text).waitFor();
const run = (page) => page.getByRole('button', {name: 'Run'}).click();
const pick = (page, tool) => page.getByRole('radio', {name: tool}).check();
const fill = (page, params) => page.getByLabel('Parameters, as JSON').fill(params);
const runs = (site) => until('the tool runs', async () => (await site.tw.metric('toolwire_edge_calls_in_flight')) === 1);

const toggleInstall = (page) => page.getByText(/^Connect a .*computer$/).click();

// A person who is logged in, and whose computer is connected.
async function connected(scope, name = 'ada', options = {}) {
  const site = await Site.start(scope);
  const page = await site.open(options);
  await site.logIn(page, name);
  await sees(page, NOT_CONNECTED);
  const line = await site.install(page);
  const files = await site.files();
  const agent = await site.startAgent(line, files);
  await sees(page, CONNECTED);
  return {site, page, line, files, agent};
}

inBrowser('a person connects a computer and reads a file on it', async (scope) => {
  const {site, page, line} = await connected(scope);
  assert.match(line, /TOOLWIRE_SECRET=[0-9a-f]{64} toolwire agent --url ws:\S+ --user ada/);
  await page.getByRole('button', {name: 'Copy: secret'}).click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(line.includes(copied) && copied.length === 64);
  await run(page);
  await says(page, 'Hello from my own computer!');
  await says(page, 'Your computer ran read_file.');
  await pick(page, 'list_directory');
  await run(page);
  await outcome(page).getByRole('button', {name: 'notes/'}).click();
  await outcome(page).getByRole('button', {name: 'shopping.md'}).click();
  await says(page, '- apples');
  const calls = page.getByRole('region', {name: 'Your calls'}).getByRole('listitem');
  await until('the history has them, newest first', async () => (await calls.count()) === 4);
  assert.match(await calls.first().innerText(), /read_file\s.*notes\/shopping\.md/);
  await page.reload();
  assert.ok(!(await page.content()).includes(copied), 'the secret was shown once');
  await page.getByRole('button', {name: 'Log out'}).click();
  await page.getByLabel('Your name').waitFor();
  assert.equal(await page.evaluate(() => fetch('/api/agent/status').then((response) => response.status)), 401);
  assert.ok(!site.next.lines.join('\n').includes(copied), 'no log has the secret');
});

inBrowser('the agent is killed while a tool runs: the page says what is known, and sees it come back', async (scope) => {
  const {site, page, line, files, agent} = await connected(scope);
  await pick(page, 'sleep');
  await fill(page, '{"ms": 600000}');
  await run(page);
  await runs(site);
  await agent.kill();
  await says(page, 'Your computer went offline after it got the request. It may have run; check before you try again.');
  await says(page, 'AGENT_LOST · SENT');
  await sees(page, NOT_CONNECTED);
  await screenshot(page, 'agent-lost');
  await run(page);
  await says(page, 'Your computer is not connected, so nothing was run.');
  await site.startAgent(line, files);
  await sees(page, CONNECTED);
  await pick(page, 'read_file');
  await run(page);
  await says(page, 'Hello from my own computer!');
});

inBrowser('each way for a call to end has its sentence', async (scope) => {
  const {site, page} = await connected(scope);
  await pick(page, 'sleep');
  await fill(page, '{"ms": 600000}');
  await run(page);
  await runs(site);
  await page.getByRole('button', {name: 'Cancel'}).click();
  await says(page, 'You cancelled.');
  await site.tw.idle();
  await page.getByLabel('Give up after').fill('1');
  await run(page);
  await says(page, 'Your computer got the request but did not answer in time.');
  await fill(page, '{"ms": "long"}');
  await run(page);
  await says(page, 'Your computer ran sleep, and it failed: `ms` must be a whole number');
  await pick(page, 'other …');
  await page.getByLabel('Name of the tool').fill('format_disk');
  await run(page);
  await says(page, 'Your computer ran format_disk, and it failed: unknown tool');
  await fill(page, '{"path": ');
  await sees(page, 'This is not JSON yet');
  await page.keyboard.press('Control+Enter');
  await until('it was not run', async () => (await outcome(page).getAttribute('data-kind')) === 'toolError');
  await fill(page, '[1]');
  await sees(page, 'Parameters are a JSON object');
  const calls = page.getByRole('region', {name: 'Your calls'}).getByRole('listitem');
  await until('the history has all four', async () => (await calls.count()) === 4);
  const rows = await calls.allInnerTexts();
  for (const [row, text] of [[3, 'Tool call cancelled'], [2, 'Tool call timed out'], [1, '`ms`'], [0, 'unknown tool']]) {
    assert.ok(rows[row].includes(text), `${rows[row]} has ${text}`);
  }
});

inBrowser('Toolwire goes away and comes back: the page says so, and follows the agent again', async (scope) => {
  const {site, page} = await connected(scope);
  const {callers, agents} = site.tw.ports;
  await site.tw.edge.kill();
  await run(page);
  await says(page, 'This site has lost touch with Toolwire');
  await scope.toolwire({dataDir: site.tw.dataDir, flags: {port: agents, 'grpc-port': callers}});
  await until('the agent is back, and the tool runs', async () => {
    await run(page);
    await until('it is done', async () => /result|none$/.test(await outcome(page).getAttribute('data-kind')));
    return (await outcome(page).getAttribute('data-kind')) === 'result';
  });
  await sees(page, CONNECTED);
});

inBrowser('the application is restarted: the page says that it does not know, and then knows', async (scope) => {
  const {site, page, agent} = await connected(scope);
  await site.stop();
  await sees(page, 'It is not known whether your computer is connected.');
  await agent.kill();
  await site.startNext(new URL(site.url).port);
  await sees(page, NOT_CONNECTED);
});

inBrowser('the keyboard is enough, and shows where it is', async (scope) => {
  const site = await Site.start(scope);
  const page = await site.open();
  // Presses `key` until the element that has the focus is called `name`, and shows it.
  const go = async (name, key = 'Tab') => {
    await until(`${key} leads to ${name}`, async () => {
      await page.keyboard.press(key);
      const {label, outlined} = await page.evaluate(() => {
        const element = document.activeElement;
        const shown = element.type === 'radio' ? element.nextElementSibling : element;
        return {
          label: element.getAttribute('aria-label') ?? element.labels?.[0]?.innerText ?? element.textContent,
          outlined: getComputedStyle(shown).outlineStyle !== 'none',
        };
      });
      assert.ok(outlined || label === document?.title, `${label} shows that it has the focus`);
      return label.includes(name);
    });
  };
  await go('Your name');
  await page.keyboard.type('grace');
  await page.keyboard.press('Enter');
  await sees(page, NOT_CONNECTED);
  await go('Skip to the content');
  await page.keyboard.press('Enter');
  await go('Connect a');
  await page.keyboard.press('Enter');
  await go('Make a secret');
  await page.keyboard.press('Enter');
  const line = await page.getByLabel('Line that starts the agent', {exact: true}).innerText();
  await site.startAgent(line, await site.files());
  await sees(page, CONNECTED);
  await go('read_file');
  await go('echo', 'ArrowRight');
  await go('Parameters, as JSON');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('{"typed": "by hand"}');
  await page.keyboard.press('Control+Enter');
  await says(page, '"typed": "by hand"');
  await go('echo', 'Shift+Tab');
  await go('sleep', 'ArrowRight');
  await go('Milliseconds');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('600000');
  await page.keyboard.press('Enter');
  await runs(site);
  await page.keyboard.press('Escape');
  await says(page, 'You cancelled.');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Run');
});

inBrowser('light and dark, wide and on a phone, nothing is cut off', async (scope) => {
  const {page} = await connected(scope);
  const long = `{"path": "${'a-very-long-name-'.repeat(12)}"}`;
  for (const [tool, params] of [['echo', '{"hello": "world"}'], ['read_file', long], ['read_file', '{"path": "hello.txt"}']]) {
    await pick(page, tool);
    await fill(page, params);
    await run(page);
    await until('it is done', async () => /result|toolError/.test(await outcome(page).getAttribute('data-kind')));
  }
  await says(page, 'Hello from my own computer!');
  const calls = page.getByRole('region', {name: 'Your calls'}).getByRole('listitem');
  await until('the history has all three', async () => (await calls.count()) === 3);
  const fits = async (name) => {
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= room, `${name}: ${wide} px wide in ${room}`);
    await screenshot(page, name);
  };
  await fits('install');
  await toggleInstall(page);
  await page.emulateMedia({colorScheme: 'light'});
  await fits('light');
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.emulateMedia({colorScheme: 'dark'});
  assert.notEqual(await ground(), light);
  await fits('dark');
  await page.setViewportSize({width: 375, height: 812});
  await toggleInstall(page);
  await fits('phone-dark-install');
  await toggleInstall(page);
  await page.emulateMedia({colorScheme: 'light'});
  await fits('phone-light');
  await pick(page, 'list_directory');
  await run(page);
  await outcome(page).getByRole('button', {name: 'notes/'}).waitFor();
  await fits('phone-listing');
  await page.getByRole('button', {name: 'Log out'}).click();
  await page.getByLabel('Your name').waitFor();
  await fits('phone-login');
  await page.setViewportSize({width: 1200, height: 900});
  await fits('login');
});

inBrowser('a long line in the file, a name of 64 letters: still no scrolling sideways at 375 px', async (scope) => {
  const {page} = await connected(scope, 'x'.repeat(64), {viewport: {width: 375, height: 812}});
  await pick(page, 'echo');
  await fill(page, JSON.stringify({long: 'y'.repeat(3000)}));
  await run(page);
  await says(page, 'yyy');
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= room, `${wide} px wide in ${room}`);
});
