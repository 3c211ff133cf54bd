// Scenarios of `export` and `reset-symlinks`: managed folders over time, begun by one program and carried on by the other,
// while the data changes in between. See lanes.mjs for their form.
import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

const SINCE = '2023-06-01T00:00:00Z';
const NO_HYDRATION = ['--hydration-tasks', 'none'];
const SOME = ['--type', 'Patient,Condition,Observation,Encounter'];
const bulk = (...args) => ['export', 'out', '--export-mode', 'bulk', ...args];
const crawl = (...args) => ['export', 'out', '--export-mode', 'crawl', '--group', 'all', ...args];

/** Every lane of `steps` steps: the reference alone, ours alone, and both in turns, beginning with either. */
const turns = (steps) => ['p', 'o', 'po', 'op'].map((letters) => letters.repeat(steps).slice(0, steps));

/** The reference takes it for granted that servers send all patients, also to an update: see the scenario below that has none. */
const ALL_PATIENTS = { faults: { alwaysWhole: ['Patient'] } };

/**
 * Patients come whole in our crawls, so their bulk export has no _since and reports no deletions (they are found by comparing),
 * and the run is on record as whole for them. The reference calls all of an increment one.
 */
const WHOLE = [[
  /sinceResources|^out\/Patient\.\d+\.ndjson\.gz -> |log\.ndjson: (01 kickoff|0[345]|download)[^{]* of job 1|\/deleted\/(Bundle\.001.*"Patient\/|$)|00[34]\.[cd]\/deleted\/Bundle\.Patient/,
  'patients come whole in our crawls, and are on record so',
]];
/** A bulk export has one _since: where a type is new, all come whole. We say so, and what is gone since is found. */
const ALL_WHOLE = [[/sinceResources| -> |\/deleted\/| kickoff of job|log\.ndjson: (0[345]|download)[^{]* of job 1/, 'what came whole is on record as such, and its deletions are found']];
/** @type {[RegExp, string][]} */
const NEWCOMERS = [[/\.metadata: (newPatients|keys)/, 'who was in an earlier export is no new patient; the reference compares with the last one, which may have brought none']];

/** The data as it is so often changed since, stamped with the present; until a server that counts seconds has that behind it. */
const revision = (n) => async ({ sandbox, stamp }) => {
  const now = new Date(Date.now() - 1);
  const time = now.toISOString().replace('Z', '+00:00');
  stamp(time);
  await sandbox.setData({ revision: n, stamp: time });
  await new Promise((resolve) => { setTimeout(resolve, 1050 - now.getMilliseconds()); });
};

/** @type {import('./lanes.mjs').Scenario[]} */
export const MANAGED = [
  { name: 'export: bulk, everything', steps: [{ args: bulk() }, { args: bulk() }] },
  { name: 'export: crawl, everything', steps: [{ args: crawl() }, { args: crawl() }] },
  { name: 'export: with SMART auth', server: { auth: 'smart' }, steps: [{ args: bulk('--group', 'all', ...SOME) }, { args: ['export', 'two', '--export-mode', 'crawl', '--group', 'all', ...SOME] }] },
  {
    name: 'export: nicknames',
    steps: [
      { args: bulk('--nickname', 'one', ...SOME, ...NO_HYDRATION) }, { args: bulk('--nickname', 'one', ...SOME, ...NO_HYDRATION) },
      { args: bulk(...SOME, ...NO_HYDRATION) }, { args: bulk('--nickname', 'two', ...SOME, ...NO_HYDRATION) },
      { args: bulk('--nickname', 'one', ...SOME, ...NO_HYDRATION) }, { args: bulk('--type', 'Device', ...NO_HYDRATION) },
      { args: bulk('--nickname', 'two', '--type', 'Device', ...NO_HYDRATION) }, { args: bulk('--nickname', 'three', '--since', SINCE, ...SOME, ...NO_HYDRATION) },
      { args: bulk('--since', SINCE, ...SOME, ...NO_HYDRATION) }, { args: bulk('--since', SINCE, '--since-mode', 'created', ...SOME, ...NO_HYDRATION) },
    ],
  },
  {
    name: 'export: another group, another server, another mode',
    steps: [
      { args: bulk('--group', 'all', ...SOME, ...NO_HYDRATION) }, { args: bulk('--group', 'first-half', ...SOME, ...NO_HYDRATION) },
      { args: bulk(...SOME, ...NO_HYDRATION) }, { args: crawl('--nickname', 'crawled', ...SOME, ...NO_HYDRATION) },
      { args: [...bulk('--group', 'all', ...SOME, ...NO_HYDRATION), '--fhir-url', 'http://127.0.0.1:9/fhir'], ownWords: true },
    ],
  },
  {
    name: 'export: filters and links', known: NEWCOMERS, lanes: turns(7),
    steps: [
      { args: bulk('--nickname', 'full', ...SOME, ...NO_HYDRATION) },
      { args: bulk('--nickname', 'active', ...SOME, ...NO_HYDRATION, '--type-filter', 'Condition?clinical-status=active') },
      { args: bulk('--nickname', 'codes', ...SOME, ...NO_HYDRATION, '--type-filter', 'Condition?clinical-status=active', '--type-filter', 'Condition?code=38341003') },
      { args: bulk('--nickname', 'device', '--type', 'Device', ...NO_HYDRATION) },
      { args: bulk('--nickname', 'since', ...SOME, ...NO_HYDRATION, '--since', SINCE) },
      { args: bulk('--nickname', 'nodefault', ...SOME, ...NO_HYDRATION, '--no-default-filters') },
      { args: bulk('--nickname', 'again', ...SOME, ...NO_HYDRATION) },
    ],
  },
  { name: 'export: since auto without an export', known: [[/^/, 'with no export before, it is a full one: one command does for cron']], steps: [{ args: bulk('--since', 'auto', ...SOME) }] },
  {
    name: 'export: bulk with since auto, in turns', known: NEWCOMERS, lanes: turns(4),
    steps: [
      { args: bulk('--nickname', 'a') }, { args: bulk('--nickname', 'b', '--since', 'auto'), server: revision(1) },
      { args: bulk('--nickname', 'c', '--since', 'auto'), server: revision(2) }, { args: bulk('--nickname', 'd'), server: revision(3) },
    ],
  },
  {
    name: 'export: crawl with since auto, in turns', server: ALL_PATIENTS, known: WHOLE, lanes: turns(4),
    steps: [
      { args: crawl('--nickname', 'a') }, { args: crawl('--nickname', 'b', '--since', 'auto'), server: revision(1) },
      { args: crawl('--nickname', 'c', '--since', 'auto'), server: revision(2) }, { args: crawl('--nickname', 'd'), server: revision(3) },
    ],
  },
  {
    name: 'export: bulk, then crawl, in turns', server: ALL_PATIENTS, known: WHOLE, lanes: turns(4),
    steps: [
      { args: bulk('--group', 'all', '--nickname', 'a', ...SOME) }, { args: crawl('--nickname', 'b', '--since', 'auto', ...SOME), server: revision(1) },
      { args: bulk('--group', 'all', '--nickname', 'c', '--since', 'auto', ...SOME), server: revision(2) }, { args: crawl('--nickname', 'd', ...SOME) },
    ],
  },
  {
    name: 'export: since auto, created, in turns', server: ALL_PATIENTS, known: WHOLE, lanes: turns(3),
    steps: [
      { args: crawl('--nickname', 'a', ...SOME) }, { args: crawl('--nickname', 'b', '--since', 'auto', '--since-mode', 'created', ...SOME), server: revision(1) },
      { args: bulk('--group', 'all', '--nickname', 'c', '--since', 'auto', '--since-mode', 'created', ...SOME), server: revision(2) },
    ],
  },
  {
    name: 'export: since auto after a type was added', server: ALL_PATIENTS, known: ALL_WHOLE, lanes: turns(3),
    steps: [
      { args: bulk('--nickname', 'a', '--type', 'Patient,Condition', ...NO_HYDRATION) },
      { args: bulk('--nickname', 'b', '--type', 'Patient,Condition,Procedure', '--since', 'auto', ...NO_HYDRATION), server: revision(1) },
      { args: ['export', 'out', '--export-mode', 'crawl', '--nickname', 'c', '--type', 'Patient,Condition,Procedure,Device', '--since', 'auto', ...NO_HYDRATION], server: revision(2) },
    ],
  },
  {
    name: 'export: a cohort by ids', server: ALL_PATIENTS, known: WHOLE,
    steps: [
      { args: ['export', 'out', '--export-mode', 'crawl', '--id-list', 'pt-000001,pt-000002,pt-000003,pt-000004', '--group-nickname', 'study', '--nickname', 'a', ...SOME] },
      { args: ['export', 'out', '--export-mode', 'crawl', '--id-list', 'pt-000001,pt-000002,pt-000005,pt-000004', '--group-nickname', 'study', '--nickname', 'b', '--since', 'auto', ...SOME], server: revision(1), ours: 3 },
    ],
  },
  {
    name: 'export: crawl with since auto, from a server that sends only patients that changed', lanes: ['pp', 'oo'],
    known: [[/002\.b\/|-> 00[12]\.[ab]/, 'the reference crawls only the patients that changed, and calls the others deleted']],
    steps: [{ args: crawl('--nickname', 'a', ...SOME) }, { args: crawl('--nickname', 'b', '--since', 'auto', ...SOME), server: revision(1) }],
  },
  {
    name: 'reset-symlinks',
    steps: [
      { args: bulk('--nickname', 'a', ...SOME, ...NO_HYDRATION) },
      { args: ['reset-symlinks', 'out'], offline: true, before: spoilLinks }, { args: ['reset-symlinks', 'out/001.a'], offline: true },
      { args: ['reset-symlinks', 'none'], offline: true, usage: true, ownWords: true },
    ],
  },
];

function spoilLinks(place) {
  rmSync(join(place, 'out/Patient.001.ndjson.gz'), { force: true });
  symlinkSync('nowhere', join(place, 'out/Condition.017.ndjson.gz'));
}
