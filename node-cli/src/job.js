import { EXIT } from './exit-codes.js';
import { onInterrupt } from './interrupt.js';
import { Output } from './output.js';
import { openProgress } from './progress.js';

/** How long a job that was told to stop may take for it; the process is gone within two seconds. */
const GRACE_MILLIS = 1500;

/**
 * Shows a job while it runs, and what came of it.
 * @template Report
 * @param {import('smart-fetch').Job<Report>} job
 * @param {object} talk
 * @param {Record<string, any>} talk.settings
 * @param {Output} talk.output
 * @param {(report: Report, millis: number) => void} talk.summary prints what it brought, on standard output
 * @param {(report: Report) => void} talk.problems prints what is wrong, on standard error
 * @param {boolean} [talk.brief] tells of hydration tasks in a line each, of those that did something
 * @param {(atServer: boolean) => string} talk.interrupted the last words of a job that was told to stop; `atServer`: the server
 *   has taken on an export
 * @returns {Promise<number>} exit status
 */
export async function runJob(job, { settings, output, brief, summary, problems, interrupted }) {
  let atServer = false;
  const onEvent = (event) => {
    if (event.type === 'kickedOff' || (event.type === 'phase' && ['wait', 'download', 'finish'].includes(event.phase))) atServer = true;
  };
  const began = performance.now();
  const { report, exitStatus } = await watchJob(job, { settings, output, brief }, () => interrupted(atServer), onEvent);
  if (report === undefined) return exitStatus;
  if (settings.progress !== 'json' && !settings.quiet) summary(report, performance.now() - began);
  problems(report);
  return exitStatus;
}

/**
 * Shows a job while it runs. The first Ctrl-C ends the job; the second, or a job that takes too long about it, the process.
 * @template Report
 * @param {import('smart-fetch').Job<Report>} job
 * @param {Pick<import('./run.js').Invocation, 'settings' | 'output'> & { brief?: boolean }} invocation `brief`: as of {@link runJob}
 * @param {() => string} interrupted what to say of a job that was told to stop
 * @param {(event: import('smart-fetch').Event) => void} [onEvent]
 * @returns {Promise<{ report?: Report, exitStatus: number }>} without a report when it was interrupted
 */
export async function watchJob(job, { settings, output, brief }, interrupted, onEvent = () => {}) {
  const { verbose, quiet } = settings;
  const progress = await openProgress(settings.progress ?? 'auto', output, { verbose, quiet, brief });
  let stopped = false;
  let timer;
  const leave = () => {
    progress.stop();
    Output.lastWords(interrupted());
    process.exit(EXIT.interrupted);
  };
  const listenNoMore = onInterrupt(() => {
    stopped = true;
    timer = setTimeout(leave, GRACE_MILLIS);
    job.cancel();
  }, leave);
  try {
    for await (const event of job) {
      onEvent(event);
      progress.event(event);
    }
    const report = await job.result;
    const exitStatus = report.exitStatus ?? EXIT.complete;
    progress.stop();
    progress.end({ type: 'finished', exitStatus, report });
    return { report, exitStatus };
  } catch (error) {
    progress.stop();
    if (stopped) {
      progress.end({ type: 'interrupted', exitStatus: EXIT.interrupted });
      output.error(interrupted());
      return { exitStatus: EXIT.interrupted };
    }
    const { code, operation, message, hint, retry, status } = error;
    progress.end({ type: 'failed', exitStatus: error.exitStatus ?? EXIT.failed, error: { code, operation, message, hint, retry, status } });
    throw error;
  } finally {
    clearTimeout(timer);
    listenNoMore();
  }
}
