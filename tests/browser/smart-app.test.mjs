// SMART apps in Chromium, with fhirclient itself: the example app from both kinds of launch, and the lines of the README in any page
// that has a session.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { serveApp } from '../../examples/smart-app/serve.mjs';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { startBrowser } from './support.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** A sandbox that launches apps, the example, and a page that says what goes wrong in it. */
async function start(t, { faults, ...options } = {}) {
  const sandbox = await startSandbox({ auth: 'smart', patients: 12, faults });
  t.after(() => sandbox.close());
  const app = await serveApp();
  t.after(() => app.close());
  const context = await startBrowser(t, options);
  await context.addInitScript({ path: AXE });
  // Nobody is there to answer its dialog; other browsers do not have it, and download.
  await context.addInitScript(() => { delete globalThis.showSaveFilePicker; });
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', ({ message }) => wrong.push(message));
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  return { sandbox, app, page, wrong };
}

const fromEhr = ({ sandbox, app }, patient) => `${sandbox.origin}/auth/launch?${new URLSearchParams({ app: `${app.url}/launch.html`, patient })}`;

/** What the EHR has of a patient, by type: ids. Asked with a token of its own. */
async function chartOf(t, patient) {
  const open = await startSandbox({ patients: 12 });
  t.after(() => open.close());
  const types = (await (await fetch(`${open.url}/metadata`)).json()).rest[0].resource.map(({ type }) => type);
  const chart = {};
  for (const type of types) {
    if (['Group', 'Binary', 'Organization', 'Practitioner', 'PractitionerRole', 'Location', 'Medication'].includes(type)) continue;
    const query = type === 'Patient' ? `_id=${patient}` : `patient=${patient}`;
    const { entry = [] } = await (await fetch(`${open.url}/${type}?${query}&_count=1000`)).json();
    if (entry.length > 0) chart[type] = entry.map(({ resource }) => resource.id).sort();
  }
  return chart;
}

/** What the browser keeps, by type: ids. */
const stored = (page, name) =>
  page.evaluate(async (name) => {
    const { openFolder } = await import('./smart-fetch/index.js');
    const folder = await openFolder(name);
    const ids = {};
    for (const type of Object.keys(await folder.types())) {
      for await (const { id } of folder.resources(type)) (ids[type] ??= []).push(id);
      ids[type]?.sort();
    }
    return ids;
  }, name);

const usual = (chart, got) => Object.fromEntries(Object.entries(chart).filter(([type]) => type in got));

test('the example, launched by an EHR: the chart comes, is read back, and is what the EHR has', async (t) => {
  const started = await start(t);
  const { sandbox, page, wrong } = started;
  await page.goto(fromEhr(started, 'pt-000003'));
  await page.getByRole('button', { name: 'Get the chart' }).click();
  await page.getByText(/resources are on this device\.$/).waitFor();
  const got = await stored(page, `chart ${new URL(sandbox.url).host} pt-000003`);
  const chart = await chartOf(t, 'pt-000003');
  assert.ok(Object.keys(got).length >= 10, Object.keys(got).join());
  assert.deepEqual(got, usual(chart, got));
  // What is shown is what was read back.
  const rows = await page.locator('#types tr').evaluateAll((all) => all.map((row) => [...row.cells].map(({ textContent }) => textContent)));
  assert.deepEqual(rows.map(([type]) => type).sort(), Object.keys(got).sort());
  assert.equal(await page.locator('#conditions li').count(), got.Condition?.length ?? 1);
  // The token is for this patient, and went to the EHR alone.
  const asked = sandbox.requests.filter(({ url }) => url.startsWith('/fhir/') && !/metadata|well-known/.test(url));
  assert.ok(asked.every(({ url, status }) => status !== 403 && !/patient=(?!pt-000003)/.test(url)));
  assert.deepEqual(wrong, []);

  // It is all there after a reload, and gone when it is told to be.
  await page.reload();
  await page.locator('#types tr').first().waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save as ZIP' }).click()]);
  assert.match(download.suggestedFilename(), /\.zip$/);
  await page.getByRole('button', { name: 'Delete from this device' }).click();
  await page.getByText('Nothing is kept on this device any more.').waitFor();
});

test('the example opened by itself: the server is given, the patient is chosen, the user says no', async (t) => {
  const { sandbox, app, page } = await start(t);
  await page.goto(app.url);
  await page.getByLabel('Which FHIR server has your chart?').fill(sandbox.url);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('[data-patient=pt-000005]').click();
  await page.getByRole('button', { name: 'Get the chart' }).click();
  await page.getByText(/resources are on this device\.$/).waitFor();
  await page.goto(`${app.url}/launch.html?iss=${encodeURIComponent(sandbox.url)}`);
  await page.getByText('Do not let the app in').click();
  await page.getByRole('alert').filter({ hasText: 'access_denied' }).waitFor();
});

test('tokens that end and are taken back while the chart comes', async (t) => {
  const started = await start(t, { faults: { expiresIn: 5 } });
  const { sandbox, page } = started;
  await page.goto(fromEhr(started, 'pt-000003'));
  await page.getByRole('button', { name: 'Get the chart' }).click();
  for (let waited = 0; waited < 30_000 && !sandbox.requests.some(({ url }) => /\/Condition\?/.test(url)); waited += 5) {
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  sandbox.revokeTokens();
  await page.getByText(/resources are on this device\.$/).waitFor();
  const refreshed = sandbox.requests.filter(({ body, status }) => body.includes('grant_type=refresh_token') && status === 200);
  assert.ok(refreshed.length >= 1, 'the session was refreshed');
  const chart = await chartOf(t, 'pt-000003');
  const got = await stored(page, `chart ${new URL(sandbox.url).host} pt-000003`);
  assert.deepEqual(got, usual(chart, got));
  // The session of the app itself goes on with the new token.
  await page.reload();
  await page.getByText(/born/).waitFor();
});

test('the lines of the README, in a page that has a session', async (t) => {
  const [, code] = /```js\n(import \{ fromSmartClient.*?)```/s.exec(README);
  const lines = code.trim().split('\n').filter((line) => line.trim() !== '');
  assert.ok(lines.length <= 10, `${lines.length} lines`);
  const started = await start(t);
  const { sandbox, page } = started;
  await page.goto(fromEhr(started, 'pt-000003'));
  await page.getByText(/born/).waitFor();
  const shown = await page.evaluate(async (text) => {
    const shown = [];
    const AsyncFunction = (async () => {}).constructor;
    await new AsyncFunction('show', text)((one) => shown.push(one));
    return shown;
  }, code.replace(/import (\{.*?\}) from 'smart-fetch';/, "const $1 = await import('./smart-fetch/index.js');")).catch((error) => error);
  const chart = await chartOf(t, 'pt-000003');
  assert.deepEqual(shown.map?.(({ id }) => id).sort() ?? shown, chart.Condition);
  assert.ok(sandbox.requests.length > 0);
});

for (const colorScheme of ['light', 'dark']) {
  test(`the example for everybody, in the ${colorScheme} scheme, on a phone and on a desk`, async (t) => {
    const started = await start(t, { colorScheme, viewport: { width: 360, height: 740 } });
    const { app, page } = started;
    const check = async (view) => {
      for (const width of [360, 1280]) {
        await page.setViewportSize({ width, height: 740 });
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, `${view} at ${width} px`);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
        assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], `${view} at ${width} px`);
      }
    };
    await page.goto(app.url);
    await page.getByLabel('Which FHIR server has your chart?').waitFor();
    await check('launch');
    await page.goto(fromEhr(started, 'pt-000003').replace('&patient=pt-000003', ''));
    await page.locator('[data-patient]').first().waitFor();
    await check('the EHR');
    await page.locator('[data-patient=pt-000003]').click();
    await page.getByRole('button', { name: 'Get the chart' }).click();
    await page.getByText(/resources are on this device\.$/).waitFor();
    await check('chart');
  });
}
