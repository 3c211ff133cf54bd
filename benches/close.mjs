// Closes the tab of an export in Chromium at random moments, opens it again and reruns the same export until it is done.
//
//   node benches/close.mjs [--closes 30] [--storage opfs|idb] [--seed 1]
//
// What was complete when a tab was opened again must not be asked for again, and in the end the folder must hold the lines of
// the server, each once. A folder that is done is followed by a new one, until there were so many closes.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { startSandbox } from '../node-cli/src/sandbox/index.js';
import { Failure, main, root, say } from '../scripts/lib/run.mjs';
import { ensureBuildTools } from '../scripts/lib/tools.mjs';
import { buildWasm } from '../scripts/lib/wasm.mjs';
import { openPage, startBrowser, startSite, workersEnded } from '../tests/browser/support.mjs';
import { randomBy } from './kill/run.mjs';

const DATA = join(root, 'tests/fixtures/synthea-10');

/** One hash for all lines, whatever file they are in. */
const digest = (lines) => `${lines.length} lines, ${createHash('sha256').update(lines.sort().join('\n')).digest('hex')}`;

const linesOf = (text) => text.split('\n').filter(Boolean);

const pathOf = (url) => new URL(url, 'http://x').pathname;

/** Starts the export in a page, and does not wait for it. */
const begin = (page, job) =>
  page.evaluate(async ({ fhirUrl, types, name, storage }) => {
    const { Client, openFolder } = globalThis.sf;
    const folder = await openFolder(name, { storage });
    globalThis.job = new Client({ fhirUrl, retryDelays: ['0.2s', '0.5s', '1s'] }).bulk(folder, { types, defaultFilters: false });
    globalThis.job.result.catch(() => {});
  }, job);

/** Paths of the URLs of the files that have their final name. */
const complete = async (page, job) => {
  const urls = await page.evaluate(async ({ name, storage }) => {
    const folder = await globalThis.sf.openFolder(name, { storage });
    const names = new Set((await folder.files()).map((file) => file.name));
    if (names.size === 0) return [];
    const { ledger } = JSON.parse(await folder.file('.metadata').text());
    return ledger.jobs.at(-1).files.filter((file) => names.has(file.name)).map(({ url }) => url);
  }, job);
  return urls.map(pathOf);
};

/** The lines of all data files, read back. */
const content = (page, job) =>
  page.evaluate(async ({ name, storage }) => {
    const folder = await globalThis.sf.openFolder(name, { storage });
    const data = (await folder.files()).filter((file) => /^[A-Z].*\.ndjson/.test(file.name));
    return Promise.all(data.map((file) => folder.file(file.name).text()));
  }, job);

await main(async () => {
  const { values } = parseArgs({ options: { closes: { type: 'string', default: '30' }, storage: { type: 'string', default: 'opfs' }, seed: { type: 'string', default: '1' } } });
  const closes = Number(values.closes);
  if (!Number.isInteger(closes) || closes < 1) throw new Failure(`--closes: '${values.closes}' is not a whole number above 0.`);
  if (!['opfs', 'idb'].includes(values.storage)) throw new Failure(`--storage: there is no '${values.storage}'; opfs or idb.`);
  await buildWasm(await ensureBuildTools());
  const random = randomBy(Number(values.seed));
  const cleanUps = [];
  const life = { after: (clean) => cleanUps.unshift(clean) };
  const names = readdirSync(DATA).filter((name) => name.endsWith('.ndjson.gz'));
  const expected = digest(names.flatMap((name) => linesOf(gunzipSync(readFileSync(join(DATA, name))).toString())));
  const types = [...new Set(names.map((name) => name.split('.')[0]))];

  const seen = { closes: 0, kept: 0, folders: 0, again: 0, wrong: 0 };
  let duration = 0;
  try {
    const sandbox = await startSandbox({ data: DATA, faults: { page: 25, pending: 1, latency: 5, retryAfter: '1' } });
    life.after(() => sandbox.close());
    const site = await startSite(life);
    const context = await startBrowser(life);
    say(`tabs of an export into ${values.storage}`);
    while (seen.closes < closes) {
      const job = { fhirUrl: sandbox.url, types, name: `export-${seen.folders}`, storage: values.storage };
      // The first one is not disturbed: it tells how long an export takes.
      for (let done = false; !done;) {
        const page = await openPage(context, site);
        await workersEnded(page);
        const here = new Set(await complete(page, job));
        sandbox.clearRequests();
        const began = performance.now();
        await begin(page, job);
        const ended = page.evaluate(() => globalThis.ended(globalThis.job.result)).catch(() => null);
        const closing = duration > 0 && seen.closes < closes ? sleep(random() * duration * 1.1).then(() => null) : new Promise(() => {});
        const result = await Promise.race([ended, closing]);
        if (result === null) seen.closes += 1;
        else {
          if (result.error || result.value.verdict !== 'complete') throw new Failure(`The export ended badly: ${result.error?.message ?? result.value.verdict}`);
          if (here.size === 0) duration = Math.max(duration, performance.now() - began);
          const found = digest((await content(page, job)).flatMap(linesOf));
          if (found !== expected) {
            seen.wrong += 1;
            console.log(`${job.name} holds ${found}, not ${expected}`);
          }
          done = true;
        }
        await page.close();
        await ended;
        seen.kept += here.size;
        const again = sandbox.requests.map(({ url }) => pathOf(url)).filter((path) => here.has(path));
        seen.again += again.length;
        for (const path of again) console.log(`${job.name}: ${path} was complete and was asked for again`);
      }
      seen.folders += 1;
    }
  } finally {
    for (const clean of cleanUps) await clean();
  }
  console.log(`${seen.closes} closes in ${seen.folders} exports of ${Math.round(duration)} ms, ${seen.kept} files found complete when a tab was opened again; `
    + `${seen.again} asked for again, ${seen.wrong} folders wrong`);
  if (seen.kept === 0) throw new Failure('No close ever left a complete file: the runs were not long enough to prove anything.');
  if (seen.again + seen.wrong > 0) throw new Failure('Something went wrong.');
});
