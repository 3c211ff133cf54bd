// `hydrate` as users have it, on data in which every task finds something.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { referenceResources, referenceTargets } from '../../node-cli/src/sandbox/data/references.js';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { filesBelow, printed, run, scratch, start } from './support.mjs';

/** Types that exports do not bring: they are only there to be found. */
const SHARED = ['Practitioner', 'PractitionerRole', 'Location', 'Organization', 'Medication', 'Binary'];
const targets = new Set(referenceTargets());

/** A sandbox with references, and a folder as an export leaves it: what only hydration finds is missing. */
async function prepare(t, options = {}) {
  const server = await startSandbox({ patients: 0, references: true, ...options, faults: { pending: 0, ...options.faults } });
  t.after(() => server.close());
  const folder = join(await scratch(t), 'out');
  await mkdir(folder);
  const files = new Map();
  for (const resource of referenceResources(server.origin)) {
    const { resourceType, id } = resource;
    if (SHARED.includes(resourceType) || targets.has(`${resourceType}/${id}`)) continue;
    files.set(resourceType, `${files.get(resourceType) ?? ''}${JSON.stringify(resource)}\n`);
  }
  for (const [type, rows] of files) await writeFile(join(folder, `${type}.001.ndjson`), rows);
  return { server, folder, args: ['hydrate', folder, '--fhir-url', server.url, '--progress', 'plain', '--retry-delays', '10ms,20ms'] };
}

async function rows(folder, name) {
  const bytes = await readFile(join(folder, name));
  const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
  return text.trimEnd().split('\n').map((line) => JSON.parse(line));
}

test('hydrate finds everything that there is to find, and tells it as the reference does', async (t) => {
  const { folder, args, server } = await prepare(t);
  const { code, stdout, stderr } = await run(args);
  assert.equal(code, 3, stderr);
  const found = new Set();
  for (const name of (await filesBelow(folder)).filter((one) => one.endsWith('.ndjson.gz') && !one.includes('error/'))) {
    for (const { resourceType, id } of await rows(folder, name)) found.add(`${resourceType}/${id}`);
  }
  assert.deepEqual([...targets].filter((target) => !found.has(target)), [], 'found by each task');
  assert.match(stdout, /^Downloading referenced EpisodeOfCares from DocumentReferences\.\n {19}DocumentReferences {2}EpisodeOfCares\n Total examined +\d+ +\d+\n Newly downloaded +1 +1\n/);
  assert.match(stdout, /\n {18}DocumentReferences {2}Attachments\n Total examined +\d+ +\d+\n Already inlined +\d+ +\d+\n Newly inlined +\d+ +\d+\n Fatal errors +2 +2\n/);
  assert.match(stdout, /Source Observations {2}Target Observations\n/);
  assert.match(stderr, /References that could not be had:\n - [^\n]*Binary/);
  assert.match(stderr, /Warning: 1 reference leads to another server; it was not followed\./);
  assert.match(stderr, /Finished, but \d+ references could not be had; '.*\/error' lists them\. Run the same command again to try just those\.\n$/);
  const requests = server.requests.filter(({ url }) => !/\/(metadata|Binary|attachments)\b/.test(url));
  assert.equal(new Set(requests.map(({ url }) => url)).size, requests.length, 'nothing is asked for twice');
  assert.ok(requests.length < targets.size, 'many ids go in one request');

  server.clearRequests();
  const again = await run([...args, '-v']);
  assert.equal(again.code, 3);
  assert.match(again.stderr, /Warning: An error occurred when connecting to "[^"]+\/Practitioner\/missing": \[404\]/);
  assert.ok(server.requests.filter(({ url }) => /\/(Practitioner|Binary|attachments)\//.test(url)).length < 10, 'only what failed, and notes that are none');
});

test('hydrate runs the tasks that are named, and says when there is nothing to read', async (t) => {
  const { folder, args } = await prepare(t);
  const { code, stdout } = await run([...args, '--tasks', 'Medication,specimen', '--no-compression']);
  assert.equal(code, 0);
  assert.deepEqual((await filesBelow(folder)).filter((name) => name.includes('.referenced.')), ['Medication.referenced.ndjson', 'Specimen.referenced.ndjson']);
  assert.ok(stdout.endsWith('✨ Done ✨\n'));
  const empty = await scratch(t);
  const nothing = await run(['hydrate', empty, ...args.slice(2), '--tasks', 'medication']);
  assert.equal(nothing.code, 0);
  assert.match(nothing.stdout, /^Downloading referenced Medications from MedicationDispenses\.\nSkipping meddisp-med, no MedicationDispense resources found\.\n/);
  assert.deepEqual(await filesBelow(empty), []);
});

test('hydrate reads from another folder, and writes into its own', async (t) => {
  const { folder, args } = await prepare(t);
  const out = join(folder, '..', 'elsewhere');
  const before = await filesBelow(folder);
  const { code } = await run(['hydrate', out, '--source-dir', folder, ...args.slice(2), '--tasks', 'medication']);
  assert.equal(code, 0);
  assert.deepEqual(await filesBelow(out), ['Medication.referenced.ndjson.gz']);
  assert.deepEqual(await filesBelow(folder), before);
});

test('hydrate inlines the types that are named, and stores others as files', async (t) => {
  const { folder, args } = await prepare(t);
  const note = async (n) => (await rows(folder, 'DocumentReference.001.ndjson')).find(({ id }) => id === `note-${n}`).content[0].attachment;
  await run([...args, '--tasks', 'inline', '--attachments-dir', 'attachments']);
  assert.equal((await note(0)).contentType, 'text/plain; charset=utf-8');
  assert.equal(Buffer.from((await note(0)).data, 'base64').toString(), 'A note: ü\n');
  const pdf = await note(3);
  assert.equal(pdf.data, undefined);
  const file = `${Buffer.from(pdf.hash, 'base64').toString('hex')}.pdf`;
  assert.equal(await readFile(join(folder, 'attachments', file), 'utf8'), '%PDF-1.4');
  await run([...args, '--tasks', 'inline', '--mimetypes', 'application/PDF']);
  assert.equal(Buffer.from((await note(3)).data, 'base64').toString(), '%PDF-1.4');
});

test('wrong usage of hydrate is told before anything is sent', async (t) => {
  const { folder, args, server } = await prepare(t);
  const help = await run(['hydrate', '--tasks', 'HELP']);
  assert.deepEqual([help.code, help.stdout], [0, 'These hydration tasks are supported:\n  all\n  none\n  episodeofcare\n  inline\n  location\n  medication\n  observation\n  organization\n  practitioner\n  specimen\n']);
  for (const [more, words] of [
    [['--tasks', 'foo'], /Unknown hydration task provided: foo/],
    [['--attachments-dir', '../x'], /The attachments folder '\.\.\/x' is no folder inside the output folder/],
  ]) {
    const { code, stderr } = await run([...args, ...more]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, words);
  }
  assert.equal((await run(['hydrate', folder])).code, 2);
  const none = await run([...args, '--tasks', 'none']);
  assert.deepEqual([none.code, none.stdout], [0, '✨ Done ✨\n']);
  assert.deepEqual(server.requests, []);
});

test('hydrate of an empty folder finds nothing to do, and leaves it empty', async (t) => {
  const { server } = await prepare(t);
  const folder = await scratch(t);
  const { code, stdout, stderr } = await run(['hydrate', folder, '--fhir-url', server.url]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /Skipping medreq-med, no MedicationRequest resources found\.\n/);
  assert.match(stdout, /✨ Done ✨\n$/);
  assert.deepEqual(await filesBelow(folder), []);
});

test('hydrate keeps what it has when it is interrupted', async (t) => {
  const { folder, args, server } = await prepare(t, { faults: { latency: 20 } });
  const input = await rows(folder, 'DocumentReference.001.ndjson');
  const job = start([...args, '--max-connections', '1']);
  await printed(job, ({ stdout }) => stdout.includes('Practitioners from'));
  job.child.kill('SIGINT');
  const { code, stderr } = await job.ended;
  assert.equal(code, 130);
  assert.match(stderr, /Interrupted\. What was fetched is kept in '.*'\. To carry on, run:\n {2}.*smart-fetch\S* hydrate /);
  assert.deepEqual((await rows(folder, 'DocumentReference.001.ndjson')).map(({ id }) => id), input.map(({ id }) => id));
  server.setFaults({ pending: 0 });
  server.clearRequests();
  assert.equal((await run(args)).code, 3);
  assert.deepEqual(server.requests.filter(({ url }) => url.includes('Medication')), [], 'what is here is not fetched again');
});

test('--progress json has an event for each task, and the report at the end', async (t) => {
  const { args } = await prepare(t);
  const { stdout } = await run([...args, '--tasks', 'medication', '--progress', 'json']);
  const events = stdout.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(events.filter(({ type }) => type === 'hydrated').map(({ report }) => report.task), ['meddisp-med', 'medreq-med']);
  const { report } = events.at(-1);
  assert.deepEqual([report.verdict, report.tasks.length, report.tasks[0].newlyDone], ['complete', 2, { resources: 1, items: 1 }]);
});
