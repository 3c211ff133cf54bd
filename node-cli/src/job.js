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
 * @param {(atServer: boolean) => string} talk.interrupted the last words of a job that was told to stop; `atServer`: the server
 *   has taken on an export
 * @returns {Promise<number>} exit status
 */
export async function runJob(job, { settings, output, summary, problems, interrupted }) {
  const progress = await openProgress(settings.progress ?? 'auto', output, { verbose: settings.verbose, quiet: settings.quiet });
  const began = performance.now();
  const stop = listenForStop({ job, progress, interrupted });
  try {
    for await (const event of job) {
      stop.seen(event);
      progress.event(event);
    }
    const report = await job.result;
    progress.stop();
    progress.end({ type: 'finished', exitStatus: report.exitStatus, report });
    if (settings.progress !== 'json' && !settings.quiet) summary(report, performance.now() - began);
    problems(report);
    return report.exitStatus;
  } catch (error) {
    progress.stop();
    if (stop.requested) {
      progress.end({ type: 'interrupted', exitStatus: EXIT.interrupted });
      output.error(stop.words());
      return EXIT.interrupted;
    }
    const { code, operation, message, hint, retry, status } = error;
    progress.end({ type: 'failed', exitStatus: error.exitStatus ?? EXIT.failed, error: { code, operation, message, hint, retry, status } });
    throw error;
  } finally {
    stop.listenNoMore();
  }
}

/** Ends the job at the first Ctrl-C, and the process at the second, or when the job takes too long about it. */
function listenForStop({ job, progress, interrupted }) {
  let atServer = false;
  const stop = {
    requested: false,
    seen(event) {
      if (event.type === 'kickedOff' || (event.type === 'phase' && ['wait', 'download', 'finish'].includes(event.phase))) atServer = true;
    },
    words: () => interrupted(atServer),
    listenNoMore: () => {},
  };
  const leave = () => {
    progress.stop();
    Output.lastWords(stop.words());
    process.exit(EXIT.interrupted);
  };
  let timer;
  const off = onInterrupt(() => {
    stop.requested = true;
    timer = setTimeout(leave, GRACE_MILLIS);
    job.cancel();
  }, leave);
  stop.listenNoMore = () => {
    clearTimeout(timer);
    off();
  };
  return stop;
}
