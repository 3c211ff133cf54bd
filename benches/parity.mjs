// Proves that Python smart-fetch 1.0.3 and this program leave the same folders behind, alone and in turns.
//
//   node benches/parity.mjs [--only TEXT] [--data FOLDER] [--url URL] [--keep FOLDER] [--cli FILE] [--self] [--browser] [--list]
//
// Both programs run the same commands against the embedded sandbox, and their folders are compared as lists of facts
// (parity/snapshot.mjs): every resource, .metadata, the log's events, links, deleted/, error/. Ends with 1 on a difference.
import { mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Failure, main, root } from '../scripts/lib/run.mjs';
import { PYTHON_VERSION, ensurePython } from './lib/programs.mjs';
import { runScenario } from './parity/lanes.mjs';
import { BULK, DATA, REAL } from './parity/scenarios-bulk.mjs';
import { CRAWL } from './parity/scenarios-crawl.mjs';
import { HYDRATE } from './parity/scenarios-hydrate.mjs';
import { MANAGED } from './parity/scenarios-managed.mjs';

const SCENARIOS = [...BULK, ...CRAWL, ...MANAGED, ...HYDRATE];
const SHOWN = 6;
const WIDTH = 300;

const { values } = parseArgs({
  options: {
    only: { type: 'string' }, data: { type: 'string' }, url: { type: 'string' }, keep: { type: 'string' }, list: { type: 'boolean' }, cli: { type: 'string' }, self: { type: 'boolean' }, browser: { type: 'boolean' },
    cache: { type: 'string', default: join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'smart-fetch/bench') },
  },
});

const short = (fact) => (fact.length > WIDTH ? `${fact.slice(0, WIDTH)}…` : fact);

/** The first step of each lane that differs: what comes after it mostly follows from it. */
function show(differences) {
  const seen = new Set();
  for (const { lane, step, missing, only } of differences) {
    if (seen.has(lane) || missing.length + only.length === 0) continue;
    seen.add(lane);
    for (const [label, facts] of [['only Python', missing], ['only here  ', only]]) {
      for (const fact of facts.slice(0, SHOWN)) console.log(`    ${lane} step ${step}, ${label}: ${short(fact)}`);
      if (facts.length > SHOWN) console.log(`    ${lane} step ${step}, ${label}: … and ${facts.length - SHOWN} more`);
    }
  }
}

await main(async () => {
  const all = values.url ? REAL : values.data ? DATA : SCENARIOS;
  const chosen = all.filter(({ name }) => !values.only || name.includes(values.only));
  if (values.list || chosen.length === 0) {
    console.log(all.map(({ name }) => name).join('\n'));
    return;
  }
  const python = await ensurePython(values.cache);
  if (!python) throw new Failure(`Python smart-fetch ${PYTHON_VERSION} could not be installed; it needs python3 with venv, and pip.`);
  const cli = values.cli ?? join(root, values.browser ? 'benches/chromium/smart-fetch.mjs' : 'node-cli/bin/smart-fetch.js');
  const folder = values.keep ?? mkdtempSync(join(tmpdir(), 'smart-fetch-parity-'));
  const table = [];
  for (const scenario of chosen) {
    const began = performance.now();
    const differences = await runScenario(scenario, { python, cli, folder: join(folder, scenario.name.replaceAll(/[^a-z0-9]+/gi, '-')), data: values.data, url: values.url, self: values.self, browser: values.browser });
    const count = differences.reduce((sum, { missing, only }) => sum + missing.length + only.length, 0);
    const reasons = [...new Set(differences.flatMap(({ known }) => [...known]))];
    const verdict = count === 0 ? 'same' : `${count} differences`;
    table.push({ scenario: scenario.name, verdict, seconds: ((performance.now() - began) / 1000).toFixed(1), reasons });
    console.log(`${count === 0 ? 'ok  ' : 'DIFF'} ${scenario.name}: ${verdict}${reasons.length > 0 ? `, knowingly not: ${reasons.join('; ')}` : ''}`);
    show(differences);
  }
  const wrong = table.filter(({ verdict }) => verdict !== 'same').length;
  console.log(`\n| scenario | result | seconds | knowingly different |\n|---|---|---:|---|`);
  for (const row of table) console.log(`| ${row.scenario} | ${row.verdict} | ${row.seconds} | ${row.reasons.join('; ')} |`);
  console.log(`\n${table.length} scenarios, ${wrong} with differences.`);
  if (!values.keep) rmSync(folder, { recursive: true });
  if (wrong > 0) throw new Failure('The programs do not leave the same behind.');
});
