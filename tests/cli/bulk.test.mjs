// `smart-fetch bulk` from end to end: the process, the core in WebAssembly, the embedded sandbox, a folder on disk.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { filesBelow, run, scratch } from './support.mjs';
import { DATA_TYPES, fixtureFiles, QUICK, sandbox } from './server.mjs';

/** Output files of a folder by name without extension, decompressed. */
async function exported(folder) {
  const files = new Map();
  for (const name of await filesBelow(folder)) {
    const [, stem, gz] = /^(\w+\.\d+)\.ndjson(\.gz)?$/.exec(name) ?? [];
    if (!stem) continue;
    const bytes = await readFile(join(folder, name));
    files.set(stem, gz ? gunzipSync(bytes) : bytes);
  }
  return files;
}

async function assertSameAsServed(folder) {
  const [here, served] = [await exported(folder), fixtureFiles()];
  assert.deepEqual([...here.keys()].sort(), [...served.keys()].sort());
  for (const [name, bytes] of served) assert.ok(bytes.equals(here.get(name)), `${name} is byte for byte what is served`);
}

const EVERYTHING = ['--type', DATA_TYPES.join(','), '--no-default-filters', ...QUICK];

for (const [title, flags, faults] of [
  ['the server sends gzip', [], {}],
  ['the server sends identity', [], { coding: 'identity' }],
  ['--no-compression, the server sends gzip', ['--no-compression'], {}],
  ['--no-compression, the server sends identity', ['--no-compression'], { coding: 'identity' }],
  ['without workers', ['--workers', '0'], {}],
  ['kick-off by POST', ['--kickoff-method', 'post'], {}],
  ['an STU4 server', [], { stu: 4 }],
  ['a server that waits and says how far it is', [], { pending: 3, retryAfter: '0', xProgress: '40% done' }],
]) {
  test(`a complete export: ${title}`, async (t) => {
    const { url } = await sandbox(t, { faults });
    const out = join(await scratch(t), 'new', 'out');
    const { code, stdout, stderr } = await run(['bulk', out, '--fhir-url', url, ...EVERYTHING, ...flags]);
    assert.equal(code, 0, stderr);
    await assertSameAsServed(out);
    const names = await filesBelow(out);
    assert.ok(names.every((name) => !/^\w+\.\d+\.ndjson/.test(name) || name.endsWith('.gz') !== flags.includes('--no-compression')));
    assert.deepEqual(names.filter((name) => !/^\w+\.\d+\.ndjson/.test(name)).sort(), ['.metadata', 'log.ndjson']);
    assert.match(stdout, /^Observation +2 +[\d,]+$/m);
    assert.match(stdout, /\n19 files, [\d.]+(KB|MB) in '.*out'; fetched 19 files, [\d.]+(KB|MB), in [\d.]+s \([\d.]+(KB|MB)\/s\)\n✨ Done ✨\n$/);
    assert.match(stderr, /Downloaded Patient\.001\.ndjson/);
    if (faults.xProgress) assert.match(stderr, /40% done/);
  });
}

for (const [title, flags] of [
  ['system', []],
  ['patient', ['--level', 'patient']],
  ['group', ['--group', 'first-half']],
  ['patient, some patients, by POST', ['--level', 'patient', '--kickoff-method', 'post', '--patient', '{some}']],
]) {
  test(`level: ${title}`, async (t) => {
    const server = await sandbox(t);
    const patients = fixtureFiles().get('Patient.001').toString().trim().split('\n').map((line) => JSON.parse(line).id);
    const some = patients.slice(0, 2);
    const out = join(await scratch(t), 'out');
    const given = flags.map((flag) => flag.replace('{some}', some.map((id) => `Patient/${id}`).join(',')));
    const { code, stderr } = await run(['bulk', out, '--fhir-url', server.url, '--type', 'Patient,Condition', ...QUICK, ...given]);
    assert.equal(code, 0, stderr);
    const [kickoff] = server.requests.filter((request) => request.url.includes('$export'));
    assert.equal(kickoff.method, flags.includes('post') ? 'POST' : 'GET');
    assert.match(kickoff.url, { system: /fhir\/\$export/, patient: /fhir\/Patient\/\$export/, group: /fhir\/Group\/first-half\/\$export/ }[title.split(',')[0]]);
    const files = await exported(out);
    const got = files.get('Patient.001').toString().trim().split('\n').map((line) => JSON.parse(line).id);
    const expected = flags.includes('--patient') ? some : title === 'group' ? patients.slice(0, Math.ceil(patients.length / 2)) : patients;
    assert.deepEqual(got.sort(), expected.sort());
    assert.ok(files.get('Condition.001').length > 0);
  });
}

test('the kick-off asks for what the flags say', async (t) => {
  const server = await sandbox(t);
  const out = join(await scratch(t), 'out');
  const { code, stderr } = await run([
    ...['bulk', out, '--fhir-url', server.url, ...QUICK, '--type', 'patient,Condition', '--type-filter', 'Condition?code=a,b', '--since', '2010-01-01'],
    ...['--elements', 'id', '--lenient', '--param', '_custom=x y', '--output-format', 'application/fhir+ndjson', '--header', 'X-Test: here'],
  ]);
  assert.equal(code, 0, stderr);
  const kickoff = server.requests.find((request) => request.url.includes('$export'));
  const asked = new URL(kickoff.url, server.url).searchParams;
  assert.deepEqual(asked.get('_type').split(',').sort(), ['Condition', 'Patient']);
  assert.match(asked.get('_typeFilter'), /^Condition\?code=a(,|%2C)b$/);
  assert.match(asked.get('_since'), /^2010-01-01T00:00:00/);
  assert.equal(asked.get('_elements'), 'id');
  assert.equal(asked.get('_custom'), 'x y');
  assert.equal(asked.get('_outputFormat'), 'application/fhir+ndjson');
  assert.match(kickoff.headers.prefer, /handling=lenient/);
  assert.equal(kickoff.headers['x-test'], 'here');
});

test('a second run of the same command fetches nothing', async (t) => {
  const server = await sandbox(t);
  const out = join(await scratch(t), 'out');
  const command = ['bulk', out, '--fhir-url', server.url, '--type', 'Patient', ...QUICK];
  assert.equal((await run(command)).code, 0);
  server.clearRequests();
  const { code, stdout } = await run(command);
  assert.equal(code, 0);
  assert.match(stdout, /nothing was left to fetch/);
  assert.ok(stdout.endsWith('✨ Done ✨\n'));
  assert.deepEqual(server.requests.filter(({ url }) => /export|files?\//.test(url)), []);
});

test('settings of a config file, --quiet: nothing is said', async (t) => {
  const server = await sandbox(t);
  const folder = await scratch(t);
  const config = join(folder, 'site.toml');
  await writeFile(config, `fhir-url = "${server.url}"\ntype = ["Patient"]\nno-compression = true\nretry-delays = ["10ms"]\n`);
  const result = await run(['bulk', join(folder, 'out'), '-c', config, '-q']);
  assert.deepEqual(result, { code: 0, signal: null, stdout: '', stderr: '' });
  assert.deepEqual(await filesBelow(join(folder, 'out')), ['.metadata', 'Patient.001.ndjson', 'log.ndjson']);
});

test('--progress json: events on standard output alone, the report last', async (t) => {
  const server = await sandbox(t);
  const out = join(await scratch(t), 'out');
  const { code, stdout, stderr } = await run(['bulk', out, '--fhir-url', server.url, ...EVERYTHING, '--progress', 'json']);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  const events = stdout.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(events.filter(({ type }) => type === 'phase').map(({ phase }) => phase), ['discover', 'kickOff', 'wait', 'download', 'finish']);
  const files = events.filter(({ type }) => type === 'fileFinished');
  assert.equal(files.length, fixtureFiles().size);
  const { type, exitStatus, report } = events.at(-1);
  assert.equal(type, 'finished');
  assert.equal(exitStatus, 0);
  assert.equal(report.verdict, 'complete');
  assert.equal(report.resources, files.reduce((sum, file) => sum + file.resources, 0));
});

test('errors that the server reports: exit 3, named, everything kept, and not begun anew', async (t) => {
  const server = await sandbox(t, { faults: { errors: 1 } });
  const out = join(await scratch(t), 'out');
  const command = ['bulk', out, '--fhir-url', server.url, '--type', 'Patient', ...QUICK];
  const first = await run(command);
  assert.equal(first.code, 3, first.stderr);
  assert.match(first.stderr, /Errors occurred during export:\n - ./);
  assert.match(first.stderr.trimEnd().split('\n').at(-1), /^Finished with errors: the server reported \d+ errors?\./);
  assert.doesNotMatch(first.stdout, /Done/);
  assert.ok((await filesBelow(out)).includes('Patient.001.ndjson.gz'));
  server.clearRequests();
  const second = await run(command);
  assert.equal(second.code, 3);
  assert.deepEqual(server.requests.filter(({ url }) => url.includes('$export')), []);
});

test('a file that cannot be had: exit 3, named; the same command gets just that file', async (t) => {
  const server = await sandbox(t, { faults: { fileFail: '404*', onlyFiles: '2' } });
  const out = join(await scratch(t), 'out');
  const command = ['bulk', out, '--fhir-url', server.url, ...EVERYTHING];
  const first = await run(command);
  assert.equal(first.code, 3, first.stderr);
  assert.match(first.stderr, /Files that could not be had:\n - \w+\.\d+\.ndjson\.gz: /);
  assert.match(first.stderr.trimEnd().split('\n').at(-1), /^Finished, but 1 file is missing\. Run the same command again to get just that one\./);
  assert.equal((await exported(out)).size, fixtureFiles().size - 1);
});

test('another request in the same folder is refused, and the folder left as it was', async (t) => {
  const server = await sandbox(t);
  const out = join(await scratch(t), 'out');
  assert.equal((await run(['bulk', out, '--fhir-url', server.url, '--type', 'Patient', ...QUICK])).code, 0);
  const before = await readFile(join(out, '.metadata'));
  const { code, stderr } = await run(['bulk', out, '--fhir-url', server.url, '--type', 'Condition', ...QUICK]);
  assert.equal(code, 1);
  assert.match(stderr, /is for a different set of types and\/or filters\. Expected:\n  Condition \(no filter\)\n\nbut found:\n  Patient \(no filter\)\n./);
  assert.ok(before.equals(await readFile(join(out, '.metadata'))));
});

test('--type help lists the types', async () => {
  const { code, stdout, stderr } = await run(['bulk', '--type', 'help']);
  assert.equal(code, 0, stderr);
  assert.ok(stdout.startsWith('These resource types are supported:\n  all\n  Patient\n  Encounter\n  AllergyIntolerance\n'));
  for (const type of ['Specimen', 'CarePlan', 'NutritionIntake']) assert.match(stdout, new RegExp(`^  ${type}$`, 'm'));
});
