// The files of an export.
import { HttpError, playStep, sendHtml } from '../reply.js';
import { bodyOf, measure, sendCut, sendSlowly, sendStream } from './body.js';
import { SIGNATURE } from './manifest.js';
import { slice } from './source.js';
import { Readable } from 'node:stream';

/** `GET {base}/bulkfiles/{job}/{n}/{name}`, on either origin */
export async function sendFile(ctx, job, n) {
  const file = job?.files?.find((one) => one.n === n);
  if (!file) throw new HttpError(404, 'not-found', 'There is no such file (any more).');
  const { faults } = job;
  ctx.faults = faults;
  if (faults.maxInFlight > 0 && ctx.filesInFlight > faults.maxInFlight) return playStep(ctx, { status: 429 });
  if (!mayHave(ctx, job)) return undefined;
  if (!faults.concerns(n)) return send(ctx, job, file, PLAIN);
  if (faults.expireLinks > 0 && Number(ctx.url.searchParams.get('v')) < 2) return playStep(ctx, { status: faults.expireLinks });
  const step = faults.step('fileFail', n);
  if (step) return playStep(ctx, step);
  const target = await redirectTarget(ctx, faults);
  if (target) return ctx.res.writeHead(faults.fileRedirect || 302, { Location: target, 'Content-Length': 0 }).end();
  if (faults.contentType === 'html') return sendHtml(ctx, 200, 'Please log in');
  return send(ctx, job, file, faults);
}

/** File faults that do nothing, for files that are not concerned. */
const PLAIN = { lines: [], coding: 'auto', contentType: 'application/fhir+ndjson', cut: -1, byteRate: 0, ranges: false };

/** Whether the request may have the file; answers it if not. */
function mayHave(ctx, job) {
  const { faults } = job;
  if (faults.presigned) {
    if (ctx.req.headers.authorization) {
      playStep(ctx, { status: 400, body: 'text' });
      return false;
    }
    if (!ctx.req.url.endsWith(SIGNATURE)) {
      playStep(ctx, { status: 403, body: 'text' });
      return false;
    }
    return true;
  }
  const needed = ctx.onMain ? job.secure && faults.requiresAccessToken !== 'false' : faults.otherOriginToken;
  if (!needed) return true;
  if (ctx.auth.mode !== 'none') return Boolean(ctx.access());
  if (ctx.req.headers.authorization) return true; // an open server has no tokens to compare with
  playStep(ctx, { status: 401 });
  return false;
}

async function redirectTarget(ctx, { fileRedirect, redirectLoop, redirectTo }) {
  if (redirectLoop) return ctx.origin + ctx.req.url;
  if (fileRedirect === 0 || !ctx.onMain || ctx.url.searchParams.has('redirected')) return null;
  const origin = redirectTo === 'same-origin' ? ctx.origin : await ctx.otherOrigin();
  return `${origin}${ctx.req.url}${ctx.url.search ? '&' : '?'}redirected=1`;
}

async function send(ctx, job, file, faults) {
  const { req, res } = ctx;
  const cut = faults.cut >= 0 && job.faults.count('cut', file.n) < faults.cutTimes ? faults.cutFraming : null;
  const body = bodyOf(req, job, file, faults, cut === 'gzip');
  const headers = { 'Content-Type': faults.binaryWrapper ? 'application/fhir+json' : faults.contentType, Vary: 'Accept-Encoding' };
  if (body.encoding) headers['Content-Encoding'] = body.encoding;
  if (cut) return sendCutFile(res, headers, body, faults, cut);
  if (faults.unasked206) return sendHalf(res, headers, body);
  if (faults.ranges && !body.encoding && body.length !== null) {
    const tag = `"${job.id}-${file.n}-${body.length}"`;
    headers.ETag = tag;
    headers['Accept-Ranges'] = 'bytes';
    const range = askedRange(req, tag, body.length);
    if (range === 'unsatisfiable') return res.writeHead(416, { 'Content-Range': `bytes */${body.length}`, 'Content-Length': 0 }).end();
    if (range) {
      res.writeHead(206, { ...headers, 'Content-Range': `bytes ${range[0]}-${range[1] - 1}/${body.length}`, 'Content-Length': range[1] - range[0] });
      return sendStream(res, body.open(range));
    }
  }
  if (body.length !== null) headers['Content-Length'] = body.length;
  res.writeHead(200, headers);
  if (req.method === 'HEAD') return res.end();
  if (faults.byteRate > 0) return sendSlowly(res, body.open(), faults.byteRate);
  return sendStream(res, body.open());
}

/** One range of `Range: bytes=`, end excluded; null for the whole (also where If-Range does not match). */
function askedRange(req, tag, length) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(req.headers.range ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return null;
  if (req.headers['if-range'] !== undefined && req.headers['if-range'] !== tag) return null;
  const from = match[1] === '' ? Math.max(0, length - Number(match[2])) : Number(match[1]);
  const to = match[1] === '' || match[2] === '' ? length : Math.min(length, Number(match[2]) + 1);
  return from >= to ? 'unsatisfiable' : [from, to];
}

async function sendCutFile(res, headers, body, faults, framing) {
  const total = body.length ?? await measure(body.open());
  const limit = Math.floor((total * faults.cut) / 100);
  if (framing === 'length' || framing === 'stall') headers['Content-Length'] = total;
  if (framing === 'gzip' || framing === 'short') headers['Content-Length'] = limit;
  if (framing === 'close') {
    res.useChunkedEncodingByDefault = false;
    headers.Connection = 'close';
  }
  res.writeHead(200, headers);
  return sendCut(res, body.open(), limit, { length: 'break', chunked: 'break', stall: 'stall' }[framing] ?? 'end');
}

async function sendHalf(res, headers, body) {
  const total = body.length ?? await measure(body.open());
  const half = Math.max(1, Math.floor(total / 2));
  res.writeHead(206, { ...headers, 'Content-Range': `bytes 0-${half - 1}/${total}`, 'Content-Length': half });
  return sendStream(res, Readable.from(slice(body.open(), [0, half]), { objectMode: false }));
}
