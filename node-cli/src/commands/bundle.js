import { openFolder } from '../folder.js';
import { checkInputFolder } from '../input-folder.js';
import { watchJob } from '../job.js';

/**
 * Makes one Bundle of the files in a folder.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, output }) {
  await checkInputFolder(operand);
  const { bundle } = await import('smart-fetch');
  const job = bundle(await openFolder(operand), { compress: !settings['no-compression'], folder: operand });
  const { report, exitStatus } = await watchJob(job, { settings, output }, () => 'Interrupted. Run the same command again to go on.');
  if (report && settings.progress !== 'json' && !settings.quiet) {
    output.line(`Bundle file '${operand.replace(/\/+$/, '')}/${report.name}' created.`);
  }
  return exitStatus;
}
