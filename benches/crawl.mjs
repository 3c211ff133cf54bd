// `node benches/crawl.mjs`: 2,000 searches of 16 KB each, from a server that answers at once, in Node and in Chromium; the whole program
// timed, against the Python smart-fetch. README.md beside this file says how.
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
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
    only: { type: 'string', default: 'ours,python,bare,browser' }, serve: { type: 'boolean' }, plain: { type: 'boolean' }, same: { type: 'boolean' },
    cache: { type: 'string', default: join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'smart-fetch/bench') },
  },
});

const PYTHON = 'Python smart-fetch';

/** What the Conditions of made-up patients differ in, the same at each start. */
function* random() {
  for (let state = 88_172_645; ; ) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

/**
 * Searchsets of about `bytes` bytes, one for each of `count` patients: each resource with ids, codes and dates of its own, as in a real
 * crawl, so that storing them as gzip costs what it does there. With `same`, all are the first one.
 */
function pages(bytes, count, same) {
  const numbers = random();
  const draw = (below) => numbers.next().value % below;
  const hex = (digits) => Array.from({ length: digits / 8 }, () => draw(2 ** 32).toString(16).padStart(8, '0')).join('');
  const two = (number) => String(number).padStart(2, '0');
  const when = () => `20${two(10 + draw(15))}-${two(1 + draw(12))}-${two(1 + draw(28))}T${two(draw(24))}:${two(draw(60))}:${two(draw(60))}-05:00`;
  const made = Array.from({ length: same ? 1 : count }, (_, patient) => {
    const entry = [];
    for (let size = 800; size < bytes; ) {
      const [id, disorder] = [hex(32), draw(400)];
      const coding = [{ system: 'http://snomed.info/sct', code: String(100_000_000 + disorder * 7919), display: `Finding number ${disorder * 31} (disorder)` }];
      const resource = {
        resourceType: 'Condition', id, meta: { versionId: '1', lastUpdated: when() },
        clinicalStatus: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-clinical', code: draw(3) ? 'active' : 'resolved' }] },
        code: { coding }, subject: { reference: `Patient/p${patient}` }, encounter: { reference: `Encounter/${hex(32)}` },
        onsetDateTime: when(), recordedDate: when(),
      };
      entry.push({ fullUrl: `http://127.0.0.1/fhir/Condition/${id}`, resource, search: { mode: 'match' } });
      size += JSON.stringify(entry.at(-1)).length + 1;
    }
    return Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', total: entry.length, entry }));
  });
  return (patient) => made[patient % made.length];
}

/**
 * The server, in a process of its own: fixed answers, head and body in one piece, and no more of HTTP than it takes to find where a
 * request ends. Node's own server takes as long for an answer as a client does.
 */
function serve(pageOf, count) {
  const statement = Buffer.from(JSON.stringify({
    resourceType: 'CapabilityStatement', fhirVersion: '4.0.1', rest: [{ mode: 'server', resource: [{ type: 'Patient' }, { type: 'Condition' }] }],
  }));
  const answer = (body) => Buffer.concat([
    Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: ${body.length}\r\nAccess-Control-Allow-Origin: *\r\n\r\n`),
    body,
  ]);
  const answers = Array.from({ length: count }, (_, patient) => answer(pageOf(patient)));
  const first = answer(statement);
  const server = createServer({ noDelay: true }, (socket) => {
    let text = '';
    socket.setEncoding('latin1').on('error', () => {}).on('data', (data) => {
      text += data;
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const patient = /^GET \S*[?&]patient=p(\d+)/.exec(text)?.[1];
        socket.write(patient === undefined ? first : answers[Number(patient)]);
        text = text.slice(end + 4);
      }
    });
  });
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
  const pageOf = allPages();
  const expected = rows.reduce((sum, _, patient) => sum + JSON.parse(pageOf(patient)).total, 0);
  say(`${searches} searches of about ${pageOf(0).length} bytes`);

  const programs = await programsOf(values.only.split(','), { cache, patients, searches });
  const server = spawn(process.execPath, [fileURLToPath(import.meta.url), '--serve', ...process.argv.slice(2)], { stdio: ['ignore', 'pipe', 'inherit'] });
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

const allPages = () => pages(Number(values.bytes), Number(values.searches), values.same);

await main(async () => (values.serve ? serve(allPages(), Number(values.searches)) : bench()));
