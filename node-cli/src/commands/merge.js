import { UsageError } from '../exit-codes.js';
import { openFolder } from '../folder.js';
import { checkInputFolder, listed } from '../input-folder.js';
import { watchJob } from '../job.js';
import { formatBytes, formatCount, formatTable, plural } from '../output.js';
import { checkOutputFolder } from '../output-folder.js';
import { oneLine } from '../progress/words.js';

/**
 * Puts the current state of a managed folder into another one.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, output }) {
  const { out } = settings;
  if (operand === undefined) throw new UsageError('DIR is missing');
  if (out === undefined) throw new UsageError('--out is required');
  await checkInputFolder(operand);
  await checkOutputFolder(out);
  const { merge } = await import('smart-fetch');
  const job = merge(await openFolder(operand), await openFolder(out), { compress: !settings['no-compression'] });
  const { report, exitStatus } = await watchJob(job, { settings, output }, () => 'Interrupted. Run the same command again to start over.');
  if (!report) return exitStatus;
  if (settings.progress !== 'json' && !settings.quiet) printMerge(report, out, output);
  const problems = [...report.problems, ...report.bad.map((where) => `Left out: ${where}`)];
  const unnamed = report.badLines - report.bad.length;
  if (problems.length > 0) output.error(`Not everything could be merged:${listed(problems, unnamed)}`);
  return exitStatus;
}

function printMerge({ types, resources, rows, runs, bytes, notes }, out, output) {
  const lines = Object.entries(types).map(([type, count]) => [oneLine(type), formatCount(count.resources)]);
  if (lines.length > 1) lines.push(['Total', formatCount(resources)]);
  if (lines.length > 0) output.line(formatTable(['Type', 'Resources'], lines));
  output.line(`${plural(runs.length, 'export')} with ${plural(rows, 'row')} merged: ${plural(resources, 'resource')}, ${formatBytes(bytes)} in '${out}'`);
  for (const note of notes) output.line(`Note: ${note}`);
}
