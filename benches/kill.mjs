// Kills the CLI with SIGKILL at random moments of an export, again and again, and reruns it until it is done.
//
//   node benches/kill.mjs [--rounds 100] [--seed 1]
//
// Each round ends with a check: the folder holds what the server serves, byte for byte; no torn file ever had its final
// name; nothing that was complete was fetched again.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { startSandbox } from '../node-cli/src/sandbox/index.js';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '100' }, seed: { type: 'string', default: '1' } } });
const rounds = Number(values.rounds);
const data = new URL('../tests/fixtures/synthea-10', import.meta.url).pathname;
const cli = new URL('../node-cli/bin/smart-fetch.js', import.meta.url).pathname;

let state = Number(values.seed) >>> 0 || 1;
/** A repeatable random number in 0..1. */
function random() {
  state ^= state << 13; state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5; state >>>= 0;
  return state / 2 ** 32;
}

const listData = (folder) => readdirSync(folder).filter((name) => /^[A-Z].*\.ndjson(\.gz)?$/.test(name));
const readLines = (path) => {
  const bytes = readFileSync(path);
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1');
  return text.split('\n').filter(Boolean);
};
/** One hash for all lines of a folder, whatever file they are in. */
function digest(folder) {
  const lines = listData(folder).flatMap((name) => readLines(join(folder, name))).sort();
  return `${lines.length} ${createHash('sha256').update(lines.join('\n')).digest('hex')}`;
}

/** Runs the CLI; kills it after `ms` unless that is null. Resolves to the exit status, or null if it was killed. */
function run(args, ms) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (chunk) => { errors += chunk; });
    const timer = ms === null ? null : setTimeout(() => child.kill('SIGKILL'), ms);
    child.on('exit', (code) => {
      clearTimeout(timer);
      if (code !== null && code !== 0) console.error(`exit ${code}: ${errors.slice(-500)}`);
      resolve(code);
    });
  });
}

const types = [...new Set(listData(data).map((name) => name.split('.')[0]))].join(',');
const sandbox = await startSandbox({ data, faults: { page: 25, pending: 1, latency: 5 } });
const expected = digest(data);
let kills = 0;
let kept = 0;
let files = 0;
let duration = 0;
let wrong = 0;
for (let round = 1; round <= rounds; round += 1) {
  const folder = mkdtempSync(join(tmpdir(), 'smart-fetch-kill-'));
  const args = ['bulk', folder, '--fhir-url', sandbox.url, '--type', types, '--no-default-filters', '--progress', 'none'];
  sandbox.clearRequests();
  const problems = [];
  const complete = new Map(); // URL path -> requests seen when it was complete
  const asked = () => {
    const counts = new Map();
    for (const { method, url, status } of sandbox.requests) {
      if (method === 'GET' && status === 200) counts.set(url, (counts.get(url) ?? 0) + 1);
    }
    return counts;
  };
  for (let attempt = 0; ; attempt += 1) {
    const began = performance.now();
    // The first round measures how long an undisturbed export takes.
    const last = attempt >= 12 || duration === 0;
    const code = await run(args, last ? null : 50 + random() * duration);
    if (code === 0) {
      // The machine may have been busy when it was measured first.
      if (attempt === 0) duration = Math.min(duration || Infinity, performance.now() - began);
      break;
    }
    if (code !== null || last) { problems.push(`ended with ${code}`); break; }
    kills += 1;
    const counts = asked();
    let ledger = [];
    try {
      ledger = JSON.parse(readFileSync(join(folder, '.metadata'), 'utf8')).ledger.jobs.at(-1)?.files ?? [];
    } catch { /* not begun yet */ }
    const urls = new Map(ledger.map((file) => [file.name, new URL(file.url).pathname + new URL(file.url).search]));
    for (const name of listData(folder)) {
      try {
        readLines(join(folder, name)).forEach((line) => JSON.parse(line));
      } catch (error) {
        problems.push(`${name} is torn after kill ${attempt + 1}: ${error.message}`);
      }
      const url = urls.get(name);
      if (url && !complete.has(url)) complete.set(url, counts.get(url) ?? 0);
    }
  }
  kept += complete.size;
  const counts = asked();
  for (const [url, before] of complete) {
    if ((counts.get(url) ?? 0) > before) problems.push(`${url} was complete and was fetched again`);
  }
  if (digest(folder) !== expected) problems.push(`the folder holds ${digest(folder)}, not ${expected}`);
  const names = readdirSync(folder).filter((name) => name.includes('.part'));
  if (names.length > 0) problems.push(`left over: ${names.join(', ')}`);
  files = listData(folder).length;
  if (problems.length > 0) {
    wrong += 1;
    console.log(`round ${round}: ${problems.join('; ')} (kept: ${folder})`);
  } else {
    rmSync(folder, { recursive: true });
  }
}
await sandbox.close();
console.log(`${rounds} rounds of ${files} files, ${kills} kills, ${kept} files found complete after a kill, ${wrong} rounds went wrong`);
if (kept === 0) throw new Error('No kill ever found a complete file: the runs were not long enough to prove anything.');
process.exitCode = wrong > 0 ? 1 : 0;
