// `npm run bench`: how fast an export is, and how much memory it takes, against Python smart-fetch and against the raw
// limit, which is fetching the same files without doing anything with them. README.md beside this file says how.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeBenchData } from '../node-cli/src/sandbox/bench-data.js';
import { Failure, main, root, run, say } from '../scripts/lib/run.mjs';
import { ensureBuildTools } from '../scripts/lib/tools.mjs';
import { buildWasm } from '../scripts/lib/wasm.mjs';
import { BROWSER_PROGRAMS, browserPrograms } from './lib/browser.mjs';
import { contentOf, sameContent } from './lib/content.mjs';
import { measure } from './lib/measure.mjs';
import { CODINGS, PROGRAMS, choosePrograms } from './lib/programs.mjs';
import { report } from './lib/report.mjs';
import { startServer } from './lib/server.mjs';

const ALL_PROGRAMS = [...PROGRAMS, ...BROWSER_PROGRAMS];

const USAGE = `npm run bench -- [--bytes 1e9] [--files 20] [--runs 3] [--workers N] [--only LIST] [--server auto|nginx|sandbox] [--cache DIR] [--save]
  --only   some of ${[...CODINGS, ...ALL_PROGRAMS].join(', ')}
  --cache  where data, Python's venv and output go (default ~/.cache/smart-fetch/bench)
  --save   write the report to benches/RESULTS.md`;

function readOptions() {
  const text = (value) => ({ type: 'string', default: value });
  const { values } = parseArgs({
    options: {
      bytes: text('1e9'), files: text('20'), runs: text('3'), workers: { type: 'string' }, only: text(''), server: text('auto'),
      cache: text(join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'smart-fetch/bench')), save: { type: 'boolean' },
    },
  });
  const whole = (name) => {
    const number = Number(values[name]);
    if (!Number.isInteger(number) || number < 1) throw new Failure(`--${name}: '${values[name]}' is not a whole number above 0.\n${USAGE}`);
    return number;
  };
  const only = values.only.split(',').filter(Boolean);
  const unknown = only.find((name) => ![...CODINGS, ...ALL_PROGRAMS].includes(name));
  if (unknown) throw new Failure(`--only: there is no '${unknown}'.\n${USAGE}`);
  if (!['auto', 'nginx', 'sandbox'].includes(values.server)) throw new Failure(`--server: there is no '${values.server}'.\n${USAGE}`);
  /** What `--only` leaves of a list; naming none of it leaves all. */
  const chosen = (all) => (all.some((name) => only.includes(name)) ? all.filter((name) => only.includes(name)) : all);
  return {
    bytes: whole('bytes'), files: whole('files'), runs: whole('runs'), workers: values.workers === undefined ? undefined : whole('workers'),
    codings: chosen(CODINGS), programs: chosen(ALL_PROGRAMS), server: values.server, cache: values.cache, save: values.save,
  };
}

/** One measurement: a fresh folder, nothing left to write from before, and the output checked. */
async function once(program, { coding, base, urls, expected, cache, workers }) {
  const out = join(cache, 'out');
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  await run('sync', [], { quiet: true });
  const job = { base, urls, out, coding, workers };
  const result = program.measure ? await program.measure(job) : await measure(program.command(job));
  if (result.code !== 0) throw new Failure(`${program.label} ended with ${result.code}.\n${result.errors.trim()}`);
  const content = program.keeps ? await contentOf(out) : result.content;
  if (content) {
    const wrong = sameContent(expected, content);
    if (wrong) throw new Failure(`${program.label}, ${coding}: ${wrong}`);
  }
  rmSync(out, { recursive: true });
  return result;
}

await main(async () => {
  const options = readOptions();
  await buildWasm(await ensureBuildTools());
  const nodePrograms = await choosePrograms(options.programs, options.cache);
  const inBrowser = await browserPrograms(options.programs, options.cache);
  const programs = [...nodePrograms.programs, ...inBrowser.programs];
  const notes = [...nodePrograms.notes, ...inBrowser.notes];

  say('data');
  const data = join(options.cache, `data-${options.files}-${options.bytes}`);
  const sizes = await makeBenchData({ out: data, files: options.files, bytes: options.bytes });
  const expected = await contentOf(data, /\.ndjson$/);
  console.log(`${options.files} files, ${sizes.plain} bytes, ${sizes.packed} bytes gzipped, ${expected.lines} resources`);

  const rows = [];
  let served;
  for (const coding of options.codings) {
    const server = await startServer({ kind: options.server, data, coding, cache: options.cache, lines: expected.linesByFile });
    served = server.label;
    try {
      say(`${coding}, from ${server.label}`);
      const urls = await server.fileUrls();
      const results = new Map(programs.map((program) => [program, []]));
      // In turn, so that a slow minute of the machine hits all alike.
      for (let round = 1; round <= options.runs; round += 1) {
        for (const program of programs) {
          const result = await once(program, { coding, base: server.base, urls, expected, cache: options.cache, workers: options.workers });
          results.get(program).push(result);
          console.log(`${program.label}: ${result.seconds.toFixed(2)} s${result.peak ? `, ${Math.round(result.peak / 1e6)} MB` : ''}`);
        }
      }
      for (const [program, all] of results) rows.push({ program, coding, results: all });
    } finally {
      await server.stop();
    }
  }
  const text = report({ rows, sizes, resources: expected.lines, options, server: served, cores: availableParallelism(), notes });
  say('result');
  console.log(text);
  if (options.save) writeFileSync(join(root, 'benches/RESULTS.md'), text);
});
