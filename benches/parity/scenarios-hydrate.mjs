// Scenarios of hydration, by `hydrate` and within `export`, on the data of hydration-data.mjs. See lanes.mjs for their form.
import { FILTERS } from './hydration-data.mjs';

const GROUPS = ['episodeofcare', 'inline', 'location', 'medication', 'observation', 'organization', 'practitioner', 'specimen'];
const filters = FILTERS.flatMap((filter) => ['--type-filter', filter]);
/** Failed references end our run with 3; the reference says nothing of them. */
const FAILED = { ours: 3 };
const known = [[/error\//, 'ours notes in error/ which references failed']];

/** @type {import('./lanes.mjs').Scenario[]} */
export const HYDRATE = [
  { name: 'hydrate: all tasks, then again', hydration: true, allTargets: 'out', known, steps: [{ args: ['bulk', 'out', ...filters] }, { args: ['hydrate', 'out'], ...FAILED }, { args: ['hydrate', 'out'], ...FAILED }] },
  ...GROUPS.map((group) => ({
    name: `hydrate: ${group} alone`, hydration: true, known,
    steps: [{ args: ['bulk', 'out', ...filters] }, { args: ['hydrate', 'out', '--tasks', group, '--no-compression'], ...FAILED }],
  })),
  { name: 'hydrate: within export', hydration: true, allTargets: 'out/001.a', known, steps: [{ args: ['export', 'out', '--export-mode', 'bulk', '--nickname', 'a', ...filters], ...FAILED }] },
  { name: 'hydrate: within a crawl', hydration: true, allTargets: 'out/001.a', known, steps: [{ args: ['export', 'out', '--export-mode', 'crawl', '--nickname', 'a', ...filters], ...FAILED }] },
  { name: 'hydrate: some tasks within export', hydration: true, known, steps: [{ args: ['export', 'out', '--export-mode', 'bulk', '--nickname', 'a', '--type', 'Patient,Procedure,Device', '--hydration-tasks', 'Organization,practitioner'], ...FAILED }] },
  {
    name: 'hydrate: other mimetypes', hydration: true, known,
    steps: [{ args: ['bulk', 'out', '--type', 'DocumentReference,DiagnosticReport', '--no-default-filters'] }, { args: ['hydrate', 'out', '--tasks', 'inline', '--mimetypes', 'application/PDF,text/html'], ...FAILED }],
  },
  {
    name: 'hydrate: from another folder', hydration: true, known,
    steps: [
      { args: ['bulk', 'source', ...filters] }, { args: ['bulk', 'out', '--type', 'Patient'] },
      { args: ['hydrate', 'out', '--source-dir', 'source'], ...FAILED },
    ],
  },
  {
    name: 'hydrate: begun by one, continued by the other', hydration: true, known, lanes: ['ppp', 'ppo', 'pop', 'poo'],
    steps: [{ args: ['bulk', 'out', ...filters] }, { args: ['hydrate', 'out', '--tasks', 'practitioner,inline'] }, { args: ['hydrate', 'out'], ...FAILED }].map((step, n) => (n === 1 ? { ...step, ...FAILED } : step)),
  },
  { name: 'hydrate: generated data', steps: [{ args: ['bulk', 'out'] }, { args: ['hydrate', 'out'] }, { args: ['hydrate', 'none', '--tasks', 'medication'], ownWords: true, ours: 2 }] },
];
