// How flags, config files and credentials become what the core is asked.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseCommandLine } from '../../node-cli/src/args.js';
import { bulkOptions } from '../../node-cli/src/commands/bulk.js';
import { readSettings } from '../../node-cli/src/config.js';
import { readCredentials } from '../../node-cli/src/credentials.js';
import { repeatCommand } from '../../node-cli/src/interrupt.js';
import { scratch } from './support.mjs';

const settings = (...argv) => readSettings(parseCommandLine(argv, assert.fail));

test('what is not set stays out, so that the defaults are those of the core', async () => {
  assert.deepEqual(bulkOptions(await settings('bulk', 'out', '--fhir-url', 'http://h/fhir')), {});
});

test('every flag of bulk has its place in the configuration of the core', async () => {
  const given = await settings(
    ...['bulk', 'out', '--group', 'g 1', '--type', 'Patient, Condition', '--type', 'Device', '--type-filter', 'Condition?code=a,b'],
    ...['--no-default-filters', '--since', '2024-05-01', '--since-mode', 'created', '--until', '2025-01-01T00:00:00Z', '--elements', 'id,Patient.name'],
    ...['--patient', '1,2', '--include-associated-data', 'LatestProvenanceResources', '--organize-output-by', 'Patient', '--output-format', 'ndjson'],
    ...['--allow-partial-manifests', '--lenient', '--separate-export-status', '--param', 'a=b=c', '--kickoff-method', 'post', '--no-compression', '--max-poll-delay', '2m', '--poll-timeout', '1d'],
  );
  assert.deepEqual(bulkOptions(given), {
    level: { group: 'g 1' },
    types: ['Patient', 'Condition', 'Device'],
    typeFilters: ['Condition?code=a,b'],
    defaultFilters: false,
    since: '2024-05-01',
    sinceMode: 'created',
    until: '2025-01-01T00:00:00Z',
    elements: ['id', 'Patient.name'],
    patients: ['1', '2'],
    includeAssociatedData: ['LatestProvenanceResources'],
    organizeOutputBy: 'Patient',
    outputFormat: 'ndjson',
    allowPartialManifests: true,
    lenient: true,
    separateExportStatus: true,
    params: [['a', 'b=c']],
    kickoffMethod: 'post',
    compress: false,
    maxPollDelay: '2m',
    pollTimeout: '1d',
  });
  assert.deepEqual(bulkOptions(await settings('bulk', 'out', '--level', 'patient')), { level: 'patient' });
});

test('a config file sets any flag by its name, and the command line wins', async (t) => {
  const file = join(await scratch(t), 'site.toml');
  await writeFile(
    file,
    `fhir-url = "https://ehr.example.org/fhir"
no_compression = true
type = ["Patient", "Condition"]
type-filter = "Condition?code=1,2"
since = 2024-05-01
max-connections = 3
retry-delays = ["1s", 2]
header = ["X-A: 1"]
binary = true
`,
  );
  const read = await settings('-c', file, 'bulk', 'out', '--type', 'Device', '-v');
  assert.equal(read['fhir-url'], 'https://ehr.example.org/fhir');
  assert.equal(read['no-compression'], true);
  assert.deepEqual(read.type, ['Device']);
  assert.deepEqual(read['type-filter'], ['Condition?code=1,2']);
  assert.equal(read.since, '2024-05-01', 'an unquoted date is what it looks like');
  assert.equal(read['max-connections'], 3);
  assert.deepEqual(read['retry-delays'], ['1s', '2']);
  assert.deepEqual(read.header, [['X-A', '1']]);
  assert.equal(read.verbose, true);
  assert.equal('binary' in read, false, 'a setting of another command is left to it');
});

test('credentials of bulk and of other requests fall back to each other', async (t) => {
  const folder = await scratch(t);
  const [id, key] = [join(folder, 'id.txt'), join(folder, 'key.jwks')];
  await writeFile(id, ' general \n');
  await writeFile(key, '{"keys": []}');
  const inline = '{"keys": [{}]}';
  const general = { 'smart-client-id': id, 'smart-key': key };
  const bulk = { 'bulk-smart-client-id': 'bulk', 'bulk-smart-key': inline };
  const smart = (clientId, keys) => ({ clientId, keys });
  const auth = async (given, purpose) => (await readCredentials(given, purpose)).auth;

  assert.deepEqual(await auth(general, 'bulk'), smart('general', '{"keys": []}'));
  assert.deepEqual(await auth(bulk, 'rest'), smart('bulk', inline));
  assert.deepEqual(await auth({ ...general, ...bulk }, 'bulk'), smart('bulk', inline));
  assert.deepEqual(await auth({ ...general, ...bulk }, 'rest'), smart('general', '{"keys": []}'));
  assert.deepEqual(await auth({ 'smart-key': key, 'bulk-smart-client-id': 'bulk' }, 'bulk'), smart('bulk', '{"keys": []}'));
  await assert.rejects(readCredentials({ 'smart-key': key, 'bulk-smart-client-id': 'bulk' }, 'rest'), /both a SMART client ID/);
  assert.deepEqual(await auth({ ...general, 'token-url': 'http://t/' }, 'bulk'), {
    ...smart('general', '{"keys": []}'),
    tokenUrl: 'http://t/',
  });
});

test('tokens and passwords are read from a file where there is one', async (t) => {
  const file = join(await scratch(t), 'secret');
  await writeFile(file, '\uFEFFfrom-file\n');
  assert.deepEqual(await readCredentials({ 'bearer-token': file }, 'bulk'), { auth: { token: 'from-file' } });
  assert.deepEqual(await readCredentials({ 'bearer-token': 'lit/er+al==' }, 'bulk'), { auth: { token: 'lit/er+al==' } });
  assert.deepEqual(await readCredentials({ 'basic-user': 'me', 'basic-passwd': file }, 'rest'), {
    auth: { user: 'me', password: 'from-file' },
  });
  assert.deepEqual(await readCredentials({ 'smart-client-id': 'alone', 'bearer-token': 't' }, 'bulk'), { auth: { token: 't' } });
  assert.deepEqual(await readCredentials({}, 'bulk'), { auth: 'none' });
});

test('the command for resuming is fit for a shell and holds no secret', async (t) => {
  const file = join(await scratch(t), 'token.txt');
  await writeFile(file, 'canary');
  const shown = repeatCommand([
    ...['bulk', 'my out', '--bearer-token', file, '--header', 'X-Key: canary', '--header=X-Other: canary', '--basic-passwd=canary'],
    ...['--smart-key', '{"d": "canary"}', '--type-filter', "Condition?code=it's"],
  ]);
  assert.doesNotMatch(shown, /canary/);
  assert.ok(shown.includes(` bulk 'my out' --bearer-token ${file} --header 'X-Key: …' '--header=X-Other: …' '--basic-passwd=…' --smart-key '…' `), shown);
  assert.ok(shown.endsWith(String.raw`--type-filter 'Condition?code=it'\''s'`), shown);
  assert.ok(repeatCommand(['bulk', 'out', '--cancel'], ['--cancel']).endsWith(' bulk out --cancel'));
});
