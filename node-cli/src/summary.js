import { formatBytes, formatCount, formatDuration, formatTable, plural } from './output.js';
import { oneLine } from './progress/words.js';

/** How many of a kind are named. */
const NAMED = 20;

/**
 * Prints what an export brought, on standard output.
 * @param {object} report the core's `BulkReport`
 * @param {string} folder as the user wrote it
 * @param {number} millis how long it took
 * @param {import('./output.js').Output} output
 */
export function printSummary(report, folder, millis, output) {
  printTypesTable(report, output);
  if (report.deletions > 0) output.line(`Deletions: ${formatCount(report.deletions)}, in '${folder}/deleted'`);
  output.line(`${plural(report.files, 'file')}, ${formatBytes(report.bytes)} in '${folder}'; ${fetched(report, millis)}`);
  if (report.verdict === 'complete') output.line('✨ Done ✨');
}

/** The types with their counts, and what the server has to say. */
function printTypesTable(report, output) {
  const types = Object.entries(report.types).sort(([a], [b]) => (a < b ? -1 : 1));
  if (types.length > 0) {
    const rows = types.map(([type, { files, resources }]) => [oneLine(type), formatCount(files), formatCount(resources)]);
    if (types.length > 1) rows.push(['Total', formatCount(sum(types, 'files')), formatCount(report.resources)]);
    output.line(formatTable(['Type', 'Files', 'Resources'], rows));
  }
  if (report.emptyTypes.length > 0) output.line(`No resources of: ${report.emptyTypes.map(oneLine).join(', ')}`);
  const messages = report.issues.filter((issue) => !isError(issue));
  if (messages.length > 0) output.line(`Messages from server:${list(messages.map((issue) => issue.text))}`);
}

/**
 * Prints what a crawl brought, on standard output.
 * @param {import('smart-fetch').CrawlReport} report
 * @param {string} folder as the user wrote it
 * @param {number} millis how long it took
 * @param {import('./output.js').Output} output
 */
export function printCrawl(report, folder, millis, output) {
  printTypesTable(report, output);
  const files = `${plural(report.files, 'file')}, ${formatBytes(report.bytes)} in '${folder}'`;
  output.line(`${plural(report.patients, 'patient')}; ${files}; ${formatDuration(millis)}`);
  if (report.verdict === 'complete') output.line('✨ Done ✨');
}

/**
 * Prints what is wrong with a crawl that finished, on standard error, the verdict last.
 * @param {import('smart-fetch').CrawlReport} report
 * @param {import('./output.js').Output} output
 */
export function printCrawlProblems(report, output) {
  if (report.verdict === 'complete') return;
  const errors = report.issues.filter(isError);
  if (errors.length > 0) output.error(`Errors occurred during export:${list(errors.map((issue) => issue.text), report.errors)}`);
  const missing = Object.values(report.missing).reduce((total, count) => total + count, 0);
  const { patientsProblem, missingExamples, unknownPatients } = report;
  if (patientsProblem.length > 0) {
    output.error(`Files that could not be had:${list(patientsProblem.map(({ name, problem }) => `${name}: ${problem}`))}`);
  }
  if (missing > 0) {
    output.error(`Patients that could not be had:${list(missingExamples.map(({ type, patient, problem }) => `${type} of ${patient}: ${problem}`), missing)}`);
  }
  if (unknownPatients.length > 0) output.error(`IDs that the server has no Patient for:${list(unknownPatients)}`);
  if (report.verdict === 'withErrors') {
    output.error(`Finished with errors: the server reported ${plural(report.errors, 'error')}. Everything that it offered is here.`);
  } else if (patientsProblem.length > 0) {
    output.error('Finished, but not all Patients could be had, so nothing else was searched for. Run the same command again.');
  } else if (missing === 0) {
    const what = unknownPatients.length === 1 ? '1 ID' : `${formatCount(unknownPatients.length)} IDs`;
    output.error(`Finished, but the server does not know ${what}. Check the IDs, and --id-system; the same command asks for just those again.`);
  } else {
    const types = Object.entries(report.missing).map(([type, count]) => `${oneLine(type)} of ${plural(count, 'patient')}`);
    output.error(`Finished, but some data are missing: ${types.join(', ')}. Run the same command again to get just those.`);
  }
}

function fetched({ fetched: files, received, failed }, millis) {
  if (files === 0) return failed.length > 0 ? 'this run fetched none' : 'nothing was left to fetch';
  const rate = formatBytes((received * 1000) / Math.max(1, millis));
  return `fetched ${plural(files, 'file')}, ${formatBytes(received)}, in ${formatDuration(millis)} (${rate}/s)`;
}

/**
 * Prints what is wrong with an export that finished, on standard error, the verdict last.
 * @param {object} report the core's `BulkReport`
 * @param {import('./output.js').Output} output
 */
export function printProblems(report, output) {
  if (report.verdict === 'complete') return;
  const errors = report.issues.filter(isError);
  if (errors.length > 0) output.error(`Errors occurred during export:${list(errors.map((issue) => issue.text), report.errors)}`);
  if (report.badLines > 0) output.error(`Lines that are no resources:${list(report.bad, report.badLines)}`);
  if (report.failed.length > 0) {
    output.error(`Files that could not be had:${list(report.failed.map(({ name, problem }) => `${name}: ${problem}`))}`);
  }
  output.error(verdict(report));
}

function verdict({ verdict: word, errors, badLines, failed }) {
  if (word === 'incomplete') {
    const missing = failed.length === 1 ? '1 file is missing' : `${formatCount(failed.length)} files are missing`;
    return `Finished, but ${missing}. Run the same command again to get just ${failed.length === 1 ? 'that one' : 'those'}.`;
  }
  const found = [
    ...(errors > 0 ? [`the server reported ${plural(errors, 'error')}`] : []),
    ...(badLines > 0 ? [`${plural(badLines, 'line')} ${badLines === 1 ? 'is no resource' : 'are no resources'}`] : []),
  ];
  return `Finished with errors: ${found.join(', and ')}. Everything that the server offered is here; running it again fetches nothing more.`;
}

function isError({ severity }) {
  return severity === 'error' || severity === 'fatal';
}

/** Distinct lines, the first of them, and how many there are beyond. */
function list(texts, total = texts.length) {
  const distinct = [...new Set(texts.map(oneLine))];
  const named = distinct.slice(0, NAMED);
  const repeated = texts.length - distinct.length;
  const more = total - named.length - repeated;
  return [...named.map((text) => `\n - ${text}`), ...(more > 0 ? [`\n - and ${formatCount(more)} more`] : [])].join('');
}

function sum(entries, key) {
  return entries.reduce((total, [, value]) => total + value[key], 0);
}
