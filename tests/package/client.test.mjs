// The package's own API against the embedded sandbox: jobs, events, errors, cancelling, resuming.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect, promisify } from 'node:util';

import { Client as BaseClient } from '../../pkg-template/client.js';
import { Job } from '../../pkg-template/job.js';
import { runner } from '../../pkg-template/run.js';
import { fileFor, flavour } from '../../pkg-template/flavour.js';
import { compile } from '../../pkg-template/load-node.js';
import { Client, SmartFetchError, memoryFolder, openFolder, version } from '../../pkg-template/node.js';
import { FIXTURE, folder, sandbox, serve, text } from './helpers.mjs';

const FAST = { retryDelays: ['50ms', '50ms'] };

/** Everything that a folder of NDJSON holds, by type. */
function resources(path) {
  const all = {};
  for (const name of readdirSync(path).filter((one) => /\.ndjson(\.gz)?$/.test(one) && one !== 'log.ndjson')) {
    const lines = text(path, name).split('\n').filter(Boolean);
    (all[name.split('.')[0]] ??= []).push(...lines);
  }
  for (const lines of Object.values(all)) lines.sort();
  return all;
}

test('bulk: events tell the story, the report the result, and every line is there', async (t) => {
  const sbx = await sandbox(t);
  const path = folder(t);
  const client = new Client({ fhirUrl: sbx.url, ...FAST });
  const types = ['Patient', 'Observation', 'Condition'];
  const job = client.bulk(await openFolder(path), { types });
  const events = [];
  for await (const event of job) events.push(event);
  const report = await job.result;
  assert.equal(report.verdict, 'complete');
  assert.equal(report.exitStatus, 0);
  const expected = resources(FIXTURE);
  assert.deepEqual(resources(path), Object.fromEntries(types.sort().map((type) => [type, expected[type]])));
  assert.equal(report.resources, types.reduce((sum, type) => sum + expected[type].length, 0));
  assert.deepEqual(Object.keys(report.types).sort(), types);
  const phases = events.filter(({ type }) => type === 'phase').map(({ phase }) => phase);
  assert.deepEqual([...new Set(phases)], ['discover', 'kickOff', 'wait', 'download', 'finish']);
  assert.equal(events.filter(({ type }) => type === 'fileFinished').length, report.files);
  assert.ok(!existsSync(join(path, '.lock')), 'the lock is given back');
  assert.ok(readdirSync(path).every((name) => !name.endsWith('.part')));
});

test('bulk: without workers, and into memory', async (t) => {
  const sbx = await sandbox(t);
  const path = folder(t);
  const client = new Client({ fhirUrl: sbx.url, workers: 0, ...FAST });
  const onDisk = await client.bulk(await openFolder(path), { types: ['Patient'], compress: false }).result;
  assert.deepEqual(resources(path), { Patient: resources(FIXTURE).Patient });
  const inMemory = await client.bulk(memoryFolder(), { types: ['Patient'] }).result;
  assert.equal(inMemory.resources, onDisk.resources);
});

test('bulk: SMART Backend Services with each key, as JWK and as PEM', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const { clientId, keys } = sbx.client;
  for (const alg of ['RS384', 'ES384']) {
    for (const form of [keys[alg].jwk, { keys: [keys[alg].jwk] }, JSON.stringify(keys[alg].jwk)]) {
      const client = new Client({ fhirUrl: sbx.url, auth: { clientId, keys: form }, ...FAST });
      const report = await client.bulk(memoryFolder(), { types: ['Patient'] }).result;
      assert.equal(report.resources, 10);
    }
  }
  // The thumbprint that a PEM gets as its kid is none that was registered: the server says so.
  const client = new Client({ fhirUrl: sbx.url, auth: { clientId, keys: keys.ES384.pem }, retryDelays: [] });
  const outcome = await client.bulk(memoryFolder(), { types: ['Patient'] }).result.catch((error) => error);
  assert.ok(outcome.code === 'auth' || outcome.resources === 10, inspect(outcome));
});

test('bulkAuth: bulk requests are another client, with a key of its own', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const { clientId, keys } = sbx.client;
  const bulk = { clientId, keys: keys.ES384.jwk };
  const other = { clientId: 'not-registered', keys: keys.RS384.jwk };
  const good = new Client({ fhirUrl: sbx.url, auth: other, bulkAuth: bulk, ...FAST });
  assert.equal((await good.bulk(memoryFolder(), { types: ['Patient'] }).result).resources, 10);
  await assert.rejects(good.single('Patient/x'), { code: 'auth' });
  const swapped = new Client({ fhirUrl: sbx.url, auth: bulk, bulkAuth: other, retryDelays: [] });
  await assert.rejects(swapped.bulk(memoryFolder(), { types: ['Patient'] }).result, { code: 'auth' });
});

test('cancel and resume: what is there is not fetched again', async (t) => {
  const sbx = await sandbox(t, { faults: { pending: 2 } });
  const path = folder(t);
  const client = new Client({ fhirUrl: sbx.url, ...FAST });
  const job = client.bulk(await openFolder(path), { types: ['Patient', 'Condition'] });
  const seen = [];
  await assert.rejects(async () => {
    for await (const event of job) {
      seen.push(event.type);
      if (event.type === 'waiting') job.cancel();
    }
  }, { code: 'cancelled', exitStatus: 130, retry: true });
  await assert.rejects(job.result, SmartFetchError);
  assert.ok(seen.includes('kickedOff'));
  assert.ok(!existsSync(join(path, '.lock')));

  const again = client.bulk(await openFolder(path), { types: ['Patient', 'Condition'] });
  const events = [];
  for await (const event of again) events.push(event.type);
  assert.equal((await again.result).verdict, 'complete');
  assert.ok(!events.includes('kickedOff'), 'the server is not asked twice');
});

test('signal: aborts a job, also one that has not begun', async (t) => {
  const sbx = await sandbox(t, { faults: { pending: 100 } });
  const client = new Client({ fhirUrl: sbx.url, ...FAST });
  const job = client.bulk(memoryFolder(), { signal: AbortSignal.timeout(300) });
  await assert.rejects(job.result, { code: 'cancelled' });
  await assert.rejects(client.bulk(memoryFolder(), { signal: AbortSignal.abort() }).result, { code: 'cancelled' });
});

test('cancelBulk: ends the job on the server', async (t) => {
  const sbx = await sandbox(t, { faults: { pending: 100 } });
  const path = folder(t);
  const client = new Client({ fhirUrl: sbx.url, ...FAST });
  const job = client.bulk(await openFolder(path), { types: ['Patient'] });
  for await (const event of job) if (event.type === 'waiting') break;
  job.cancel();
  await assert.rejects(job.result, { code: 'cancelled' });
  await client.cancelBulk(await openFolder(path));
  await assert.rejects(client.cancelBulk(await openFolder(path)), { code: 'notFound' });
});

test('one job at a time in a folder', async (t) => {
  const sbx = await sandbox(t, { faults: { pending: 100 } });
  const client = new Client({ fhirUrl: sbx.url, ...FAST });
  const shared = await openFolder(folder(t));
  const first = client.bulk(shared, { types: ['Patient'] });
  for await (const event of first) if (event.type === 'kickedOff') break;
  await assert.rejects(client.bulk(shared, { types: ['Patient'] }).result, { code: 'locked' });
  first.cancel();
  await assert.rejects(first.result);
});

test('single: a resource as text, and a missing one', async (t) => {
  const sbx = await sandbox(t);
  const client = new Client({ fhirUrl: sbx.url, ...FAST });
  const line = resources(FIXTURE).Patient[0];
  const { id } = JSON.parse(line);
  const bytes = await client.single(`Patient/${id}`, { compact: true });
  assert.deepEqual(JSON.parse(Buffer.from(bytes).toString()), JSON.parse(line));
  await assert.rejects(client.single('Patient/none'), { code: 'notFound', status: 404 });
  await assert.rejects(client.single('Patient/x', { signal: AbortSignal.abort() }), { code: 'cancelled' });
});

test('options: what makes no sense is a usage error, before anything is sent', async (t) => {
  let requests = 0;
  const fhirUrl = await serve(t, (_, response) => {
    requests += 1;
    response.end();
  });
  const bad = { code: 'usage', exitStatus: 2, retry: false };
  for (const options of [{}, { fhirUrl: '' }, { fhirUrl, workers: -1 }, { fhirUrl, workers: 1.5 }, { fhirUrl, auth: 'smart' }, { fhirUrl, auth: {} },
    { fhirUrl, auth: { token: '' } }, { fhirUrl, auth: { user: 'x' } }, { fhirUrl, auth: { clientId: 'x' } }]) {
    assert.throws(() => new Client(options), bad, inspect(options));
  }
  const client = new Client({ fhirUrl });
  const jobs = [{ tpyes: ['Patient'] }, { types: 'Patient' }, { types: ['Nonsense!'] }, { since: 'yesterday' }, { typeFilters: ['Patient'] },
    { patients: ['1'] }, { maxPollDelay: 'soon' }, { level: 'galaxy' }];
  for (const options of jobs) {
    await assert.rejects(client.checkBulk(options), bad, inspect(options));
    await assert.rejects(client.bulk(memoryFolder(), options).result, bad, inspect(options));
  }
  for (const [options, message] of [
    [{ tpyes: [] }, /there is no option 'tpyes'/],
    [{ types: 'Patient' }, /: types: a text where a list is due\.$/],
    [{ level: 'group' }, /: level: 'group' needs a value, as in \{ group: '123' \}\.$/],
    [{ sinceMode: 'never' }, /: sinceMode: 'never' is none of auto, updated, created\.$/],
    [{ maxPollDelay: 'soon' }, /: maxPollDelay: 'soon' is not a duration; .* 30d\.$/],
  ]) await assert.rejects(client.checkBulk(options), { ...bad, message });
  for (const [options, message] of [
    [{ colour: 'red' }, "There is no option 'colour' of a client."],
    [{ maxConnection: 3 }, "There is no option 'maxConnection' of a client."],
    [{ auth: { clientId: 'x', keys: {}, scopes: 'y' } }, "There is no option 'scopes' of auth."],
    [{ auth: { token: 'x', expiresIn: 3 } }, "There is no option 'expiresIn' of auth."],
    [{ headers: 'X-A: 1' }, 'headers is no object.'],
  ]) assert.throws(() => new Client({ fhirUrl, ...options }), { ...bad, message });
  assert.throws(() => new Client(), { ...bad, message: 'fhirUrl is missing.' });
  await assert.rejects(new Client({ fhirUrl, retryDelays: '1m', colour: undefined }).checkBulk(), { message: /: retryDelays: a text where a list is due/ });
  await client.checkBulk({ types: ['Patient'], since: undefined, level: { group: 'g1' }, maxPollDelay: 0.5, params: { a: 'b' } });
  assert.equal(requests, 0);
});

test('b15_errors: no secret is in an error, whatever goes wrong', async (t) => {
  const fhirUrl = await serve(t, (_, response) => response.writeHead(401).end());
  const canary = 'canary-7f3a';
  for (const auth of [{ token: canary }, { user: 'u', password: canary }]) {
    const client = new Client({ fhirUrl, auth, retryDelays: [] });
    await assert.rejects(client.bulk(memoryFolder()).result, (error) => {
      assert.equal(error.code, 'auth');
      assert.ok(!inspect(error, { depth: 9 }).includes(canary));
      return true;
    });
  }
});

test('errors: typed, with a code, whatever was thrown', () => {
  const plain = { kind: 'quota', operation: 'storage', message: 'full', retry: true, hint: 'Free some space.', exitStatus: 1 };
  const error = SmartFetchError.from(plain, 'x');
  assert.ok(error instanceof Error);
  assert.deepEqual({ ...error }, { code: 'quota', operation: 'storage', hint: 'Free some space.', retry: true, status: undefined, exitStatus: 1, name: 'SmartFetchError' });
  assert.equal(SmartFetchError.from(error, 'y'), error);
  const cause = new TypeError('odd');
  const wrapped = SmartFetchError.from(cause, 'download');
  assert.deepEqual([wrapped.code, wrapped.operation, wrapped.message, wrapped.cause], ['internal', 'download', 'odd', cause]);
  assert.equal(SmartFetchError.from('text', 'x').message, 'text');
  assert.equal(SmartFetchError.from(undefined, 'x').code, 'internal');
});

test('events: a slow listener gets the latest progress, and no memory is used up', async () => {
  let tell;
  let end;
  const job = new Job('test', ({ onEvent }) => {
    tell = onEvent;
    return new Promise((resolve) => (end = resolve));
  });
  for (let received = 1; received <= 50_000; received++) tell({ type: 'fileProgress', file: 0, received, resources: received });
  for (let file = 0; file < 30_000; file++) tell({ type: 'fileStarted', file, name: `${file}` });
  end('done');
  const seen = [];
  for await (const event of job) seen.push(event);
  assert.ok(seen.length <= 10_000);
  assert.equal(seen.at(-1).file, 29_999);
  assert.equal(await job.result, 'done');
});

test('the wasm files: picked by what the engine can do, or by SMART_FETCH_WASM', async () => {
  assert.equal(flavour(), 'simd');
  assert.equal(flavour('base'), 'base');
  assert.equal(flavour('nonsense'), 'simd');
  const cargo = readFileSync(new URL('../../Cargo.toml', import.meta.url), 'utf8');
  const [, expected] = /^version = "([^"]+)"/m.exec(cargo);
  assert.equal(await version(), expected);
  const node = new URL('../../pkg-template/node.js', import.meta.url).href;
  const load = new URL('../../pkg-template/load-node.js', import.meta.url).href;
  for (const wanted of ['base', 'simd']) {
    const code = `import { version } from ${JSON.stringify(node)}; import { compile } from ${JSON.stringify(load)}; console.log(compile().name, await version());`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { env: { ...process.env, SMART_FETCH_WASM: wanted } });
    assert.equal(stdout.trim(), `${wanted} ${expected}`);
  }
});

test('a function of the core is in the file that is loaded for it; the small one leaves the jobs out', () => {
  const functions = (operation) => WebAssembly.Module.exports(compile(operation).module).map(({ name }) => name.toLowerCase());
  for (const operation of ['bulk', 'cancelBulk', 'checkBulk', 'gzip', 'resourceTypes', 'single', 'transfer', 'version', 'view', 'managedExport', 'crawl', 'hydrate', 'verify', 'merge', 'bundle', 'doctor', 'resetLinks', 'parseIds', 'hydrationTasks']) {
    const has = functions(operation);
    assert.ok(has.includes(operation.toLowerCase()), `${operation}: ${has}`);
  }
  assert.equal(fileFor('bulk', 'base'), 'base');
  assert.equal(fileFor('crawl', 'simd'), 'full_simd');
});

test('an engine without SIMD gets the baseline', () => {
  const { validate } = WebAssembly;
  WebAssembly.validate = () => false;
  try {
    assert.equal(flavour(), 'base');
  } finally {
    WebAssembly.validate = validate;
  }
});

test('the process ends when the job has: no worker or connection keeps it', async (t) => {
  const sbx = await sandbox(t);
  const node = new URL('../../pkg-template/node.js', import.meta.url).href;
  const path = folder(t);
  rmSync(path, { recursive: true });
  const code = `import { Client, openFolder } from ${JSON.stringify(node)};
    const { result } = new Client({ fhirUrl: ${JSON.stringify(sbx.url)} }).bulk(await openFolder(${JSON.stringify(path)}), { types: ['Patient'] });
    console.log((await result).resources);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { timeout: 20_000 });
  assert.equal(stdout.trim(), '10');
});

test('a panic of the core: the job ends with an error that says so, and the core is not called again', async () => {
  let panic;
  let closed = 0;
  const core = { onPanic: (handler) => (panic = handler), bulk: () => new Promise(() => {}) };
  const environment = {
    load: async () => core,
    createHttp: () => ({ send: () => assert.fail(), close: () => (closed += 1) }),
    createPool: () => undefined,
    importClients: () => assert.fail(),
  };
  const run = runner(environment);
  const client = new BaseClient({ fhirUrl: 'https://ehr.example/fhir' }, (call, access, control) => run(call, access.backend, control));
  const running = client.bulk(memoryFolder());
  setTimeout(() => panic('index out of bounds at src/x.rs:1'), 20);
  const wanted = { code: 'internal', exitStatus: 1, message: /index out of bounds/, hint: /report/ };
  await assert.rejects(running.result, wanted);
  await assert.rejects(client.bulk(memoryFolder()).result, wanted);
  assert.equal(closed, 2);
});

test('a full folder stops the job cleanly, says how much is missing, and is carried on when there is room', async (t) => {
  const { url } = await sandbox(t, { faults: { page: 20 } });
  const small = memoryFolder({ capacity: 60_000 });
  const client = new Client({ fhirUrl: url, ...FAST });
  const options = { types: ['Condition', 'Encounter', 'Patient'], compress: false };
  const error = await client.bulk(small, options).result.catch((thrown) => thrown);
  assert.equal(error.code, 'quota');
  const [, missing, all, needed] = /(\d+) of (\d+) files are not here yet; they need about (\d+) KB\./.exec(error.message);
  assert.match(error.hint, new RegExp(`^Free about ${needed} KB, then do the same again`));
  const here = await small.files();
  assert.equal(here.length, all - missing);
  assert.ok(here.length > 0);
  // With that much more room, and a little for the state, it fits.
  const whole = memoryFolder();
  await client.bulk(whole, options).result;
  const rest = (await whole.files()).reduce((sum, { bytes }) => sum + bytes, 0) - here.reduce((sum, { bytes }) => sum + bytes, 0);
  assert.ok(Math.abs(needed * 1000 - rest) < rest / 2, `${needed} KB were said, ${rest} bytes are needed`);
});
