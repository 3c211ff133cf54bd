// `verify`, `merge` and `bundle` in Chromium, on each storage that browsers have: the same as in Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { openPage, startBrowser, startSite } from './support.mjs';

for (const storage of ['opfs', 'idb', 'memory']) {
  test(`a managed folder in ${storage} is checked, merged, and the result made a Bundle`, async (t) => {
    const sandbox = await startSandbox({ patients: 10 });
    t.after(() => sandbox.close());
    const page = await openPage(await startBrowser(t), await startSite(t));
    const found = await page.evaluate(
      async ([fhirUrl, storage]) => {
        const { Client, bundle, memoryFolder, merge, openFolder, verify } = globalThis.sf;
        const open = (name) => (storage === 'memory' ? memoryFolder() : openFolder(name, { storage }));
        const [managed, current] = [await open('managed'), await open('current')];
        const client = new Client({ fhirUrl });
        const options = { types: ['Patient', 'Condition'], hydrationTasks: ['none'] };
        for (const nickname of ['one', 'two']) await client.export(managed, { ...options, nickname }).result;
        const checked = await verify(managed).result;
        const job = merge(managed, current);
        const tasks = new Set();
        for await (const event of job) if (event.type === 'progress') tasks.add(event.task);
        const merged = await job.result;
        const types = Object.fromEntries(Object.entries(await current.types()).map(([type, { resources }]) => [type, resources]));
        const result = await verify(current, { temporary: memoryFolder() }).result;
        const made = await bundle(current).result;
        const text = await current.file(made.name).text();
        const again = await globalThis.ended(bundle(current).result);
        return { checked, tasks: [...tasks], merged, types, result, made, entries: JSON.parse(text).entry.length, again };
      },
      [sandbox.url, storage],
    );
    const { checked, tasks, merged, types, result, made, entries, again } = found;
    assert.deepEqual(checked.problems, []);
    assert.deepEqual([checked.kind, checked.runs, checked.exitStatus], ['managed', ['001.one', '002.two'], 0]);
    assert.deepEqual(tasks, ['Comparing versions', 'Merging']);
    assert.equal(merged.exitStatus, 0);
    assert.equal(merged.types.Patient.resources, 10);
    assert.deepEqual(types, Object.fromEntries(Object.entries(merged.types).map(([type, { resources }]) => [type, resources])));
    assert.deepEqual([result.problems, result.resources], [[], merged.resources]);
    assert.equal(made.resources, merged.resources);
    assert.equal(entries, merged.resources);
    assert.equal(again.error.code, 'mismatch');
  });
}
