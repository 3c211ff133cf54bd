// From a planned file to the body on the wire: damage, coding, pace, and bodies that end too soon.
import fs from 'node:fs';
import { once } from 'node:events';
import { Readable, pipeline } from 'node:stream';
import { pipeline as pipelineDone } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { takesGzip } from '../reply.js';
import { damagedLines, parseDamage } from './lines.js';
import { fileBytes, fileStream, linesOf, slice } from './source.js';

const LEVEL = { level: 6 };

/**
 * How a file is sent.
 * @returns {{open: (range?: number[]) => Readable, length: number|null, encoding: string|null}}
 *   `length` null where it is not known beforehand; `encoding` is the Content-Encoding to announce
 */
export function bodyOf(req, job, file, faults, forceGzip) {
  const { elements } = job.params;
  const damage = parseDamage(faults.lines);
  const changed = damage.size > 0 || (elements.length > 0 && file.kind === 'output');
  const open = (range) => {
    if (!changed) return fileStream(file, range);
    const kept = file.kind === 'output' ? elements : [];
    return Readable.from(damagedLines(linesOf(fileStream(file)), damage, kept), { objectMode: false });
  };
  const { coding } = faults;
  if (faults.binaryWrapper) return { open: () => Readable.from(wrapped(open()), { objectMode: false }), length: null, encoding: null };
  const packed = forceGzip || coding.includes('gz') || (coding === 'auto' && takesGzip(req));
  if (!packed) return { open, length: changed ? null : fileBytes(file), encoding: null };
  const encoding = coding.startsWith('stored') ? null : 'gzip';
  if (coding.includes('multi-member')) return { open: () => Readable.from(members(open), { objectMode: false }), length: null, encoding };
  if (!changed && file.whole?.gzPath) {
    return { open: () => fs.createReadStream(file.whole.gzPath, { highWaterMark: 1 << 19 }), length: fs.statSync(file.whole.gzPath).size, encoding };
  }
  return { open: () => pipeline(open(), createGzip(LEVEL), () => {}), length: null, encoding };
}

/** The body as two gzip members, cut in the middle of whatever is there (RFC 1952 section 2.2). */
async function* members(open) {
  let total = 0;
  for await (const chunk of open()) total += chunk.length;
  const half = Math.floor(total / 2);
  for (const range of [[0, half], [half, total]]) {
    yield* pipeline(Readable.from(slice(open(), range), { objectMode: false }), createGzip(LEVEL), () => {});
  }
}

/** A FHIR Binary resource with the content as base64. */
async function* wrapped(chunks) {
  yield '{"resourceType":"Binary","contentType":"application/fhir+ndjson","data":"';
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = Buffer.concat([rest, chunk]);
    const whole = bytes.length - (bytes.length % 3);
    yield bytes.subarray(0, whole).toString('base64');
    rest = Buffer.from(bytes.subarray(whole));
  }
  yield `${rest.toString('base64')}"}`;
}

/** Sends a body at full speed. */
export function sendStream(res, stream) {
  return pipelineDone(stream, res).catch(() => {}); // the client went away; nobody is left to tell
}

/** Sends a body at so many bytes a second, in ten portions a second. */
export async function sendSlowly(res, stream, rate) {
  const portion = Math.max(1, Math.floor(rate / 10));
  for await (const chunk of stream) {
    for (let at = 0; at < chunk.length; at += portion) {
      if (res.destroyed) return;
      res.write(chunk.subarray(at, at + portion));
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
  }
  res.end();
}

/** How many bytes a body has, by reading it. */
export async function measure(stream) {
  let total = 0;
  for await (const chunk of stream) total += chunk.length;
  return total;
}

/** Sends the first `limit` bytes; then the message ends, the connection breaks, or nothing more comes (stall). */
export async function sendCut(res, stream, limit, then) {
  res.flushHeaders();
  for await (const chunk of slice(stream, [0, limit])) {
    if (res.destroyed) return;
    if (!res.write(chunk)) await Promise.race([once(res, 'drain'), once(res, 'close')]);
  }
  stream.destroy();
  if (then === 'end') res.end();
  if (then !== 'break') return;
  await new Promise((resolve) => { res.write('', resolve); });
  res.socket?.end(); // what was written goes out, then FIN: neither full length nor last chunk ever came
}
