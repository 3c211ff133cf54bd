// The demo page as its users have it: built, served by `serve`, in Chromium.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Client, openFolder } from 'smart-fetch';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { startServe } from '../../node-cli/src/serve/index.js';
import { run } from '../cli/support.mjs';
import { chooseServer, openDemo, PAGE, resultsShown, shownTypes, startServers } from './demo.mjs';
import { startBrowser, workersEnded } from './support.mjs';

/** What the server says it has. */
async function servedTypes(base, types) {
  const totals = await Promise.all(types.map(async (type) => [type, (await (await fetch(`${base}/${type}?_summary=count`)).json()).total]));
  return Object.fromEntries(totals);
}

for (const [name, relayed, cors] of [['straight, with CORS', false, 'full'], ['through the relay, without CORS', true, 'none']]) {
  test(`from the form to the results: ${name}`, async (t) => {
    const { sandbox, serve } = await startServers(t, { relayed, cors });
    const { page, wrong } = await openDemo(await startBrowser(t), serve.url);
    if (!relayed) await chooseServer(page, sandbox.url);
    await page.getByRole('button', { name: 'Check this server' }).click();
    await page.locator('#check-result.good-text', { hasText: 'This server' }).waitFor();
    await page.getByRole('button', { name: 'None' }).click();
    for (const type of ['Patient', 'Condition', 'Observation']) await page.getByLabel(type, { exact: true }).check();
    await page.getByText('More options').click();
    await page.getByLabel('Limit Observations').uncheck();
    await page.getByRole('button', { name: 'Start the export' }).click();
    await resultsShown(page);
    assert.match(await page.textContent('#verdict'), /^The export is complete\./);
    assert.deepEqual(await shownTypes(page), await servedTypes(sandbox.url, ['Patient', 'Condition', 'Observation']));
    // Charts, sample, files.
    await page.waitForSelector('#over-time svg rect');
    const columns = await page.$$eval('#over-time tbody td', (cells) => cells.reduce((sum, cell) => sum + Number(cell.textContent.replaceAll(',', '')), 0));
    assert.equal(columns, (await shownTypes(page)).Observation, 'each resource is in one column');
    assert.equal(JSON.parse(await page.textContent('#sample pre')).resourceType, 'Patient');
    const list = page.getByRole('list', { name: 'Patient resources' });
    await list.getByRole('button').nth(1).click();
    assert.equal(await list.locator('[aria-current=true]').count(), 1);
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download Patient.001.ndjson.gz' }).click();
    assert.equal((await download).suggestedFilename(), 'Patient.001.ndjson.gz');
    // It is in the history, after a reload too, and can be deleted.
    await page.reload();
    await page.getByRole('link', { name: /^Runs/ }).click();
    await page.getByText('Complete', { exact: true }).waitFor();
    await page.getByRole('button', { name: /^Delete/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('There are none yet.').waitFor();
    assert.deepEqual(wrong, []);
  });

  test(`the page's folder is the command line's, byte for byte: ${name}`, async (t) => {
    const { sandbox, serve } = await startServers(t, { relayed, cors });
    const { page } = await openDemo(await startBrowser(t), serve.url);
    if (!relayed) await chooseServer(page, sandbox.url);
    await page.getByRole('button', { name: 'Start the export' }).click();
    await resultsShown(page);
    const stored = new Map(await page.evaluate(readStored));
    const folder = await mkdtemp(join(tmpdir(), 'smart-fetch-page-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const args = ['bulk', join(folder, 'out'), '--fhir-url', sandbox.url, '--quiet'];
    const { code, stderr } = await run(args);
    assert.equal(code, 0, stderr);
    const exported = new Map();
    for (const path of await readdir(join(folder, 'out'), { recursive: true })) {
      if (path.endsWith('.ndjson.gz')) exported.set(path, await readFile(join(folder, 'out', path)));
    }
    assert.ok(exported.size > 10);
    assert.deepEqual([...stored.keys()].filter((path) => path.endsWith('.ndjson.gz')).sort(), [...exported.keys()].sort());
    // The command line keeps the gzip that a server sends; browsers unpack it. What is in it is the same.
    for (const [path, bytes] of exported) assert.ok(gunzipSync(Buffer.from(stored.get(path), 'base64')).equals(gunzipSync(bytes)), path);
  });
}

/** In the page: every file of its one folder in OPFS, as `[path, base64]`. */
async function readStored() {
  const found = [];
  const walk = async (folder, path) => {
    for await (const [name, handle] of folder.entries()) {
      if (handle.kind === 'directory') {
        await walk(handle, `${path}${name}/`);
      } else {
        const url = await new Promise((resolve, reject) => {
          const reader = Object.assign(new FileReader(), { onload: () => resolve(reader.result), onerror: reject });
          handle.getFile().then((file) => reader.readAsDataURL(file), reject);
        });
        found.push([`${path}${name}`, url.slice(url.indexOf(',') + 1)]);
      }
    }
  };
  const home = await (await navigator.storage.getDirectory()).getDirectoryHandle('smart-fetch');
  for await (const folder of home.values()) await walk(folder, '');
  return found;
}

test('no token is stored, and resuming asks for it again', async (t) => {
  const { sandbox, serve } = await startServers(t, { auth: 'smart' });
  const { page } = await openDemo(await startBrowser(t), serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('radio', { name: /^Access token/ }).check();
  await page.getByLabel('Access token', { exact: true }).last().fill('canary-token');
  await page.getByRole('button', { name: 'Start the export' }).click();
  await page.getByRole('heading', { name: 'The server did not accept the sign-in' }).waitFor();
  const kept = await page.evaluate(async () => {
    const parts = [JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage }), document.documentElement.outerHTML, location.href];
    const walk = async (folder) => {
      for await (const handle of folder.values()) {
        if (handle.kind === 'directory') await walk(handle);
        else parts.push(await (await handle.getFile()).text());
      }
    };
    await walk(await navigator.storage.getDirectory());
    return parts.join('\n');
  });
  assert.match(kept, /fhirUrl|clientId/, 'what is stored was found');
  assert.doesNotMatch(kept, /canary-token/);
  await page.reload();
  await page.getByRole('link', { name: /^Runs/ }).click();
  await page.getByRole('button', { name: /^Try again/ }).click();
  await page.getByText('Its secret was not stored').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'token');
});

test('a tab that is closed half-way: the run is in the history, and resuming completes it', async (t) => {
  const { sandbox, serve, gate } = await startServers(t, { files: 3, faults: { pending: 0 } });
  const context = await startBrowser(t);
  const first = await openDemo(context, serve.url);
  await chooseServer(first.page, sandbox.url);
  await first.page.getByRole('button', { name: 'Start the export' }).click();
  await first.page.locator('#files .hint', { hasText: 'checked' }).first().waitFor();
  await first.page.close();
  const { page, wrong } = await openDemo(context, `${serve.url}/#runs`);
  await workersEnded(page);
  await page.reload();
  await page.waitForSelector('html[data-ready]');
  await page.getByText('Not finished').waitFor();
  gate.open();
  await page.getByRole('button', { name: /^Resume/ }).click();
  await resultsShown(page);
  assert.match(await page.textContent('#verdict'), /^The export is complete\./);
  assert.deepEqual(wrong, []);
});

test('where the browser is blind, the page says so and offers the relay', async (t) => {
  const { sandbox, serve } = await startServers(t, { cors: 'no-expose' });
  const { sandbox: closed } = await startServers(t, { cors: 'none' });
  const { page } = await openDemo(await startBrowser(t), serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('button', { name: 'Start the export' }).click();
  await page.getByRole('heading', { name: 'The browser hides a part of the server’s answer' }).waitFor();
  assert.match(await page.textContent('#run-problem'), /Content-Location[^]*Access-Control-Expose-Headers/);
  await page.getByText(`smart-fetch serve --server ${sandbox.url}`).waitFor();
  await page.getByRole('link', { name: 'New export' }).click();
  await chooseServer(page, closed.url);
  await page.getByRole('button', { name: 'Start the export' }).click();
  // While it goes on trying, not only when it gives up after minutes.
  await page.getByText(`smart-fetch serve --server ${closed.url}`).waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByRole('heading', { name: 'Results' }).waitFor();
});

test('a form with mistakes: each is named, and has the focus', async (t) => {
  const { serve } = await startServers(t);
  const { page } = await openDemo(await startBrowser(t), serve.url);
  const begin = () => page.getByRole('button', { name: 'Start the export' }).click();
  const problem = (text) => page.getByRole('alert').filter({ hasText: text }).waitFor();
  const focused = () => page.evaluate(() => document.activeElement.id);
  await page.getByLabel('Another server').check();
  await begin();
  await problem('The FHIR base URL is missing or no URL.');
  assert.equal(await focused(), 'url');
  await page.getByLabel('FHIR base URL').fill('https://ehr.example.org/fhir');
  await page.getByRole('radio', { name: /^Access token/ }).check();
  await begin();
  await problem('The access token is missing.');
  assert.equal(await focused(), 'token');
  await page.getByRole('radio', { name: /^None/ }).check();
  await page.getByText('More options').click();
  await page.getByLabel('Type filters').fill('nonsense');
  await begin();
  await problem('nonsense');
});

test('a key made in the browser signs in', async (t) => {
  const serve = await startServe({ page: PAGE });
  t.after(() => serve.close());
  const { page, wrong } = await openDemo(await startBrowser(t), serve.url);
  await page.getByRole('radio', { name: /^SMART Backend Services/ }).check();
  await page.getByRole('button', { name: 'Make a key' }).click();
  const field = page.getByLabel('Public key, to register with the server');
  await field.waitFor();
  const jwks = JSON.parse(await field.inputValue());
  assert.equal(jwks.keys[0].d, undefined);
  const sandbox = await startSandbox({ patients: 2, seed: 1, auth: 'smart', jwks, clientId: 'page', faults: { pending: 0 } });
  t.after(() => sandbox.close());
  await chooseServer(page, sandbox.url);
  await page.getByLabel('Client ID').fill('page');
  await page.getByRole('button', { name: 'Start the export' }).click();
  await resultsShown(page);
  assert.equal((await shownTypes(page)).Patient, 2);
  assert.deepEqual(wrong, []);
});

test('groups are looked for where the server lists them', async (t) => {
  const { sandbox, serve } = await startServers(t);
  const { page } = await openDemo(await startBrowser(t), serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('radio', { name: /^A group/ }).check();
  await page.getByRole('button', { name: 'Find groups' }).click();
  await page.getByText(/^\d+ groups?: /).waitFor();
  const { entry } = await (await fetch(`${sandbox.url}/Group`)).json();
  assert.equal(await page.getByLabel('Group', { exact: true }).inputValue(), entry[0].resource.id);
  await page.getByRole('button', { name: 'Start the export' }).click();
  await resultsShown(page);
  assert.ok((await shownTypes(page)).Patient > 0);
});

test('a folder of the command line can be brought in; one that is none is refused', async (t) => {
  const { sandbox, serve } = await startServers(t);
  const folder = await mkdtemp(join(tmpdir(), 'smart-fetch-page-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, 'other'));
  await writeFile(join(folder, 'other/notes.txt'), 'nothing');
  const report = await new Client({ fhirUrl: sandbox.url }).bulk(await openFolder(join(folder, 'export')), { types: ['Patient', 'Condition'] }).result;
  const { page, wrong } = await openDemo(await startBrowser(t), `${serve.url}/#runs`);
  await page.locator('#import').setInputFiles(join(folder, 'other'));
  await page.locator('#import-result.bad-text').waitFor();
  await page.getByText('There are none yet.').waitFor();
  await page.locator('#import').setInputFiles(join(folder, 'export'));
  await page.getByRole('button', { name: /^Open/ }).click();
  await resultsShown(page);
  assert.equal((await shownTypes(page)).Condition, report.types.Condition.resources);
  assert.deepEqual(wrong, []);
});
