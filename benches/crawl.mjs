// `node benches/crawl.mjs`: 2,000 searches of 16 KB each, from a server that answers at once; the whole program timed, against the
// Python smart-fetch. README.md beside this file says how.
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Failure, main, root, say } from '../scripts/lib/run.mjs';
import { contentOf } from './lib/content.mjs';
import { measure } from './lib/measure.mjs';
import { ensurePython } from './lib/programs.mjs';

const { values } = parseArgs({
  options: {
    searches: { type: 'string', default: '2000' }, bytes: { type: 'string', default: '16384' }, runs: { type: 'string', default: '3' },
    only: { type: 'string', default: 'ours,python' }, serve: { type: 'boolean' }, plain: { type: 'boolean' },
    cache: { type: 'string', default: join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'smart-fetch/bench') },
  },
});

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
    response.writeHead(200, { 'Content-Type': 'application/fhir+json', 'Content-Length': Buffer.byteLength(answer) });
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

  const flags = ['--type', 'Condition', '--source-dir', patients, ...(values.plain ? ['--no-compression'] : [])];
  const programs = [];
  for (const name of values.only.split(',')) {
    if (name === 'ours') {
      const program = [process.execPath, join(root, 'node-cli/bin/smart-fetch.js')];
      programs.push({ label: 'smart-fetch (this)', command: [...program, 'crawl'], more: ['--progress', 'none'] });
    } else {
      const program = await ensurePython(cache);
      if (program) programs.push({ label: 'Python smart-fetch', command: [program, 'crawl'], more: [] });
      else console.log('Python smart-fetch could not be installed: left out.');
    }
  }
  const server = spawn(process.execPath, [fileURLToPath(import.meta.url), '--serve', '--bytes', values.bytes], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const base = await new Promise((resolve) => server.stdout.once('data', (line) => resolve(String(line).trim())));
    const out = join(cache, 'crawl-out');
    const times = new Map(programs.map((program) => [program, []]));
    for (let run = 0; run < runs; run += 1) {
      for (const program of programs) {
        rmSync(out, { recursive: true, force: true });
        const [command, ...args] = program.command;
        const { code, seconds, peak, errors } = await measure([command, ...args, out, '--fhir-url', base, ...flags, ...program.more]);
        if (code !== 0) throw new Failure(`${program.label} ended with ${code}: ${errors}`);
        const { lines } = await contentOf(out, /^Condition\.ndjson/);
        if (lines !== expected) throw new Failure(`${program.label}: ${lines} resources in place of ${expected}.`);
        times.get(program).push(seconds);
        console.log(`${program.label}: ${seconds.toFixed(2)} s, ${Math.round(searches / seconds)} searches/s, ${Math.round((peak ?? 0) / 1e6)} MB`);
      }
    }
    const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
    const [ours, python] = programs.map((program) => median(times.get(program)));
    if (python) console.log(`ratio of the medians: ${(python / ours).toFixed(1)}`);
  } finally {
    server.kill();
  }
}

await main(async () => (values.serve ? serve(page(Number(values.bytes))) : bench()));
