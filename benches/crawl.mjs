// `node benches/crawl.mjs`: 2,000 searches of 16 KB each, from a server that answers at once, in Node and in Chromium; the whole program
// timed, against the Python smart-fetch. README.md beside this file says how.
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Failure, main, root, say } from '../scripts/lib/run.mjs';
import { browserCrawls } from './lib/browser.mjs';
import { contentOf } from './lib/content.mjs';
import { measure } from './lib/measure.mjs';
import { ensurePython } from './lib/programs.mjs';

const { values } = parseArgs({
  options: {
    searches: { type: 'string', default: '2000' }, bytes: { type: 'string', default: '16384' }, runs: { type: 'string', default: '3' },
    only: { type: 'string', default: 'ours,python,bare,browser' }, serve: { type: 'boolean' }, plain: { type: 'boolean' },
    cache: { type: 'string', default: join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'smart-fetch/bench') },
  },
});

const PYTHON = 'Python smart-fetch';

/** A searchset of about `bytes` bytes. */
function page(bytes) {
  const entry = [];
  for (let n = 0; JSON.stringify(entry).length < bytes - 800; n += 1) {
    const code = { coding: [{ system: 'http://snomed.info/sct', code: String(100_000_000 + n * 7919), display: `Finding number ${n * 31} (disorder)` }] };
    const resource = {
      resourceType: 'Condition', id: `c${n * 104_729}`, meta: { versionId: '1', lastUpdated: '2025-03-04T05:06:07.089+00:00' },
      clinicalStatus: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-clinical', code: n % 3 ? 'active' : 'resolved' }] },
      code, subject: { reference: `Patient/p${n}` }, encounter: { reference: `Encounter/e${n * 37}` },
      onsetDateTime: `201${n % 10}-05-06T07:08:09-05:00`, recordedDate: `201${n % 10}-05-07T07:08:09-05:00`,
    };
    entry.push({ fullUrl: `http://127.0.0.1/fhir/Condition/c${n * 104_729}`, resource, search: { mode: 'match' } });
  }
  return Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', total: entry.length, entry }));
}

/** The server, in a process of its own: fixed answers, nothing computed. */
function serve(body) {
  const statement = JSON.stringify({
    resourceType: 'CapabilityStatement', fhirVersion: '4.0.1', rest: [{ mode: 'server', resource: [{ type: 'Patient' }, { type: 'Condition' }] }],
  });
  const server = createServer((request, response) => {
    const answer = request.url.startsWith('/fhir/metadata') ? statement : body;
    response.writeHead(200, { 'Content-Type': 'application/fhir+json', 'Content-Length': Buffer.byteLength(answer), 'Access-Control-Allow-Origin': '*' });
    response.end(answer);
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/fhir`));
}

async function bench() {
  const { cache } = values;
  const [searches, runs] = [Number(values.searches), Number(values.runs)];
  const patients = join(cache, 'crawl-patients');
  rmSync(patients, { recursive: true, force: true });
  mkdirSync(patients, { recursive: true });
  const rows = Array.from({ length: searches }, (_, n) => JSON.stringify({ resourceType: 'Patient', id: `p${n}` }));
  writeFileSync(join(patients, 'Patient.ndjson'), `${rows.join('\n')}\n`);
  const bundle = page(Number(values.bytes));
  const expected = searches * JSON.parse(bundle).entry.length;
  say(`${searches} searches of ${bundle.length} bytes`);

  const programs = await programsOf(values.only.split(','), { cache, patients, searches });
  const server = spawn(process.execPath, [fileURLToPath(import.meta.url), '--serve', '--bytes', values.bytes], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const base = await new Promise((resolve) => server.stdout.once('data', (line) => resolve(String(line).trim())));
    const times = new Map(programs.map((program) => [program, []]));
    for (let run = 0; run < runs; run += 1) {
      for (const program of programs) {
        const { code, seconds, peak, errors, content } = await program.measure(base);
        if (code !== 0) throw new Failure(`${program.label} ended with ${code}: ${errors}`);
        if (content && content.lines !== expected) throw new Failure(`${program.label}: ${content.lines} resources in place of ${expected}.`);
        times.get(program).push(seconds);
        console.log(`${program.label}: ${seconds.toFixed(2)} s, ${Math.round(searches / seconds)} searches/s, ${Math.round((peak ?? 0) / 1e6)} MB`);
      }
    }
    const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
    const python = programs.find(({ label }) => label === PYTHON);
    for (const program of programs) {
      const seconds = median(times.get(program));
      const ratio = python && program !== python ? `, ${(median(times.get(python)) / seconds).toFixed(1)} times as fast as Python` : '';
      console.log(`${program.label}: median ${seconds.toFixed(2)} s${ratio}`);
    }
  } finally {
    server.kill();
  }
}

/** The programs of these names that there are; what is missing is told. */
async function programsOf(names, { cache, patients, searches }) {
  const out = join(cache, 'crawl-out');
  const flags = ['--type', 'Condition', '--source-dir', patients, ...(values.plain ? ['--no-compression'] : [])];
  const asProcess = (label, command, more = []) => ({
    label,
    async measure(base) {
      rmSync(out, { recursive: true, force: true });
      const result = await measure([...command, 'crawl', out, '--fhir-url', base, ...flags, ...more]);
      return { ...result, content: result.code === 0 ? await contentOf(out, /^Condition\.ndjson/) : undefined };
    },
  });
  const programs = [];
  if (names.includes('ours')) programs.push(asProcess('smart-fetch (this)', [process.execPath, join(root, 'node-cli/bin/smart-fetch.js')], ['--progress', 'none']));
  if (names.includes('python')) {
    const program = await ensurePython(cache);
    if (program) programs.push(asProcess(PYTHON, [program]));
    else console.log('Python smart-fetch could not be installed: left out.');
  }
  const inBrowser = await browserCrawls(names, cache, { searches, compress: !values.plain });
  for (const note of inBrowser.notes) console.log(note);
  return [...programs, ...inBrowser.programs];
}

await main(async () => (values.serve ? serve(page(Number(values.bytes))) : bench()));
