import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { request } from './helpers.mjs';

const COMMAND = new URL('../../node-cli/src/sandbox/command.js', import.meta.url).href;

/** runSandbox in a process of its own; resolves when the first line is out. */
async function run(t, options, env = {}) {
  const code = `import { runSandbox } from ${JSON.stringify(COMMAND)}; await runSandbox(${JSON.stringify(options)});`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  t.after(() => child.kill('SIGKILL'));
  child.output = '';
  child.errors = '';
  child.stdout.on('data', (chunk) => { child.output += chunk; });
  child.stderr.on('data', (chunk) => { child.errors += chunk; });
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
  return child;
}

test('the command prints the base URL alone, and ends cleanly on SIGTERM and SIGINT', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const temp = fs.mkdtempSync(path.join(os.tmpdir(), 'sandbox-command-'));
    t.after(() => fs.rmSync(temp, { recursive: true }));
    const child = await run(t, { patients: 2, fault: ['searchPage=1'] }, { TMPDIR: temp });
    assert.match(child.output, /^http:\/\/127\.0\.0\.1:\d+\/fhir\n$/);
    const { json } = await request(`${child.output.trim()}/Patient`);
    assert.deepEqual([json.total, json.entry.length], [2, 1]);
    assert.equal(fs.readdirSync(temp).length, 1);
    child.kill(signal);
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.deepEqual(fs.readdirSync(temp), [], 'generated data is removed');
  }
});

test('it ends at once in the middle of generating very much', async (t) => {
  const temp = fs.mkdtempSync(path.join(os.tmpdir(), 'sandbox-command-'));
  t.after(() => fs.rmSync(temp, { recursive: true }));
  const child = await run(t, { patients: 1_000_000 }, { TMPDIR: temp });
  const pending = request(`${child.output.trim()}/Patient`).catch(({ code }) => code);
  while (fs.readdirSync(temp).length === 0) await new Promise((resolve) => { setTimeout(resolve, 20); });
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.equal(await pending, 'ECONNRESET');
  assert.deepEqual(fs.readdirSync(temp), []);
});

test('bad options are named', async (t) => {
  assert.match((await run(t, { fault: ['nonsense=1'] })).errors, /There is no fault "nonsense"/);
  await assert.rejects(startSandbox({ cors: 'some' }), /cors must be one of/);
  await assert.rejects(startSandbox({ auth: 'oauth1' }), /auth must be one of/);
  await assert.rejects(startSandbox({ patients: 1.5 }), /patients must be a whole number/);
  const empty = fs.mkdtempSync(path.join(os.tmpdir(), 'sandbox-empty-'));
  t.after(() => fs.rmSync(empty, { recursive: true }));
  await assert.rejects(startSandbox({ data: empty }), /No NDJSON files/);
  const sbx = await startSandbox({ patients: 1 });
  t.after(() => sbx.close());
  await assert.rejects(startSandbox({ port: Number(new URL(sbx.url).port) }), /Port \d+ of 127\.0\.0\.1 is taken/);
});
