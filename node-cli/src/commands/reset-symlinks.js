import { stat } from 'node:fs/promises';
import { CommandError, UsageError } from '../exit-codes.js';
import { watchJob } from '../job.js';

/**
 * Makes the links of a managed folder anew. Says nothing when it has.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, output }) {
  if (operand === undefined) throw new UsageError('OUTPUT_DIR is missing');
  // Neither would any other folder have to be locked to see that it is none of ours.
  if (!(await stat(operand).catch(() => undefined))?.isDirectory()) {
    throw new CommandError(`Folder '${operand}' does not look like a SMART Fetch managed export folder.`);
  }
  const { openFolder, resetLinks } = await import('smart-fetch');
  const job = resetLinks(await openFolder(operand));
  const { exitStatus } = await watchJob(job, { settings, output }, () => 'Interrupted. Run the same command again.');
  return exitStatus;
}
