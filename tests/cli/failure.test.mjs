// Bad input, bad servers, bad folders: one clear message, the right exit status, nothing lost.
import assert from 'node:assert/strict';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { filesBelow, run, scratch } from './support.mjs';
import { fixtureFiles, QUICK, sandbox } from './server.mjs';

/** A server of our own; resolves to its base URL. */
async function serve(t, handler) {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await new Promise((resolve) => {
    server.once('listening', resolve);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}/fhir`;
}

function lastLine(text) {
  return text.trimEnd().split('\n').at(-1);
}

test('a server that is not there: exit 1, the message names it', async (t) => {
  const out = join(await scratch(t), 'out');
  const { code, stdout, stderr } = await run(['bulk', out, '--fhir-url', 'http://127.0.0.1:9/fhir', '--type', 'Patient', ...QUICK]);
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(lastLine(stderr), /127\.0\.0\.1:9/);
  assert.doesNotMatch(stderr, /Internal error|at .*\.js:\d+/);
});

test('HTML instead of FHIR: exit 1, the message says so', async (t) => {
  const url = await serve(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Welcome</title><p>Log in');
  });
  const out = join(await scratch(t), 'out');
  const { code, stderr } = await run(['bulk', out, '--fhir-url', url, '--type', 'Patient', ...QUICK]);
  assert.equal(code, 1);
  assert.match(lastLine(stderr), /200|HTML|html/);
  assert.ok(lastLine(stderr).length < 600, 'not the whole page');
  assert.doesNotMatch(stderr, /Internal error/);
});

test('no credentials where some are needed: exit 1, the words of the reference', async (t) => {
  const { url } = await sandbox(t, { auth: 'bearer' });
  const { code, stderr } = await run(['bulk', join(await scratch(t), 'out'), '--fhir-url', url, '--type', 'Patient', ...QUICK]);
  assert.equal(code, 1);
  assert.match(lastLine(stderr), /without authentication|401/);
});

test('a server that refuses: exit 1 with its own words', async (t) => {
  const { url } = await sandbox(t, { faults: { kickoffFail: '400*' } });
  const { code, stderr } = await run(['bulk', join(await scratch(t), 'out'), '--fhir-url', url, '--type', 'Patient', ...QUICK]);
  assert.equal(code, 1);
  assert.match(lastLine(stderr), /\[?400\]?/);
});

test('credentials over plain http to another host are refused before they are sent', async (t) => {
  const out = join(await scratch(t), 'out');
  const { code, stderr } = await run(['bulk', out, '--fhir-url', 'http://ehr.example.org/fhir', '--bearer-token', 'canary', ...QUICK]);
  assert.equal(code, 1);
  assert.match(stderr, /--allow-insecure|allowInsecure|plain http/);
  assert.doesNotMatch(stderr, /canary/);
});

test('a folder that cannot be made or written: exit 1, the message names it', async (t) => {
  const { url } = await sandbox(t);
  // Even root cannot make anything there.
  for (const out of ['/proc/smart-fetch-out', '/proc/self/fdinfo/out']) {
    const { code, stderr } = await run(['bulk', out, '--fhir-url', url, '--type', 'Patient', ...QUICK]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /\/proc\//);
    assert.doesNotMatch(stderr, /Internal error|at .*\.js:\d+/);
  }
});

test('a disk that takes no more: exit 1, what is there stays, and the same command goes on when there is room', async (t) => {
  const server = await sandbox(t);
  const out = join(await scratch(t), 'out');
  const command = ['bulk', out, '--fhir-url', server.url, '--type', 'Patient,Observation', '--no-default-filters', ...QUICK];
  // No file above 8 KB: Patient fits, Observation does not.
  const full = await run(command, { through: ['sh', '-c', 'ulimit -f 16; exec "$@"', 'sh'] });
  assert.equal(full.code, 1);
  assert.match(lastLine(full.stderr), /^Observation\.00\d\.ndjson\.gz\.part: file too large .* Free (about \d+ KB|some space), then do the same again/);
  assert.deepEqual((await readdir(out)).filter((name) => /^Observation.*gz$/.test(name)), [], 'no torn file has its final name');

  const again = await run(command);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(server.requests.filter(({ url }) => url.includes('$export')).length, 1, 'no second kick-off');
  for (const name of ['Patient.001', 'Observation.001', 'Observation.002']) {
    const bytes = gunzipSync(await readFile(join(out, `${name}.ndjson.gz`)));
    assert.ok(bytes.equals(fixtureFiles().get(name)), name);
  }
});

test('a folder of another kind, or with a state that is none, is refused and left alone', async (t) => {
  const { url } = await sandbox(t);
  for (const [state, message] of [
    ['{"kind": "managed", "timestamp": "2024-01-01T00:00:00+00:00", "version": "1.0.3"}', /is not an output folder, but a managed folder/],
    ['{"kind": "outp', /\.metadata/],
  ]) {
    const out = await scratch(t);
    await writeFile(join(out, '.metadata'), state);
    const { code, stderr } = await run(['bulk', out, '--fhir-url', url, '--type', 'Patient', ...QUICK]);
    assert.equal(code, 1);
    assert.match(lastLine(stderr), message);
    assert.deepEqual(await readdir(out), ['.metadata']);
  }
});

test('two runs in one folder: the second is refused', async (t) => {
  const server = await sandbox(t, { faults: { latency: 300, pending: 2, retryAfter: '0' } });
  const out = join(await scratch(t), 'out');
  const command = ['bulk', out, '--fhir-url', server.url, '--type', 'Patient', ...QUICK];
  const results = await Promise.all([run(command), run(command)]);
  assert.deepEqual(results.map(({ code }) => code).sort(), [0, 1], results.map(({ stderr }) => stderr).join('\n'));
  const refused = results.find(({ code }) => code === 1);
  assert.match(refused.stderr, /another|locked|lock/i);
});

test('output that cannot be written: exit 1', async (t) => {
  const { url } = await sandbox(t);
  const full = await open('/dev/full', 'w');
  t.after(() => full.close());
  const { code, stderr } = await run(['single', 'Group/all', '--fhir-url', url], { stdio: ['ignore', full.fd, 'pipe'] });
  assert.equal(code, 1);
  assert.equal(stderr, 'Could not write to standard output: no space left on the device.\n');
});

test('keys that are none: exit 2, the file is named, its text is not repeated, nothing is written', async (t) => {
  const folder = await scratch(t);
  const { url } = await sandbox(t, { auth: 'smart' });
  const files = {
    'broken.jwks': '{"keys": [{"kty": "EC", "d": "canary"',
    'public.jwks': '{"keys": [{"kty": "EC", "crv": "P-384", "x": "canary", "y": "canary", "alg": "ES384", "kid": "1", "key_ops": ["verify"]}]}',
    'damaged.pem': '-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n',
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text);
    const key = join(folder, name);
    const { code, stdout, stderr } = await run(['bulk', join(folder, 'out'), '--fhir-url', url, '--smart-client-id', 'a', '--smart-key', key]);
    assert.equal(code, 2, stderr);
    assert.ok(stderr.includes(`--smart-key: '${key}'`), stderr);
    assert.doesNotMatch(stdout + stderr, /canary/);
  }
  assert.deepEqual(await filesBelow(folder), Object.keys(files).sort());
});
