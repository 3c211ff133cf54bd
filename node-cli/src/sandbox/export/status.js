// The status request, and DELETE.
import { HttpError, outcomeOf, playStep, retryAfter, sendJson, sendOutcome } from '../reply.js';
import { manifest, pageCount } from './manifest.js';

const PATIENCE = 5000; // ms the poll that should be the last waits for the plan of a large export

const gone = () => new HttpError(404, 'not-found', 'There is no such export job (any more).');

/** `GET {base}/bulkstatus/{job}[?page=n]` */
export async function status(ctx, job) {
  if (!job) throw gone();
  const { faults } = job;
  ctx.faults = faults;
  const page = Number(ctx.url.searchParams.get('page') ?? 1);
  if (faults.statusRedirect > 0 && ctx.onMain) {
    return ctx.res.writeHead(faults.statusRedirect, { Location: (await ctx.otherOrigin()) + ctx.req.url, 'Content-Length': 0 }).end();
  }
  if (ctx.onMain && job.secure) ctx.access();
  const step = page === 1 ? faults.step('statusFail') : faults.step('pageFail', page);
  if (step) return playStep(ctx, step);
  if (page > 1) {
    if (job.files === null || page > pageCount(job)) throw gone();
    if (faults.count('pagePending', page) < faults.pagePending) return pending(ctx, job);
    return complete(ctx, job, page);
  }
  job.polls++;
  if (job.polls > faults.pending || faults.partialManifests) await job.plannedWithin(PATIENCE);
  if (job.failure) return sendJson(ctx, 500, outcomeOf('error', 'processing', `The export failed: ${job.failure.message}`));
  if (job.running) return pending(ctx, job);
  if (job.separate && faults.exportStatusFinal >= 400) {
    ctx.res.setHeader('X-Export-Status', `${faults.exportStatusFinal} Failed`);
    return sendJson(ctx, 200, outcomeOf('error', 'processing', 'The export failed (sandbox fault).'));
  }
  return complete(ctx, job, 1);
}

async function pending(ctx, job) {
  const { faults } = job;
  const headers = {};
  const wait = retryAfter(faults.retryAfter, ctx.now());
  if (wait !== undefined) headers['Retry-After'] = wait;
  const progress = Math.min(99, Math.floor((100 * job.polls) / (faults.pending + 1)));
  if (faults.xProgress !== 'none') headers['X-Progress'] = faults.xProgress === 'auto' ? `${progress}% complete` : faults.xProgress;
  if (job.separate) headers['X-Export-Status'] = '202 Accepted';
  const code = job.separate ? 200 : 202;
  if (faults.partialManifests && job.files !== null) return sendJson(ctx, code, await manifest(ctx, job, 1, true), headers, 'application/json');
  return ctx.res.writeHead(code, { ...headers, 'Content-Length': 0 }).end();
}

async function complete(ctx, job, page) {
  const headers = {};
  const { expires } = job.faults;
  if (expires === 'date') headers.Expires = new Date(job.expires).toUTCString();
  if (expires === 'iso') headers.Expires = new Date(job.expires).toISOString();
  if (expires === 'garbage') headers.Expires = 'when the moon is full';
  if (job.separate) headers['X-Export-Status'] = '200 OK';
  return sendJson(ctx, 200, await manifest(ctx, job, page, false), headers, 'application/json');
}

/** `DELETE {base}/bulkstatus/{job}`: cancels, or frees what a finished job holds. */
export function remove(ctx, job) {
  if (!job) throw gone();
  ctx.faults = job.faults;
  if (job.secure) ctx.access();
  const { deleteStatus } = job.faults;
  if (deleteStatus < 300 || deleteStatus === 404) ctx.jobs.delete(job.id);
  if (deleteStatus === 202) return sendOutcome(ctx, 202, 'informational', 'The export has been deleted.');
  return playStep(ctx, { status: deleteStatus, body: deleteStatus < 300 ? 'empty' : undefined });
}
