// The entry whose caller loads the WebAssembly, and folders copied without a browser.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import * as node from '../../pkg-template/node.js';
import * as slim from '../../pkg-template/slim.js';
import { folder, sandbox } from './helpers.mjs';

const { Client, copyFolder, flavour, importFolder, init, memoryFolder, openFolder, version } = slim;
const FILE = new URL(`../../pkg-template/wasm/smart_fetch_full_${flavour()}_bg.wasm`, import.meta.url);

const contentsOf = (path) =>
  new Map(readdirSync(path, { recursive: true }).filter((name) => statSync(join(path, name)).isFile()).map((name) => [name, readFileSync(join(path, name))]));

test('slim: nothing before the WebAssembly is there; a load that fails can be tried again; then an export, in this thread', async (t) => {
  const { url } = await sandbox(t);
  await assert.rejects(version(), { code: 'usage', message: /not there yet/ });
  await assert.rejects(new Client({ fhirUrl: url }).bulk(memoryFolder()).result, { code: 'usage' });
  await assert.rejects(init({}), { code: 'usage', message: new RegExp(flavour()) });
  await assert.rejects(init({ [flavour()]: () => Promise.reject(new Error('no network')) }), /no network/);
  await init({ [flavour()]: async () => readFileSync(FILE) });
  assert.equal(await version(), await node.version());

  const folder = await openFolder('somewhere', { storage: 'memory' });
  assert.match(folder.warning, /lost/);
  const job = new Client({ fhirUrl: url }).bulk(folder, { types: ['Patient'] });
  const seen = new Set();
  for await (const { type } of job) seen.add(type);
  assert.equal((await job.result).types.Patient.resources, 10);
  assert.ok(seen.has('fileFinished'));
  const ids = new Set();
  for await (const { id } of folder.resources('Patient')) ids.add(id);
  assert.equal(ids.size, 10);
  const copy = memoryFolder();
  assert.equal((await copyFolder(folder, copy)).files, 3);
  assert.deepEqual(await copy.types(), await folder.types());
  await assert.rejects(importFolder(copy, folder), { code: 'mismatch' });
});

test('in Node: a folder is copied and taken in with its links, and a job carries on with the copy', async (t) => {
  const { url } = await sandbox(t);
  const [from, to, back] = [join(folder(t), 'from'), join(folder(t), 'to'), join(folder(t), 'back')];
  const client = new node.Client({ fhirUrl: url });
  await client.bulk(await node.openFolder(from), { types: ['Patient', 'Condition'] }).result;
  symlinkSync('Patient.001.ndjson.gz', join(from, 'latest.ndjson.gz'));
  writeFileSync(join(from, '.lock.left'), 'of another program');
  const seen = [];
  const copied = await node.copyFolder(await node.openFolder(from), await node.openFolder(to), { onProgress: ({ name }) => seen.push(name) });
  assert.equal(copied.files, 4);
  assert.ok(seen.includes('.metadata'));
  const expected = contentsOf(from);
  expected.delete('.lock.left');
  assert.deepEqual(contentsOf(to), expected);
  assert.equal((await client.bulk(await node.openFolder(to), { types: ['Patient', 'Condition'] }).result).fetched, 0);
  // As picked in a browser; links are not among those.
  const files = [...contentsOf(from)].filter(([name]) => name !== 'latest.ndjson.gz').map(([name, bytes]) => new File([bytes], name));
  await node.importFolder(await node.openFolder(back), files);
  assert.deepEqual(await (await node.openFolder(back)).types(), await (await node.openFolder(from)).types());
  await assert.rejects(node.importFolder(await node.openFolder(join(folder(t), 'none')), [new File([], 'x')]), { code: 'mismatch' });
  await assert.rejects(node.copyFolder(await node.openFolder(from), await node.openFolder(to)), { code: 'mismatch' });
  await assert.rejects(node.copyFolder(await node.openFolder(from), await node.openFolder(join(folder(t), 'x')), { signal: AbortSignal.abort() }), { code: 'cancelled' });
});

test('slim has all that the package has in Node, but for the folders of a file system', () => {
  const missing = Object.keys(node).filter((name) => !(name in slim));
  assert.deepEqual(missing, ['folders']);
});
