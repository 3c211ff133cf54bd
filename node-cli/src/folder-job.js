import { stat } from 'node:fs/promises';
import { CommandError, EXIT, UsageError } from './exit-codes.js';
import { onInterrupt } from './interrupt.js';
import { refuseUrl } from './output-folder.js';
import { formatCount, Output } from './output.js';
import { openProgress } from './progress.js';
import { oneLine } from './progress/words.js';

/** How long a job that was told to stop may take for it. */
const GRACE_MILLIS = 1500;

/** How many of a kind are named. */
const NAMED = 20;

/**
 * Lines of a list: the first of `texts`, and how many there are beyond.
 * @param {string[]} texts
 * @param {number} [unnamed] how many there are that are not among the texts
 */
export function listed(texts, unnamed = 0) {
  const named = texts.slice(0, NAMED).map((text) => `\n - ${oneLine(text)}`);
  const more = texts.length - named.length + unnamed;
  return [...named, ...(more > 0 ? [`\n - and ${formatCount(more)} more`] : [])].join('');
}

/**
 * Sees to it that `path` is a folder that is there.
 * @param {string | undefined} path as the user wrote it
 */
export async function checkInputFolder(path) {
  if (path === undefined) throw new UsageError('DIR is missing');
  refuseUrl(path);
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new CommandError(`Local folder '${path}' does not exist.`);
  if (!found.isDirectory()) throw new UsageError(`Expected a folder, but '${path}' is a file.`);
}

/**
 * Runs a job that only works on what is in a folder.
 * @template Report
 * @param {import('smart-fetch').Job<Report>} job
 * @param {Pick<import('./run.js').Invocation, 'settings' | 'output'>} invocation
 * @param {string} interrupted what to say of a job that was stopped
 * @returns {Promise<{ report?: Report, exitStatus: number }>} without a report when it was interrupted
 */
export async function runFolderJob(job, { settings, output }, interrupted) {
  const progress = await openProgress(settings.progress ?? 'auto', output, { verbose: settings.verbose, quiet: settings.quiet });
  let stopped = false;
  let timer;
  const leave = () => {
    progress.stop();
    Output.lastWords(interrupted);
    process.exit(EXIT.interrupted);
  };
  const listenNoMore = onInterrupt(() => {
    stopped = true;
    timer = setTimeout(leave, GRACE_MILLIS);
    job.cancel();
  }, leave);
  try {
    for await (const event of job) progress.event(event);
    const report = await job.result;
    const exitStatus = report.exitStatus ?? EXIT.complete;
    progress.stop();
    progress.end({ type: 'finished', exitStatus, report });
    return { report, exitStatus };
  } catch (error) {
    progress.stop();
    if (stopped) {
      progress.end({ type: 'interrupted', exitStatus: EXIT.interrupted });
      output.error(interrupted);
      return { exitStatus: EXIT.interrupted };
    }
    const { code, operation, message, hint, retry } = error;
    progress.end({ type: 'failed', exitStatus: error.exitStatus ?? EXIT.failed, error: { code, operation, message, hint, retry } });
    throw error;
  } finally {
    clearTimeout(timer);
    listenNoMore();
  }
}
