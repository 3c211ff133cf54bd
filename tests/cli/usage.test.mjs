// What is found before any request: help, versions, usage errors. Nothing is sent, nothing is written.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { COMMANDS, parseCommandLine } from '../../node-cli/src/args.js';
import { filesBelow, run, scratch } from './support.mjs';

const VERSION = JSON.parse(readFileSync(new URL('../../node-cli/package.json', import.meta.url), 'utf8')).version;
/** Nobody listens there: a request would fail, and with another message. */
const NOWHERE = ['--fhir-url', 'http://127.0.0.1:9/fhir'];

test('--version prints name and version, before and after a command', async () => {
  for (const args of [['--version'], ['bulk', '--version']]) {
    assert.deepEqual(await run(args), { code: 0, signal: null, stdout: `smart-fetch ${VERSION}\n`, stderr: '' });
  }
});

test('--help lists the commands that there are', async () => {
  const { code, stdout, stderr } = await run(['--help']);
  assert.equal(code, 0);
  assert.equal(stderr, '');
  for (const command of ['export', 'bulk', 'crawl', 'hydrate', 'single', 'status', 'verify', 'merge', 'bundle', 'doctor', 'keygen', 'reset-symlinks', 'sandbox', 'serve']) assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
});

test('help, alone and with a command, is --help', async () => {
  assert.deepEqual(await run(['help']), await run(['--help']));
  assert.deepEqual(await run(['help', 'merge']), await run(['merge', '--help']));
});

const FLAGS = {
  bulk: `level group patient type type-filter no-default-filters since since-mode until elements include-associated-data kickoff-method
    lenient separate-export-status organize-output-by output-format allow-partial-manifests param max-poll-delay poll-timeout cancel no-compression workers progress bundle
    fhir-url token-url header token-origin rewrite-url allow-insecure max-connections retry-delays smart-client-id smart-key
    bulk-smart-client-id bulk-smart-key basic-user basic-passwd bearer-token config verbose quiet version help`,
  export: `group group-nickname id-list id-file id-system level type type-filter no-default-filters since since-mode nickname hydration-tasks mimetypes export-mode
    reconcile count kickoff-method lenient allow-partial-manifests max-poll-delay poll-timeout no-compression workers progress fhir-url token-url header
    max-connections retry-delays smart-client-id smart-key bulk-smart-client-id bulk-smart-key basic-user basic-passwd bearer-token config verbose quiet`,
  'reset-symlinks': 'config verbose quiet',
  keygen: 'alg config verbose quiet',
  status: 'json config verbose quiet',
  verify: 'json temp progress config verbose quiet',
  merge: 'out no-compression progress config verbose quiet',
  bundle: 'no-compression progress config verbose quiet',
  hydrate: `tasks source-dir mimetypes attachments-dir no-compression progress fhir-url token-url header token-origin rewrite-url allow-insecure max-connections
    retry-delays smart-client-id smart-key basic-user basic-passwd bearer-token config verbose quiet`,
  single: 'binary compact fhir-url token-url header smart-client-id smart-key basic-user basic-passwd bearer-token config verbose',
  doctor: 'level group type origin kickoff json fhir-url token-url header smart-client-id smart-key basic-user basic-passwd bearer-token config verbose',
  sandbox: 'port host data patients seed references cors auth fault',
  serve: 'port server allow-insecure config quiet',
};

for (const [command, flags] of Object.entries(FLAGS)) {
  test(`${command} --help names every flag`, async () => {
    const { code, stdout } = await run([command, '--help']);
    assert.equal(code, 0);
    for (const flag of flags.split(/\s+/)) assert.match(stdout, new RegExp(`^  (-\\w, )?--${flag}[ \\n]`, 'm'), flag);
    assert.ok(stdout.split('\n').every((line) => line.length <= 120 || line.startsWith('  smart-fetch')), 'fits a terminal');
  });
}

test('help fits terminals of 80 and of 40 columns; command lines stay whole', () => {
  for (const columns of [80, 40]) {
    for (const command of Object.keys(COMMANDS)) {
      let text = '';
      parseCommandLine([command, '--help'], (piece) => { text += piece; }, columns);
      const wide = text.split('\n').filter((line) => line.length > columns && !/^ +(smart-fetch |--?\w)|^Usage:/.test(line));
      assert.deepEqual(wide, [], `${command} at ${columns}`);
    }
  }
});

/** Arguments, and what the message must say. */
const WRONG = [
  [[], /a command is missing: export, bulk, crawl, hydrate, single, status, verify, merge, bundle, doctor, keygen, reset-symlinks, sandbox, serve/],
  [['bluk', 'out'], /unknown command 'bluk'; did you mean 'bulk'\? See/],
  [['nonsense'], /unknown command 'nonsense'; there are export, bulk/],
  [['help', 'nonsense'], /unknown command 'nonsense'/],
  [['export'], /OUTPUT_DIR is missing/],
  [['export', 'out', '--cancel'], /unknown option '--cancel'/],
  [['export', 'out', '--export-mode', 'slow'], /'slow' is none of auto, bulk, crawl/],
  [['--bogus'], /unknown option '--bogus'/],
  [['bulk', 'out', '--bogus=hidden-value'], /unknown option '--bogus'\./],
  [['bulk', 'out', '--fhir', 'x'], /unknown option '--fhir'; did you mean '--fhir-url'\?/],
  [['bulk', ...NOWHERE], /OUTPUT_DIR is missing/],
  [['bulk', 'out', 'more', ...NOWHERE], /there is more than one OUTPUT_DIR/],
  [['bulk', 'out'], /--fhir-url is required/],
  [['bulk', 'out', '--fhir-url'], /--fhir-url needs a value/],
  [['bulk', 'out', '--fhir-url', 'ehr.example.org'], /--fhir-url: 'ehr\.example\.org' is not a URL/],
  [['bulk', 'out', '--fhir-url', 'https://user:canary@ehr.example.org'], /--fhir-url: must not hold a user name or a password/],
  [['bulk', 'out', '--fhir-url', 'https://ehr.example.org/?a=b'], /must not have a query/],
  [['bulk', 'out', ...NOWHERE, '--retry-delays', '1m,soon'], /--retry-delays: 'soon' is not a duration; write for example/],
  [['bulk', 'out', ...NOWHERE, '--max-poll-delay', '-5m'], /--max-poll-delay: '-5m' is not a duration/],
  [['bulk', 'out', ...NOWHERE, '--poll-timeout', '1y'], /--poll-timeout: '1y' is not a duration/],
  [['bulk', 'out', ...NOWHERE, '--max-connections', '0'], /--max-connections: '0' is not a whole number from 1/],
  [['bulk', 'out', ...NOWHERE, '--workers', '2.5'], /--workers: '2\.5' is not a whole number/],
  [['bulk', 'out', ...NOWHERE, '--level', 'group'], /--level: 'group' is none of system, patient/],
  [['bulk', 'out', ...NOWHERE, '--level', 'patient', '--group', '1'], /--group and --level exclude each other/],
  [['bulk', 'out', ...NOWHERE, '--since-mode', 'never'], /--since-mode: 'never' is none of auto, updated, created/],
  [['bulk', 'out', ...NOWHERE, '--kickoff-method', 'PUT'], /--kickoff-method: 'PUT' is none of auto, get, post/],
  [['bulk', 'out', ...NOWHERE, '--progress', 'loud'], /--progress: 'loud' is none of auto, bar, plain, json, none/],
  [['bulk', 'out', ...NOWHERE, '--param', 'novalue'], /--param: 'novalue' must have the form NAME=VALUE/],
  [['bulk', 'out', ...NOWHERE, '--rewrite-url', 'http://a'], /--rewrite-url: 'http:\/\/a' must have the form FROM=TO/],
  [['bulk', 'out', ...NOWHERE, '--token-origin', 'https://a.example/path'], /--token-origin: .* is not an origin/],
  [['bulk', 'out', ...NOWHERE, '--header', 'no colon'], /--header: must have the form 'Name: value'/],
  [['bulk', 'out', ...NOWHERE, '--header', 'X-Key: caf\u00e9\u4e2d'], /--header: the value of X-Key holds characters/],
  [['bulk', 'out', ...NOWHERE, '--elements', 'id,,name'], /--elements: an item of the list is empty/],
  [['bulk', 'out', ...NOWHERE, '-v', '-q'], /--verbose and --quiet exclude each other/],
  [['bulk', 's3://bucket/out', ...NOWHERE], /Expected a local folder, but 's3:\/\/bucket\/out' looks like a URL\./],
  [['bulk', 'file.txt', ...NOWHERE], /Expected an output folder, but 'file\.txt' is a file\./],
  [['bulk', 'file.txt/deep/out', ...NOWHERE], /The output folder 'file\.txt\/deep\/out' cannot be made, because '.*file\.txt' is a file\./],
  [['bulk', 'out', ...NOWHERE, '--type', 'Patient', '--type-filter', 'Patient'], /'Patient'|Resource\?params/],
  [['bulk', 'out', ...NOWHERE, '--type', 'Patinet'], /Patinet/],
  [['bulk', 'out', ...NOWHERE, '--type', 'Patient', '--type-filter', 'Condition?code=1'], /Condition/],
  [['bulk', 'out', ...NOWHERE, '--type-filter', 'Condition?_count=1'], /_count/],
  [['bulk', 'out', ...NOWHERE, '--patient', '1'], /patient/i],
  [['bulk', 'out', ...NOWHERE, '--since', 'yesterday'], /yesterday/],
  [['bulk', 'out', ...NOWHERE, '--until', '2024-13-01'], /2024-13-01/],
  [['bulk', 'out', ...NOWHERE, '--smart-client-id', 'app'], /You must provide both a SMART client ID and a SMART key/],
  [['bulk', 'out', ...NOWHERE, '--smart-key', 'key.pem'], /You must provide both a SMART client ID and a SMART key/],
  [['bulk', 'out', ...NOWHERE, '--basic-user', 'me'], /You must provide both a Basic user and a Basic password/],
  [['bulk', 'out', ...NOWHERE, '--basic-user', 'me', '--basic-passwd', 'canary', '--bearer-token', 'canary'], /Multiple authentication methods/],
  [['bulk', 'out', ...NOWHERE, '--smart-client-id', 'app', '--smart-key', 'file.txt'], /unrecognized private key file 'file\.txt' \(must end in/],
  [['bulk', 'out', ...NOWHERE, '--smart-client-id', 'app', '--smart-key', 'gone.pem'], /--smart-key: could not read 'gone\.pem': there is no such file/],
  [['bulk', 'out', ...NOWHERE, '--smart-client-id', 'app', '--smart-key', 'folder.jwks'], /--smart-key: could not read 'folder\.jwks': it is a folder/],
  [['bulk', 'out', ...NOWHERE, '--bearer-token', './gone/canary'], /--bearer-token looks like a path, but no such file can be read/],
  [['bulk', 'out', ...NOWHERE, '--bearer-token', 'empty.txt'], /--bearer-token: the file 'empty\.txt' is empty/],
  [['bulk', 'out', '-c', 'gone.toml'], /Could not read the config file 'gone\.toml': there is no such file/],
  [['bulk', 'out', '-c', 'bad.toml'], /Config file 'bad\.toml' is not valid TOML: line 2, column/],
  [['bulk', 'out', '-c', 'unknown.toml'], /Config file 'unknown\.toml' has an unknown key 'fhir-ulr'; did you mean 'fhir-url'\?/],
  [['bulk', 'out', '-c', 'types.toml'], /lenient in types\.toml: must be true or false/],
  [['bulk', 'out', '-c', 'list.toml'], /fhir_url in list\.toml: takes one value, not a list/],
  [['bulk', 'out', '-c', 'number.toml'], /group in number\.toml: must be a text in quotation marks/],
  [['single', ...NOWHERE], /TYPE\/ID is missing/],
  [['single', 'Patient/1'], /--fhir-url is required/],
  [['sandbox', '--fault', 'nonsense=1'], /nonsense/],
  [['sandbox', '--fault', 'nonsense'], /nonsense/],
  [['keygen'], /FILE is missing/],
  [['keygen', 'key.pem'], /'key\.pem' must end in \.jwks or \.json, so that --smart-key takes it/],
  [['keygen', 'key.jwks', '--alg', 'ES384,RS256'], /--alg: 'RS256' is none of ES384, RS384/],
  [['keygen', 'folder.jwks'], /'folder\.jwks' is there already, and might hold a key that is in use/],
  [['serve', '--server', 'ehr.example.org'], /--server: 'ehr\.example\.org' is not a URL/],
  [['serve', '--server', 'http://ehr.example.org/fhir'], /plain http.*--allow-insecure/],
  [['sandbox', '--port', '70000'], /--port: '70000' is not a whole number from 0 to 65535/],
];

let folder;
let written;

before(async (t) => {
  folder = await scratch(t);
  const files = {
    'file.txt': 'text',
    'empty.txt': '\n',
    'bad.toml': 'fhir-url = "http://127.0.0.1:9"\nbearer-token = "canary\n',
    'unknown.toml': 'fhir-ulr = "http://127.0.0.1:9"\n',
    'types.toml': 'fhir-url = "http://127.0.0.1:9"\nlenient = "yes"\n',
    'list.toml': 'fhir_url = ["http://127.0.0.1:9"]\n',
    'number.toml': 'fhir-url = "http://127.0.0.1:9"\ngroup = 12\n',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  await mkdir(join(folder, 'folder.jwks'));
  written = await filesBelow(folder);
});

for (const [args, message] of WRONG) {
  test(`usage error: smart-fetch ${args.join(' ')}`, async () => {
    const { code, stdout, stderr } = await run(args, { cwd: folder });
    assert.match(stderr, message);
    assert.equal(stdout, '');
    assert.equal(code, 2);
    assert.equal(stderr.trim().split('\n').length, 1, `one line: ${stderr}`);
    assert.doesNotMatch(stderr, /canary|hidden-value|Internal error/);
    assert.deepEqual(await filesBelow(folder), written, 'nothing was written');
  });
}

test('a folder to read that is not there is a usage error of every command that reads one', async (t) => {
  const folder = await scratch(t);
  const [none, file] = [join(folder, 'none'), join(folder, 'file')];
  await writeFile(file, '');
  for (const [command, ...more] of [
    ['hydrate', ...NOWHERE], ['status'], ['status', '--json'], ['verify'], ['verify', '--json'], ['merge', '--out', join(folder, 'out')], ['bundle'], ['reset-symlinks'],
  ]) {
    const { code, stdout, stderr } = await run([command, none, ...more]);
    const words = `smart-fetch ${command}: Local folder '${none}' does not exist. Give a folder that an export, a crawl or a merge has made.`;
    assert.deepEqual([code, stdout, stderr], [2, '', `${words} See 'smart-fetch ${command} --help'.\n`]);
    assert.equal((await run([command, file, ...more])).code, 2);
    assert.match((await run([command, 's3://bucket/x', ...more])).stderr, /looks like a URL/);
  }
  for (const command of ['hydrate', 'crawl']) {
    const { code, stderr } = await run([command, join(folder, 'out'), '--source-dir', none, ...NOWHERE]);
    assert.deepEqual([code, stderr.includes(`Local folder '${none}' does not exist.`)], [2, true], stderr);
  }
  assert.deepEqual(await filesBelow(folder), ['file'], 'nothing was made');
});
