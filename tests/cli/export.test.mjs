// `smart-fetch export` and `reset-symlinks` from end to end: managed folders over time, from the embedded sandbox.
import assert from 'node:assert/strict';
import { lstat, readFile, readlink, readdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { exportOptions } from '../../node-cli/src/commands/export.js';
import { parseCommandLine } from '../../node-cli/src/args.js';
import { readSettings } from '../../node-cli/src/config.js';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { run, scratch } from './support.mjs';
import { QUICK, patientIds, sandbox } from './server.mjs';

const SOME = ['--type', 'Patient,Condition,Observation', '--no-default-filters', '--hydration-tasks', 'none', ...QUICK];

async function links(folder) {
  const found = {};
  for (const name of (await readdir(folder)).sort()) {
    if ((await lstat(join(folder, name))).isSymbolicLink()) found[name] = await readlink(join(folder, name));
  }
  return found;
}

const metadata = async (folder) => JSON.parse(await readFile(join(folder, '.metadata'), 'utf8'));
const lines = async (file) => gunzipSync(await readFile(file)).toString().trim().split('\n').map((line) => JSON.parse(line));

test('every flag of export has its place in the options of the package', async () => {
  const argv = [
    ...['export', 'out/x', '--nickname', 'n', '--export-mode', 'crawl', '--since', 'auto', '--since-mode', 'updated', '--hydration-tasks', 'inline,location'],
    ...['--mimetypes', 'text/plain', '--group', 'g', '--group-nickname', 'gn', '--mrn-file', '/dev/null', '--id-list', 'a,b', '--mrn-system', 'urn:x'],
    ...['--reconcile', '--count', '50', '--no-compression', '--type', 'Patient', '--level', 'patient'],
  ];
  const settings = await readSettings(parseCommandLine(argv, assert.fail));
  await assert.rejects(exportOptions(settings, 'out/x'), /--group and --level exclude each other/);
  delete settings.level;
  assert.deepEqual(await exportOptions(settings, 'out/x'), {
    level: { group: 'g' }, types: ['Patient'], since: 'auto', sinceMode: 'updated', compress: false,
    ids: ['a', 'b'], idSystem: 'urn:x', cohortName: 'gn',
    mode: 'crawl', nickname: 'n', hydrationTasks: ['inline', 'location'], mimetypes: ['text/plain'], reconcile: true, count: 50,
  });
  assert.deepEqual(await exportOptions({}, 'some/out'), { cohortName: 'out' });
});

test('a folder that is kept up to date, by bulk and by crawl', async (t) => {
  const server = await startSandbox({ patients: 8, faults: { pending: 0, alwaysWhole: ['Patient'] } });
  t.after(() => server.close());
  const out = join(await scratch(t), 'out');
  const command = (...args) => run(['export', out, '--fhir-url', server.url, ...SOME, ...args]);
  // From the first run on, the command that cron runs.
  const first = await command('--nickname', 'one', '--since', 'auto');
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stderr, /No earlier export to detect a since value from: everything is exported\./);
  assert.match(first.stderr, /Creating new subfolder '001\.one'\./);
  assert.match(first.stdout, /\n\d+ files, [\d.]+KB in '.*out\/001\.one'.*\n\d links in '.*out' to what is current\n✨ Done ✨\n$/);
  const { 'fhir-url': url, group, kind } = await metadata(out);
  assert.deepEqual([url, group, kind], [server.url, null, 'managed']);
  assert.equal((await metadata(join(out, '001.one'))).complete, true);
  assert.equal((await links(out))['Patient.001.ndjson.gz'], '001.one/Patient.001.ndjson.gz');

  await server.setData({ revision: 1 });
  const second = await command('--nickname', 'two', '--since', 'auto');
  assert.equal(second.code, 0, second.stderr);
  assert.match(second.stderr, /Using since value of '/);
  assert.match(second.stdout, /New patients: 2\n/);
  const shown = await links(out);
  assert.equal(shown['Condition.002.ndjson.gz'], '002.two/Condition.001.ndjson.gz');
  assert.equal((await metadata(join(out, '002.two'))).newPatients.length, 2, 'one came, one took over another');
  assert.ok((await readdir(join(out, '002.two', 'deleted'))).length > 0, 'what the server says is gone');

  await server.setData({ revision: 2 });
  const third = await command('--nickname', 'three', '--export-mode', 'crawl', '--since', 'auto');
  assert.equal(third.code, 0, third.stderr);
  assert.match(third.stderr, /Using since value of '.*' for Observation\./);
  assert.match(third.stderr, /Count of deleted patients: 1\./);
  const deleted = await lines(join(out, '003.three', 'deleted', 'Bundle.Patient.ndjson.gz'));
  assert.equal(deleted.length, 1);
  assert.deepEqual(Object.keys(deleted[0]), ['resourceType', 'type', 'entry']);
  const full = await command('--nickname', 'full');
  assert.equal(full.code, 0, full.stderr);
  assert.match(full.stdout, /\nGone since earlier exports: Condition \(\d+\), Observation \(\d+\)\n/);
  assert.ok(Object.values(await links(out)).every((target) => target.startsWith('004.full/')));
  const none = await command('--since', 'auto', '--level', 'patient');
  assert.equal(none.code, 1);
  assert.match(none.stderr, /Could not detect a since value to use from previous exports\.\s+Try without a --since parameter, or provide a specific timestamp\.\n$/);
  const again = await command();
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /Re-using existing subfolder '004\.full' with similar arguments\./);
  assert.match(again.stderr, /\nThis export was complete already, so nothing was asked for\. For what has changed since, add --since auto; for all of it once more, --nickname NAME\.\n$/);
  const old = await command('--nickname', 'one');
  assert.equal(old.code, 1);
  assert.match(old.stderr, /Existing subfolder '001\.one' with the same nickname is too old to resume\. Choose a new nickname\.\n$/);
  const other = await command('--group', 'all');
  assert.match(other.stderr, /Target folder \.metadata is for a different Group\.\nExpected all, but found None\./);
});

test('ids are crawled, and refused where a bulk export would get others too', async (t) => {
  const server = await sandbox(t);
  const out = join(await scratch(t), 'out');
  const [id] = patientIds();
  const command = (...args) => run(['export', out, '--fhir-url', server.url, '--type', 'Patient', '--hydration-tasks', 'none', ...QUICK, '--id-list', id, ...args]);
  for (const more of [[], ['--group', 'all']]) {
    const bulk = await command('--export-mode', 'bulk', ...more);
    assert.equal(bulk.code, 2, bulk.stderr);
    assert.match(bulk.stderr, /A bulk export cannot be limited to a list of ids/);
  }
  const some = await command();
  assert.equal(some.code, 0, some.stderr);
  assert.match(some.stderr, /Ids of patients were given\. Defaulting to a 'crawl' instead of a 'bulk' export\./);
  const [sub] = await readdir(out).then((names) => names.filter((name) => name.startsWith('001.')));
  assert.deepEqual((await lines(join(out, sub, 'Patient.ndjson.gz'))).map((patient) => patient.id), [id]);
});

test('ids that the server does not know are no success', async (t) => {
  const server = await sandbox(t);
  const folder = await scratch(t);
  for (const [name, ...args] of [['crawl'], ['crawl', '--id-system', 'urn:wrong'], ['export', '--hydration-tasks', 'none']]) {
    const command = [name, join(folder, [name, ...args].join('-').replaceAll(':', '')), '--fhir-url', server.url, '--type', 'Patient', ...QUICK, '--id-list', `${patientIds()[0]},nope`, ...args];
    for (const time of ['once', 'again']) {
      const { code, stderr, stdout } = await run(command);
      assert.equal(code, 3, `${command} ${time}: ${stderr}`);
      assert.match(stderr, /IDs that the server has no Patient for:\n.* - nope\nFinished, but the server does not know (1 ID|2 IDs)\. .*\n$/s);
      assert.doesNotMatch(stdout, /Done/);
    }
  }
});

test('reset-symlinks makes links anew and says nothing', async (t) => {
  const server = await sandbox(t);
  const out = join(await scratch(t), 'out');
  const { code, stderr } = await run(['export', out, '--fhir-url', server.url, ...SOME]);
  assert.equal(code, 0, stderr);
  const before = await links(out);
  await rm(join(out, 'Patient.001.ndjson.gz'));
  await symlink('nowhere', join(out, 'Condition.017.ndjson.gz'));
  assert.deepEqual(await run(['reset-symlinks', out]), { code: 0, signal: null, stdout: '', stderr: '' });
  assert.deepEqual(await links(out), before);
  const [sub] = (await readdir(out)).filter((name) => name.startsWith('001.'));
  const inside = await run(['reset-symlinks', join(out, sub)]);
  assert.equal(inside.code, 1);
  assert.match(inside.stderr, /not a managed folder, but an output folder/);
});

test('a hydration task that did something has a line, all of them have a sum; tables with -v', async (t) => {
  const server = await startSandbox({ patients: 3, references: true, faults: { pending: 0 } });
  t.after(() => server.close());
  const out = join(await scratch(t), 'out');
  const command = (...args) => run(['export', out, '--fhir-url', server.url, ...QUICK, ...args]);
  const first = await command('--nickname', 'one');
  assert.match(first.stderr, /\n {2}Downloading referenced Medications from MedicationRequests: \d+ new\n/);
  assert.match(first.stderr, /\n {2}Inlining DocumentReferences: \d+ new, 2 could not be had\n/);
  assert.match(first.stdout, /'; fetched \d+ files, .*\nHydration: \d+ resources that others refer to downloaded, \d+ attachments inlined\n(New patients: \d+\n)?\d+ links in /);
  assert.doesNotMatch(first.stdout + first.stderr, /Total examined|Skipping/);

  // What was fetched last refers to something in its turn.
  await command('--nickname', 'one');
  const again = await command('--nickname', 'one');
  assert.match(again.stdout, /\nHydration: nothing was left to fetch\n/);
  const told = (text) => text.match(/^ {2}Downloading referenced .*/gm) ?? [];
  assert.ok(told(first.stderr).length > 5);
  assert.deepEqual(told(again.stderr).filter((line) => !line.includes('could not be had')), [], 'nothing of tasks that did nothing');
  const verbose = await command('--nickname', 'one', '-v');
  assert.match(verbose.stdout, /^Downloading referenced Medications from MedicationRequests\.\n +MedicationRequests +Medications\n Total examined/m);
  assert.match(verbose.stdout, /^Inlining DocumentReferences\.\n +DocumentReferences +Attachments\n Total examined/m);
});

test('hydration is a part of it, and its list is to be had', async (t) => {
  const help = await run(['export', 'out', '--hydration-tasks', 'help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^These hydration tasks are supported:\n {2}all\n {2}none\n {2}episodeofcare\n/);
  const server = await startSandbox({ patients: 3, faults: { pending: 0 } });
  t.after(() => server.close());
  const out = join(await scratch(t), 'out');
  const { code, stderr } = await run(['export', out, '--fhir-url', server.url, ...QUICK, '--nickname', 'one']);
  assert.equal(code, 0, stderr);
  const shown = await links(out);
  assert.equal(shown['Practitioner.001.ndjson.gz'], '001.one/Practitioner.referenced.ndjson.gz');
});

test('--reconcile fetches what a patient who is new to the group had before', async (t) => {
  for (const reconcile of [false, true]) {
    // With _since this server sends all patients, and of their records only what was changed since.
    const server = await startSandbox({ patients: 4, faults: { pending: 0, alwaysWhole: ['Patient'] } });
    t.after(() => server.close());
    const out = join(await scratch(t), 'out');
    const args = ['export', out, '--fhir-url', server.url, '--group', 'all', '--type', 'Patient,Condition', '--hydration-tasks', 'none', '--no-compression', ...QUICK];
    assert.equal((await run([...args, '--nickname', 'one'])).code, 0);
    await server.setData({ revision: 1, stamp: '2020-01-01T00:00:00.000+00:00' });
    const { code, stderr } = await run([...args, '--nickname', 'two', '--since', 'auto', ...(reconcile ? ['--reconcile'] : [])]);
    assert.equal(code, 0, stderr);
    const files = (await readdir(join(out, '002.two'))).filter((name) => name.startsWith('Condition'));
    const rows = (await Promise.all(files.map((name) => readFile(join(out, '002.two', name), 'utf8')))).join('');
    const history = rows.split('\n').filter((row) => row.includes('"Patient/pt-000005"')).length;
    if (reconcile) assert.ok(history > 0, stderr);
    else assert.equal(history, 0);
    assert.match(stderr, reconcile ? /Looking for what new patients had before: \d/ : /The server may have left out what patients who are new to the group had before, \d of them; --reconcile fetches it\./);
    const verified = await run(['verify', out]);
    assert.equal(verified.code, 0, verified.stderr);
  }
});
