// `smart-fetch crawl` from end to end: the process, the core in WebAssembly, the embedded sandbox, a folder on disk.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { metadataOf, printed, rowsOf, run, scratch, start } from './support.mjs';
import { before, patientIds, QUICK, sandbox } from './server.mjs';

test('a crawl over the usual types brings what a bulk export of these patients brings, byte for byte', async (t) => {
  const server = await sandbox(t, { faults: { searchPage: 7 } });
  const [crawled, exported] = [join(await scratch(t), 'crawled'), join(await scratch(t), 'exported')];
  const flags = ['--fhir-url', server.url, '--group', 'all', ...QUICK];
  const crawl = await run(['crawl', crawled, ...flags]);
  assert.equal(crawl.code, 0, crawl.stderr);
  assert.match(crawl.stdout, /^Observation +1 +[\d,]+$/m);
  assert.match(crawl.stdout, /\n10 patients; \d+ files, [\d.]+KB in '.*crawled'; [\d.]+s\n✨ Done ✨\n$/);
  assert.match(crawl.stderr, /Crawling Conditions: 10 of 10, 47 resources/);
  const bulk = await run(['bulk', exported, ...flags]);
  assert.equal(bulk.code, 0, bulk.stderr);
  assert.deepEqual(rowsOf(crawled), rowsOf(exported));
  assert.ok(server.stats.routes.search.maxInFlight <= 5, 'not more than five searches at once');
  const [of, like] = [metadataOf(crawled), metadataOf(exported)];
  assert.deepEqual([of.filters, of.complete], [like.filters, true]);
  // Again: nothing is fetched.
  server.clearRequests();
  const again = await run(['crawl', crawled, ...flags]);
  assert.equal(again.code, 0, again.stderr);
  assert.deepEqual(server.requests.map((request) => request.url), ['/fhir/metadata']);
  assert.match(again.stderr, /Skipping Specimen, already done\./);
  // Another cohort does not go into this folder.
  const other = await run(['crawl', crawled, ...flags, '--id-list', 'somebody']);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /a crawl of other patients/);
});

test('patients that fail are named, and the same command gets just them', async (t) => {
  const server = await sandbox(t);
  const [ill, strange, ...others] = patientIds();
  let well = false;
  const asked = [];
  const url = await before(t, server.url, (path, response) => {
    asked.push(path);
    if (well || !path.includes('/Condition?')) return false;
    if (path.includes(ill)) response.writeHead(500).end('database down');
    else if (path.includes(strange)) response.writeHead(200, { 'Content-Type': 'application/fhir+json' }).end('{"resourceType":"Bundle","entry":[{');
    else return false;
    return true;
  });
  const out = join(await scratch(t), 'out');
  const file = join(await scratch(t), 'cohort.csv');
  await writeFile(file, `name,ID\n${patientIds().map((id) => `"Doe, J",${id}\n`).join('')}`);
  const command = ['crawl', out, '--fhir-url', url, '--id-file', file, '--type', 'patient,condition,encounter', '--no-compression', ...QUICK];
  const first = await run(command);
  assert.equal(first.code, 3, first.stderr);
  assert.match(first.stderr, new RegExp(`Condition of ${ill}: .*\\[500\\] database down`));
  assert.match(first.stderr, new RegExp(`Condition of ${strange}: .*no FHIR resource`));
  assert.match(first.stderr, /some data are missing: Condition of 2 patients\. Run the same command again to get just those\.\n$/);
  const subjects = () => new Set(rowsOf(out).Condition.map((row) => JSON.parse(row).subject.reference.split(/[/:]/).at(-1)));
  assert.ok(!subjects().has(ill) && !subjects().has(strange) && others.some((id) => subjects().has(id)));
  assert.deepEqual(Object.keys(metadataOf(out).done).sort(), ['Encounter', 'Patient']);
  assert.equal(readFileSync(join(out, 'error/OperationOutcome.ndjson'), 'utf8').trim().split('\n').length, 2);
  const log = readFileSync(join(out, 'log.ndjson'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  assert.match(log[0].eventDetail.exportUrl, /\/Group\/cohort\/\$export$/, 'the cohort is called as its file');

  well = true;
  asked.length = 0;
  const second = await run(command);
  assert.equal(second.code, 0, second.stderr);
  assert.deepEqual(asked.slice(1).sort(), [ill, strange].map((id) => `/fhir/Condition?patient=${id}`));
  const whole = await run(['crawl', join(out, '../whole'), ...command.slice(2)]);
  assert.equal(whole.code, 0, whole.stderr);
  assert.deepEqual(rowsOf(out), rowsOf(join(out, '../whole')));
});

test('a server that ignores the parameter patient of a type gets no file of it filled with everybody for each patient', async (t) => {
  const out = join(await scratch(t), 'out');
  const server = await sandbox(t, { faults: { ignoreSearchParams: 'Condition.patient' } });
  const command = ['crawl', out, '--fhir-url', server.url, '--id-list', patientIds().join(','), '--type', 'Patient,Condition,Encounter', ...QUICK];
  const { code, stdout, stderr } = await run(command);
  assert.equal(code, 3, stderr);
  assert.equal(stderr.match(/seems to ignore the parameter patient for Condition: its answers for the patients [-0-9a-f, ]+ all begin with Condition\/[-0-9a-f]+\. /g)?.length, 1, stderr);
  assert.match(stderr, /some data are missing: Condition of 10 patients/);
  assert.ok(!/Done/.test(stdout), stdout);
  assert.deepEqual([Object.keys(rowsOf(out)).sort(), Object.keys(metadataOf(out).done).sort()], [['Encounter', 'Patient'], ['Encounter', 'Patient']]);
  assert.ok(server.requests.filter(({ url }) => url.includes('/Condition?')).length < 10, 'not everybody was asked for');
});

test('a crawl that is killed goes on, and nothing is lost or doubled', async (t) => {
  const server = await sandbox(t, { faults: { searchPage: 3 } });
  const folder = await scratch(t);
  const [out, whole] = [join(folder, 'out'), join(folder, 'whole')];
  const command = (to) => ['crawl', to, '--fhir-url', server.url, '--id-list', patientIds().join(','), '--type', 'Patient,Encounter,Observation', ...QUICK];
  for (const [moment, requests] of [[1, 5], [2, 40], [3, 150], [4, 220]]) {
    server.clearRequests();
    const killed = start(command(out));
    await printed(killed, () => server.requests.length >= requests || killed.child.exitCode !== null);
    killed.child.kill('SIGKILL');
    const { signal } = await killed.ended;
    assert.ok(signal === 'SIGKILL' || moment > 1, 'the first run was killed');
  }
  const [last, once] = [await run(command(out)), await run(command(whole))];
  assert.deepEqual([last.code, once.code], [0, 0], last.stderr + once.stderr);
  assert.deepEqual(rowsOf(out), rowsOf(whole));
  assert.deepEqual(readdirSync(out).filter((name) => /part|tmp/.test(name)), []);
});

test('a cohort may be in another folder, and since is asked for by what the server can search', async (t) => {
  const server = await sandbox(t);
  const folder = await scratch(t);
  const [first, more] = [join(folder, 'first'), join(folder, 'more')];
  const common = ['--fhir-url', server.url, ...QUICK];
  const begun = await run(['crawl', first, ...common, '--id-list', patientIds().slice(0, 2).join(), '--type', 'Patient']);
  assert.equal(begun.code, 0, begun.stderr);
  server.clearRequests();
  const run2 = await run(['crawl', more, ...common, '--source-dir', first, '--type', 'Condition,Encounter', '--since', '2020-01-01T00:00:00+01:00', '--count', '50']);
  assert.equal(run2.code, 0, run2.stderr);
  const asked = server.requests.map((request) => request.url).filter((path) => path.includes('patient=')).sort();
  const since = '_lastUpdated=gt2020-01-01T00:00:00%2B01:00';
  const [one, two] = patientIds();
  assert.deepEqual(asked, ['Condition', 'Encounter'].flatMap((type) => [one, two].map((id) => `/fhir/${type}?patient=${id}&${since}&_count=50`)).sort());
  const created = join(folder, 'created');
  server.clearRequests();
  const run3 = await run(['crawl', created, ...common, '--source-dir', first, '--type', 'Condition,Encounter', '--since', '2020', '--since-mode', 'created']);
  assert.equal(run3.code, 0, run3.stderr);
  const paths = server.requests.map((request) => request.url);
  assert.ok(paths.includes(`/fhir/Condition?patient=${one}&recorded-date=gt2020`), paths.join('\n'));
  assert.ok(paths.includes(`/fhir/Encounter?patient=${one}`), 'a type without such a date comes whole');
});

test('what cannot be meant is refused before anything is sent or written', async (t) => {
  const server = await sandbox(t);
  const out = join(await scratch(t), 'out');
  const refused = async (flags, code, message) => {
    const { code: exit, stderr } = await run(['crawl', out, '--fhir-url', server.url, ...flags]);
    assert.deepEqual([exit, message.test(stderr)], [code, true], stderr);
  };
  await refused(['--since', 'auto'], 2, /no earlier ones to take a since value from/);
  await refused(['--count', '0'], 2, /--count/);
  await refused(['--id-system', 'urn:mrn'], 2, /--id-system needs the identifiers/);
  await refused(['--source-dir', join(out, 'nodir')], 2, /Local folder '.*nodir' does not exist\./);
  await refused(['--type', 'Condition', '--type-filter', 'Patient?gender=female'], 2, /Type filter for Patient/);
  assert.equal(server.requests.length, 0);
  assert.equal(existsSync(out), false);
  await refused(['--type', 'Condition'], 1, /No cohort patients found in /);
});
