// Crawls and managed exports in Chromium, into OPFS: what they leave is what the command line leaves, and either goes on with the
// other's folder.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { factsOf, withoutHeaders } from '../../benches/parity/snapshot.mjs';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { before, QUICK, sandbox } from '../cli/server.mjs';
import { metadataOf, rowsOf, run, scratch, start } from '../cli/support.mjs';
import { fromDisk, toDisk } from './disk.mjs';
import { openPage, startBrowser, startSite } from './support.mjs';

/** Runs `client[method](folder, options)` in the page, as `job`, as the flags `QUICK` do on the command line. */
const runInPage = (page, method, { fhirUrl, name, storage = 'opfs', ...options }) =>
  page.evaluate(
    async ([method, fhirUrl, name, storage, options]) => {
      const { Client, openFolder } = globalThis.sf;
      const client = new Client({ fhirUrl, retryDelays: ['10ms', '20ms', '40ms'] });
      globalThis.job = client[method](await openFolder(name, { storage }), { maxPollDelay: '100ms', ...options });
      return globalThis.ended(globalThis.job.result);
    },
    [method, fhirUrl, name, storage, options],
  );

/** What a folder says, but for times since `since`. */
const facts = (folder, since, stamps = new Set()) => factsOf(folder, { since, stamps }).map(withoutHeaders).sort();

/** A moment before anything is asked for, in whole seconds as servers count. */
const thisSecond = () => Math.floor(Date.now() / 1000) * 1000;

test('a crawl over the usual types leaves what the command line leaves, and the resources of a bulk export, in OPFS and IndexedDB', async (t) => {
  const server = await sandbox(t, { faults: { searchPage: 7 } });
  const page = await openPage(await startBrowser(t), await startSite(t));
  const folder = await scratch(t);
  const [theirs, exported] = ['crawl', 'bulk'].map((name) => join(folder, name));
  const since = thisSecond();
  for (const [command, out] of [['crawl', theirs], ['bulk', exported]]) {
    const { code, stderr } = await run([command, out, '--fhir-url', server.url, '--group', 'all', ...QUICK]);
    assert.equal(code, 0, stderr);
  }
  for (const storage of ['opfs', 'idb']) {
    const mine = join(folder, storage);
    const crawl = () => runInPage(page, 'crawl', { fhirUrl: server.url, name: storage, storage, level: { group: 'all' } });
    const ended = await crawl();
    assert.equal(ended.value?.verdict, 'complete', ended.error?.message);
    assert.ok(server.stats.routes.search.maxInFlight <= 5, 'not more than five searches at once');
    await toDisk(page, storage, mine, storage);
    assert.ok(Object.keys(rowsOf(mine)).length > 10);
    assert.deepEqual(rowsOf(mine), rowsOf(theirs));
    assert.deepEqual(rowsOf(mine), rowsOf(exported));
    assert.deepEqual(facts(mine, since), facts(theirs, since));
    // Again: nothing is fetched.
    server.clearRequests();
    const again = await crawl();
    assert.deepEqual([again.value?.verdict, again.value?.resources], ['complete', ended.value.resources]);
    assert.deepEqual(server.requests.map(({ url }) => url), ['/fhir/metadata']);
  }
});

test('3 of 100 patients fail, each in its way: the others are kept, the three are named, and the same call later gets just those', async (t) => {
  const server = await startSandbox({ patients: 100, seed: 9, faults: { pending: 0 } });
  t.after(() => server.close());
  const ids = Array.from({ length: 100 }, (_, n) => `pt-${String(n + 1).padStart(6, '0')}`);
  const [ill, strange, silent] = [ids[10], ids[50], ids[90]];
  let well = false;
  const asked = [];
  const fhirUrl = await before(t, server.url, (path, response) => {
    asked.push(path);
    if (well || !path.includes('/Condition?')) return false;
    response.setHeader('Access-Control-Allow-Origin', '*');
    if (path.includes(ill)) response.writeHead(500).end('database down');
    else if (path.includes(strange)) response.writeHead(200, { 'Content-Type': 'application/fhir+json' }).end('{"resourceType":"Bundle","entry":[{');
    else if (!path.includes(silent)) return false; // this one never gets an answer
    return true;
  });
  // Five minutes of silence are a time-out.
  const page = await openPage(await startBrowser(t), await startSite(t, { hurry: 150 }));
  const crawl = () => runInPage(page, 'crawl', { fhirUrl, name: 'crawl', ids, types: ['Patient', 'Condition'] });
  const first = await crawl();
  const { verdict, exitStatus, patients, missing, missingExamples } = first.value ?? assert.fail(first.error.message);
  assert.deepEqual([verdict, exitStatus, patients, missing], ['incomplete', 3, 100, { Condition: 3 }]);
  const problems = Object.fromEntries(missingExamples.map(({ type, patient, problem }) => [`${type} of ${patient}`, problem]));
  assert.deepEqual(Object.keys(problems).sort(), [ill, strange, silent].map((id) => `Condition of ${id}`));
  assert.match(problems[`Condition of ${ill}`], /\[500\] database down/);
  assert.match(problems[`Condition of ${strange}`], /no FHIR resource/);
  assert.match(problems[`Condition of ${silent}`], /silent for 300 seconds/);

  const folder = await scratch(t);
  await toDisk(page, 'crawl', join(folder, 'partial'));
  const whole = await run(['crawl', join(folder, 'whole'), '--fhir-url', server.url, '--id-list', ids.join(), '--type', 'Patient,Condition', ...QUICK]);
  assert.equal(whole.code, 0, whole.stderr);
  const [expected, partial] = ['whole', 'partial'].map((name) => rowsOf(join(folder, name)));
  const others = expected.Condition.filter((row) => ![ill, strange, silent].some((id) => row.includes(`"Patient/${id}"`)));
  assert.ok(others.length < expected.Condition.length);
  assert.deepEqual(partial, { Patient: expected.Patient, Condition: others });
  assert.deepEqual(Object.keys(metadataOf(join(folder, 'partial')).done), ['Patient']);
  assert.equal(rowsOf(join(folder, 'partial/error')).OperationOutcome.length, 3);

  well = true;
  asked.length = 0;
  const second = await crawl();
  assert.equal(second.value?.verdict, 'complete', second.error?.message);
  assert.deepEqual([...new Set(asked.slice(1))].sort(), [ill, strange, silent].map((id) => `/fhir/Condition?patient=${id}`));
  await toDisk(page, 'crawl', join(folder, 'healed'));
  assert.deepEqual(rowsOf(join(folder, 'healed')), expected);
});

for (const mode of ['bulk', 'crawl']) {
  test(`managed exports by ${mode} leave what the command line leaves: subfolders, deletions, hydration, links`, async (t) => {
    const server = await startSandbox({ patients: 8, seed: 3, faults: { pending: 0 } });
    t.after(() => server.close());
    const page = await openPage(await startBrowser(t), await startSite(t));
    const folder = await scratch(t);
    const since = thisSecond();
    const stamps = new Set();
    for (const [n, nickname] of ['one', 'two', 'three'].entries()) {
      const update = n === 1 ? { since: 'auto' } : {};
      if (n > 0) stamps.add(await changeData(server, n));
      const options = { fhirUrl: server.url, name: 'managed', level: { group: 'all' }, mode, nickname, ...update };
      const ended = await runInPage(page, 'export', options);
      assert.equal(ended.value?.verdict, 'complete', ended.error?.message);
      const flags = ['--fhir-url', server.url, '--group', 'all', '--export-mode', mode, '--nickname', nickname, ...QUICK];
      const { code, stderr } = await run(['export', join(folder, 'cli'), ...flags, ...(n === 1 ? ['--since', 'auto'] : [])]);
      assert.equal(code, 0, stderr);
      await toDisk(page, 'managed', join(folder, `page ${n}`));
      const [mine, theirs] = [`page ${n}`, 'cli'].map((name) => facts(join(folder, name), since, stamps));
      assert.deepEqual(mine, theirs);
      const links = mine.filter((fact) => / -> /.test(fact));
      assert.ok(links.some((fact) => fact.startsWith(`Practitioner.001.ndjson.gz -> 00${n === 2 ? 3 : 1}.`)), 'what hydration brought is linked');
      assert.ok(n !== 1 || links.some((fact) => / -> 002\.two\//.test(fact)), 'so is the increment');
      assert.equal(mine.some((fact) => /^00\d\.\w+\/deleted\//.test(fact)), n > 0, 'who is gone is told');
    }
  });
}

/** The data as it is so often changed, stamped with the present; resolves to the stamp, when a server that counts seconds has it behind it. */
async function changeData(server, revision) {
  const stamp = new Date(Date.now() - 1);
  await server.setData({ revision, stamp: stamp.toISOString().replace('Z', '+00:00') });
  await new Promise((resolve) => { setTimeout(resolve, 1050 - stamp.getMilliseconds()); });
  return stamp.getTime();
}

test('either goes on where the other was interrupted, in one managed folder', async (t) => {
  const server = await startSandbox({ patients: 8, seed: 3, faults: { pending: 0, latency: 5 } });
  t.after(() => server.close());
  const page = await openPage(await startBrowser(t), await startSite(t));
  const folder = await scratch(t);
  const [shared, alone] = [join(folder, 'shared'), join(folder, 'alone')];
  const since = thisSecond();
  const stamps = new Set();
  const types = ['Patient', 'Condition', 'Observation', 'Encounter'];
  const options = (nickname) => ({ level: { group: 'all' }, types, mode: 'crawl', nickname, ...(nickname === 'one' ? {} : { since: 'auto' }) });
  const command = (out, nickname) => [
    'export', out, '--fhir-url', server.url, '--group', 'all', '--type', types.join(), '--export-mode', 'crawl', '--nickname', nickname, ...QUICK,
    ...(nickname === 'one' ? [] : ['--since', 'auto']),
  ];
  /** Everything but the log, which has more events the oftener a run begins. */
  const state = (path) => facts(path, since, stamps).filter((fact) => !fact.includes('log.ndjson'));
  const done = async (running) => {
    const { code, stderr } = await running;
    assert.equal(code, 0, stderr);
  };
  const halfWay = () => until(() => server.requests.filter(({ url }) => /\/(Condition|Observation)\?/.test(url)).length >= 6);

  const first = await runInPage(page, 'export', { fhirUrl: server.url, name: 'managed', ...options('one') });
  assert.equal(first.value?.verdict, 'complete', first.error?.message);
  await done(run(command(alone, 'one')));

  // The page is stopped half-way, the command line ends it.
  stamps.add(await changeData(server, 1));
  server.clearRequests();
  const stopped = runInPage(page, 'export', { fhirUrl: server.url, name: 'managed', ...options('two') });
  await halfWay();
  await page.evaluate(() => globalThis.job.cancel());
  assert.equal((await stopped).error?.code, 'cancelled');
  await toDisk(page, 'managed', shared);
  assert.notEqual(metadataOf(join(shared, '002.two')).complete, true);
  await done(run(command(shared, 'two')));
  await done(run(command(alone, 'two')));
  assert.deepEqual(state(shared), state(alone));
  // Browsers show pages no links: they are made anew, so that all of it can be read.
  await fromDisk(page, shared, 'looked at');
  const { current, problems } = await page.evaluate(async () => {
    const folder = await globalThis.sf.openFolder('looked at');
    return { current: await folder.types(), problems: (await globalThis.sf.verify(folder).result).problems };
  });
  assert.deepEqual([Object.keys(current).includes('Condition'), problems], [true, []]);
  await toDisk(page, 'looked at', join(folder, 'looked at'));
  assert.deepEqual(facts(join(folder, 'looked at'), since, stamps), facts(shared, since, stamps));

  // The command line is stopped half-way, the page ends it.
  stamps.add(await changeData(server, 2));
  server.clearRequests();
  const interrupted = start(command(shared, 'three'));
  await halfWay();
  interrupted.child.kill('SIGINT');
  assert.equal((await interrupted.ended).code, 130);
  await fromDisk(page, shared, 'taken in');
  const last = await runInPage(page, 'export', { fhirUrl: server.url, name: 'taken in', ...options('three') });
  assert.equal(last.value?.verdict, 'complete', last.error?.message);
  await toDisk(page, 'taken in', join(folder, 'out'));
  await done(run(command(alone, 'three')));
  assert.deepEqual(state(join(folder, 'out')), state(alone));
});

/** Waits until `found` is true. */
async function until(found) {
  for (let waited = 0; waited < 60_000 && !found(); waited += 5) await new Promise((resolve) => { setTimeout(resolve, 5); });
  assert.ok(found(), 'it never came');
}
