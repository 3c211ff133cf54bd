// A whole export of a server that allows no page of another origin, through the relay, by the package.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, openFolder } from 'smart-fetch';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { printed, start } from '../cli/support.mjs';
import { request, serve } from './support.mjs';

async function exported(t, options) {
  const folder = await mkdtemp(join(tmpdir(), 'smart-fetch-relay-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const report = await new Client({ ...options, workers: 2 }).bulk(await openFolder(folder), { types: ['Patient', 'Condition', 'Observation'] }).result;
  const names = (await readdir(folder)).filter((name) => name.endsWith('.ndjson.gz')).sort();
  const hash = async (name) => createHash('sha256').update(await readFile(join(folder, name))).digest('hex');
  return { report, files: Object.fromEntries(await Promise.all(names.map(async (name) => [name, await hash(name)]))) };
}

test('an export through the relay is the same as one without it', async (t) => {
  const sandbox = await startSandbox({ patients: 20, seed: 3, cors: 'none', faults: { pending: 1 } });
  t.after(() => sandbox.close());
  const { relays: [{ server, ...options }] } = await serve(t, [sandbox.url]);
  assert.equal(server, sandbox.url);
  const [relayed, direct] = [await exported(t, options), await exported(t, { fhirUrl: sandbox.url })];
  assert.equal(relayed.report.verdict, 'complete');
  assert.ok(relayed.report.resources > 20);
  assert.deepEqual(relayed.report.types, direct.report.types);
  assert.deepEqual(relayed.files, direct.files);
});

test('SMART Backend Services through the relay: the token endpoint and the files are reached with their own names', async (t) => {
  const { publicKey, privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-384' }, true, ['sign', 'verify']);
  const jwk = async (key, more) => ({ ...(await crypto.subtle.exportKey('jwk', key)), alg: 'ES384', kid: 'one', ...more });
  const jwks = { keys: [await jwk(publicKey, { key_ops: ['verify'] })] };
  const sandbox = await startSandbox({ patients: 3, seed: 1, cors: 'none', auth: 'smart', jwks, clientId: 'page', faults: { pending: 0 } });
  t.after(() => sandbox.close());
  const { relays: [{ server, ...options }] } = await serve(t, [sandbox.url]);
  const { report } = await exported(t, { ...options, auth: { clientId: 'page', keys: { keys: [await jwk(privateKey, { key_ops: ['sign'] })] } } });
  assert.equal(report.verdict, 'complete');
  assert.equal(report.types.Patient.resources, 3);
});

test('the command prints its URL alone, serves the built page, and ends on SIGTERM', async () => {
  const command = start(['serve', '--port', '0', '--server', 'http://127.0.0.1:9/fhir', '--quiet']);
  const url = await printed(command, ({ stdout }) => stdout.includes('\n') && stdout.split('\n', 1)[0]);
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  const page = await request(`${url}/`);
  assert.equal(page.status, 200);
  assert.match(page.headers['content-type'], /^text\/html/);
  assert.match(page.text, /smart-fetch/i);
  command.child.kill('SIGTERM');
  const { code, stdout, stderr } = await command.ended;
  assert.deepEqual([code, stdout, stderr], [0, `${url}\n`, '']);
});
