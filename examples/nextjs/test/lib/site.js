// The built application beside a real `toolwire dev`, an agent that a person started, and a browser.
import assert from 'node:assert/strict';
import {access, mkdir, writeFile} from 'node:fs/promises';
import {createRequire} from 'node:module';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {chromium} from 'playwright-core';
import {binary} from '../../../../tests/functional/lib/process.js';
import {DEADLINE_MS, until} from '../../../../tests/functional/lib/until.js';

const APP = fileURLToPath(new URL('../..', import.meta.url));
const CHROMIUM = '/usr/bin/chromium';
const SCREENSHOTS = process.env.TOOLWIRE_SCREENSHOTS ?? path.join(APP, 'test-screenshots');
const BROWSER_FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

// Why browsers cannot be had here, or undefined.
export const noBrowser = await access(CHROMIUM).then(() => undefined, () => `there is no ${CHROMIUM}`);

export class Site {
  static async start(scope) {
    await access(path.join(APP, '.next', 'BUILD_ID')).catch(() => assert.fail('`npm run build` comes before the tests'));
    const site = new Site();
    site.scope = scope;
    site.tw = await scope.toolwire();
    await site.startNext(0);
    return site;
  }

  async startNext(port) {
    const next = createRequire(import.meta.url).resolve('next/dist/bin/next');
    this.next = this.scope.process(process.execPath, [next, 'start', '--port', port, '--hostname', '127.0.0.1'], {
      cwd: APP,
      exitCode: 128 + 15,  // What Next.js ends with after SIGTERM.
      env: {
        TOOLWIRE_ADDRESS: `127.0.0.1:${this.tw.ports.callers}`,
        TOOLWIRE_AGENT_URL: this.tw.url(),
        SESSION_SECRET: 'of the tests',
        NEXT_TELEMETRY_DISABLED: '1',
      },
    });
    this.url = await until('the application is up', () => this.next.stdout.match(/Local:\s+(http:\S+)/)?.[1]);
    await until('it answers', async () => (await fetch(`${this.url}/api/agent/status`)).status === 401);
  }
  stop() {
    return this.next.stop();
  }

  // A browser's window, which fails the test at its end if the page said anything wrong on the console.
  async open(options = {}) {
    const browser = await chromium.launch({executablePath: CHROMIUM, args: BROWSER_FLAGS, headless: true});
    const context = await browser.newContext({viewport: {width: 1200, height: 900}, locale: 'en-GB', ...options});
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    context.setDefaultTimeout(DEADLINE_MS);
    const page = await context.newPage();
    const complaints = [];
    page.on('pageerror', (error) => complaints.push(`${error}`));
    page.on('console', (message) => {
      // What the page asks of the routes may be refused; it says so itself.
      const refused = message.text().startsWith('Failed to load resource') && message.location().url.includes('/api/');
      if (['error', 'warning'].includes(message.type()) && !refused) complaints.push(message.text());
    });
    this.scope.own({
      close: async () => {
        await browser.close();
        assert.deepEqual(complaints, [], 'on the console');
      },
    });
    await page.goto(this.url);
    return page;
  }

  async logIn(page, name) {
    await page.getByLabel('Your name').fill(name);
    await page.getByRole('button', {name: 'Log in'}).click();
    await page.getByRole('heading', {name: 'Your calls'}).waitFor();
  }

  // Makes a secret on the page, as a person does. Returns the line that starts the agent.
  async install(page) {
    await page.getByText('Connect a computer').click();
    await page.getByRole('button', {name: 'Make a secret'}).click();
    return page.getByLabel('Line that starts the agent', {exact: true}).innerText();
  }

  // Pastes the line into a shell, in a directory with a file. Returns the agent's process.
  async startAgent(line, directory) {
    const PATH = `${path.dirname(binary('toolwire'))}:${process.env.PATH}`;
    return this.scope.process('/bin/sh', ['-c', line.replace(/^(.* && )?/, '$1exec env ')], {cwd: directory, env: {PATH}});
  }

  // A directory in which a person might paste the line, with the folder that it offers already there. Returns the former.
  async files() {
    const parent = await this.scope.directory(), directory = path.join(parent, 'toolwire-files');
    await mkdir(path.join(directory, 'notes'), {recursive: true});
    await writeFile(path.join(directory, 'hello.txt'), 'Hello from my own computer!\nSecond line: grüße.\n');
    await writeFile(path.join(directory, 'notes', 'shopping.md'), '- apples\n- tea\n');
    await writeFile(path.join(directory, 'numbers.csv'), 'a,b\n1,2\n'.repeat(200));
    return parent;
  }

  // For somebody with a name: requests to the routes, without a browser.
  async visitor(name) {
    const login = await this.post('/api/login', new URLSearchParams({name}));
    const [cookie] = login.headers.getSetCookie()[0].split(';');
    return {
      get: (where) => fetch(this.url + where, {headers: {cookie}}),
      post: (where, body, headers, options) => this.post(where, body, {cookie, ...headers}, options),
    };
  }
  post(where, body, headers, options) {
    const form = body instanceof URLSearchParams || typeof body === 'string';
    return fetch(this.url + where, {
      method: 'POST', redirect: 'manual', body: form ? body : JSON.stringify(body),
      headers: {...(form ? {} : {'content-type': 'application/json'}), ...headers}, ...options,
    });
  }
}

// For a person to look at.
export async function screenshot(page, name) {
  await mkdir(SCREENSHOTS, {recursive: true});
  await page.screenshot({path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true, animations: 'disabled'});
}

// The text is on the page, now or soon.
export const sees = (page, text) => page.getByText(text).first().waitFor();
