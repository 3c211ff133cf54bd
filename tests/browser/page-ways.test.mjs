// What else the demo page offers: the doctor, a folder that is kept up to date, crawls, hydration, verifying.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseServer, onlyTypes, openDemo, resultsShown, shownTypes, startServers } from './demo.mjs';
import { startBrowser } from './support.mjs';

const total = async (sandbox, query) => (await (await fetch(`${sandbox.url}/${query}${query.includes('?') ? '&' : '?'}_summary=count`)).json()).total;

test('the doctor says in a table what a server can do, and what stands in the way', async (t) => {
  const { sandbox, serve } = await startServers(t);
  const { sandbox: closed } = await startServers(t, { cors: 'none' });
  const { page, wrong } = await openDemo(await startBrowser(t), serve.url);
  const check = () => page.getByRole('button', { name: 'Check this server' }).click();
  await chooseServer(page, sandbox.url);
  await check();
  await page.locator('#check-result.good-text', { hasText: 'This server' }).waitFor();
  const rows = await page.locator('.findings tbody tr').allTextContents();
  assert.ok(rows.some((row) => /^Server.*smart-fetch sandbox/.test(row)), rows.join('\n'));
  assert.ok(rows.some((row) => /^Use by web pages/.test(row)));
  assert.ok(!sandbox.requests.some(({ status }) => status === 202), 'it starts no export');
  await chooseServer(page, closed.url);
  await check();
  await page.locator('#check-result', { hasText: `smart-fetch serve --server ${closed.url}` }).waitFor();
  assert.ok((await page.locator('.findings .tag.bad').count()) > 0);
  assert.deepEqual(wrong, []);
});

test('a folder is kept up to date, verified, and put together', async (t) => {
  const { sandbox, serve } = await startServers(t);
  const { page, wrong } = await openDemo(await startBrowser(t), serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('radio', { name: /^Kept up to date/ }).check();
  await onlyTypes(page, ['Patient', 'Condition']);
  await page.getByRole('button', { name: 'Start the export' }).click();
  await resultsShown(page);
  assert.equal(await page.locator('#history li').count(), 1);
  assert.match(await page.textContent('#history'), /^001\..*: everything/);

  await sandbox.setData({ revision: 1 });
  sandbox.clearRequests();
  await page.getByRole('button', { name: 'Get what changed' }).click();
  await page.waitForSelector('#view-run:not([hidden])');
  await resultsShown(page);
  await page.waitForFunction(() => document.querySelectorAll('#history li').length === 2);
  assert.match(await page.textContent('#history li:first-child'), /^002\..*: what changed/);
  const [kickOff] = sandbox.requests.filter(({ url, method }) => url.includes('$export') && method !== 'OPTIONS');
  assert.match(`${kickOff.url}${kickOff.body}`, /_since/, 'only what changed is asked for');

  await page.getByRole('button', { name: 'Verify' }).click();
  await page.locator('#save-result.good-text', { hasText: /^Checked \d+ files with/ }).waitFor();
  await page.getByRole('button', { name: 'Make one current copy' }).click();
  await page.waitForFunction(() => decodeURIComponent(location.hash).endsWith('(current)'));
  await resultsShown(page);
  await page.waitForSelector('#by-type tbody tr');
  const shown = await shownTypes(page);
  assert.equal(shown.Patient, await total(sandbox, 'Patient'));
  // Both are in the history, after a reload too.
  await page.reload();
  await page.getByRole('link', { name: /^Runs/ }).click();
  await page.locator('.run-row .tag', { hasText: 'Kept up to date' }).waitFor();
  assert.equal(await page.locator('.run-row').count(), 2);
  assert.equal(await page.getByRole('button', { name: /^Get what changed/ }).count(), 1);
  assert.deepEqual(wrong, []);
});

test('a crawl of a few patients, and what their resources refer to', async (t) => {
  const { sandbox, serve } = await startServers(t);
  const { entry } = await (await fetch(`${sandbox.url}/Patient?_count=3`)).json();
  const ids = entry.slice(0, 2).map(({ resource }) => resource.id);
  const { page, wrong } = await openDemo(await startBrowser(t), serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('radio', { name: /^A crawl/ }).check();
  await page.getByLabel('Patient IDs').fill(ids.join('\n'));
  await page.getByText('2 patients', { exact: true }).waitFor();
  await onlyTypes(page, ['Patient', 'MedicationRequest']);
  await page.getByText('More options').click();
  await page.getByLabel('Then fetch what the resources refer to').check();
  await page.getByRole('button', { name: 'Start the export' }).click();
  await resultsShown(page);
  await page.waitForSelector('#by-type tbody tr');
  assert.match(await page.textContent('#verdict'), /^The export is complete/);
  const shown = await shownTypes(page);
  assert.equal(shown.Patient, 2);
  const requests = await Promise.all(ids.map((id) => total(sandbox, `MedicationRequest?patient=${id}`)));
  assert.equal(shown.MedicationRequest, requests[0] + requests[1]);
  assert.ok(Object.keys(shown).some((type) => !['Patient', 'MedicationRequest'].includes(type)), 'what they refer to is there');
  await page.getByRole('button', { name: 'Verify' }).click();
  await page.locator('#save-result.good-text', { hasText: /^Checked/ }).waitFor();
  assert.deepEqual(wrong, []);
});
