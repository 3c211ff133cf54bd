// Hydration by the package's API.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Client, hydrationTasks, memoryFolder, openFolder } from '../../pkg-template/node.js';
import { folder, sandbox, serve, text } from './helpers.mjs';

const FAST = { retryDelays: ['10ms'] };
const line = (resource) => `${JSON.stringify(resource)}\n`;

test('hydrate: events and report tell what came, and the files hold it', async (t) => {
  const sbx = await sandbox(t, { data: undefined, patients: 3 });
  const path = folder(t);
  writeFileSync(join(path, 'Encounter.001.ndjson'), [1, 2, 3, 99].map((n) => line({ resourceType: 'Encounter', id: `e${n}`, serviceProvider: { reference: `Organization/org-${n}` } })).join(''));
  const job = new Client({ fhirUrl: sbx.url, ...FAST }).hydrate(await openFolder(path), { tasks: ['organization'], compress: false });
  const events = [];
  for await (const event of job) events.push(event);
  const report = await job.result;
  assert.deepEqual([report.verdict, report.exitStatus, report.failed, report.foreign], ['incomplete', 3, 1, 0]);
  assert.match(report.failures[0], /\[404\]/);
  const tasks = report.tasks.filter(({ skipped }) => !skipped);
  assert.deepEqual(tasks.map(({ task }) => task), ['enc-org', 'org-org']);
  assert.deepEqual(tasks[0].newlyDone, { resources: 3, items: 3 });
  assert.deepEqual(events.filter(({ type }) => type === 'hydrated').map((event) => event.report), report.tasks);
  const last = events.filter(({ type }) => type === 'progress').at(-1);
  assert.equal(last.done, last.total);
  const rows = text(path, 'Organization.referenced.ndjson').trimEnd().split('\n').map((row) => JSON.parse(row));
  assert.deepEqual(rows.map(({ id }) => id).sort(), ['org-1', 'org-2', 'org-3']);
});

test('hydrate: a note of some megabytes comes whole, from a server that needs the token and knows no Accept', async (t) => {
  const note = 'All is well. '.repeat(400_000);
  const url = await serve(t, (request, response) => {
    if (request.headers.authorization !== 'Bearer good-token') response.writeHead(401).end();
    else response.writeHead(200, { 'content-type': 'application/fhir+json' }).end(JSON.stringify({ resourceType: 'Binary', contentType: 'text/plain', data: Buffer.from(note).toString('base64') }));
  });
  const path = folder(t);
  const attachment = { contentType: 'text/plain', url: 'Binary/1' };
  writeFileSync(join(path, 'DocumentReference.001.ndjson'), line({ resourceType: 'DocumentReference', id: 'd', content: [{ attachment }] }));
  const client = new Client({ fhirUrl: url, auth: { token: 'good-token' }, ...FAST });
  assert.equal((await client.hydrate(await openFolder(path), { tasks: ['inline'] }).result).verdict, 'complete');
  const { data, size } = JSON.parse(text(path, 'DocumentReference.001.ndjson')).content[0].attachment;
  assert.equal(Buffer.from(data, 'base64').toString(), note);
  assert.equal(size, note.length);
});

test('hydrate: from a source, in memory, and cancelled before it begins', async (t) => {
  const sbx = await sandbox(t, { data: undefined, patients: 1 });
  const path = folder(t);
  writeFileSync(join(path, 'Device.001.ndjson'), line({ resourceType: 'Device', id: 'd', location: { reference: 'Location/loc-1' } }));
  const client = new Client({ fhirUrl: sbx.url, ...FAST });
  const memory = memoryFolder();
  const source = await openFolder(path);
  for (const done of ['newlyDone', 'alreadyDone']) {
    const { tasks } = await client.hydrate(memory, { tasks: ['location'], source }).result;
    assert.equal(tasks.find(({ task }) => task === 'dev-loc')[done].items, 1, done);
  }
  await assert.rejects(client.hydrate(memory, { signal: AbortSignal.abort() }).result, { code: 'cancelled' });
});

test('hydrate: wrong options are usage errors', async () => {
  const client = new Client({ fhirUrl: 'http://127.0.0.1:9/fhir' });
  await assert.rejects(client.checkHydrate({ tasks: ['foo'] }), { code: 'usage', message: /Unknown hydration task provided: foo/ });
  await assert.rejects(client.checkHydrate({ attachmentsDir: '../x' }), { code: 'usage' });
  assert.deepEqual(await hydrationTasks(), ['episodeofcare', 'inline', 'medication', 'observation', 'specimen', 'practitioner', 'location', 'organization']);
});
