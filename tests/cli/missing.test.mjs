// Files that are gone, or damaged, after their run was done: never counted, never called deleted, and the same command gets them.
import assert from 'node:assert/strict';
import { readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { QUICK } from './server.mjs';
import { filesBelow, metadataOf, rowsOf, run, scratch } from './support.mjs';

const SOME = ['--type', 'Patient,Condition,Encounter', '--no-default-filters', ...QUICK];
const NO_HYDRATION = ['--hydration-tasks', 'none'];

async function server(t) {
  const started = await startSandbox({ patients: 8, faults: { pending: 0 } });
  t.after(() => started.close());
  return ['--fhir-url', started.url, ...SOME];
}

/** The first file of a type in a folder. */
async function fileOf(folder, type) {
  const names = await readdir(folder);
  return join(folder, names.find((name) => name.startsWith(`${type}.`) && name.includes('.ndjson')));
}

for (const command of ['bulk', 'crawl']) {
  test(`${command} fetches again what is gone or cut, and nothing else`, async (t) => {
    const options = await server(t);
    const out = join(await scratch(t), 'out');
    const again = () => run([command, out, ...options]);
    assert.equal((await again()).code, 0);
    const before = rowsOf(out);
    const damages = { Patient: (file) => rm(file), Condition: (file) => truncate(file, 100) };
    for (const [type, damage] of Object.entries(damages)) {
      const file = await fileOf(out, type);
      await damage(file);
      const seen = await run(['verify', out, '--progress', 'none']);
      assert.equal(seen.code, 3);
      assert.match(seen.stderr, /run the same command again, which fetches it anew/);
      const status = await run(['status', out]);
      assert.equal(status.code, 3);
      assert.match(status.stdout, new RegExp(`is not complete: ${type}\\.\\S* had been fetched, and is missing or not as it was`));
      const { code, stderr } = await again();
      assert.equal(code, 0, stderr);
      assert.match(stderr, new RegExp(`${type}\\.\\S* is missing, or not as it was: ${type} will be fetched again\\.`));
      assert.deepEqual(rowsOf(out), before);
      assert.equal((await run(['verify', out, '-q'])).code, 0);
      assert.equal(metadataOf(out).complete, true);
    }
  });
}

for (const mode of ['bulk', 'crawl']) {
  test(`following the advice of verify and merge brings everything back (${mode})`, async (t) => {
    const options = [...(await server(t)), ...NO_HYDRATION, '--export-mode', mode];
    const root = await scratch(t);
    const out = join(root, 'out');
    for (const name of ['one', 'two']) assert.equal((await run(['export', out, ...options, '--nickname', name])).code, 0);
    const before = rowsOf(join(out, '002.two'));
    const file = await fileOf(join(out, '002.two'), 'Condition');
    const bytes = await readFile(file);
    bytes[bytes.length - 6] ^= 1;
    await writeFile(file, bytes);

    const seen = await run(['verify', out, '--progress', 'none']);
    assert.equal(seen.code, 3);
    assert.match(seen.stderr, /002\.two\/Condition\S* is damaged: .*; remove it, then run its export again, which fetches it anew/);
    const merging = await run(['merge', out, '--out', join(root, 'damaged')]);
    assert.equal(merging.code, 1);
    assert.match(merging.stderr, /is damaged.*\s+Remove it and run the same job again/);

    await rm(file);
    const gone = await run(['merge', out, '--out', join(root, 'gone'), '--progress', 'none']);
    assert.equal(gone.code, 3);
    assert.match(gone.stderr, /002\.two\/Condition\S* is missing, or not as it was: run its export again/);
    assert.notEqual(metadataOf(join(root, 'gone')).complete, true);
    const { code, stdout, stderr } = await run(['export', out, ...options, '--nickname', 'two']);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stdout, /Gone since/);
    assert.deepEqual(rowsOf(join(out, '002.two')), before);
    assert.deepEqual((await filesBelow(out)).filter((name) => name.includes('deleted/')), []);
    const checked = await run(['verify', out, '--progress', 'none']);
    assert.equal(checked.code, 0, checked.stderr);
    const current = join(root, 'current');
    assert.equal((await run(['merge', out, '--out', current])).code, 0);
    assert.equal(rowsOf(current).Condition.length, before.Condition.length);
  });
}

test('what an earlier run had and nothing has made up for is named, with exit status 3', async (t) => {
  const options = [...(await server(t)), ...NO_HYDRATION];
  const out = join(await scratch(t), 'out');
  assert.equal((await run(['export', out, ...options, '--nickname', 'one'])).code, 0);
  assert.equal((await run(['export', out, ...options, '--since', 'auto', '--nickname', 'two'])).code, 0);
  await rm(await fileOf(join(out, '001.one'), 'Condition'));
  const again = await run(['export', out, ...options, '--since', 'auto', '--nickname', 'two']);
  assert.equal(again.code, 3);
  assert.match(again.stderr, /What is current is not whole:\n - 001\.one\/Condition\S* is missing, .*export Condition once more without --since/);
  const full = await run(['export', out, ...options, '--nickname', 'three']);
  assert.equal(full.code, 0, full.stderr);
  const checked = await run(['verify', out, '--progress', 'none']);
  assert.equal(checked.code, 0, checked.stderr);
  assert.match(checked.stdout, /^Note: 001\.one\/Condition\S* is missing, or not as it was; later exports have what was in it\.$/m);
});

test('a first try that failed is no obstacle', async (t) => {
  const options = [...(await server(t)), ...NO_HYDRATION, '--export-mode', 'crawl'];
  const root = await scratch(t);
  const out = join(root, 'out');
  assert.equal((await run(['export', out, ...options, '--id-list', 'nobody', '--nickname', 'wrong'])).code, 3);
  assert.equal((await run(['export', out, ...options, '--nickname', 'right'])).code, 0);
  const checked = await run(['verify', out, '--progress', 'none']);
  assert.equal(checked.code, 0, checked.stderr);
  assert.match(checked.stdout, /^Note: 001\.wrong was not finished, and nothing is in it: it may be deleted\.$/m);
  const merged = await run(['merge', out, '--out', join(root, 'current'), '--progress', 'none']);
  assert.equal(merged.code, 0, merged.stderr);
});

test('a managed folder is not made a Bundle', async (t) => {
  const options = [...(await server(t)), ...NO_HYDRATION];
  const out = join(await scratch(t), 'out');
  assert.equal((await run(['export', out, ...options])).code, 0);
  const before = await filesBelow(out);
  const { code, stderr } = await run(['bundle', out]);
  assert.equal(code, 1);
  assert.match(stderr, /is a managed folder.*\s+Put its current state into another folder by merge, then make the Bundle there/);
  assert.deepEqual(await filesBelow(out), before);
});
