import { EXIT, UsageError } from '../exit-codes.js';
import { openFolder } from '../folder.js';
import { checkInputFolder } from '../input-folder.js';
import { watchJob } from '../job.js';
import { repeatCommand } from '../interrupt.js';
import { checkOutputFolder } from '../output-folder.js';
import { openClient } from '../server.js';
import { printHydrationProblems } from '../hydrated.js';

/** Flags that mean a key of the core's `HydrateConfig`, whose value they have as it is. */
const SAME = { tasks: 'tasks', mimetypes: 'mimetypes', 'attachments-dir': 'attachmentsDir' };

/**
 * Fetches what the resources of a folder refer to.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, argv, output }) {
  if (asksForHelp(settings.tasks)) return printTasks(output);
  if (operand === undefined) throw new UsageError('OUTPUT_DIR is missing');
  const sourceDir = settings['source-dir'];
  await checkOutputFolder(operand);
  await checkInputFolder(sourceDir ?? operand);
  const options = { folder: sourceDir ?? operand };
  for (const [flag, key] of Object.entries(SAME)) {
    if (settings[flag] !== undefined) options[key] = settings[flag];
  }
  if (settings['no-compression']) options.compress = false;
  const client = await openClient(settings, 'rest');
  await client.checkHydrate(options);
  const folder = await openFolder(operand);
  if (sourceDir !== undefined) options.source = await openFolder(sourceDir);
  const interrupted = `Interrupted. What was fetched is kept in '${operand}'. To carry on, run:\n  ${repeatCommand(argv)}`;
  const { report, exitStatus } = await watchJob(client.hydrate(folder, options), { settings, output }, () => interrupted);
  if (report) {
    printHydrationProblems(report, operand, output);
    if (exitStatus === EXIT.complete && settings.progress !== 'json' && !settings.quiet) output.line('✨ Done ✨');
  }
  return exitStatus;
}

/**
 * Whether a list of tasks has the word `help` in it.
 * @param {string[] | undefined} tasks
 */
export function asksForHelp(tasks) {
  return tasks?.some((task) => task.toLowerCase() === 'help') ?? false;
}

/**
 * `--tasks help`
 * @param {import('../output.js').Output} output
 */
export async function printTasks(output) {
  const { hydrationTasks } = await import('smart-fetch');
  // By name, as the reference lists them; they run in another order.
  const names = ['all', 'none', ...[...(await hydrationTasks())].sort()];
  output.line(`These hydration tasks are supported:\n${names.map((name) => `  ${name}`).join('\n')}`);
  return EXIT.complete;
}
