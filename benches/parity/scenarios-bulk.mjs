// Scenarios of `bulk`, `single`, `bundle` and the help lists. See lanes.mjs for their form.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const NO_LAST_UPDATED = { noSearchParams: ['_lastUpdated'] };
const types = (list) => ['--type', list];

/** @type {import('./lanes.mjs').Scenario[]} */
export const BULK = [
  { name: 'bulk: everything, then again', steps: [{ args: ['bulk', 'out'] }, { args: ['bulk', 'out'] }] },
  { name: 'bulk: with SMART auth', server: { auth: 'smart' }, steps: [{ args: ['bulk', 'out', '--group', 'all'] }] },
  { name: 'bulk: many small files', server: { faults: { page: 7 } }, steps: [{ args: ['bulk', 'out'] }] },
  {
    name: 'bulk: types and filters',
    steps: [
      {
        args: [
          'bulk', 'out', '--group', 'first-half', ...types('patient,CONDITION'), ...types('Observation,Encounter'),
          '--type-filter', 'Condition?clinical-status=active', '--type-filter', 'Condition?code=38341003,44054006',
          '--type-filter', 'Observation?category=vital-signs,laboratory', '--no-compression',
        ],
      },
      { args: ['bulk', 'out', '--group', 'first-half', ...types('Patient,Condition,Observation,Encounter')] },
      { args: ['bulk', 'out', ...types('Patient'), '--since', '2023-06-01T00:00:00Z'] },
    ],
  },
  { name: 'bulk: no default filters', steps: [{ args: ['bulk', 'out', '--no-default-filters', ...types('Patient,Observation')] }] },
  { name: 'bulk: since, updated', steps: [{ args: ['bulk', 'out', '--since', '2023-06-01T00:00:00Z'] }, { args: ['bulk', 'out', '--since', '2023-06-01T00:00:00Z', '--since-mode', 'created'] }] },
  { name: 'bulk: since, created', steps: [{ args: ['bulk', 'out', '--since', '2023-06-01T00:00:00Z', '--since-mode', 'created'] }] },
  { name: 'bulk: since, the server has no _lastUpdated', server: { faults: NO_LAST_UPDATED }, steps: [{ args: ['bulk', 'out', '--since', '2023-06-01T00:00:00-05:00'] }] },
  {
    name: 'bulk: --bundle', steps: [
      { args: ['bulk', 'out', '--bundle', ...types('Patient,Condition')] }, { args: ['bulk', 'out', '--bundle', ...types('Patient,Condition')] },
      { args: ['bulk', 'plain', '--bundle', '--no-compression', ...types('Patient,Device')] },
    ],
  },
  { name: 'bulk: deleted resources', server: { faults: { deleted: 20 } }, steps: [{ args: ['bulk', 'out', '--since', '2020-01-01T00:00:00Z', ...types('Patient,Condition')] }] },
  { name: 'bulk: messages of the server', server: { faults: { errors: 1, errorSeverity: 'information' } }, steps: [{ args: ['bulk', 'out', ...types('Patient')] }] },
  { name: 'bulk: a group without patients', steps: [{ args: ['bulk', 'out', '--group', 'nobody', ...types('Patient,Condition')] }] },
  { name: 'bulk: an unknown group', steps: [{ args: ['bulk', 'out', '--group', 'no such', ...types('Patient')] }] },
  { name: 'bulk: the kick-off is refused', server: { faults: { kickoffFail: '400*' } }, steps: [{ args: ['bulk', 'out', ...types('Patient')] }] },
  { name: 'bulk: cancel without an export', known: [[/^out\/$/, 'the lock makes the folder']], steps: [{ args: ['bulk', 'out', '--cancel'] }] },
  {
    name: 'bulk: a folder of the other kind',
    steps: [
      { args: ['export', 'out', ...types('Patient'), '--hydration-tasks', 'none', '--nickname', 'a'] },
      { args: ['bulk', 'out', ...types('Patient')] },
      { args: ['bulk', 'out/001.a', ...types('Patient')] },
      { args: ['export', 'out/001.a', ...types('Patient')] },
    ],
  },
  {
    name: 'bulk: begun by one, resumed by the other', lanes: ['pp', 'po', 'op', 'oo'],
    steps: [{ args: ['bulk', 'out', ...types('Patient,Condition')] }, { args: ['bulk', 'out', ...types('Patient,Condition')] }],
  },
  {
    name: 'bundle', steps: [
      { args: ['bulk', 'out', ...types('Patient,Procedure')] },
      { args: ['bundle', 'out'], offline: true, stdout: true }, { args: ['bundle', 'out'], offline: true, stdout: true },
      { args: ['bundle', 'none'], offline: true, usage: true }, { args: ['bundle', 'empty'], offline: true, before: emptyFolder },
      { args: ['bulk', 'plain', ...types('Patient,Procedure')] }, { args: ['bundle', 'plain', '--no-compression'], offline: true, stdout: true },
    ],
  },
  {
    name: 'single', steps: [
      { args: ['single', 'Patient/pt-000001'], stdout: true }, { args: ['single', 'Patient/pt-000001', '--compact'], json: true },
      { args: ['single', 'Patient?_id=pt-000001', '--compact'], json: true }, { args: ['single', 'Patient/none'], stdout: true },
      { args: ['single', 'Foo/1'], stdout: true }, { args: ['single', 'Patient?nonsense=1'], stdout: true },
    ],
  },
  {
    name: 'help lists and unknown names', known: [[/^stdout: These resource types/, 'we name types beyond the usual 15 too']], steps: [
      { args: ['bulk', 'out', '--type', 'help'], stdout: true }, { args: ['export', 'out', '--type', 'help'], stdout: true },
      { args: ['crawl', 'out', '--type', 'help'], stdout: true }, { args: ['export', 'out', '--hydration-tasks', 'help'], stdout: true },
      { args: ['hydrate', 'out', '--tasks', 'help'], stdout: true }, { args: ['hydrate', 'out', '--tasks', 'none'], ours: 2 },
      { args: ['hydrate', 'out', '--tasks', 'foo'], ownWords: true }, { args: ['export', 'out', '--hydration-tasks', 'medication,foo'], ownWords: true },
    ],
  },
];

/** What a server that is not ours (`--url`), or ours with other data (`--data`), can be asked: all that it lists, by name, since types that it does not list are asked for by us alone. */
const LISTED = 'Patient,Encounter,AllergyIntolerance,Condition,DiagnosticReport,DocumentReference,MedicationRequest,Observation,Procedure';
/** @type {import('./lanes.mjs').Scenario[]} */
export const REAL = [
  { name: 'real: everything, then again', steps: [{ args: ['bulk', 'out', ...types(LISTED)] }, { args: ['bulk', 'out', ...types(LISTED)] }] },
  { name: 'real: no default filters', steps: [{ args: ['bulk', 'out', '--no-default-filters', '--no-compression', ...types('Patient,Observation')] }] },
  { name: 'real: a type filter', steps: [{ args: ['bulk', 'out', ...types('Patient'), '--type-filter', 'Patient?gender=female'] }] },
  { name: 'real: since', steps: [{ args: ['bulk', 'out', ...types(LISTED), '--since', '2020-01-01T00:00:00Z'] }] },
  {
    name: 'real: managed, in turns', lanes: ['ppp', 'ooo', 'pop', 'opo'],
    steps: [
      { args: ['export', 'out', '--nickname', 'a', '--hydration-tasks', 'none', ...types(LISTED)] },
      { args: ['export', 'out', '--nickname', 'b', '--hydration-tasks', 'none', '--since', 'auto', ...types(LISTED)] },
      { args: ['export', 'out', '--nickname', 'c', '--hydration-tasks', 'none', ...types('Patient,Condition')] },
    ],
  },
];

/** The data refers to Practitioners and Organizations that it does not hold. @type {[RegExp, string][]} */
const FAILED = [[/error\//, 'ours notes in error/ which references failed']];
/** @type {[RegExp, string][]} */
const WHOLE = [[/sinceResources|^out\/Patient\.\d+\.ndjson\.gz -> | kickoff of job 1/, 'patients come whole in our crawls, and are on record so']];

/** Besides, of a server with searches (`--data`). @type {import('./lanes.mjs').Scenario[]} */
export const DATA = [
  ...REAL,
  { name: 'data: a crawl', steps: [{ args: ['crawl', 'out', '--group', 'first-half', ...types(LISTED)] }] },
  {
    name: 'data: a managed crawl with hydration, in turns', lanes: ['pp', 'oo', 'po', 'op'], known: [...FAILED, ...WHOLE], server: { faults: { alwaysWhole: ['Patient'] } },
    steps: [
      { args: ['export', 'out', '--export-mode', 'crawl', '--group', 'all', '--nickname', 'a', ...types(LISTED)], ours: 3 },
      { args: ['export', 'out', '--export-mode', 'crawl', '--group', 'all', '--nickname', 'b', '--since', 'auto', ...types(LISTED)], ours: 3 },
    ],
  },
  { name: 'data: a managed bulk export with hydration', known: FAILED, steps: [{ args: ['export', 'out', '--export-mode', 'bulk', '--nickname', 'a', ...types(LISTED)], ours: 3 }] },
];

function emptyFolder(place) {
  mkdirSync(join(place, 'empty'), { recursive: true });
  writeFileSync(join(place, 'empty/log.ndjson'), '');
}
