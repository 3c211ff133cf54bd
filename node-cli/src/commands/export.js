import { basename, resolve } from 'node:path';
import { cohortOptions } from '../cohort.js';
import { UsageError } from '../exit-codes.js';
import { openFolder } from '../folder.js';
import { hydrationSum, printHydrationProblems } from '../hydrated.js';
import { listed } from '../input-folder.js';
import { repeatCommand } from '../interrupt.js';
import { runJob } from '../job.js';
import { checkOutputFolder } from '../output-folder.js';
import { formatCount, plural } from '../output.js';
import { openClient } from '../server.js';
import { printCrawl, printCrawlProblems, printProblems, printSummary } from '../summary.js';
import { bulkOptions, printTypes } from './bulk.js';
import { asksForHelp, printTasks } from './hydrate.js';

/** Flags that mean an option of `client.export()` beside those of bulk exports, whose value they have as it is. */
const SAME = {
  'export-mode': 'mode',
  'nickname': 'nickname',
  'hydration-tasks': 'hydrationTasks',
  'mimetypes': 'mimetypes',
  'reconcile': 'reconcile',
  'count': 'count',
};

/** What is said where the reference just skips everything. */
const NOTHING_ASKED = 'This export was complete already, so nothing was asked for. For what has changed since, add --since auto; for all of it once more, --nickname NAME.';

/**
 * The managed export that the settings ask for, as the options of `client.export()`.
 * @param {Record<string, any>} settings
 * @param {string} folder its name is the cohort's, if it has no other
 */
export async function exportOptions(settings, folder) {
  const { name, ...cohort } = await cohortOptions(settings);
  const cohortName = name ?? (settings.group === undefined ? basename(resolve(folder)) : undefined);
  const options = { ...bulkOptions(settings), ...cohort, cohortName };
  for (const [flag, key] of Object.entries(SAME)) {
    if (settings[flag] !== undefined) options[key] = settings[flag];
  }
  return options;
}

/**
 * Runs or resumes the next export of a managed folder.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, argv, output }) {
  if (asksForHelp(settings.type)) return printTypes(output);
  if (asksForHelp(settings['hydration-tasks'])) return printTasks(output);
  if (operand === undefined) throw new UsageError('OUTPUT_DIR is missing');
  const options = await exportOptions(settings, operand);
  await checkOutputFolder(operand);
  const client = await openClient(settings, 'both');
  await client.checkExport(options);
  return runJob(client.export(await openFolder(operand), options), {
    settings,
    output,
    brief: true,
    summary: (report, millis) => summarise(report, operand, millis, output),
    problems: (report) => {
      problems(report, operand, output);
      if (report.wasComplete && report.verdict === 'complete' && !settings.quiet) output.error(NOTHING_ASKED);
    },
    interrupted: () => `Interrupted. What was received is kept in '${operand}'. To resume, run:\n  ${repeatCommand(argv)}`,
  });
}

/** What the export brought, on standard output. */
function summarise(report, folder, millis, output) {
  const inside = `${folder.replace(/\/+$/, '')}/${report.folder}`;
  const { bulk, crawl, hydration, gone, newPatients, verdict, links } = report;
  // Whether all is done is said at the end.
  if (bulk) printSummary({ ...bulk, verdict: undefined }, inside, millis, output);
  if (crawl) printCrawl({ ...crawl, verdict: undefined }, inside, millis, output);
  if (hydration) output.line(hydrationSum(hydration));
  if (newPatients > 0) output.line(`New patients: ${formatCount(newPatients)}`);
  const types = Object.entries(gone);
  if (types.length > 0) output.line(`Gone since earlier exports: ${types.map(([type, count]) => `${type} (${formatCount(count)})`).join(', ')}`);
  output.line(`${plural(links, 'link')} in '${folder}' to what is current`);
  if (verdict === 'complete') output.line('✨ Done ✨');
}

/** What is wrong with an export that finished, on standard error. */
function problems({ bulk, crawl, hydration, folder, lacking }, root, output) {
  if (bulk) printProblems(bulk, output);
  if (crawl) printCrawlProblems(crawl, output);
  if (hydration) printHydrationProblems(hydration, `${root.replace(/\/+$/, '')}/${folder}`, output);
  if (lacking.length > 0) output.error(`What is current is not whole:${listed(lacking, 0)}`);
}
