// Speed and memory of hydration, against Python smart-fetch 1.0.3: distinct references, each to be read from a server that
// answers at once; and memory over the number of resources that are looked through.
//
//   node benches/hydrate.mjs [--references 10000] [--rows 1000000] [--runs 3] [--only speed|memory]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { createGunzip } from 'node:zlib';
import { Failure, main, root, say } from '../scripts/lib/run.mjs';
import { measure } from './lib/measure.mjs';
import { ensurePython } from './lib/programs.mjs';

const { values } = parseArgs({
  options: {
    references: { type: 'string', default: '10000' }, rows: { type: 'string', default: '1000000' }, runs: { type: 'string', default: '3' }, only: { type: 'string' },
    cache: { type: 'string', default: join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'smart-fetch/bench') },
  },
});
const CLI = join(root, 'node-cli/bin/smart-fetch.js');
const FILLER = 'y'.repeat(400);

async function startServer(...flags) {
  const child = spawn(process.execPath, [join(root, 'benches/hydrate/server.mjs'), ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [url] = await once(createInterface({ input: child.stdout }), 'line');
  return { url, close: () => child.kill() };
}

/** A folder with `count` MedicationRequests that refer to `distinct` Medications. */
async function makeFolder(count, distinct) {
  const folder = mkdtempSync(join(tmpdir(), 'smart-fetch-hydrate-'));
  const file = createWriteStream(join(folder, 'MedicationRequest.001.ndjson'));
  for (let n = 0; n < count; n += 1) {
    const row = `{"resourceType":"MedicationRequest","id":"r${n}","note":[{"text":"${FILLER}"}],"medicationReference":{"reference":"Medication/m${n % distinct}"}}\n`;
    if (!file.write(row)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'close');
  return folder;
}

async function countRows(path) {
  let rows = 0;
  const ids = new Set();
  for await (const line of createInterface({ input: createReadStream(path).pipe(createGunzip()) })) {
    rows += 1;
    ids.add(JSON.parse(line).id);
  }
  return rows === ids.size ? rows : Number.NaN;
}

/** Runs a program on a fresh folder; the resources that it is to bring must be there, each once. */
async function hydrate(program, url, rows, distinct) {
  const folder = await makeFolder(rows, distinct);
  const args = ['hydrate', folder, '--fhir-url', url, '--tasks', 'medication'];
  const result = await measure([...program, ...args]);
  const found = await countRows(join(folder, 'Medication.referenced.ndjson.gz'));
  rmSync(folder, { recursive: true });
  if (result.code !== 0 || found !== distinct) throw new Failure(`${program.at(-1)} ended with ${result.code} and ${found} of ${distinct} resources: ${result.errors}`);
  return result;
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

async function speed(python) {
  const references = Number(values.references);
  const [reads, searches] = [await startServer(), await startServer('--search')];
  const ours = [process.execPath, CLI];
  const lanes = [['ours, one by one', ours, reads], ['ours, many ids in one request', ours, searches], ...(python ? [['Python smart-fetch 1.0.3', [python], reads]] : [])];
  const seen = new Map(lanes.map(([label]) => [label, []]));
  for (let run = 0; run < Number(values.runs); run += 1) {
    for (const [label, program, server] of lanes) seen.get(label).push(await hydrate(program, server.url, references, references));
  }
  reads.close();
  searches.close();
  const slowest = python && median(seen.get('Python smart-fetch 1.0.3').map(({ seconds }) => seconds));
  console.log(`\n${references} distinct references\n\n| program | seconds | references/s | times as fast as Python | peak memory |\n|---|---:|---:|---:|---:|`);
  for (const [label, results] of seen) {
    const seconds = median(results.map((one) => one.seconds));
    const times = slowest ? (slowest / seconds).toFixed(1) : '–';
    console.log(`| ${label} | ${seconds.toFixed(2)} | ${Math.round(references / seconds)} | ${times} | ${Math.round(Math.max(...results.map(({ peak }) => peak)) / 1e6)} MB |`);
  }
}

async function memory() {
  const server = await startServer('--search');
  const rows = Number(values.rows);
  console.log('\n| resources looked through | seconds | peak memory |\n|---:|---:|---:|');
  for (const count of [10_000, rows]) {
    const { seconds, peak } = await hydrate([process.execPath, CLI], server.url, count, 1000);
    console.log(`| ${count.toLocaleString('en-US')} | ${seconds.toFixed(2)} | ${Math.round(peak / 1e6)} MB |`);
  }
  server.close();
}

await main(async () => {
  mkdirSync(values.cache, { recursive: true });
  const python = await ensurePython(values.cache);
  if (!python) say('The Python program could not be installed: left out.');
  if (values.only !== 'memory') await speed(python);
  if (values.only !== 'speed') await memory();
});
