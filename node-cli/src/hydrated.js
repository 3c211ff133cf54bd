// What hydration did, in the words and the form of the Python tool.
import { formatCount, plural } from './output.js';
import { oneLine } from './progress/words.js';

/**
 * The lines for a task that has ended: its heading, and its table or that there was nothing to read.
 * @param {import('smart-fetch').HydrationTask} report
 * @returns {string[]}
 */
export function describeTask(report) {
  const heading = `${headingOf(report)}.`;
  if (report.skipped) return [heading, `Skipping ${report.task}, no ${report.input} resources found.`];
  return [heading, ...table(report)];
}

function headingOf({ inlines, input, output }) {
  return inlines ? `Inlining ${input}s` : `Downloading referenced ${output}s from ${input}s`;
}

/**
 * The line for a task that has ended, where its table would be too much: nothing where it did nothing.
 * @param {import('smart-fetch').HydrationTask} report
 * @returns {string | undefined}
 */
export function briefTask(report) {
  const failed = report.fatalErrors.items + report.retryErrors.items;
  const parts = [
    ...(report.newlyDone.items > 0 ? [`${formatCount(report.newlyDone.items)} new`] : []),
    ...(failed > 0 ? [`${formatCount(failed)} could not be had`] : []),
  ];
  return parts.length === 0 ? undefined : `${headingOf(report)}: ${parts.join(', ')}`;
}

/**
 * What all tasks brought, in a line.
 * @param {import('smart-fetch').HydrateReport} report
 */
export function hydrationSum({ tasks }) {
  const sum = (inlines) => tasks.filter((task) => task.inlines === inlines).reduce((total, { newlyDone }) => total + newlyDone.items, 0);
  const parts = [
    ...(sum(false) > 0 ? [`${plural(sum(false), 'resource')} that others refer to downloaded`] : []),
    ...(sum(true) > 0 ? [`${plural(sum(true), 'attachment')} inlined`] : []),
  ];
  return `Hydration: ${parts.join(', ') || 'nothing was left to fetch'}`;
}

function table(report) {
  const done = report.inlines ? 'inlined' : 'downloaded';
  let headers = [`${report.input}s`, report.inlines ? 'Attachments' : `${report.output}s`];
  if (headers[0] === headers[1]) headers = [`Source ${headers[0]}`, `Target ${headers[1]}`];
  const rows = [
    ['Total examined', report.total],
    ...(report.alreadyDone.items > 0 ? [[`Already ${done}`, report.alreadyDone]] : []),
    [`Newly ${done}`, report.newlyDone],
    ...(report.fatalErrors.items > 0 ? [['Fatal errors', report.fatalErrors]] : []),
    ...(report.retryErrors.items > 0 ? [['Retried but gave up', report.retryErrors]] : []),
  ].map(([label, { resources, items }]) => [label, formatCount(resources), formatCount(items)]);
  const widths = [0, 1, 2].map((column) => Math.max(...[['', ...headers], ...rows].map((row) => row[column].length)));
  const line = ([label, ...values]) => [` ${label.padEnd(widths[0])} `, ...values.map((value, at) => ` ${value.padStart(widths[at + 1])} `)].join('').trimEnd();
  return [['', ...headers], ...rows].map(line);
}

/**
 * Prints what could not be had, on standard error.
 * @param {{ failed: number, failures: string[] }} report
 * @param {string} folder as the user wrote it
 * @param {import('./output.js').Output} output
 */
export function printHydrationProblems({ failed, failures }, folder, output) {
  if (failed === 0) return;
  const more = failed - failures.length;
  const named = [...failures.map(oneLine), ...(more > 0 ? [`and ${formatCount(more)} more`] : [])];
  output.error(`References that could not be had:${named.map((text) => `\n - ${text}`).join('')}`);
  output.error(`Finished, but ${plural(failed, 'reference')} could not be had; '${folder}/error' lists ${failed === 1 ? 'it' : 'them'}. Run the same command again to try just ${failed === 1 ? 'that one' : 'those'}.`);
}
