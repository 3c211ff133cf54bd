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

/** The relay that the page is told of, as options of the client. */
const through = ({ server, rewriteUrls: routes, headers, tokenOrigins }) => ({ fhirUrl: server, relay: { routes, headers }, tokenOrigins });

test('a folder that was filled through the relay is the server\'s own', async (t) => {
  const sandbox = await startSandbox({ patients: 20, seed: 3, cors: 'none', faults: { pending: 0 } });
  t.after(() => sandbox.close());
  const { url, relays: [relay] } = await serve(t, [sandbox.url]);
  const path = await mkdtemp(join(tmpdir(), 'smart-fetch-relay-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  const folder = await openFolder(path);
  const relayed = new Client({ ...through(relay), workers: 0, retryDelays: [] });
  const options = { types: ['Patient', 'Condition'], hydrationTasks: ['none'], defaultFilters: false };
  const seen = [];
  const job = relayed.export(folder, { ...options, nickname: 'one' });
  for await (const event of job) seen.push(event);
  const report = await job.result;
  const direct = new Client({ fhirUrl: sandbox.url, workers: 0 });
  assert.equal((await direct.export(folder, { ...options, nickname: 'two', since: 'auto' }).result).folder, '002.two', 'others carry on');
  const texts = [JSON.stringify([seen, report]), await readFile(join(path, '.metadata'), 'utf8')];
  for (const name of ['.metadata', 'log.ndjson']) texts.push(await readFile(join(path, '001.one', name), 'utf8'));
  for (const text of texts) assert.ok(!text.includes(url) && !text.includes('/relay/'), text);
  assert.equal(JSON.parse(texts[1])['fhir-url'], sandbox.url);
  await assert.rejects(relayed.single('Patient/nobody'), (error) => !`${error.message} ${error.hint}`.includes('/relay/'));
});

test('an export through the relay is the same as one without it', async (t) => {
  const sandbox = await startSandbox({ patients: 20, seed: 3, cors: 'none', faults: { pending: 1 } });
  t.after(() => sandbox.close());
  const { relays: [relay] } = await serve(t, [sandbox.url]);
  assert.equal(relay.server, sandbox.url);
  const [relayed, direct] = [await exported(t, through(relay)), await exported(t, { fhirUrl: sandbox.url })];
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
  const { relays: [relay] } = await serve(t, [sandbox.url]);
  const { report } = await exported(t, { ...through(relay), auth: { clientId: 'page', keys: { keys: [await jwk(privateKey, { key_ops: ['sign'] })] } } });
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
