// Chromium, and a server of static files for it: the package as it stands in this repository, and the pages beside this file.
import { createServer } from 'node:http';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { ensureChromium } from '../../scripts/lib/tools.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.wasm': 'application/wasm' };

/** As strict as a page may be that wants to use the package (DESIGN §7). */
const CSP =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' http://127.0.0.1:* http://localhost:*";

/** A server that answers `(request, response)` so, until the test ends; resolves to its origin. */
export async function listening(t, handle) {
  const server = createServer(handle);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** Serves what `find` gives for a path, as any static host does, with `headers`. */
const hosting = (t, find, headers = {}) =>
  listening(t, (request, response) => {
    const path = normalize(new URL(request.url, 'http://x').pathname);
    try {
      const body = find(path);
      response.writeHead(200, { 'content-type': TYPES[extname(path) || '.html'] ?? 'application/octet-stream', ...headers }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });

/** Serves a folder below the path `base`; `asked` holds what was asked for. */
export async function hostFolder(t, folder, base = '/') {
  const asked = [];
  const url = await hosting(t, (path) => {
    asked.push(path);
    return readFileSync(join(folder, path === base ? 'index.html' : path.slice(base.length)));
  });
  return { url: url + base, asked };
}

/** Makes the package's clock run so many times as fast, so that what takes minutes can be waited for. */
const hurried = (times) => `
const began = Date.now();
const { sleep } = clock;
clock.now = () => began + (Date.now() - began) * ${times};
clock.sleep = (millis) => sleep(millis / ${times});
`;

/**
 * Serves `/pkg/`, `/contract/` and `/`: the pages; but not the script `missing`. `hurry`: how many times as fast its clock is;
 * `policy`: the content policy.
 */
export function startSite(t, { missing, hurry, policy = CSP } = {}) {
  const find = (path) => {
    const [, place, ...rest] = path.split('/');
    if (missing !== undefined && rest.at(-1) === missing) throw new Error('as if it were not there');
    const folder = { pkg: 'pkg-template', contract: 'tests/contract' }[place];
    const body = readFileSync(folder ? join(root, folder, ...rest) : join(root, 'tests/browser/pages', path === '/' ? 'index.html' : path));
    if (hurry !== undefined && path === '/pkg/clock.js') return body.toString() + hurried(hurry);
    // Workers know no import maps.
    return place === 'contract' ? body.toString().replace("'node:assert/strict'", "'/assert.js'") : body;
  };
  return hosting(t, find, { 'content-security-policy': policy });
}

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-dev-shm-usage',
];

/** A browser profile on disk, as users have one: it outlives its pages, and with them what they store. */
export async function startBrowser(t, { args = [], ...options } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'smart-fetch-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: await programOf(await ensureChromium()),
    args: [...FLAGS, ...args],
    headless: true,
    ...options,
  });
  t.after(async () => {
    await context.close().catch(() => {});
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });
  return context;
}

/** Playwright wants a path. */
async function programOf(name) {
  if (name.includes('/')) return name;
  const { execFileSync } = await import('node:child_process');
  return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
}

/** A page of the site with the package as `sf`; what it says on the console that is wrong is shown. */
export async function openPage(context, site, path = '/') {
  const page = await context.newPage();
  page.on('pageerror', (error) => console.error(`page: ${error.message}`));
  page.on('console', (message) => message.type() === 'error' && console.error(`page: ${message.text()}`));
  await page.goto(`${site}${path}`);
  await page.waitForFunction(() => globalThis.sf !== undefined);
  return page;
}

/** Waits until the workers of tabs that were closed are gone: the browser ends them when it gets to it. */
export const workersEnded = (page) =>
  page.waitForFunction(async () => {
    const { held } = await navigator.locks.query();
    return !held.some(({ name }) => /^smart-fetch:(opfs|idb|picked):/.test(name));
  });
