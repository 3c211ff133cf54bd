// Answers: JSON, OperationOutcome, HTML, and the steps of fault scripts.
import { STATUS_CODES } from 'node:http';
import { gzip } from 'node:zlib';

export const FHIR_JSON = 'application/fhir+json; charset=utf-8';
const GZIP_FROM = 1400; // below one packet compression only costs

/** Whether the client takes gzip (RFC 9110 section 12.5.3; q=0 means no). */
export function takesGzip(req) {
  return /(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)/i.test(req.headers['accept-encoding'] ?? '');
}

/** Sends a whole body, compressed where that pays and the client takes it. */
export function sendBody({ req, res }, status, type, body, headers = {}) {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const finish = (content, extra) => {
    if (res.destroyed) return;
    res.writeHead(status, { 'Content-Type': type, 'Content-Length': content.length, Vary: 'Accept-Encoding', ...extra, ...headers });
    res.end(req.method === 'HEAD' ? undefined : content);
  };
  if (bytes.length < GZIP_FROM || !takesGzip(req)) return finish(bytes, {});
  gzip(bytes, { level: 1 }, (error, packed) => (error ? finish(bytes, {}) : finish(packed, { 'Content-Encoding': 'gzip' })));
}

export function sendJson(ctx, status, value, headers = {}, type = FHIR_JSON) {
  sendBody(ctx, status, type, JSON.stringify(value), headers);
}

export function outcomeOf(severity, code, text) {
  return { resourceType: 'OperationOutcome', issue: [{ severity, code, details: { text }, diagnostics: text }] };
}

export function sendOutcome(ctx, status, code, text, headers) {
  sendJson(ctx, status, outcomeOf(status < 400 ? 'information' : 'error', code, text), headers);
}

export function sendHtml(ctx, status, text, headers) {
  sendBody(ctx, status, 'text/html; charset=utf-8', `<!DOCTYPE html>\n<html><body><h1>${text}</h1></body></html>\n`, headers);
}

/** An error that a handler throws to end with an OperationOutcome. */
export class HttpError extends Error {
  constructor(status, code, message, headers) {
    super(message);
    Object.assign(this, { status, code, headers });
  }
}

/** Thrown to leave a handler that has answered already. */
export class Answered extends Error {}

/** Retry-After in one of the forms a setting can name; undefined for none. */
export function retryAfter(setting, now) {
  if (setting === 'none' || setting === '') return undefined;
  const date = /^date\+(-?\d+)$/.exec(setting);
  if (date) return new Date(now + Number(date[1]) * 1000).toUTCString();
  if (setting === 'epoch-s') return String(Math.floor(now / 1000) + 300);
  if (setting === 'epoch-ms') return String(now + 300_000);
  return setting;
}

const CODES = { 400: 'invalid', 401: 'login', 403: 'forbidden', 404: 'not-found', 405: 'not-supported', 410: 'deleted', 429: 'throttled', 503: 'transient' };

/** Does what a step of a fault script says. */
export function playStep(ctx, step) {
  if (step.word === 'hang') return; // no answer at all; the client has to give up
  if (step.word === 'reset') {
    ctx.status = 0;
    ctx.req.socket.resetAndDestroy();
    return;
  }
  const { status } = step;
  const headers = {};
  if (status === 429 || status === 503) {
    const value = retryAfter(ctx.faults.failRetryAfter, ctx.now());
    if (value !== undefined) headers['Retry-After'] = value;
  }
  const body = step.body ?? (status === 502 || status === 504 || (status === 401 && ctx.faults.html401) ? 'html' : undefined);
  const text = `${status} ${STATUS_CODES[status] ?? ''} (sandbox fault)`;
  if (body === 'empty') ctx.res.writeHead(status, status === 204 || status === 304 ? headers : { ...headers, 'Content-Length': 0 }).end();
  else if (body === 'html') sendHtml(ctx, status, text, headers);
  else if (body === 'text') sendBody(ctx, status, 'text/plain', text, headers);
  else if (body?.includes('_')) sendJson(ctx, status, { error: body, error_description: text }, headers, 'application/json');
  else {
    const outcome = outcomeOf(status < 400 && !step.body ? 'information' : 'error', body ?? CODES[status] ?? 'exception', text);
    sendJson(ctx, status, outcome, headers);
  }
}
