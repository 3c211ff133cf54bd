// Which patients: lists, files, and what they are called.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cohortOptions } from '../../node-cli/src/cohort.js';
import { scratch } from './support.mjs';

async function inFile(t, name, text) {
  const file = join(await scratch(t), name);
  await writeFile(file, text);
  return file;
}

test('ids come from the list and from a file, each once', async (t) => {
  const file = await inFile(t, 'my cohort.txt', '\uFEFFp1 \r\n\n  p3\np4');
  assert.deepEqual(await cohortOptions({ 'id-list': 'p1,, p2,p3', 'id-file': file, 'id-system': 'urn:mrn' }), {
    ids: ['p1', 'p2', 'p3', 'p4'],
    idSystem: 'urn:mrn',
    name: 'my cohort',
  });
  assert.deepEqual(await cohortOptions({}), {});
  assert.deepEqual(await cohortOptions({ 'group': 'G', 'id-file': file, 'group-nickname': 'ours' }), { ids: ['p1', 'p3', 'p4'], name: 'ours' });
});

test('a .csv has a column id, else mrn, in any case', async (t) => {
  for (const [text, expected] of [
    ['MRN,Name\r\n007,"Doe, Jane"\r\n008,"says ""hi""\nthere"\r\n', ['007', '008']],
    ['mrn,ID\nm1,i1\nm2,i2', ['i1', 'i2']],
    ['id\n"a,b"\n\n', ['a,b']],
    ['name,id\nx,1\ny', ['1']],
  ]) {
    assert.deepEqual((await cohortOptions({ 'id-file': await inFile(t, 'ids.CSV', text) })).ids, expected, text);
  }
});

test('files and lists without ids are refused', async (t) => {
  const wrong = (settings, message) => assert.rejects(cohortOptions(settings), (error) => message.test(error.message) && error.exitStatus === 2);
  await wrong({ 'id-file': await inFile(t, 'a.csv', 'patient\n1') }, /has no 'id' or 'mrn' header/);
  await wrong({ 'id-file': await inFile(t, 'c.txt', ' \n') }, /holds no ID/);
  await wrong({ 'id-file': '/no/such/file' }, /Could not read the ID file '\/no\/such\/file': there is no such file/);
  await wrong({ 'id-list': ',' }, /--id-list holds no ID/);
  await wrong({ 'id-system': 'urn:mrn' }, /--id-system needs the identifiers/);
});
