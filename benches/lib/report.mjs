// The report of a benchmark as Markdown: the machine, the table, and what it means for the targets.
import { cpus, totalmem, type } from 'node:os';
import { PYTHON_VERSION } from './programs.mjs';

/** At least so many times as fast as the reference, by the number of cores. */
const TARGETS = [
  { cores: 4, gzip: 15, identity: 6 },
  { cores: 2, gzip: 8, identity: 4 },
];
const MEMORY = 250e6;
/** In Chromium: at least so many times as fast as the reference, at most so many times as long as fetching into OPFS, so much memory. */
const BROWSER = { python: 3, bare: 2.5, memory: 200e6 };
/** The size that the targets are for. */
const FULL = { bytes: 1e9, files: 20 };

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const megabytes = (bytes) => (bytes === null ? '–' : String(Math.round(bytes / 1e6)));

/** Peaks of each kind, which need not be at the same moment. */
const memoryOf = ({ heap, buffers, wasm, targets, resident }) =>
  `Peaks: ${megabytes(heap)} MB heap, ${megabytes(buffers)} MB buffers, ${megabytes(wasm)} MB wasm in ${targets} page and workers; ${megabytes(resident)} MB resident in the whole renderer.`;

/** What the ratios say about the targets, a line for each. */
function verdicts(summary, options, cores) {
  const full = options.bytes >= FULL.bytes && options.files === FULL.files;
  const target = TARGETS.find((one) => cores >= one.cores);
  const judge = (met) => (full ? (met ? 'met' : 'MISSED') : 'not judged: it is for 1 GB in 20 files');
  return options.codings.flatMap((coding) => {
    const of = (name) => summary.find((row) => row.program.name === name && row.coding === coding);
    const [ours, python, browser, bare] = ['ours', 'python', 'browser', 'bare'].map(of);
    const lines = [];
    if (ours && python) {
      const ratio = python.seconds / ours.seconds;
      const wanted = target ? `; target on ${target.cores} cores: at least ${target[coding]}, ${judge(ratio >= target[coding])}` : '';
      lines.push(`- ${coding}: **${ratio.toFixed(1)} times as fast** as Python smart-fetch ${PYTHON_VERSION}${wanted}.`);
    }
    if (ours?.peak) lines.push(`- ${coding}: at most ${megabytes(ours.peak)} MB resident; target: under ${megabytes(MEMORY)} MB, ${judge(ours.peak < MEMORY)}.`);
    if (browser && python) {
      const ratio = python.seconds / browser.seconds;
      lines.push(`- ${coding}, in Chromium: **${ratio.toFixed(1)} times as fast** as Python smart-fetch ${PYTHON_VERSION}; target: at least ${BROWSER.python}, ${judge(ratio >= BROWSER.python)}.`);
    }
    if (browser && bare) {
      const ratio = browser.seconds / bare.seconds;
      lines.push(`- ${coding}, in Chromium: **${ratio.toFixed(1)} times as long** as fetching the same files into OPFS without work; target: at most ${BROWSER.bare}, ${judge(ratio <= BROWSER.bare)}.`);
    }
    if (browser) {
      lines.push(`- ${coding}, in Chromium: at most ${megabytes(browser.peak)} MB of JS heap, buffers and wasm in page and workers; target: under ${megabytes(BROWSER.memory)} MB, ${judge(browser.peak < BROWSER.memory)}. ${memoryOf(browser.memory)}`);
    }
    return lines;
  });
}

export function report({ rows, sizes, resources, options, server, cores, notes }) {
  const summary = rows.map(({ program, coding, results }) => {
    const times = results.map(({ seconds }) => seconds);
    const peaks = results.map(({ peak }) => peak);
    const memory = results.reduce((most, one) => ((one.memory?.sum ?? 0) > (most?.sum ?? 0) ? one.memory : most), undefined);
    return { program, coding, memory, seconds: median(times), fastest: Math.min(...times), slowest: Math.max(...times), peak: peaks.includes(null) ? null : Math.max(...peaks) };
  });
  const cells = summary.map((row) => {
    const python = summary.find((one) => one.program.name === 'python' && one.coding === row.coding);
    return [
      row.program.label, row.coding, row.seconds.toFixed(2), `${row.fastest.toFixed(2)}–${row.slowest.toFixed(2)}`,
      String(Math.round(sizes.plain / row.seconds / 1e6)), python ? (python.seconds / row.seconds).toFixed(1) : '–', megabytes(row.peak),
    ];
  });
  const head = ['program', 'server sends', 'seconds (median)', 'fastest–slowest', 'MB/s of NDJSON', 'times Python', 'peak MB'];
  const line = (items) => `| ${items.join(' | ')} |`;
  return [
    '# Benchmark',
    '',
    `${(sizes.plain / 1e6).toFixed(0)} MB of Observation NDJSON in ${options.files} files, ${resources} resources, ${(sizes.plain / sizes.packed).toFixed(1)}:1 gzipped, from ${server} on loopback, on ${new Date().toISOString().slice(0, 10)}.`,
    `Machine: ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${cores} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GB, ${type()}, Node ${process.versions.node}.`,
    `Each program ran ${options.runs} times, in turn, from its start to its end${options.workers ? `, ours with --workers ${options.workers}` : ''}; every output was checked, all resources byte for byte. Exports keep gzip files.`,
    'Memory is what is resident; in Chromium, JS heap, buffers and wasm of the page and its workers.',
    '',
    line(head), line(head.map((_, n) => (n < 2 ? '---' : '---:'))), ...cells.map(line),
    '',
    ...verdicts(summary, options, cores),
    ...notes.map((note) => `- ${note}`),
    '',
  ].join('\n');
}
