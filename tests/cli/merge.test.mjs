// `merge` as users have it: three exports of a managed folder become one.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { filesBelow, run, scratch } from './support.mjs';

const row = (type, id, version) => `{"resourceType":"${type}","id":"${id}","version":${version}}\n`;

async function exported(folder, name, { since, files }) {
  await mkdir(join(folder, name, 'deleted'), { recursive: true });
  const types = ['Condition', 'Patient'];
  const each = (value) => Object.fromEntries(types.map((type) => [type, value]));
  const state = { kind: 'output', filters: each([]), since: null, sinceResources: since ? types : [], done: each('2026-01-01T00:00:00+00:00'), complete: true };
  await writeFile(join(folder, name, '.metadata'), JSON.stringify(state));
  for (const [path, text] of Object.entries(files)) await writeFile(join(folder, name, path), path.endsWith('.gz') ? gzipSync(text) : text);
}

async function managed(t) {
  const folder = join(await scratch(t), 'managed');
  await mkdir(folder);
  await writeFile(join(folder, '.metadata'), JSON.stringify({ 'fhir-url': 'https://ehr.example/fhir', group: null, kind: 'managed' }));
  await exported(folder, '001.one', {
    files: { 'Patient.001.ndjson.gz': row('Patient', 1, 1) + row('Patient', 2, 1), 'Condition.001.ndjson': row('Condition', 1, 1) },
  });
  await exported(folder, '002.two', {
    since: true,
    files: {
      'Patient.001.ndjson': row('Patient', 2, 2),
      'deleted/Bundle.001.ndjson': '{"resourceType":"Bundle","entry":[{"request":{"method":"DELETE","url":"Condition/1"}}]}\n',
    },
  });
  return folder;
}

test('merge makes one folder of all exports, and again after the next one', async (t) => {
  const folder = await managed(t);
  const out = join(await scratch(t), 'current');
  const before = await filesBelow(folder);
  const { code, stdout, stderr } = await run(['merge', folder, '--out', out, '--progress', 'none']);
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.match(stdout, /^Patient +2$/m);
  assert.match(stdout, new RegExp(`^2 exports with 4 rows merged: 2 resources, 0\\.1KB in '${out}'$`, 'm'));
  assert.deepEqual(await filesBelow(out), ['.metadata', 'Patient.001.ndjson.gz', 'log.ndjson']);
  assert.equal(gunzipSync(await readFile(join(out, 'Patient.001.ndjson.gz'))).toString(), row('Patient', 1, 1) + row('Patient', 2, 2));
  assert.deepEqual(await filesBelow(folder), before, 'the managed folder is only read');

  await exported(folder, '010.three', { since: true, files: { 'Condition.001.ndjson': row('Condition', 2, 3) } });
  const again = await run(['merge', folder, '--out', out, '--no-compression', '-q']);
  assert.deepEqual(again, { code: 0, signal: null, stdout: '', stderr: '' });
  assert.deepEqual(await filesBelow(out), ['.metadata', 'Condition.001.ndjson', 'Patient.001.ndjson', 'log.ndjson']);
});

test('merge names what it had to leave out, with exit status 3', async (t) => {
  const folder = await managed(t);
  await writeFile(join(folder, '002.two', 'Patient.002.ndjson'), 'no JSON\n');
  const { code, stderr } = await run(['merge', folder, '--out', join(await scratch(t), 'out'), '--progress', 'none']);
  assert.equal(code, 3);
  assert.match(stderr, /^Not everything could be merged:\n - Left out: 002\.two\/Patient\.002\.ndjson:1: not a JSON object/);
});

test('merge refuses folders that are not what they should be', async (t) => {
  const folder = await managed(t);
  const foreign = await scratch(t);
  await writeFile(join(foreign, 'notes.txt'), 'mine');
  for (const [args, code, message] of [
    [[folder], 2, /--out is required/],
    [['--out', 'x'], 2, /DIR is missing/],
    [[folder, '--out', foreign], 1, /The folder to merge into is not empty\./],
    [[folder, '--out', folder], 1, /not an output folder, but a managed folder/],
    [[join(folder, '001.one'), '--out', 'x'], 1, /not a managed folder, but an output folder/],
  ]) {
    const result = await run(['merge', ...args], { cwd: foreign });
    assert.match(result.stderr, message);
    assert.equal(result.code, code);
  }
  assert.deepEqual(await filesBelow(foreign), ['notes.txt']);
});
