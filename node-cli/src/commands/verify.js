import { openFolder } from '../folder.js';
import { checkInputFolder, listed } from '../input-folder.js';
import { watchJob } from '../job.js';
import { formatBytes, formatCount, formatTable, plural } from '../output.js';
import { checkOutputFolder } from '../output-folder.js';
import { oneLine } from '../progress/words.js';

/**
 * Checks a folder.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, output }) {
  await checkInputFolder(operand);
  const { temp, json, quiet } = settings;
  if (temp !== undefined) await checkOutputFolder(temp);
  const { verify } = await import('smart-fetch');
  const options = temp === undefined ? {} : { temporary: await openFolder(temp) };
  const job = verify(await openFolder(operand), options);
  const { report, exitStatus } = await watchJob(job, { settings, output }, () => 'Interrupted. Nothing was changed.');
  if (!report) return exitStatus;
  if (json) output.line(JSON.stringify(report, null, 2));
  else if (settings.progress !== 'json' && !quiet) printReport(report, operand, output);
  if (report.problemCount > 0) printProblems(report, output);
  return exitStatus;
}

function printReport({ types, kind, runs, files, resources, bytes, duplicates, dangling, notes }, folder, output) {
  const rows = Object.entries(types).map(([type, count]) => [oneLine(type), formatCount(count.files), formatCount(count.resources)]);
  if (rows.length > 0) output.line(formatTable(['Type', 'Files', 'Resources'], rows));
  const where = kind === 'managed' ? `${plural(runs.length, 'export')} in '${folder}'` : `'${folder}'`;
  output.line(`${where}: ${plural(files, 'file')}, ${formatBytes(bytes)}, ${plural(resources, 'resource')}`);
  const repeated = Object.entries(duplicates).map(([type, count]) => `${oneLine(type)} ${formatCount(count)}`);
  if (repeated.length > 0) output.line(`More than once in the same export: ${repeated.join(', ')}`);
  const missing = dangling.map(
    ({ type, targets, references }) => `${oneLine(type)} ${formatCount(targets)} (${plural(references, 'reference')})`,
  );
  if (missing.length > 0) output.line(`Referred to, but not here: ${missing.join(', ')}`);
  for (const note of notes) output.line(`Note: ${note}`);
}

function printProblems({ problems, problemCount }, output) {
  const unnamed = problemCount - problems.length;
  const named = listed(problems.map(({ path, problem }) => `${path} ${problem}`), unnamed);
  output.error(`${plural(problemCount, 'problem')}:${named}`);
}
