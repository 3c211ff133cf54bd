// A year of a managed folder: a full export, then updates by `--since=auto` while patients come, change, merge and go, a type is
// added and a filter is widened, and a full export in the end.
//
//   node benches/year.mjs [--mode bulk|crawl|both] [--program ours|python] [--keep FOLDER]
//
// After each run the increments are applied as a reader of the folder would: per run, first its deletions, then the rows that
// the links lead to, the last version of each resource. The result has to be what an export of the data gives that begins
// from nothing; and so has the output of `merge`. Ends with 1 where it is not.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startSandbox } from '../node-cli/src/sandbox/index.js';
import { Failure, main, root, run, say } from '../scripts/lib/run.mjs';
import { PYTHON_VERSION, ensurePython } from './lib/programs.mjs';
import { readRows, subfolders } from './kill/run.mjs';
import { canonical } from './parity/snapshot.mjs';
import { World } from './year/world.mjs';

const FAULTS = { pending: 0 };
/** The reference takes it for granted that servers send all patients, also to an update; ours does not. */
const FOR_PYTHON = { ...FAULTS, alwaysWhole: ['Patient'] };
const OURS = [process.execPath, join(root, 'node-cli/bin/smart-fetch.js')];
const TYPES = 'Patient,Encounter,Condition,Observation,Procedure';
const MORE = `${TYPES},Device,Immunization`;
const LABS = ['--type-filter', 'Observation?category=laboratory'];
const VITALS = ['--type-filter', 'Observation?category=vital-signs'];

/** What happens in the EHR, and then the run. `whole`: the types are not those of an earlier run, so no _since is sent. `restamp`: whether the server stamps what moves in a merge (see World). */
const YEAR = [
  { nickname: 'winter', now: '2025-12-01T00:00:00Z', args: ['--type', TYPES, ...LABS] },
  {
    nickname: 'spring', now: '2026-03-01T00:00:00Z', stamp: '2026-02-01T00:00:00.000+00:00', args: ['--type', TYPES, ...LABS, '--since', 'auto'],
    happens: (world, stamp, { restamp, late }) => {
      const [first, second, third, fourth] = world.patients();
      world.change('Patient', first, stamp, (patient) => { patient.address[0].line = ['1 New Street']; });
      for (const { id } of world.recordOf(second).filter(({ resourceType }) => resourceType === 'Condition')) {
        world.change('Condition', id, stamp, (condition) => { condition.clinicalStatus = { coding: [{ code: 'resolved' }] }; });
      }
      world.merge(third, first, stamp, restamp);
      world.removePatient(fourth);
      world.join([...world.waiting.keys()][0], late ? undefined : stamp);
    },
  },
  {
    nickname: 'summer', whole: true, now: '2026-06-01T00:00:00Z', stamp: '2026-05-01T00:00:00.000+00:00', args: ['--type', MORE, ...LABS, '--since', 'auto'],
    happens: (world, stamp) => {
      const [first, second] = world.patients();
      const observation = world.recordOf(second).find(({ resourceType }) => resourceType === 'Observation');
      world.put({ ...observation, id: 'new-in-summer', meta: { versionId: '1', lastUpdated: stamp } });
      world.remove('Procedure', world.recordOf(first).find(({ resourceType }) => resourceType === 'Procedure').id);
      world.join([...world.waiting.keys()][0], stamp);
    },
  },
  {
    nickname: 'autumn', whole: true, now: '2026-09-01T00:00:00Z', stamp: '2026-08-01T00:00:00.000+00:00', args: ['--type', MORE, ...LABS, ...VITALS, '--since', 'auto'],
    happens: (world, stamp) => {
      const patient = world.patients().at(-1);
      for (const { id } of world.recordOf(patient).filter(({ resourceType }) => resourceType === 'Encounter')) {
        world.change('Encounter', id, stamp, (encounter) => { encounter.status = 'cancelled'; });
      }
      world.removePatient(world.patients()[1]);
    },
  },
  {
    nickname: 'late-autumn', now: '2026-11-01T00:00:00Z', stamp: '2026-10-01T00:00:00.000+00:00', args: ['--type', MORE, ...LABS, ...VITALS, '--since', 'auto'],
    happens: (world, stamp) => {
      const patient = world.patients().at(-1);
      world.change('Patient', patient, stamp, (resource) => { resource.gender = 'other'; });
      world.remove('Observation', world.recordOf(patient).find(({ resourceType }) => resourceType === 'Observation').id);
    },
  },
  { nickname: 'full', now: '2026-11-15T00:00:00Z', args: ['--type', MORE, ...LABS, ...VITALS], happens: () => {} },
];

/** The rows of a folder's data files by reference, whatever file they are in. */
function rowsOf(folder, names = readdirSync(folder)) {
  const rows = new Map();
  for (const name of names.filter((one) => /^[A-Z].*\.ndjson(\.gz)?$/.test(one))) {
    for (const row of readRows(join(folder, name))) rows.set(`${row.resourceType}/${row.id}`, canonical(row));
  }
  return rows;
}

/** The state that a managed folder tells, applied run by run. */
function applied(folder) {
  const links = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isSymbolicLink()).map(({ name }) => readlinkSync(join(folder, name)));
  const state = new Map();
  for (const runFolder of subfolders(folder)) {
    const deleted = join(folder, runFolder, 'deleted');
    for (const name of existsSync(deleted) ? readdirSync(deleted) : []) {
      for (const bundle of readRows(join(deleted, name))) for (const { request } of bundle.entry) state.delete(request.url);
    }
    const linked = links.filter((target) => target.startsWith(`${runFolder}/`)).map((target) => target.split('/')[1]);
    for (const [reference, row] of rowsOf(join(folder, runFolder), linked)) state.set(reference, row);
  }
  return state;
}

/** How a state differs from the wanted one, in a few words; empty where it does not. */
function difference(wanted, got) {
  const missing = [...wanted.keys()].filter((one) => !got.has(one));
  const extra = [...got.keys()].filter((one) => !wanted.has(one));
  const stale = [...wanted.keys()].filter((one) => got.has(one) && got.get(one) !== wanted.get(one));
  const few = (list) => `${list.length} (${list.slice(0, 5).join(', ')}${list.length > 5 ? ' …' : ''})`;
  return [['missing', missing], ['not deleted', extra], ['out of date', stale]].filter(([, list]) => list.length > 0).map(([what, list]) => `${what}: ${few(list)}`).join('; ');
}

async function playYear(mode, { program, folder, ours }) {
  const crawl = mode === 'crawl';
  const world = await World.make({ patients: 12, later: 2, seed: 21 });
  mkdirSync(folder, { recursive: true });
  const sandbox = await startSandbox({ patients: 0, faults: FAULTS });
  const cli = async (args, [command, ...before] = program) => {
    const rest = [...before, ...args];
    const { code, output } = await run(command, rest, { quiet: true });
    if (code !== 0) throw new Failure(`smart-fetch ${args.join(' ')} ended with ${code}.\n${output.slice(-2000)}`);
  };
  const managed = (out, step, args) => ['export', out, '--export-mode', mode, '--group', 'all', '--nickname', step.nickname, '--hydration-tasks', 'none', '--fhir-url', sandbox.url, ...args];
  let wrong = 0;
  try {
    for (const step of YEAR) {
      // A crawl learns of a deleted resource only from a full run; patients that left it sees in each. A bulk export learns
      // of it from the server, which says so only where it was asked with _since; ours compares where it was not.
      step.happens?.(world, step.stamp, { restamp: !crawl, late: crawl });
      sandbox.setFaults({ ...(ours ? FAULTS : FOR_PYTHON), clockSkew: Math.round((Date.parse(step.now) - Date.now()) / 1000) });
      await sandbox.setData({ ...world.write(join(folder, 'data')), stamp: step.stamp });
      await cli(managed(join(folder, 'out'), step, step.args));
      const fresh = join(folder, `fresh-${step.nickname}`);
      await cli(managed(fresh, step, step.args.filter((arg) => !['--since', 'auto'].includes(arg))));
      const wanted = rowsOf(fresh);
      const merged = join(folder, `merged-${step.nickname}`);
      await cli(['merge', join(folder, 'out'), '--out', merged], OURS);
      const results = [['applied', applied(join(folder, 'out'))], ['merge', rowsOf(merged)]];
      for (const [what, state] of results) {
        const text = difference(wanted, state);
        const toldLater = (crawl || (step.whole && !ours)) && step.args.includes('auto') && /^not deleted: [^;]*$/.test(text);
        console.log(`${mode} ${step.nickname}, ${what}: ${text || `${state.size} resources, the same as a fresh export`}${toldLater ? ' (as the reference: seen in the next full run)' : ''}`);
        if (text && !toldLater) wrong += 1;
      }
    }
  } finally {
    await sandbox.close();
  }
  return wrong;
}

await main(async () => {
  const { values } = parseArgs({
    options: {
      mode: { type: 'string', default: 'both' }, program: { type: 'string', default: 'ours' }, keep: { type: 'string' },
      cache: { type: 'string', default: join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'smart-fetch/bench') },
    },
  });
  const ours = values.program === 'ours';
  const program = ours ? OURS : [await ensurePython(values.cache)];
  if (program[0] === null) throw new Failure(`Python smart-fetch ${PYTHON_VERSION} could not be installed.`);
  const folder = values.keep ?? mkdtempSync(join(tmpdir(), 'smart-fetch-year-'));
  let wrong = 0;
  for (const mode of values.mode === 'both' ? ['bulk', 'crawl'] : [values.mode]) {
    say(mode);
    wrong += await playYear(mode, { program, folder: join(folder, mode), ours });
  }
  if (!values.keep) rmSync(folder, { recursive: true });
  if (wrong > 0) throw new Failure(`${wrong} states are not what a fresh export gives.`);
});
