// The programs that run in Chromium: an export into OPFS, and fetching the same files into OPFS without any work.
import { join } from 'node:path';
import { ensureChromium } from '../../scripts/lib/tools.mjs';
import { startChromium } from './chromium.mjs';
import { startSite } from './site.mjs';

export const BROWSER_PROGRAMS = ['bare', 'browser'];

/** One measurement in a browser and a profile of its own. Its start is not counted; loading and compiling the core is. */
async function inChromium({ program, cache }, expression, check) {
  const site = await startSite();
  const chromium = await startChromium({ program, profile: join(cache, 'chromium') });
  try {
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

/** What the export left, read back by the package. */
async function contentOfExport(page, { verdict, storage }) {
  if (verdict !== 'complete' || storage !== 'opfs') throw new Error(`The export in Chromium ended as ${verdict}, in ${storage}.`);
  return page.evaluate('content()');
}

/**
 * Those of the programs that run in Chromium, and a note where there is none.
 * @param {string[]} names @param {string} cache
 */
export async function browserPrograms(names, cache) {
  const wanted = names.filter((name) => BROWSER_PROGRAMS.includes(name));
  if (wanted.length === 0) return { programs: [], notes: [] };
  let program;
  try {
    program = await ensureChromium();
  } catch (error) {
    return { programs: [], notes: [`Chromium was not found, so nothing is measured in a browser: ${error.message}`] };
  }
  const all = {
    bare: {
      name: 'bare', label: 'raw limit, Chromium (fetch to OPFS, 4 workers)',
      measure: ({ urls }) => inChromium({ program, cache }, `bare(${JSON.stringify(urls)})`),
    },
    browser: {
      name: 'browser', label: 'smart-fetch (this), Chromium, to OPFS',
      measure: ({ base }) => inChromium({ program, cache }, `ours(${JSON.stringify(base)})`, contentOfExport),
    },
  };
  return { programs: wanted.map((name) => all[name]), notes: [] };
}
