// The command that runs the embedded server.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { printed, run, scratch, start } from './support.mjs';

const firstLine = ({ stdout }) => stdout.includes('\n') && stdout.split('\n', 1)[0];

test('it prints its base URL alone on the first line once it listens, and ends on SIGTERM', async () => {
  const sandbox = start(['sandbox', '--patients', '3', '--seed', '7', '--fault', 'latency=1']);
  const url = await printed(sandbox, firstLine);
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/fhir$/);
  const metadata = await fetch(`${url}/metadata`);
  assert.equal((await metadata.json()).resourceType, 'CapabilityStatement');
  const patients = await (await fetch(`${url}/Patient?_summary=count`)).json();
  assert.equal(patients.total, 3);
  sandbox.child.kill('SIGTERM');
  const { code, stdout } = await sandbox.ended;
  assert.equal(code, 0);
  assert.equal(stdout, `${url}\n`);
});

test('it goes on when the reader of its URL goes away', async () => {
  const sandbox = start(['sandbox', '--patients', '1', '--quiet']);
  const url = await printed(sandbox, firstLine);
  sandbox.child.stdout.destroy();
  assert.equal((await fetch(`${url}/metadata`)).status, 200);
  sandbox.child.kill('SIGINT');
  const { code, stderr } = await sandbox.ended;
  assert.equal(code, 0);
  assert.equal(stderr, '');
});

test('--fault help lists the faults', async () => {
  const { code, stdout } = await run(['sandbox', '--fault', 'help']);
  assert.equal(code, 0);
  assert.match(stdout, /^fileFail=/m);
});

test('a port in use, a folder that is not there, keys that are none: one clear message', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  t.after(() => other.close());
  await new Promise((resolve) => {
    other.once('listening', resolve);
  });
  const { port } = other.address();
  const folder = await scratch(t);
  const keys = join(folder, 'keys.jwks');
  await writeFile(keys, '{"d": "canary"');
  for (const [args, status, message] of [
    [['--port', String(port)], 1, new RegExp(`^Port ${port} is in use already; choose another one with --port\\.\n$`)],
    [['--data', join(folder, 'gone')], 1, /^The sandbox could not start: could not read '.*gone': there is no such file or folder\.\n$/],
    [['--auth', 'smart', '--jwks', keys], 2, /--jwks: could not read '.*keys\.jwks': it is not JSON/],
  ]) {
    const { code, stdout, stderr } = await run(['sandbox', ...args]);
    assert.match(stderr, message);
    assert.equal(code, status);
    assert.equal(stdout, '');
    assert.doesNotMatch(stderr, /canary/);
  }
});
