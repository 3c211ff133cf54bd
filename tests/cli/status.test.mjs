// `smart-fetch status`: what a folder holds, and how far it is, by table, JSON and exit status.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXIT } from '../../node-cli/src/exit-codes.js';
import { run, scratch } from './support.mjs';
import { QUICK, sandbox } from './server.mjs';

const SOME = ['--type', 'Patient,Condition', '--no-default-filters', ...QUICK];

test('the folder of an export: complete, or what is missing', async (t) => {
  const folder = join(await scratch(t), 'out');
  const server = await sandbox(t, { faults: { fileFail: '404*1' } });
  const command = ['bulk', folder, '--fhir-url', server.url, ...SOME];
  assert.equal((await run(command)).code, EXIT.partial);
  const before = await run(['status', folder]);
  assert.equal(before.code, EXIT.partial, before.stderr);
  assert.match(before.stdout, /'.*out' is not complete: 2 of 2 files are missing\. Run the same command again to get just what is missing\.\n/);

  assert.equal((await run(command)).code, EXIT.complete);
  const { code, stdout, stderr } = await run(['status', folder]);
  assert.deepEqual([code, stderr], [EXIT.complete, '']);
  const lines = stdout.split('\n');
  assert.match(lines[0], /^Type +Files +Resources +Size$/);
  assert.match(lines[2], /^Condition +\d +\d+ +[\d.]+KB$/);
  assert.match(lines[3], /^Patient +1 +10 +[\d.]+KB$/);
  assert.match(lines[4], /^Total +\d +\d+ +[\d.]+KB$/);
  assert.match(lines[5], /^'.*out' is complete\.$/);
  assert.match(lines[6], /^Its state was written last on \d{4}-\d\d-\d\d at \d\d:\d\d\.$/);

  const json = JSON.parse((await run(['status', folder, '--json'])).stdout);
  assert.deepEqual([json.complete, json.exitStatus, json.kind, json.runs[0].missing], [true, EXIT.complete, 'output', 0]);
  assert.deepEqual(await run(['status', folder, '-q']), { code: EXIT.complete, signal: null, stdout: '', stderr: '' });
});

test('a managed folder: its exports, complete as the last one is', async (t) => {
  const folder = join(await scratch(t), 'data');
  const server = await sandbox(t);
  const more = ['--fhir-url', server.url, ...SOME, '--hydration-tasks', 'none'];
  assert.equal((await run(['export', folder, ...more, '--nickname', 'one'])).code, EXIT.complete);
  await server.setFaults({ fileFail: '404*1' });
  assert.equal((await run(['export', folder, ...more, '--nickname', 'two'])).code, EXIT.partial);
  const before = await run(['status', folder]);
  assert.equal(before.code, EXIT.partial);
  assert.match(before.stdout, /^Export +State +Since +Types +New patients +As of\n[─ ]+\n001\.one +complete +all +2 +0 +\d{4}-.*\n002\.two +not complete +all +0 +0 +-\n/);
  assert.match(before.stdout, /'.*data' has 2 exports; the last one, '002\.two', is not complete: run it again to carry on\.\n/);
  assert.equal((await run(['export', folder, ...more, '--nickname', 'two'])).code, EXIT.complete);
  const { code, stdout } = await run(['status', folder]);
  assert.equal(code, EXIT.complete, stdout);
  assert.match(stdout, /has 2 exports; the last one, '002\.two', is complete\.\n/);
});

test('a folder without an export is not complete', async (t) => {
  const folder = join(await scratch(t), 'empty');
  await mkdir(folder);
  const { code, stdout } = await run(['status', folder]);
  assert.deepEqual([code, stdout], [EXIT.partial, `'${folder}' holds no export.\n`]);
});
