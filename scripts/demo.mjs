// `npm run demo`: sets the machine up, exports the embedded sandbox through the WebAssembly core into a fresh folder under
// demo-output/, shows the folder, and checks each line against what the sandbox serves.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Failure, main, root, say, seconds } from './lib/run.mjs';
import { cli, plainExport, startSandbox } from './lib/sandbox.mjs';
import { ensureBuildTools } from './lib/tools.mjs';
import { buildWasm } from './lib/wasm.mjs';

/** Shows what it runs, and lets it have the terminal, so that its progress bars are seen. */
async function smartFetch(args) {
  console.log(`$ smart-fetch ${args.join(' ')}\n`);
  const child = spawn(process.execPath, [cli, ...args], { cwd: root, stdio: 'inherit' });
  const [code, signal] = await once(child, 'exit');
  if (code !== 0) throw new Failure(`smart-fetch ended with ${code ?? signal}.`);
}

function showFolder(folder) {
  for (const name of readdirSync(folder, { recursive: true }).sort()) {
    const info = statSync(join(folder, name));
    if (info.isFile()) console.log(`${String(info.size).padStart(10)}  ${name}`);
  }
}

/** The URL that the export was asked for with, query included, from the export log: the last one, since refused types are dropped. */
function kickOffUrl(folder) {
  const events = readFileSync(join(folder, 'log.ndjson'), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return events.findLast(({ eventId }) => eventId === 'kickoff').eventDetail.exportUrl;
}

/** The lines of every type that lie in the folder. */
function exportedLines(folder) {
  const lines = new Map();
  for (const name of readdirSync(folder).filter((entry) => entry.endsWith('.ndjson.gz'))) {
    const type = name.split('.')[0];
    const text = gunzipSync(readFileSync(join(folder, name))).toString('latin1');
    lines.set(type, [...(lines.get(type) ?? []), ...text.split('\n').filter(Boolean)]);
  }
  return lines;
}

/** Prints one row a type. Throws unless both hold the same lines, byte for byte, in whatever order. */
function compare(ours, served) {
  let total = 0;
  for (const type of [...new Set([...ours.keys(), ...served.keys()])].sort()) {
    const [a, b] = [ours, served].map((lines) => (lines.get(type) ?? []).sort());
    const same = a.length === b.length && a.every((line, index) => line === b[index]);
    console.log(`${type.padEnd(24)}${String(a.length).padStart(8)} lines  ${same ? 'the same bytes' : `DIFFERENT (served: ${b.length})`}`);
    if (!same) throw new Failure(`${type} is not what the sandbox serves.`);
    total += a.length;
  }
  if (total === 0) throw new Failure('The export is empty.');
  return total;
}

await main(async () => {
  await buildWasm(await ensureBuildTools());
  const folder = join(root, 'demo-output', new Date().toISOString().replace(/[:.]/g, '-'));
  mkdirSync(join(root, 'demo-output'), { recursive: true });

  say('The embedded sandbox');
  const sandbox = await startSandbox(['--quiet', '--data', join(root, 'tests/fixtures/synthea-10')]);
  try {
    console.log(`listens on ${sandbox.url}`);
    say('The export');
    const started = Date.now();
    await smartFetch(['bulk', '--fhir-url', sandbox.url, relative(root, folder)]);
    const took = Date.now() - started;
    say(`The folder ${relative(root, folder)}`);
    showFolder(folder);
    say('Each line against what the sandbox serves');
    const total = compare(exportedLines(folder), await plainExport(kickOffUrl(folder)));
    console.log(`\n${total} resources exported in ${seconds(took)}, every one byte for byte as served.`);
  } finally {
    await sandbox.stop();
  }
});
