// `bundle`, and `bulk --bundle`, as users have them.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { QUICK, sandbox } from './server.mjs';
import { filesBelow, run, scratch } from './support.mjs';

async function fill(folder) {
  await writeFile(join(folder, 'Patient.001.ndjson'), '{"resourceType":"Patient","id":"p1"}\n');
  await writeFile(join(folder, 'Condition.001.ndjson.gz'), gzipSync('{"resourceType":"Condition","id":"c1"}\n'.repeat(3)));
  await mkdir(join(folder, 'error'));
  await writeFile(join(folder, 'error', 'OperationOutcome.001.ndjson'), '{"resourceType":"OperationOutcome"}\n');
}

const entries = (text) => JSON.parse(text).entry.map(({ resource }) => resource.resourceType);

test('bundle puts one file in the place of all, and says so', async (t) => {
  const folder = await scratch(t);
  await fill(folder);
  const { code, stdout } = await run(['bundle', folder]);
  assert.equal(stdout, `Bundle file '${folder}/Bundle.json.gz' created.\n`);
  assert.equal(code, 0);
  assert.deepEqual(await filesBelow(folder), ['Bundle.json.gz', 'error/OperationOutcome.001.ndjson']);
  const text = gunzipSync(await readFile(join(folder, 'Bundle.json.gz'))).toString();
  assert.deepEqual(entries(text), ['Condition', 'Condition', 'Condition', 'Patient']);

  const again = await run(['bundle', `${folder}/`]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /Bundle file '.*\/Bundle\.json\.gz' already exists\./);
});

test('bundle --no-compression, in silence', async (t) => {
  const folder = await scratch(t);
  await fill(folder);
  assert.deepEqual(await run(['bundle', folder, '--no-compression', '-q']), { code: 0, signal: null, stdout: '', stderr: '' });
  assert.equal(entries(await readFile(join(folder, 'Bundle.json'), 'utf8')).length, 4);
});

test('bundle says what is missing, in the words of the reference', async (t) => {
  const folder = await scratch(t);
  const empty = await run(['bundle', folder]);
  assert.deepEqual([empty.code, empty.stderr], [1, `No FHIR files found in '${folder}'.\n`]);
  assert.deepEqual(await filesBelow(folder), [], 'nothing is made');
  assert.equal((await run(['bundle'])).code, 2);
  assert.equal((await run(['bundle', 's3://bucket/x'])).code, 2);
});

test('bulk --bundle ends in a Bundle; run again, it stays', async (t) => {
  const { url } = await sandbox(t);
  const folder = await scratch(t);
  const args = ['bulk', folder, '--fhir-url', url, '--type', 'Patient,Condition', '--bundle', '--progress', 'none', ...QUICK];
  assert.equal((await run(args)).code, 0);
  assert.deepEqual(await filesBelow(folder), ['.metadata', 'Bundle.json.gz', 'log.ndjson']);
  const before = await readFile(join(folder, 'Bundle.json.gz'));
  const kinds = entries(gunzipSync(before).toString());
  assert.deepEqual([...new Set(kinds)], ['Condition', 'Patient']);
  assert.equal((await run(args)).code, 0);
  assert.deepEqual(await readFile(join(folder, 'Bundle.json.gz')), before);
});
