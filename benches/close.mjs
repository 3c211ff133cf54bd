// Closes the tab of a job in Chromium at random moments, opens it again and reruns the same job until it is done.
//
//   node benches/close.mjs [bulk|crawl|export|all] [--closes 30] [--storage opfs|idb] [--seed 1]
//
// After each close the folder is looked at: no torn file may have its final name, nothing may be called done that is not, and what was
// complete must not be asked for again. In the end the folder must hold what an undisturbed run leaves: each resource, once. A folder
// that is done is followed by a new one, until there were so many closes.
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Failure, main, say } from '../scripts/lib/run.mjs';
import { ensureBuildTools } from '../scripts/lib/tools.mjs';
import { buildWasm } from '../scripts/lib/wasm.mjs';
import { openPage, startBrowser, startSite, workersEnded } from '../tests/browser/support.mjs';
import { CrawlClose, ExportClose } from './close/as-kill.mjs';
import { BulkClose } from './close/bulk.mjs';
import { randomBy } from './kill/run.mjs';

const MODES = { bulk: BulkClose, crawl: CrawlClose, export: ExportClose };
/** After so many closes of one job it is left alone, so that every folder is done some day. */
const CLOSES_A_JOB = 10;

/**
 * @typedef {object} Mode what is closed, and what is looked at. `where` is the name of the folder and its storage. One object serves all folders.
 * @property {() => Promise<void>} open starts the server and finds out what an undisturbed run leaves
 * @property {() => Promise<void>} close
 * @property {{url: string}} sandbox
 * @property {(round: number) => AsyncIterable<Step>} steps the jobs of a folder, each to be run until it is done
 * @property {(page: object, where: object, closes: number) => Promise<string[]>} opened problems when the tab is opened, after so many closes
 * @property {() => string[]} ended problems when the job has ended or the tab was closed
 * @property {(page: object, where: object) => Promise<string[]>} done problems when the job is done
 * @property {() => string} summary what was seen, so that a run that proves nothing shows
 */

/**
 * @typedef {object} Step
 * @property {string} key jobs of one key take the same time
 * @property {string} method @property {object} options of the package's client
 * @property {string[]} retryDelays
 * @property {number} [exit] the status with which it ends: 0, or 3 where some patients are made to fail
 */

/** Starts the job in a page, and does not wait for it. */
const begin = (page, job) =>
  page.evaluate(async ({ fhirUrl, name, storage, method, options, retryDelays }) => {
    const { Client, openFolder } = globalThis.sf;
    const folder = await openFolder(name, { storage });
    globalThis.job = new Client({ fhirUrl, retryDelays })[method](folder, options);
    globalThis.job.result.catch(() => {});
  }, job);

/** Runs one job until it is done, closing its tab at random. Returns the problems. */
async function closed(step, { mode, where, context, site, random, seen, most }) {
  const problems = [];
  for (let closes = 0; ; closes += 1) {
    const page = await openPage(context, site);
    await workersEnded(page);
    problems.push(...(await mode.opened(page, where, closes)).map((problem) => `after close ${closes}: ${problem}`));
    const duration = seen.durations.get(step.key);
    // The first one of a kind is not disturbed: it tells how long such a job takes.
    const spare = duration === undefined || closes >= CLOSES_A_JOB || seen.closes >= most;
    const began = performance.now();
    await begin(page, { fhirUrl: mode.sandbox.url, ...where, ...step });
    const ended = page.evaluate(() => globalThis.ended(globalThis.job.result)).catch(() => null);
    const closing = spare ? new Promise(() => {}) : sleep(random() * duration * 1.1).then(() => null);
    const result = await Promise.race([ended, closing]);
    if (result === null) seen.closes += 1;
    else {
      const { exitStatus = result.error.message } = result.value ?? {};
      if (exitStatus !== (step.exit ?? 0)) throw new Failure(`The job '${step.key}' ended with ${exitStatus}.`);
      if (closes === 0) seen.durations.set(step.key, Math.min(duration ?? Infinity, performance.now() - began));
      problems.push(...(await mode.done(page, where)).map((problem) => `done after ${closes} closes: ${problem}`));
    }
    await page.close();
    await ended;
    problems.push(...mode.ended());
    if (result !== null) return problems;
  }
}

async function runMode(name, { closes, storage, seed, context, site }) {
  say(`tabs of ${name}, into ${storage}`);
  const mode = new MODES[name]();
  const random = randomBy(seed);
  const seen = { closes: 0, durations: new Map() };
  let [wrong, folders] = [0, 0];
  await mode.open();
  try {
    while (seen.closes < closes) {
      folders += 1;
      const where = { name: `${name}-${folders}`, storage };
      const problems = [];
      for await (const step of mode.steps(folders)) {
        const found = await closed(step, { mode, where, context, site, random, seen, most: closes });
        problems.push(...found.map((problem) => `${step.key}: ${problem}`));
      }
      if (problems.length > 0) {
        wrong += 1;
        console.log(`${where.name}:\n  ${problems.slice(0, 10).join('\n  ')}`);
      }
    }
  } finally {
    await mode.close();
  }
  const took = [...seen.durations].map(([key, millis]) => `${key} ${Math.round(millis)} ms`).join(', ');
  console.log(`${name}: ${seen.closes} closes in ${folders} folders (${took}), ${mode.summary()}; ${wrong} folders wrong`);
  return wrong;
}

await main(async () => {
  const text = (value) => ({ type: 'string', default: value });
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { closes: text('30'), storage: text('opfs'), seed: text('1') } });
  const closes = Number(values.closes);
  if (!Number.isInteger(closes) || closes < 1) throw new Failure(`--closes: '${values.closes}' is not a whole number above 0.`);
  if (!['opfs', 'idb'].includes(values.storage)) throw new Failure(`--storage: there is no '${values.storage}'; opfs or idb.`);
  const [which = 'bulk'] = positionals;
  const names = which === 'all' ? Object.keys(MODES) : [which];
  if (!names.every((name) => MODES[name])) throw new Failure(`There is no mode '${which}'; choose one of ${Object.keys(MODES).join(', ')} or all.`);
  await buildWasm(await ensureBuildTools());
  const cleanUps = [];
  const life = { after: (clean) => cleanUps.unshift(clean) };
  let wrong = 0;
  try {
    const site = await startSite(life);
    const context = await startBrowser(life);
    for (const name of names) wrong += await runMode(name, { closes, storage: values.storage, seed: Number(values.seed), context, site });
  } finally {
    for (const clean of cleanUps) await clean();
  }
  if (wrong > 0) throw new Failure(`${wrong} folders went wrong.`);
});
