// `verify` as users have it.
import assert from 'node:assert/strict';
import { readFile, readdir, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { QUICK, sandbox } from './server.mjs';
import { filesBelow, run, scratch } from './support.mjs';

async function exported(t) {
  const { url } = await sandbox(t);
  const folder = await scratch(t);
  const { code } = await run(['bulk', folder, '--fhir-url', url, '--type', 'Patient,Condition', '--progress', 'none', ...QUICK]);
  assert.equal(code, 0);
  return folder;
}

async function snapshot(folder) {
  const names = await filesBelow(folder);
  return Promise.all(names.map(async (name) => [name, (await stat(join(folder, name))).mtimeMs, await readFile(join(folder, name), 'hex')]));
}

test('verify finds a good export good, and changes nothing', async (t) => {
  const folder = await exported(t);
  const before = await snapshot(folder);
  const { code, stdout, stderr } = await run(['verify', folder, '--progress', 'none']);
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.match(stdout, /^Patient +1 +10$/m);
  assert.match(stdout, new RegExp(`^'${folder}': 2 files, .*, \\d+ resources$`, 'm'));
  assert.match(stdout, /^Referred to, but not here: Encounter \d+ \(\d+ references\)/m);
  assert.deepEqual(await snapshot(folder), before);
});

test('verify names each problem, with exit status 3; --json says the same', async (t) => {
  const folder = await exported(t);
  const patients = join(folder, (await readdir(folder)).find((name) => name.startsWith('Patient.')));
  await writeFile(patients, (await readFile(patients)).subarray(0, -3));
  await unlink(join(folder, (await readdir(folder)).find((name) => name.startsWith('Condition.'))));
  const { code, stderr } = await run(['verify', folder, '--progress', 'none']);
  assert.equal(code, 3);
  assert.match(stderr, /^2 problems:\n - Patient\.001\.ndjson\.gz is damaged: it ends early; remove it, then run the same command again, which fetches it anew\n - Condition\.001\.ndjson\.gz is missing, though/);
  const json = await run(['verify', folder, '--json', '-q']);
  assert.equal(json.code, 3);
  const report = JSON.parse(json.stdout);
  assert.deepEqual([report.exitStatus, report.problemCount, report.problems[0].path], [3, 2, 'Patient.001.ndjson.gz']);
});

test('verify says where there is nothing to check', async (t) => {
  const folder = await scratch(t);
  const empty = await run(['verify', folder]);
  assert.deepEqual([empty.code, empty.stderr.split('\n').at(-2)], [1, 'There is no export in the folder.']);
  assert.deepEqual(await filesBelow(folder), []);
});
