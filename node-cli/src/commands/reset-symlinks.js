import { openFolder } from '../folder.js';
import { checkInputFolder } from '../input-folder.js';
import { watchJob } from '../job.js';

/**
 * Makes the links of a managed folder anew. Says nothing when it has.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, output }) {
  await checkInputFolder(operand, 'OUTPUT_DIR');
  const { resetLinks } = await import('smart-fetch');
  const job = resetLinks(await openFolder(operand));
  const { exitStatus } = await watchJob(job, { settings, output }, () => 'Interrupted. Run the same command again.');
  return exitStatus;
}
