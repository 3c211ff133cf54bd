// The programs that run in Chromium: what a page does with the package, and the bare limit, which is the same requests without any work.
import { join } from 'node:path';
import { ensureChromium } from '../../scripts/lib/tools.mjs';
import { startChromium } from './chromium.mjs';
import { startSite } from './site.mjs';

export const BROWSER_PROGRAMS = ['bare', 'browser'];

/**
 * One measurement in a browser and a profile of its own. Its start is not counted; loading and compiling the core is.
 * @param {{program: string, cache: string, script: string}} where the browser, a folder for its profile, the page
 * @param {string} expression what is measured
 * @param {{before?: string, check?: (page: any, ended: any) => Promise<any>}} [around] `before`: run in another page, not counted;
 *   `check` gives the content
 */
async function inChromium({ program, cache, script }, expression, { before, check } = {}) {
  const site = await startSite(script);
  const chromium = await startChromium({ program, profile: join(cache, 'chromium') });
  try {
    if (before) {
      const page = await chromium.open(site.url);
      await page.evaluate(before);
      await page.close();
    }
    const page = await chromium.open(site.url);
    const stop = chromium.watch();
    const began = performance.now();
    const ended = await page.evaluate(expression);
    const seconds = (performance.now() - began) / 1000;
    const memory = await stop();
    return { code: 0, errors: '', seconds, peak: memory.sum, memory, content: await check?.(page, ended) };
  } finally {
    await chromium.close();
    site.close();
  }
}

/** What the job left, read back by the package. */
async function contentOfJob(page, { verdict, storage }) {
  if (verdict !== 'complete' || storage !== 'opfs') throw new Error(`The job in Chromium ended as ${verdict}, in ${storage}.`);
  return page.evaluate('content()');
}

/** Chromium, or a note that there is none. */
async function findChromium() {
  try {
    return { program: await ensureChromium(), notes: [] };
  } catch (error) {
    return { notes: [`Chromium was not found, so nothing is measured in a browser: ${error.message}`] };
  }
}

/**
 * Those of the programs of `bench.mjs` that run in Chromium, and a note where there is none.
 * @param {string[]} names @param {string} cache
 */
export async function browserPrograms(names, cache) {
  const wanted = names.filter((name) => BROWSER_PROGRAMS.includes(name));
  if (wanted.length === 0) return { programs: [], notes: [] };
  const { program, notes } = await findChromium();
  if (!program) return { programs: [], notes };
  const where = { program, cache, script: 'bulk.js' };
  const all = {
    bare: {
      name: 'bare', label: 'raw limit, Chromium (fetch to OPFS, 4 workers)',
      measure: ({ urls }) => inChromium(where, `bare(${JSON.stringify(urls)})`),
    },
    browser: {
      name: 'browser', label: 'smart-fetch (this), Chromium, to OPFS',
      measure: ({ base }) => inChromium(where, `ours(${JSON.stringify(base)})`, { check: contentOfJob }),
    },
  };
  return { programs: wanted.map((name) => all[name]), notes };
}

/**
 * As `browserPrograms`, of `crawl.mjs`: each takes the base URL.
 * @param {string[]} names @param {string} cache @param {{searches: number, compress: boolean}} options
 */
export async function browserCrawls(names, cache, { searches, compress }) {
  const wanted = names.filter((name) => BROWSER_PROGRAMS.includes(name));
  if (wanted.length === 0) return { programs: [], notes: [] };
  const { program, notes } = await findChromium();
  if (!program) return { programs: [], notes };
  const where = { program, cache, script: 'crawl.js' };
  const urls = (base) => Array.from({ length: searches }, (_, n) => `${base}/Condition?patient=p${n}`);
  const all = {
    bare: { label: 'raw limit, Chromium (fetch, 5 at once)', measure: (base) => inChromium(where, `bare(${JSON.stringify(urls(base))})`) },
    browser: {
      label: 'smart-fetch (this), Chromium, to OPFS',
      measure: (base) => inChromium(where, `ours(${JSON.stringify(base)}, ${compress})`, { before: `prepare(${searches})`, check: contentOfJob }),
    },
  };
  return { programs: wanted.map((name) => all[name]), notes };
}
