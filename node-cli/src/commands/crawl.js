import { basename, resolve } from 'node:path';
import { cohortOptions } from '../cohort.js';
import { UsageError } from '../exit-codes.js';
import { openFolder } from '../folder.js';
import { checkInputFolder } from '../input-folder.js';
import { repeatCommand } from '../interrupt.js';
import { runJob } from '../job.js';
import { checkOutputFolder } from '../output-folder.js';
import { openClient } from '../server.js';
import { printCrawl, printCrawlProblems } from '../summary.js';
import { bulkOptions, printTypes } from './bulk.js';

/**
 * Runs or resumes a crawl.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, argv, output }) {
  if (settings.type?.some((type) => type.toLowerCase() === 'help')) return printTypes(output);
  if (operand === undefined) throw new UsageError('OUTPUT_DIR is missing');
  const sourceDir = settings['source-dir'];
  await checkOutputFolder(operand);
  if (sourceDir !== undefined) await checkInputFolder(sourceDir);
  const options = await crawlOptions(settings, sourceDir ?? operand);
  const client = await openClient(settings, 'both');
  await client.checkCrawl(options);
  const folder = await openFolder(operand);
  if (sourceDir !== undefined) options.source = await openFolder(sourceDir);
  return runJob(client.crawl(folder, options), {
    settings,
    output,
    summary: (report, millis) => printCrawl(report, operand, millis, output),
    problems: (report) => printCrawlProblems(report, output),
    interrupted: () => `Interrupted. What was received is kept in '${operand}'. To resume, run:\n  ${repeatCommand(argv)}`,
  });
}

/**
 * The crawl that the settings ask for.
 * @param {Record<string, any>} settings
 * @param {string} patientsDir the folder that has the Patients where none are asked for; its name is the cohort's, if it has no other
 */
async function crawlOptions(settings, patientsDir) {
  const { name, ...cohort } = await cohortOptions(settings);
  const cohortName = name ?? (settings.group === undefined ? basename(resolve(patientsDir)) : undefined);
  return { ...bulkOptions(settings), ...cohort, cohortName, count: settings.count };
}
