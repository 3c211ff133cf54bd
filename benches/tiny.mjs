// 1,500 tiny files from a server that answers 429 above 3 requests in flight: our own politeness against a run that is told
// to use 3.
//
//   node benches/tiny.mjs [--files 1500] [--limit 3]
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startSandbox } from '../node-cli/src/sandbox/index.js';

const { values } = parseArgs({ options: { files: { type: 'string', default: '1500' }, limit: { type: 'string', default: '3' } } });
const cli = new URL('../node-cli/bin/smart-fetch.js', import.meta.url).pathname;
const files = Number(values.files);
const limit = Number(values.limit);

async function measure(label, flags) {
  const sandbox = await startSandbox({ patients: files, faults: { page: 1, maxInFlight: limit, latency: 20, failRetryAfter: 'none', pending: 0 } });
  const folder = mkdtempSync(join(tmpdir(), 'smart-fetch-tiny-'));
  const began = performance.now();
  const args = [cli, 'bulk', folder, '--fhir-url', sandbox.url, '--type', 'Patient', '--progress', 'none', ...flags];
  const code = await new Promise((resolve) => spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] }).on('exit', resolve));
  const seconds = (performance.now() - began) / 1000;
  const refused = sandbox.requests.filter((request) => request.status === 429).length;
  const here = readdirSync(folder).filter((name) => name.endsWith('.ndjson.gz')).length;
  await sandbox.close();
  rmSync(folder, { recursive: true });
  console.log(`${label}: exit ${code}, ${here} files, ${seconds.toFixed(1)} s, ${refused} times 429`);
  return { seconds, whole: code === 0 && here >= files };
}

const told = await measure(`told to use ${limit}`, ['--max-connections', String(limit)]);
const own = await measure('left alone', []);
const ratio = own.seconds / told.seconds;
console.log(`ratio ${ratio.toFixed(2)} (at most 2)`);
process.exitCode = told.whole && own.whole && ratio <= 2 ? 0 : 1;
