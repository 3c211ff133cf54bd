// The demo page for everybody: keyboard, screen readers, both colour schemes, small screens.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { chooseServer, openDemo, resultsShown, startServers } from './demo.mjs';
import { startBrowser } from './support.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

for (const colorScheme of ['light', 'dark']) {
  test(`no accessibility violations in the ${colorScheme} scheme, and nothing wider than the screen`, async (t) => {
    const { sandbox, serve, gate } = await startServers(t, { files: 2 });
    const context = await startBrowser(t, { colorScheme, viewport: { width: 360, height: 740 }, reducedMotion: 'reduce' });
    await context.addInitScript({ path: AXE });
    const { page, wrong } = await openDemo(context, serve.url);
    const check = async (view, shown) => {
      for (const width of [320, 360, 1280]) {
        await page.setViewportSize({ width, height: 740 });
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, `${view} at ${width} px`);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).slice(0, 3).join(' ')}`);
        assert.deepEqual(found, [], `${view} at ${width} px`);
      }
      assert.ok(await page.locator(shown).isVisible(), `${view} is what was looked at`);
    };
    await chooseServer(page, sandbox.url);
    for (const choice of [/^Access token/, /^SMART Backend Services/, /^A group/]) await page.getByRole('radio', { name: choice }).check();
    await page.getByText('More options').click();
    await page.getByRole('radio', { name: /^None/ }).check();
    await page.getByRole('radio', { name: /^A crawl/ }).check();
    await page.getByRole('button', { name: 'Check this server' }).click();
    await page.locator('#check-result.good-text', { hasText: 'This server' }).waitFor();
    await page.getByRole('radio', { name: /^SMART Backend Services/ }).check();
    await check('form', '.findings');
    await page.getByRole('radio', { name: /^Once/ }).check();
    await page.getByRole('radio', { name: /^None/ }).check();
    await page.getByRole('button', { name: 'Start the export' }).click();
    await page.getByRole('alert').filter({ hasText: 'The group is missing.' }).waitFor();
    await check('form with a mistake', '#setup-problem');
    await page.getByRole('radio', { name: /^Everything/ }).check();
    await page.getByRole('button', { name: 'Start the export' }).click();
    await page.waitForSelector('#view-run:not([hidden]) #log li');
    await page.getByRole('button', { name: 'Pause' }).click();
    await check('run', '#log');
    await page.getByRole('button', { name: 'Go on' }).click();
    gate.open();
    await resultsShown(page);
    await page.waitForSelector('#over-time svg rect');
    await page.getByText('As a table').click();
    await check('results', '#over-time table');
    await page.getByRole('button', { name: 'Delete' }).click();
    await check('question', 'dialog');
    await page.keyboard.press('Escape');
    await page.getByRole('link', { name: /^Runs/ }).click();
    await page.getByText('Complete', { exact: true }).waitFor();
    await check('runs', '.run-row');
    assert.deepEqual(wrong, []);
  });
}

test('with the keyboard alone, and told to screen readers', async (t) => {
  const { sandbox, serve } = await startServers(t);
  const { page } = await openDemo(await startBrowser(t), serve.url);
  const focused = () => page.evaluate(() => {
    const { activeElement: at } = document;
    return at.getAttribute('aria-label') ?? (at.labels?.[0] ?? at).textContent.trim();
  });
  /** Tabs until the element whose name begins so has the focus. */
  async function tabTo(name) {
    for (let tabs = 0; tabs < 120; tabs += 1) {
      if ((await focused()).startsWith(name)) return;
      await page.keyboard.press('Tab');
    }
    assert.fail(`${name} cannot be reached with the keyboard`);
  }
  await page.evaluate(() => {
    globalThis.told = [];
    const place = document.getElementById('said');
    new MutationObserver(() => globalThis.told.push(place.textContent)).observe(place, { childList: true, characterData: true, subtree: true });
  });
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to content');
  await tabTo('Public SMART sandbox');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  assert.match(await focused(), /^Another server/);
  await tabTo('FHIR base URL');
  await page.keyboard.type(sandbox.url);
  await tabTo('Start the export');
  await page.keyboard.press('Enter');
  await resultsShown(page);
  assert.equal(await focused(), 'Results', 'the focus goes with the view');
  const told = await page.evaluate(() => globalThis.told);
  for (const text of [/^Looking at the server/, /^Downloading/, /^Finished: [\d,]+ resources in \d+ files\.$/]) {
    assert.ok(told.some((line) => text.test(line)), `${text} in ${told.join(' | ')}`);
  }
  await tabTo('As a table');
  await page.keyboard.press('Enter');
  assert.ok(await page.locator('#over-time table').isVisible());
  await page.evaluate(() => document.getElementById('results-title').focus());
  await tabTo('Delete');
  await page.keyboard.press('Enter');
  assert.equal(await focused(), 'Cancel', 'the harmless answer has the focus');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByText('There are none yet.').waitFor();
});
