// Tabs and workers that end at any moment, two tabs, and being offline: nothing that is complete is fetched twice.
import assert from 'node:assert/strict';
import { createServer, connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { Gate } from '../gate.mjs';
import { openPage, startBrowser, startSite, workersEnded } from './support.mjs';

/** Many files. */
const FAULTS = { page: 40, latency: 25, pending: 1, retryAfter: '1' };
const TYPES = ['Patient', 'Condition', 'Observation', 'Encounter'];

/** `files`: how many files the server gives out before the test opens the gate. */
async function setUp(t, { files = Infinity, ...options } = {}) {
  const gate = new Gate(files);
  const sandbox = await startSandbox({ patients: 40, faults: FAULTS, hold: gate.hold, ...options });
  t.after(() => sandbox.close());
  return { sandbox, gate, site: await startSite(t), context: await startBrowser(t) };
}

/** How many files have come to their end in the page's job. */
const finished = (page, count) =>
  page.waitForFunction((count) => globalThis.seen.filter(({ type }) => type === 'fileFinished').length >= count, count);

/** A page, opened when no tab that was closed is at work any more. */
async function openAlone(context, site) {
  const page = await openPage(context, site);
  await workersEnded(page);
  return page;
}

/** Starts the export in a page, and does not wait for it. */
const begin = (page, fhirUrl, { storage = 'auto', client = {} } = {}) =>
  page.evaluate(
    async ([fhirUrl, storage, types, client]) => {
      const { Client, openFolder } = globalThis.sf;
      const folder = await openFolder('export', { storage });
      globalThis.job = new Client({ fhirUrl, retryDelays: ['0.2s', '0.5s', '1s', '2s'], ...client }).bulk(folder, { types, defaultFilters: false });
      globalThis.seen = [];
      const listen = async () => {
        for await (const event of globalThis.job) globalThis.seen.push(event);
      };
      listen().catch(() => {});
    },
    [fhirUrl, storage, TYPES, client],
  );

const end = (page) => page.evaluate(() => globalThis.ended(globalThis.job.result));

/** URLs of the files that are complete in the folder. */
const complete = (page, storage = 'auto') =>
  page.evaluate(async (storage) => {
    const folder = await globalThis.sf.openFolder('export', { storage });
    const names = new Set((await folder.files()).map(({ name }) => name));
    if (names.size === 0) return [];
    const { ledger } = JSON.parse(await folder.file('.metadata').text());
    return ledger.jobs.at(-1).files.filter(({ name }) => names.has(name)).map(({ url }) => url);
  }, storage);

/** What of these the server was asked for since its log was cleared. */
const askedAgain = (sandbox, urls) => {
  const paths = new Set(urls.map((url) => new URL(url).pathname));
  return sandbox.requests.map(({ url }) => new URL(url, 'http://x').pathname).filter((path) => paths.has(path));
};

for (const [storage, times] of [['opfs', 10], ['idb', 5]]) {
  test(`a tab that is closed ${times} times at random moments loses no complete file (${storage})`, async (t) => {
    const { sandbox, site, context } = await setUp(t, { faults: { ...FAULTS, page: 6, pending: 0 } });
    let [most, here] = [0, []];
    for (let time = 0; time < times; time++) {
      const page = await openAlone(context, site);
      here = await complete(page, storage);
      assert.ok(here.length >= most, 'no complete file is lost');
      most = here.length;
      sandbox.clearRequests();
      await begin(page, sandbox.url, { storage });
      await sleep(Math.random() * 900);
      await page.close();
      assert.deepEqual(askedAgain(sandbox, here), []);
    }
    const page = await openAlone(context, site);
    here = await complete(page, storage);
    sandbox.clearRequests();
    await begin(page, sandbox.url, { storage });
    const { value: report, error } = await end(page);
    assert.equal(error, undefined);
    assert.equal(report.verdict, 'complete');
    assert.deepEqual(askedAgain(sandbox, here), []);
    assert.equal(report.fetched, report.files - here.length);
    const kickOffs = sandbox.stats.routes.kickoff?.total ?? 1;
    assert.ok(kickOffs <= times + 1);
    t.diagnostic(`${report.files} files, ${here.length} of them before the last run`);
  });
}

test('the worker that has the core dies: the job says so, and the next one carries on', async (t) => {
  const { sandbox, gate, site, context } = await setUp(t, { files: 0, faults: { ...FAULTS, page: 6 } });
  const page = await openPage(context, site);
  for (let time = 0; time < 4; time++) {
    await begin(page, sandbox.url);
    // At the kick-off, then with files on their way.
    if (time === 0) {
      await page.waitForFunction(() => globalThis.seen.some(({ type }) => type === 'kickedOff'));
    } else {
      // Up to five may go to the worker that was killed before.
      gate.allow(5 + 2);
      await finished(page, 1);
    }
    await sleep(Math.random() * 200);
    const worker = page.workers().find((worker) => worker.url().endsWith('core.worker.js'));
    // It may be gone before it can answer.
    await worker.evaluate(() => self.close()).catch(() => {});
    const { error } = await end(page);
    assert.equal(error?.code, 'internal');
    assert.equal(error.retry, true);
    assert.match(error.message, /worker .* has ended/);
  }
  const here = await complete(page);
  assert.ok(here.length > 0);
  gate.open();
  sandbox.clearRequests();
  await begin(page, sandbox.url);
  const { value: report, error: problem } = await end(page);
  assert.equal(problem, undefined, problem?.message);
  assert.equal(report.verdict, 'complete');
  assert.deepEqual(askedAgain(sandbox, here), []);
});

test('a transfer worker that dies costs one try of its files', async (t) => {
  const { sandbox, gate, site, context } = await setUp(t, { files: 4 });
  const page = await openPage(context, site);
  // Started, so that its constructor of workers can be watched.
  await page.evaluate(() => globalThis.sf.version());
  const [worker] = page.workers();
  await worker.evaluate(() => {
    const { Worker } = self;
    self.spawned = [];
    self.Worker = class extends Worker {
      constructor(...args) {
        super(...args);
        self.spawned.push(this);
      }
    };
  });
  await begin(page, sandbox.url);
  await finished(page, 4);
  const before = await worker.evaluate(() => {
    // Each has files that the server keeps waiting.
    for (const one of self.spawned) one.terminate();
    return self.spawned.length;
  });
  await page.waitForFunction(() => globalThis.seen.some(({ type, message }) => type === 'fileFailed' && /worker .* ended/.test(message)));
  gate.open();
  const { value: report, error } = await end(page);
  assert.equal(error, undefined);
  assert.equal(report.verdict, 'complete');
  assert.ok((await worker.evaluate(() => self.spawned.length)) > before, 'others take their places');
});

test('two tabs: the second one is told, and carries on when the first is closed', async (t) => {
  const { sandbox, gate, site, context } = await setUp(t, { files: 5 });
  const [first, second] = [await openPage(context, site), await openPage(context, site)];
  await begin(first, sandbox.url);
  await finished(first, 5);
  await begin(second, sandbox.url);
  const { error } = await end(second);
  assert.equal(error?.code, 'locked', error?.message);
  assert.match(error.message, /another tab/);
  // Reading needs no lock.
  assert.equal((await complete(second)).length, 5);
  await first.close();
  await workersEnded(second);
  gate.open();
  const here = await complete(second);
  sandbox.clearRequests();
  await begin(second, sandbox.url);
  const { value: report, error: problem } = await end(second);
  assert.equal(problem, undefined, problem?.message);
  assert.equal(report.verdict, 'complete');
  assert.deepEqual(askedAgain(sandbox, here), []);
});

/** A way to the sandbox that can be cut. */
async function startWire(t, target) {
  const sockets = new Set();
  const server = createServer((near) => {
    const far = connect(Number(new URL(target).port), '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    }
    near.pipe(far).pipe(near);
  });
  const listen = (port) => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  await listen(0);
  const { port } = server.address();
  const cut = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  t.after(() => server.listening && cut());
  return { origin: `http://127.0.0.1:${port}`, cut, restore: () => listen(port) };
}

// Emulating it in the browser would not do: that does not reach the workers of a worker.
test('offline for 30 s: the job waits, and completes by itself', async (t) => {
  const { sandbox, gate, site, context } = await setUp(t, { files: 3 });
  const wire = await startWire(t, sandbox.url);
  const page = await openPage(context, site);
  const client = { rewriteUrls: { [sandbox.origin]: wire.origin }, retryDelays: ['1s', '2s', '4s', '8s', '8s', '8s', '8s', '8s'] };
  await begin(page, `${wire.origin}/fhir`, { client });
  await finished(page, 3);
  await wire.cut();
  gate.open();
  await page.waitForFunction(() => globalThis.seen.some(({ type, last }) => type === 'fileFailed' && !last));
  await sleep(30_000);
  assert.ok(!(await page.evaluate(() => globalThis.seen.some(({ type, last }) => type === 'fileFailed' && last))));
  await wire.restore();
  const { value: report, error } = await end(page);
  assert.equal(error, undefined);
  assert.equal(report.verdict, 'complete');
});

test('paused, it sends nothing; resumed, it goes on; cancelled, it says so', async (t) => {
  const { sandbox, gate, site, context } = await setUp(t, { files: 3 });
  const asked = () => sandbox.requests.filter(({ url }) => url.includes('/bulkfiles/')).length;
  const page = await openPage(context, site);
  await begin(page, sandbox.url);
  await finished(page, 3);
  // As many on their way as may be, and they wait: none is between the job and the server.
  while (asked() < 3 + 5) await sleep(20);
  await page.evaluate(() => globalThis.job.pause());
  gate.allow(5);
  await finished(page, 3 + 5);
  await sleep(1000);
  assert.equal(asked(), 3 + 5);
  assert.equal(await page.evaluate(() => globalThis.job.paused), true);
  await page.evaluate(() => globalThis.job.resume());
  gate.allow(1);
  await finished(page, 3 + 5 + 1);
  await page.evaluate(() => globalThis.job.cancel());
  assert.equal((await end(page)).error?.code, 'cancelled');
  gate.open();
  await begin(page, sandbox.url);
  assert.equal((await end(page)).value?.verdict, 'complete');
});

// IndexedDB compresses what it stores, and counts what is left.
for (const [storage, quota] of [['opfs', 6_000_000], ['idb', 800_000]]) {
  test(`a full quota stops the job cleanly, and room lets it go on (${storage})`, async (t) => {
    const { sandbox, site, context } = await setUp(t, { patients: 400, faults: { page: 500, pending: 0 } });
    const page = await openPage(context, site);
    const session = await context.newCDPSession(page);
    const allow = (quotaSize) => session.send('Storage.overrideQuotaForOrigin', { origin: site, quotaSize });
    const run = (storage) =>
      page.evaluate(
        async ([fhirUrl, storage, types]) => {
          const folder = await globalThis.sf.openFolder('export', { storage });
          return globalThis.ended(new globalThis.sf.Client({ fhirUrl }).bulk(folder, { types, defaultFilters: false, compress: false }).result);
        },
        [sandbox.url, storage, TYPES],
      );
    await allow(quota);
    const { value, error } = await run(storage);
    assert.equal(value, undefined);
    assert.equal(error.code, 'quota', error.message);
    assert.match(error.message, /\d+ of \d+ files are not here yet; they need about \d+ KB\./);
    assert.match(error.hint, /^Free about \d+ KB/);
    const here = await complete(page, storage);
    assert.ok(here.length > 0, 'what fitted is there');
    await allow(500_000_000);
    sandbox.clearRequests();
    const second = await run(storage);
    assert.equal(second.error, undefined);
    assert.equal(second.value.verdict, 'complete');
    assert.deepEqual(askedAgain(sandbox, here), []);
    t.diagnostic(`${here.length} of ${second.value.files} files fitted`);
  });
}

test('a server that hides its headers is told apart, with the setting that cures it', async (t) => {
  const { sandbox, site, context } = await setUp(t, { cors: 'no-expose' });
  const page = await openPage(context, site);
  await begin(page, sandbox.url);
  const { error } = await end(page);
  assert.equal(error?.code, 'hiddenHeader');
  assert.match(`${error.message} ${error.hint}`, /Content-Location/);
  assert.match(`${error.message} ${error.hint}`, /Access-Control-Expose-Headers/);
});

test('a server without CORS is told apart from one that is not there', async (t) => {
  const { sandbox, site, context } = await setUp(t, { cors: 'none' });
  const page = await openPage(context, site);
  await begin(page, sandbox.url);
  const { error } = await end(page);
  assert.equal(error?.code, 'network');
  assert.match(`${error.message} ${error.hint}`, /CORS/);
});

test('workers that cannot be started are an error that says so, at once', async (t) => {
  const { sandbox, context } = await setUp(t);
  for (const script of ['core.worker.js', 'transfer.browser.js']) {
    const page = await openPage(context, await startSite(t, { missing: script }));
    const { error } = await page.evaluate(async (fhirUrl) => {
      const run = async () => new globalThis.sf.Client({ fhirUrl }).bulk(await globalThis.sf.openFolder('none'), { types: ['Patient'] }).result;
      return globalThis.ended(run());
    }, sandbox.url);
    assert.equal(error?.code, 'unsupported', error?.message);
    assert.match(error.message, /cannot be started/);
    await page.close();
  }
});
