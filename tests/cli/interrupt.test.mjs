// Ctrl-C, a reader that goes away, and going on after them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { filesBelow, printed, run, scratch, start } from './support.mjs';
import { DATA_TYPES, fixtureFiles, QUICK, sandbox } from './server.mjs';

/** 2 s, with room for a machine that is busy with other tests. */
const SOON = 5000;

const jobsLeft = (server) => server.requests.filter(({ method }) => method === 'DELETE').length;
const fetches = (server) => server.requests.filter(({ method, url }) => method === 'GET' && /\.ndjson|\/files?\//.test(url)).map(({ url }) => url);

for (const signal of ['SIGINT', 'SIGTERM']) {
  test(`${signal} while files come: out within 2 s, state kept, resumed by the command that is shown`, async (t) => {
    const server = await sandbox(t, { faults: { page: 20, byteRate: 60_000, coding: 'identity' } });
    const out = join(await scratch(t), 'my out');
    const command = ['bulk', out, '--fhir-url', server.url, '--type', 'Observation', '--no-default-filters', ...QUICK, '--bearer-token', 'canary'];
    const process = start(command);
    await printed(process, ({ stderr }) => stderr.includes('Downloaded'));
    const asked = Date.now();
    process.child.kill(signal);
    const { code, stdout, stderr } = await process.ended;
    assert.ok(Date.now() - asked < SOON, `left after ${Date.now() - asked} ms`);
    assert.equal(code, 130);
    const lines = stderr.trimEnd().split('\n');
    const said = lines.slice(lines.findIndex((line) => line.startsWith('Interrupted.')));
    assert.match(said[0], /^Interrupted\. What was received is kept in '.*my out'\. To resume, run:$/);
    assert.ok(said[1].includes(` bulk '${out}' --fhir-url ${server.url} `), said[1]);
    assert.match(said[2], /^To cancel the export on the server instead, run:$/);
    assert.ok(said[3].endsWith(' --cancel'));
    assert.doesNotMatch(stdout + stderr, /canary/);
    assert.equal(jobsLeft(server), 0, 'the job at the server is kept');
    const complete = (await readdir(out)).filter((name) => /^\w+\.\d+\.ndjson\.gz$/.test(name)).length;
    assert.ok(complete > 0);

    server.clearRequests();
    const resumed = await run(command);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.match(resumed.stderr, /Resuming bulk FHIR export/);
    assert.equal(server.requests.filter(({ url }) => url.includes('$export')).length, 0, 'no second kick-off');
    const total = (await readdir(out)).filter((name) => /^\w+\.\d+\.ndjson\.gz$/.test(name)).length;
    assert.equal(new Set(fetches(server)).size, total - complete, 'what was complete is not fetched again');
    assert.equal(jobsLeft(server), 1);
  });
}

test('Ctrl-C while the server prepares, then --cancel: the job is deleted, another --cancel finds none', async (t) => {
  const server = await sandbox(t, { faults: { pending: 1000, retryAfter: '60' } });
  const out = join(await scratch(t), 'out');
  const command = ['bulk', out, '--fhir-url', server.url, '--type', 'Patient'];
  const process = start(command);
  await printed(process, ({ stderr }) => /waiting for|Waiting \(/.test(stderr));
  process.child.kill('SIGINT');
  assert.equal((await process.ended).code, 130);
  assert.equal(jobsLeft(server), 0);

  const cancelled = await run([...command, '--cancel']);
  assert.deepEqual([cancelled.code, cancelled.stdout], [0, 'The export job was cancelled.\n'], cancelled.stderr);
  assert.equal(jobsLeft(server), 1);
  const again = await run([...command, '--cancel']);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /You provided --cancel but no in-progress bulk export was found/);
});

test('Ctrl-C while a server does not answer: out within 2 s, nothing to cancel', async (t) => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => {
    silent.closeAllConnections();
    silent.close();
  });
  const out = join(await scratch(t), 'out');
  const process = start(['bulk', out, '--fhir-url', `http://127.0.0.1:${silent.address().port}/fhir`, '--type', 'Patient']);
  await printed(process, ({ stderr }) => stderr.includes('Looking at the server'));
  const asked = Date.now();
  process.child.kill('SIGINT');
  const { code, stderr } = await process.ended;
  assert.ok(Date.now() - asked < SOON);
  assert.equal(code, 130);
  assert.match(stderr, /\nInterrupted before the server took on the export\. To start again, run:\n  .* bulk .*\n$/);
});

test('--cancel where nothing was begun makes no folder', async (t) => {
  const folder = await scratch(t);
  const { code, stderr } = await run(['bulk', join(folder, 'out'), '--fhir-url', 'http://127.0.0.1:9/fhir', '--cancel']);
  assert.equal(code, 1);
  assert.match(stderr, /You provided --cancel but no in-progress bulk export was found/);
  assert.deepEqual(await filesBelow(folder), []);
});

test('a reader that goes away does not stop the export', async (t) => {
  const server = await sandbox(t, { faults: { latency: 30 } });
  const out = join(await scratch(t), 'out');
  const process = start(['bulk', out, '--fhir-url', server.url, '--type', DATA_TYPES.join(','), '--no-default-filters', ...QUICK, '--progress', 'json']);
  await printed(process, ({ stdout }) => stdout.includes('\n'));
  process.child.stdout.destroy();
  const { code, stderr } = await process.ended;
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  assert.equal((await readdir(out)).filter((name) => name.endsWith('.ndjson.gz')).length, fixtureFiles().size);
});
