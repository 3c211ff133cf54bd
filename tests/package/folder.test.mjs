// Reading back in Node: what a folder holds, its resources, its files, ZIP, and removing.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';

import { Folder } from '../../pkg-template/folder.js';
import { load } from '../../pkg-template/load-node.js';
import { LocalAccess } from '../../pkg-template/local.js';
import { Client, bundle, folders, memoryFolder, merge, openFolder, resetLinks, verify, zip } from '../../pkg-template/node.js';
import { Gate } from '../gate.mjs';
import { unzip } from '../browser/unzip.mjs';
import { folder as temporary, sandbox } from './helpers.mjs';

async function exported(t, options) {
  const { url } = await sandbox(t);
  const path = join(temporary(t), 'export');
  const folder = await openFolder(path);
  await new Client({ fhirUrl: url }).bulk(folder, { types: ['Patient', 'Condition'], ...options }).result;
  return { url, path, folder };
}

const all = async (items) => {
  const list = [];
  for await (const item of items) list.push(item);
  return list;
};

for (const compress of [true, false]) {
  test(`a folder is read back (${compress ? 'gzip' : 'plain'})`, async (t) => {
    const { url, path, folder } = await exported(t, { compress });
    const { kind, complete, runs, files } = await folder.status();
    assert.deepEqual([folder.storage, kind, complete], ['node-fs', 'output', true]);
    assert.deepEqual(runs.map(({ state, request, missing }) => [state, request.fhirUrl, missing]), [['finished', url, 0]]);
    assert.deepEqual(files.map(({ name }) => name).sort(), readdirSync(path).filter((name) => /ndjson/.test(name) && name !== 'log.ndjson').sort());
    const types = await folder.types();
    for (const type of ['Patient', 'Condition']) {
      const found = await all(folder.resources(type));
      assert.equal(found.length, types[type].resources);
      assert.ok(found.length > 0 && found.every(({ resourceType }) => resourceType === type));
    }
    const [first] = files;
    const stored = readFileSync(join(path, first.name));
    assert.ok(stored.equals(Buffer.from(await (await folder.file(first.name).blob()).arrayBuffer())));
    assert.ok(stored.equals(Buffer.concat(await all(folder.file(first.name).stream()))));
    assert.equal((await folder.file(first.name).text()).trim().split('\n').length, first.resources);
    assert.equal(JSON.parse(await folder.file('.metadata').text()).kind, 'output');
    await assert.rejects(folder.file('none').text(), { code: 'notFound' });
    await assert.rejects(folder.file('../secret').text(), { code: 'storage' });
  });
}

test('a file that is gone is no part of a complete export, and is not read over in silence', async (t) => {
  const { url, path, folder } = await exported(t);
  const name = readdirSync(path).find((one) => one.startsWith('Condition.'));
  const conditions = await all(folder.resources('Condition'));
  rmSync(join(path, name));
  const { complete, missing } = await folder.status();
  assert.deepEqual([complete, missing], [false, [{ name, types: ['Condition'] }]]);
  await assert.rejects(all(folder.resources('Condition')), { code: 'corrupt', message: new RegExp(`^${name} is missing`) });
  const named = [];
  assert.deepEqual(await all(folder.resources('Condition', { onMissing: (file) => named.push(file) })), []);
  assert.deepEqual(named, [name]);
  assert.ok((await all(folder.resources('Patient'))).length > 0);
  await new Client({ fhirUrl: url }).bulk(folder, { types: ['Patient', 'Condition'] }).result;
  assert.deepEqual((await folder.status()).missing, []);
  assert.deepEqual(await all(folder.resources('Condition')), conditions);
});

test('files of other programs: several gzip members, no ledger, links', async (t) => {
  const path = temporary(t);
  const lines = (ids) => ids.map((id) => `{"resourceType":"Patient","id":"${id}"}\n`).join('');
  writeFileSync(join(path, 'Patient.001.ndjson.gz'), Buffer.concat([gzipSync(lines(['a', 'b'])), gzipSync(lines(['ü']))]));
  writeFileSync(join(path, 'Patient.002.ndjson'), lines(['d']).trimEnd());
  writeFileSync(join(path, 'Patient.003.ndjson.gz.part'), 'half');
  writeFileSync(join(path, 'notes.txt'), 'mine');
  const folder = await openFolder(path);
  assert.deepEqual((await all(folder.resources('Patient'))).map(({ id }) => id), ['a', 'b', 'ü', 'd']);
  assert.deepEqual(await folder.types(), { Patient: { files: 2, resources: undefined } });
});

test('a ZIP file of a folder', async (t) => {
  const { path, folder } = await exported(t);
  const entries = unzip(Buffer.concat(await all(zip(folder))));
  assert.deepEqual([...entries.keys()].sort(), readdirSync(path).sort());
  for (const [name, bytes] of entries) assert.ok(bytes.equals(readFileSync(join(path, name))), name);
});

test('removing takes what is ours and leaves the rest', async (t) => {
  const { path, folder } = await exported(t);
  writeFileSync(join(path, 'notes.txt'), 'mine');
  mkdirSync(join(path, 'error'), { recursive: true });
  writeFileSync(join(path, 'Patient.009.ndjson.gz.part'), 'half');
  assert.deepEqual((await folders(join(path, '..'))).map(({ name }) => name), [path]);
  await folder.remove();
  assert.deepEqual(readdirSync(path), ['notes.txt']);
  const { url } = await sandbox(t, { faults: { pending: 1 } });
  const other = await openFolder(join(temporary(t), 'other'));
  const job = new Client({ fhirUrl: url }).bulk(other, { types: ['Patient'] });
  for await (const { type } of job) {
    if (type !== 'kickedOff') continue;
    await assert.rejects(other.remove(), { code: 'locked' });
    break;
  }
  assert.equal((await job.result).verdict, 'complete');
  assert.ok(existsSync(other.name));
});

test('a paused job sends nothing', async (t) => {
  const gate = new Gate(1);
  const server = await sandbox(t, { faults: { page: 1 }, hold: gate.hold });
  const job = new Client({ fhirUrl: server.url }).bulk(await openFolder(join(temporary(t), 'paused')), { types: ['Patient'] });
  const files = (count) => server.requests.filter(({ url }) => url.includes('/bulkfiles/')).length === count;
  for await (const { type } of job) if (type === 'fileFinished') break;
  // As many on their way as may be, of ten.
  while (!files(1 + 5)) await wait(5);
  job.pause();
  gate.open();
  await wait(500);
  assert.ok(files(1 + 5));
  job.resume();
  assert.equal((await job.result).verdict, 'complete');
});

test('a state that is replaced while it is read is one or the other, never halves of two', async () => {
  const states = ['a', 'b'].map((letter) => JSON.stringify({ files: letter.repeat(letter === 'a' ? 600_000 : 700_000) }));
  let reads = 0;
  // As a job at work: there is another state at each look.
  const backend = {
    name: 'busy',
    read: async (path, offset, max) => Buffer.from(states[reads++ % 2]).subarray(offset, offset + max),
  };
  const folder = new Folder(new LocalAccess(backend, 'memory', load));
  const file = folder.file('.metadata');
  assert.ok(states.includes(await file.text()), 'text');
  assert.ok(states.includes(await new Response(file.stream()).text()), 'stream');
  assert.ok(states.includes(await (await file.blob()).text()), 'blob');
});

test('bundle: one file in the place of all, its progress told', async (t) => {
  const path = join(temporary(t), 'data');
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'Patient.001.ndjson'), '{"resourceType":"Patient","id":"p1"}\n{"resourceType":"Patient","id":"p2"}\n');
  const job = bundle(await openFolder(path), { compress: false });
  const events = [];
  for await (const event of job) events.push(event);
  assert.deepEqual(events.at(-1), { type: 'progress', task: 'Bundling', done: 1, total: 1, resources: 2 });
  const report = await job.result;
  assert.deepEqual({ ...report, bytes: 0 }, { name: 'Bundle.json', bytes: 0, resources: 2, sources: ['Patient.001.ndjson'] });
  assert.deepEqual(readdirSync(path), ['Bundle.json']);
  await assert.rejects(bundle(await openFolder(path), { compress: false }).result, { code: 'mismatch' });
});

test('a large file is compressed by a worker, in members, and its rows keep their order', async (t) => {
  const path = join(temporary(t), 'data');
  mkdirSync(path, { recursive: true });
  const ids = Array.from({ length: 60_000 }, (_, n) => `p${n}`);
  writeFileSync(join(path, 'Patient.ndjson'), ids.map((id) => `{"resourceType":"Patient","id":"${id}"}\n`).join(''));
  const report = await bundle(await openFolder(path), { compress: true }).result;
  const stored = readFileSync(join(path, report.name));
  assert.deepEqual(JSON.parse(gunzipSync(stored)).entry.map(({ resource }) => resource.id), ids);
  const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
  let members = 0;
  for (let at = stored.indexOf(header); at >= 0; at = stored.indexOf(header, at + 1)) members += 1;
  assert.ok(members > 3, `${members} members`);
});

test('a folder that is not there is a usage error of each job that reads one; an empty one is there', async (t) => {
  const none = join(temporary(t), 'none');
  const missing = await openFolder(none);
  const client = new Client({ fhirUrl: 'http://127.0.0.1:9/fhir', retryDelays: [] });
  const jobs = [client.hydrate(missing), verify(missing), merge(missing, memoryFolder()), bundle(missing), resetLinks(missing), client.hydrate(memoryFolder(), { source: missing })];
  for (const job of jobs) {
    await assert.rejects(job.result, { code: 'usage', exitStatus: 2, message: new RegExp(`^Local folder '${none}' does not exist\\.`), hint: /has made\.$/ });
  }
  assert.equal(existsSync(none), false, 'nothing is made');
  const report = await client.hydrate(memoryFolder()).result;
  assert.deepEqual([report.verdict, report.tasks.every(({ skipped }) => skipped)], ['complete', true]);
});

test('merge: the state of a managed folder in another one, in memory too', async (t) => {
  const path = join(temporary(t), 'managed');
  mkdirSync(join(path, '001.one'), { recursive: true });
  writeFileSync(join(path, '.metadata'), JSON.stringify({ 'fhir-url': 'https://ehr.example/fhir', group: null, kind: 'managed' }));
  writeFileSync(join(path, '001.one', '.metadata'), JSON.stringify({ kind: 'output', filters: { Patient: [] }, complete: true }));
  writeFileSync(join(path, '001.one', 'Patient.001.ndjson'), '{"resourceType":"Patient","id":"1","v":1}\n{"resourceType":"Patient","id":"1","v":2}\n');
  const out = memoryFolder();
  const report = await merge(await openFolder(path), out).result;
  assert.equal(report.exitStatus, 0);
  assert.deepEqual(report.types, { Patient: { files: 1, resources: 1 } });
  assert.deepEqual(await all(out.resources('Patient')), [{ resourceType: 'Patient', id: '1', v: 2 }]);
  assert.equal((await out.status()).complete, true);
  await assert.rejects(merge(out, memoryFolder()).result, { code: 'mismatch' });
});
