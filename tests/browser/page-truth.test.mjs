// What the demo page says of how a run ended: nothing that is missing is passed over, and no figure contradicts another.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseServer, onlyTypes, openDemo, resultsShown, shownTypes, startServers } from './demo.mjs';
import { startBrowser } from './support.mjs';

const summary = (page) =>
  page.$$eval('#summary > div', (pairs) => Object.fromEntries(pairs.map((pair) => [pair.querySelector('dt').textContent, pair.querySelector('dd').textContent])));

/** Waits until what is in the files has been counted. */
const counted = (page) => page.waitForFunction(() => /\d/.test(document.querySelector('#summary dd')?.textContent ?? ''));

test('a crawl of patients of whom the server does not know one says so, and which', async (t) => {
  const { sandbox, serve } = await startServers(t);
  const { entry } = await (await fetch(`${sandbox.url}/Patient?_count=1`)).json();
  const { page, wrong } = await openDemo(await startBrowser(t), serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('radio', { name: /^A crawl/ }).check();
  await page.getByLabel('Patient IDs').fill(`${entry[0].resource.id}\nnope`);
  await onlyTypes(page, ['Patient', 'Condition']);
  await page.getByRole('button', { name: 'Start the export' }).click();
  await resultsShown(page);
  assert.match(await page.textContent('#verdict.warn'), /does not know 1 patient/);
  assert.match(await page.textContent('#problems'), /Patients that the server does not know[^]*nope/);
  assert.doesNotMatch(await page.textContent('#verdict'), /announced/, 'a crawl has no announced count');
  // After a reload too, and in the list.
  await page.reload();
  await resultsShown(page);
  assert.match(await page.textContent('#verdict.warn'), /does not know 1 patient/);
  await page.getByRole('link', { name: /^Runs/ }).click();
  await page.locator('.run-row .tag.warn').waitFor();
  assert.deepEqual(wrong, []);
});

for (const [way, title] of [['Once', 'The export is complete, but'], ['Kept up to date', 'This folder is kept up to date, but']]) {
  test(`references that could not be followed are told, and what was fetched is counted: ${way}`, async (t) => {
    const { sandbox, serve } = await startServers(t, { references: true });
    const { page, wrong } = await openDemo(await startBrowser(t), serve.url);
    await chooseServer(page, sandbox.url);
    await page.getByRole('radio', { name: new RegExp(`^${way}`) }).check();
    await page.getByText('More options').click();
    await page.getByLabel('Then fetch what the resources refer to').check();
    await page.getByRole('button', { name: 'Start the export' }).click();
    await resultsShown(page);
    assert.match(await page.textContent('#verdict.warn'), new RegExp(`^${title} \\d+ references? could not be followed`));
    await page.locator('#problems-card li').first().waitFor();
    await counted(page);
    const types = await shownTypes(page);
    assert.ok(Object.values(types).every((number) => number > 0), JSON.stringify(types));
    assert.ok(types.Practitioner > 0 && types.Observation > 0);
    const { Resources: resources } = await summary(page);
    assert.equal(Number(resources.replaceAll(',', '')), Object.values(types).reduce((sum, number) => sum + number, 0));
    // A folder that the page did not fill says it too.
    await page.evaluate(() => localStorage.clear());
    await page.reload();
    await resultsShown(page);
    assert.match(await page.textContent('#verdict.warn'), /references could not be followed/);
    assert.deepEqual(wrong, []);
  });
}

test('a folder that is kept up to date shows figures', async (t) => {
  const { sandbox, serve } = await startServers(t);
  const { page } = await openDemo(await startBrowser(t), serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('radio', { name: /^Kept up to date/ }).check();
  await onlyTypes(page, ['Patient', 'Condition']);
  await page.getByRole('button', { name: 'Start the export' }).click();
  await resultsShown(page);
  await counted(page);
  const total = async (type) => (await (await fetch(`${sandbox.url}/${type}?_summary=count`)).json()).total;
  assert.deepEqual(await shownTypes(page), { Patient: await total('Patient'), Condition: await total('Condition') });
  const cells = await page.$$eval('#stored tbody td', (all) => all.map((cell) => cell.textContent));
  assert.ok(cells.length > 0 && cells.every((text) => /^[\d,.]+( bytes| KB| MB)?$/.test(text)), cells.join(' | '));
});

test('after a stop, what is missing and what is here add up', async (t) => {
  const { sandbox, serve, gate } = await startServers(t, { files: 5, faults: { pending: 0 } });
  const { page } = await openDemo(await startBrowser(t), serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('button', { name: 'Start the export' }).click();
  await page.waitForFunction(() => [...document.querySelectorAll('#files .hint')].filter((hint) => /checked/.test(hint.textContent)).length === 5);
  await page.getByRole('button', { name: 'Stop' }).click();
  await resultsShown(page);
  const [, missing, all] = /(\d+) files of (\d+) are missing/.exec(await page.textContent('#verdict'));
  assert.equal(await page.locator('#stored tbody tr').count(), 5);
  assert.equal(Number(all) - Number(missing), 5);
  await counted(page);
  const types = await shownTypes(page);
  assert.ok(Object.values(types).every((number) => number > 0), JSON.stringify(types));
  gate.open();
});

test('a run that came to nothing says why, and an empty one that it is empty', async (t) => {
  const { sandbox, serve } = await startServers(t);
  const { page } = await openDemo(await startBrowser(t), serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('radio', { name: /^A group/ }).check();
  await page.getByLabel('Group', { exact: true }).fill('nosuch');
  await page.getByRole('button', { name: 'Start the export' }).click();
  await page.getByRole('button', { name: 'See what is here' }).click();
  await page.locator('#verdict.bad', { hasText: 'The export failed, and nothing is here.' }).waitFor();
  await page.getByRole('button', { name: 'Try again' }).waitFor();
  await page.getByRole('link', { name: /^Runs/ }).click();
  await page.locator('.run-row', { hasText: 'group nosuch' }).locator('.tag.bad', { hasText: 'Failed' }).waitFor();
  await page.getByRole('link', { name: 'New export' }).click();
  await page.getByLabel('Group', { exact: true }).fill('nobody');
  await page.getByRole('button', { name: 'Start the export' }).click();
  await page.waitForSelector('#view-results:not([hidden])');
  await page.locator('#verdict.warn', { hasText: 'The export is complete, and empty.' }).waitFor();
  await page.getByRole('link', { name: /^Runs/ }).click();
  await page.locator('.run-row', { hasText: 'group nobody' }).waitFor();
});

test('a page that is reloaded while it exports offers to go on', async (t) => {
  const { sandbox, serve, gate } = await startServers(t, { files: 3, faults: { pending: 0 } });
  const context = await startBrowser(t);
  const { page, wrong } = await openDemo(context, serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('button', { name: 'Start the export' }).click();
  await page.locator('#files .hint', { hasText: 'checked' }).first().waitFor();
  // A tab beside it leaves it alone.
  const other = await openDemo(context, serve.url);
  await other.page.getByText('Runs (1)').waitFor();
  assert.equal(await other.page.getByText('An export was interrupted.').count(), 0);
  await other.page.close();
  await page.reload();
  await page.getByText('An export was interrupted.').waitFor();
  assert.match(page.url(), /#new$/);
  gate.open();
  await page.locator('#interrupted').getByRole('button', { name: 'Resume' }).click();
  await resultsShown(page);
  assert.match(await page.textContent('#verdict'), /^The export is complete\./);
  await page.reload();
  await page.getByRole('link', { name: 'New export' }).click();
  await page.getByText('Runs (1)').waitFor();
  assert.equal(await page.locator('#interrupted').isVisible(), false);
  assert.deepEqual(wrong, []);
});

test('no word of flags, and no praise for what a relay hides', async (t) => {
  const { sandbox, serve } = await startServers(t, { relayed: true, cors: 'none', auth: 'smart' });
  const { page } = await openDemo(await startBrowser(t), serve.url);
  assert.match(await page.textContent('.lead'), /through the relay/);
  await page.getByText(/too, so that its relay reaches it/).waitFor();
  await page.getByRole('button', { name: 'Check this server' }).click();
  await page.locator('.findings tr', { hasText: 'Use by web pages' }).getByText('Note').waitFor();
  assert.doesNotMatch(await page.textContent('.findings'), /--[a-z]/);
  await page.getByRole('button', { name: 'Start the export' }).click();
  await page.locator('#run-problem', { hasText: 'Give credentials: “Client ID” with “Private key”' }).waitFor();
  assert.doesNotMatch(await page.textContent('#run-problem'), /--[a-z]/);
  await page.getByRole('link', { name: 'New export' }).click();
  await chooseServer(page, 'http://127.0.0.1:9');
  assert.match(await page.textContent('.lead'), /no server in between/);
  await page.getByRole('button', { name: 'Check this server' }).click();
  await page.locator('#check-result.bad-text', { hasText: 'cannot be used like this' }).waitFor();
  assert.ok(sandbox.requests.length > 0);
});

test('a field with a mistake is not red any more once it is filled in', async (t) => {
  const { sandbox, serve } = await startServers(t);
  const { page } = await openDemo(await startBrowser(t), serve.url);
  await chooseServer(page, sandbox.url);
  await page.getByRole('radio', { name: /^SMART Backend Services/ }).check();
  await page.getByRole('button', { name: 'Start the export' }).click();
  const field = page.getByLabel('Client ID');
  await page.waitForSelector('#client-id[aria-invalid=true]');
  await field.fill('me');
  assert.equal(await field.getAttribute('aria-invalid'), null);
});

test('one month is a column, not a wall, and no name below the columns is cut', async (t) => {
  const { sandbox, serve } = await startServers(t, { patients: 1 });
  const { page } = await openDemo(await startBrowser(t, { viewport: { width: 390, height: 800 } }), serve.url);
  await chooseServer(page, sandbox.url);
  await onlyTypes(page, ['Patient', 'Observation']);
  await page.getByRole('button', { name: 'Start the export' }).click();
  await resultsShown(page);
  const cut = () => page.$$eval('#over-time svg', ([svg]) => [...svg.querySelectorAll('text')].filter((text) => text.getBoundingClientRect().right > svg.getBoundingClientRect().right + 1).map((text) => text.textContent));
  await page.locator('#over-time svg[aria-label^=Observation] rect').first().waitFor();
  assert.deepEqual(await cut(), []);
  await page.locator('#time-type').selectOption('Patient');
  await page.locator('#over-time svg[aria-label^=Patient] rect').first().waitFor();
  const [wide, all] = await page.$eval('#over-time svg', (svg) => [svg.querySelector('rect').getBoundingClientRect().width, svg.getBoundingClientRect().width]);
  assert.ok(wide < all / 3, `${wide} of ${all}`);
});
