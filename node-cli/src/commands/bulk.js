import { EXIT, UsageError } from '../exit-codes.js';
import { openFolder } from '../folder.js';
import { repeatCommand } from '../interrupt.js';
import { runJob } from '../job.js';
import { checkOutputFolder } from '../output-folder.js';
import { openClient } from '../server.js';
import { printProblems, printSummary } from '../summary.js';

/** Flags that mean a key of the core's `BulkConfig`, whose value they have as it is. */
const SAME = {
  'type': 'types',
  'type-filter': 'typeFilters',
  'since': 'since',
  'since-mode': 'sinceMode',
  'until': 'until',
  'elements': 'elements',
  'patient': 'patients',
  'include-associated-data': 'includeAssociatedData',
  'organize-output-by': 'organizeOutputBy',
  'output-format': 'outputFormat',
  'allow-partial-manifests': 'allowPartialManifests',
  'lenient': 'lenient',
  'separate-export-status': 'separateExportStatus',
  'param': 'params',
  'kickoff-method': 'kickoffMethod',
  'max-poll-delay': 'maxPollDelay',
  'poll-timeout': 'pollTimeout',
};

/**
 * The export that the settings ask for, as the core's `BulkConfig` without the server. What is not set stays out.
 * @param {Record<string, any>} settings
 */
export function bulkOptions(settings) {
  const options = {};
  for (const [flag, key] of Object.entries(SAME)) {
    if (settings[flag] !== undefined) options[key] = settings[flag];
  }
  if (settings['no-default-filters']) options.defaultFilters = false;
  if (settings['no-compression']) options.compress = false;
  if (settings.bundle) options.bundle = true;
  const { group, level } = settings;
  if (group !== undefined && level !== undefined) throw new UsageError('--group and --level exclude each other');
  if (group !== undefined) options.level = { group };
  else if (level !== undefined) options.level = level;
  return options;
}

/**
 * Runs, resumes or cancels a bulk export.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, argv, output }) {
  if (settings.type?.some((type) => type.toLowerCase() === 'help')) return printTypes(output);
  if (operand === undefined) throw new UsageError('OUTPUT_DIR is missing');
  const options = bulkOptions(settings);
  await checkOutputFolder(operand);
  const client = await openClient(settings, 'bulk');
  await client.checkBulk(options);
  const folder = await openFolder(operand);
  if (settings.cancel) return cancel(client, folder, settings, output);
  return runJob(client.bulk(folder, options), {
    settings,
    output,
    summary: (report, millis) => printSummary(report, operand, millis, output),
    problems: (report) => printProblems(report, output),
    interrupted: (atServer) => interruptedWords(atServer, operand, argv),
  });
}

/** What to say of a run that was told to stop; `atServer`: the server has taken it on. */
function interruptedWords(atServer, operand, argv) {
  const again = `  ${repeatCommand(argv)}`;
  if (!atServer) return `Interrupted before the server took on the export. To start again, run:\n${again}`;
  return `Interrupted. What was received is kept in '${operand}'. To resume, run:\n${again}
To cancel the export on the server instead, run:\n  ${repeatCommand(argv, ['--cancel'])}`;
}

async function cancel(client, folder, settings, output) {
  await client.cancelBulk(folder);
  if (!settings.quiet) output.line('The export job was cancelled.');
  return EXIT.complete;
}

/** `--type help` */
export async function printTypes(output) {
  const { resourceTypes } = await import('smart-fetch');
  const { usual, all } = await resourceTypes();
  const list = (types) => types.map((type) => `  ${type}`).join('\n');
  const others = all.filter((type) => !usual.includes(type));
  output.line(`These resource types are supported:\n${list(['all', ...usual])}\n\nThese too, though 'all' does not include them:\n${list(others)}`);
  return EXIT.complete;
}
