// Managed exports through the package: on disk and in memory, events, reports, links in storages that have none.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, memoryFolder, openFolder, resetLinks } from '../../pkg-template/node.js';
import { folder, sandbox } from './helpers.mjs';

const OPTIONS = { types: ['Patient,Condition'], defaultFilters: false, hydrationTasks: ['none'] };
const FAST = { retryDelays: ['50ms'], workers: 0 };

for (const [title, open] of [
  ['on disk', (t) => openFolder(folder(t))],
  ['in memory', async () => memoryFolder()],
]) {
  test(`export: a full one, an increment, and a crawl ${title}`, async (t) => {
    const sbx = await sandbox(t);
    const client = new Client({ fhirUrl: sbx.url, ...FAST });
    const out = await open(t);
    const job = client.export(out, { ...OPTIONS, nickname: 'one' });
    const events = [];
    for await (const event of job) events.push(event);
    const first = await job.result;
    assert.deepEqual([first.folder, first.resumed, first.mode, first.verdict, first.exitStatus], ['001.one', false, 'bulk', 'complete', 0]);
    assert.equal(first.bulk.types.Patient.resources, 10);
    assert.equal(first.links, 2);
    assert.ok(events.some(({ type, message }) => type === 'note' && message === "Creating new subfolder '001.one'."));
    const second = await client.export(out, { ...OPTIONS, since: 'auto', nickname: 'two' }).result;
    assert.deepEqual(Object.keys(second.since), ['Condition', 'Patient']);
    assert.equal(second.bulk.resources, 0);
    const third = await client.export(out, { ...OPTIONS, mode: 'crawl', nickname: 'three' }).result;
    assert.equal(third.crawl.patients, 10);
    // What the links show is read as if it were there.
    const patients = [];
    for await (const patient of out.resources('Patient')) patients.push(patient.id);
    assert.equal(new Set(patients).size, 10);
    const { kind, complete, exports } = await out.status();
    assert.equal(complete, true, 'the newest is');
    assert.equal(kind, 'managed');
    assert.deepEqual(exports.map(({ folder: name, since, complete }) => [name, since, complete]), [['001.one', undefined, true], ['002.two', 'auto', true], ['003.three', undefined, true]]);
    assert.deepEqual(Object.keys(exports[0].done), ['Patient', 'Condition']);
    assert.deepEqual(await resetLinks(out).result, { links: third.links });
  });
}

test('export: options that make no sense are refused before anything is sent', async (t) => {
  const sbx = await sandbox(t);
  const client = new Client({ fhirUrl: sbx.url, ...FAST });
  const before = sbx.requests.length;
  for (const [options, message] of [
    [{ nickname: '../x' }, /cannot be a nickname/],
    [{ hydrationTasks: ['nonsense'] }, /nonsense/],
    [{ since: 'auto', until: '2026-01-01' }, /exclude each other/],
    [{ idSystem: 'urn:x' }, /idSystem/],
    [{ mode: 'slow' }, /slow/],
    [{ since: 'last week' }, /last week/],
  ]) {
    await assert.rejects(client.checkExport(options), (error) => message.test(error.message) && error.exitStatus === 2, JSON.stringify(options));
  }
  await assert.rejects(client.checkBulk({ since: 'auto' }), /no earlier ones/);
  assert.equal(sbx.requests.length, before);
});

test('lists: ids mean these patients and no others, and a list is a list', async (t) => {
  const sbx = await sandbox(t);
  const client = new Client({ fhirUrl: sbx.url, ...FAST });
  const [id] = await client.patientIds('');
  const before = sbx.requests.length;
  const crawls = { crawl: async (options) => client.crawl(memoryFolder(), options).result, export: async (options) => client.export(memoryFolder(), { ...OPTIONS, ...options }).result };
  for (const [name, start] of Object.entries(crawls)) {
    for (const ids of [[], [''], [' ']]) await assert.rejects(start({ ids }), { code: 'usage', exitStatus: 2, message: /ids: .*names nobody/ }, name);
    await assert.rejects(start({ ids: id }), { code: 'usage', message: /ids: a text where a list is due/ }, name);
    await assert.rejects(start({ ids: [null] }), { code: 'usage', message: /ids: null where a text is due/ }, name);
    for (const ids of [null, 5]) await assert.rejects(start({ ids }), { code: 'usage', message: /ids: .* where a list is due/ }, name);
    await assert.rejects(start({ types: 'Patient' }), { code: 'usage', message: /types: a text where a list is due/ }, name);
  }
  await assert.rejects(client.export(memoryFolder(), { ...OPTIONS, mode: 'bulk', ids: [id] }).result, { code: 'usage', message: /cannot be limited/ });
  for (const patients of [[], ['']]) await assert.rejects(client.bulk(memoryFolder(), { level: 'patient', patients }).result, { code: 'usage', message: /patients: .*names nobody/ });
  assert.equal(sbx.requests.length, before);
  const report = await client.export(memoryFolder(), { ...OPTIONS, ids: new Set([id]) }).result;
  assert.deepEqual([report.mode, report.crawl.patients, report.crawl.types.Patient.resources], ['crawl', 1, 1]);
});

test('export: two at once do not meet in one folder', async (t) => {
  const sbx = await sandbox(t, { faults: { pending: 2 } });
  const client = new Client({ fhirUrl: sbx.url, ...FAST });
  const path = folder(t);
  const first = client.export(await openFolder(path), OPTIONS);
  for await (const { type } of first) if (type === 'kickedOff') break;
  await assert.rejects(client.export(await openFolder(path), OPTIONS).result, { code: 'locked' });
  first.cancel();
  await assert.rejects(first.result, { code: 'cancelled', exitStatus: 130 });
});
