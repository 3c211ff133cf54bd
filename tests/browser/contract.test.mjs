// The storage contract in Chromium, for each backend wherever it works.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPage, startBrowser, startSite } from './support.mjs';

const PLACES = [
  ['inPage', ['idb', 'picked', 'memory']],
  // Sync access handles exist in dedicated workers only.
  ['inWorker', ['opfs', 'idb', 'picked', 'memory']],
];

test('storage contract in Chromium', async (t) => {
  const site = await startSite(t);
  const page = await openPage(await startBrowser(t), site, '/contract.html');
  for (const [place, kinds] of PLACES) {
    for (const kind of kinds) {
      await t.test(`${kind}, ${place === 'inPage' ? 'in a page' : 'in a worker'}`, async (t) => {
        const names = await page.evaluate((kind) => globalThis.names(kind), kind);
        assert.ok(names.length > 15, 'the contract has its clauses');
        for (const name of names) {
          await t.test(name, async () => {
            const problem = await page.evaluate(([place, kind, name]) => globalThis[place](kind, name), [place, kind, name]);
            assert.equal(problem, '');
          });
        }
      });
    }
  }
});
