// The manifest in the shape of the chosen version of the IG.
import { fileBytes } from './source.js';

/** The output files of each page of a job's manifest. */
function outputPages({ files, faults: { manifestPage, emptyPage } }) {
  const outputs = files.filter(({ kind }) => kind === 'output');
  const size = manifestPage || Math.max(1, outputs.length);
  const pages = Array.from({ length: Math.max(1, Math.ceil(outputs.length / size)) }, (_, page) => outputs.slice(page * size, (page + 1) * size));
  if (emptyPage > 0) pages.splice(emptyPage - 1, 0, []);
  return pages;
}

/** How many pages a job's manifest has. */
export function pageCount(job) {
  return outputPages(job).length;
}

/**
 * A manifest page.
 * @param {object} ctx request @param {import('./jobs.js').Job} job
 * @param {number} page from 1
 * @param {boolean} partial the job still runs: half of the files are listed, no further page
 */
export async function manifest(ctx, job, page, partial) {
  const { faults } = job;
  if (!partial && page === 1) job.manifestReads++;
  const listed = outputPages(job)[page - 1];
  const once = page === 1 || faults.repeatErrors;
  const origin = faults.crossOrigin || faults.otherOriginToken ? await ctx.otherOrigin() : ctx.origin;
  const entries = (kind) => job.files.filter((file) => file.kind === kind).map((file) => entry(job, file, ctx, origin));
  const seconds = faults.driftingTime ? page - 1 : 0;
  const output = (partial ? listed.slice(0, Math.ceil(listed.length / 2)) : listed).map((file) => entry(job, file, ctx, origin));
  const result = {
    transactionTime: seconds === 0 ? job.transactionTime : new Date(Date.parse(job.transactionTime) + seconds * 1000).toISOString(),
    request: faults.stu < 4 ? job.request : undefined,
    requiresAccessToken: { auto: job.secure, true: true, false: false, string: 'true', absent: undefined }[faults.requiresAccessToken],
    manifestType: faults.manifestType || undefined,
    outputFormat: faults.manifestFormat || (faults.stu >= 4 ? 'application/fhir+ndjson' : undefined),
    outputOrganizedBy: faults.stu >= 3 || job.params.organized ? (job.params.organized ? 'Patient' : '') : undefined,
    output: faults.duplicateEntries ? output.flatMap((one) => [one, one]) : output,
    [faults.stu >= 4 ? 'outcome' : 'error']: once && !partial ? entries('error') : [],
    deleted: faults.stu >= 2 ? (once && !partial ? entries('deleted') : []) : undefined,
    link: links(job, ctx, page, partial),
    extension: extension(faults),
  };
  for (const key of faults.manifestOmit) delete result[key];
  return result;
}

function links(job, ctx, page, partial) {
  const pages = pageCount(job);
  const url = (n) => `${ctx.origin}${ctx.rootPath}/bulkstatus/${job.id}${n === 1 ? '' : `?page=${n}`}`;
  if (!partial && page < pages) return [{ relation: 'next', url: url(page + 1) }];
  if (job.faults.cyclicLink) return [{ relation: 'next', url: url(1) }];
  return pages > 1 || job.faults.stu >= 3 ? [] : undefined;
}

function extension({ manifestExtension }) {
  switch (manifestExtension) {
    case 'object': return { 'https://example.org/extra-property': true };
    case 'array': return [{ url: 'https://example.org/fhir/StructureDefinition/extra', valueBoolean: true }];
    case 'decrypt-key': return [{ url: 'https://example.org/fhir/StructureDefinition/decryption-key', valueString: 'c2VjcmV0' }];
    default: return undefined;
  }
}

function entry(job, file, ctx, origin) {
  const { faults } = job;
  const output = file.kind === 'output';
  const next = file.continues ? job.files[file.n] : null;
  const last = output && !job.files.some(({ kind, n }) => kind === 'output' && n > file.n);
  const type = output && faults.hostileTypes ? ['../../x', 'CON', 'Patient/../../etc', 'a\u0000b'][(file.n - 1) % 4] : file.type;
  return {
    type: type === null || (faults.stu >= 4 && !output) ? undefined : type,
    url: fileUrl(job, file, ctx, origin),
    count: countOf(file, faults),
    fileSize: { none: undefined, right: faults.fileSize === 'right' ? fileBytes(file) : undefined, wrong: 12345 }[faults.fileSize],
    continuesInFile: next ? fileUrl(job, next, ctx, origin) : faults.danglingContinuation && last ? `${origin}${ctx.rootPath}/bulkfiles/${job.id}/999/none.ndjson` : undefined,
    extension: extension(faults),
  };
}

function countOf(file, { noCounts, countOff, errorCount }) {
  if (noCounts) return undefined;
  if (file.kind === 'error' && errorCount >= 0) return errorCount;
  return file.count + countOff;
}

/** The query of a signed URL; it must come back byte for byte. */
export const SIGNATURE = 'X-Amz-Expires=300&X-Amz-Credential=AKIA%2F20260101&X-Amz-Signature=a%2Bb%2fc%3D';

/** The URL of a file as this reading of the manifest gives it. */
function fileUrl(job, file, ctx, origin) {
  const { faults } = job;
  const name = faults.sameBasename ? 'data.ndjson' : `${file.name}.ndjson`;
  const path = `${ctx.rootPath}/bulkfiles/${job.id}/${file.n}/${name}`;
  const query = [];
  if (faults.expireLinks > 0) query.push(`v=${Math.max(1, job.manifestReads)}`);
  if (faults.presigned) query.push(SIGNATURE);
  const suffix = query.length > 0 ? `?${query.join('&')}` : '';
  return ({ relative: '', file: 'file://' }[faults.urlStyle] ?? origin) + path + suffix;
}
