// Scenarios of `crawl`. See lanes.mjs for their form.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The reference takes it for granted that servers send all patients, whatever `--since`; we ask for all. */
const ALL_PATIENTS = { faults: { alwaysWhole: ['Patient'] } };
/** @type {[RegExp, string][]} */
const WHOLE = [[/sinceResources| kickoff of job 1/, 'we ask for all patients, and say so']];
/** The reference goes back behind what was asked for, or on to the start of the run. @type {[RegExp, string][]} */
const NOTHING_NEW = [[/\.metadata: done|\d\d (status|status_page|manifest)_complete of fake-log/, 'a type of which nothing new was seen is complete to where it was asked from']];
const SINCE = '2023-06-01T00:00:00Z';
const MRN = 'http://hospital.smarthealthit.org';
const SOME = ['--type', 'Patient,Condition,Observation'];
const idFile = (name, text) => (place) => writeFileSync(join(place, name), text);

/** @type {import('./lanes.mjs').Scenario[]} */
export const CRAWL = [
  { name: 'crawl: everything of a group, then again', steps: [{ args: ['crawl', 'out', '--group', 'all'] }, { args: ['crawl', 'out', '--group', 'all'] }] },
  { name: 'crawl: the whole system', steps: [{ args: ['crawl', 'out', ...SOME] }] },
  { name: 'crawl: with SMART auth', server: { auth: 'smart' }, steps: [{ args: ['crawl', 'out', '--group', 'first-half'] }] },
  { name: 'crawl: pages of three', server: { faults: { searchPage: 3 } }, steps: [{ args: ['crawl', 'out', '--group', 'all', ...SOME, '--no-compression'] }] },
  {
    name: 'crawl: lists of ids', known: [[/^none\/\.metadata: (done|keys)|^exit [13]$/, 'nobody of whom the server knows is unfinished (3), no failure (1), and marks nothing done']],
    steps: [
      { args: ['crawl', 'list', '--id-list', 'pt-000001,pt-000003,none', ...SOME], ours: 3 },
      { args: ['crawl', 'text', '--id-file', 'ids.txt', ...SOME, '--group-nickname', 'my cohort'], before: idFile('ids.txt', 'pt-000002\n\n  pt-000004  \npt-000002\n') },
      { args: ['crawl', 'csv', '--id-file', 'cohort.CSV', ...SOME], before: idFile('cohort.CSV', 'name,ID\n"a, b",pt-000001\nc,pt-000005\n') },
      { args: ['crawl', 'mrn', '--id-file', 'mrn.csv', '--id-system', MRN, ...SOME], before: idFile('mrn.csv', 'MRN,x\r\nMRN100001,1\r\n"MRN100002",2\r\n') },
      { args: ['crawl', 'old', '--mrn-file', 'mrn.csv', '--mrn-system', MRN, ...SOME] },
      { args: ['crawl', 'both', '--id-file', 'ids.txt', '--id-list', 'pt-000001', '--type', 'Condition'] },
      { args: ['crawl', 'none', '--id-list', 'none', ...SOME], ownWords: true },
    ],
  },
  {
    name: 'crawl: a file of ids without a header', known: [[/^none\/|exit/, 'a usage error, found before anything is made']],
    steps: [{ args: ['crawl', 'none', '--id-file', 'bad.csv', ...SOME], before: idFile('bad.csv', 'name\nx\n') }],
  },
  {
    name: 'crawl: a cohort from a folder',
    steps: [
      { args: ['bulk', 'bulk', '--group', 'first-half', '--type', 'Patient,Device'] },
      { args: ['crawl', 'out', '--source-dir', 'bulk', '--type', 'Condition,Procedure'] },
      { args: ['crawl', 'bulk', '--type', 'Patient,Device'], ownWords: true },
      { args: ['crawl', 'none', '--type', 'Condition'] },
      { args: ['crawl', 'out', '--source-dir', 'nodir', '--type', 'Condition'], usage: true },
    ],
  },
  {
    name: 'crawl: filters', steps: [{
      args: [
        'crawl', 'out', '--group', 'all', '--type', 'Patient,Condition,Observation,Encounter', '--type-filter', 'Condition?clinical-status=active',
        '--type-filter', 'Condition?code=38341003,44054006', '--type-filter', 'Encounter?class=AMB', '--type-filter', 'Patient?gender=male,female,other',
      ],
    }],
  },
  { name: 'crawl: no default filters', steps: [{ args: ['crawl', 'out', '--group', 'all', ...SOME, '--no-default-filters'] }] },
  { name: 'crawl: since, updated', server: ALL_PATIENTS, known: [...WHOLE, ...NOTHING_NEW], steps: [{ args: ['crawl', 'out', '--group', 'all', '--since', SINCE] }] },
  { name: 'crawl: since, with a plus', server: ALL_PATIENTS, known: [...WHOLE, ...NOTHING_NEW], steps: [{ args: ['crawl', 'out', '--id-list', 'pt-000001,pt-000002', ...SOME, '--since', '2023-06-01T02:00:00+02:00'] }] },
  { name: 'crawl: since, created', server: ALL_PATIENTS, known: NOTHING_NEW, steps: [{ args: ['crawl', 'out', '--group', 'all', '--since', '2023-06-01', '--since-mode', 'created'] }] },
  { name: 'crawl: --bundle', steps: [{ args: ['crawl', 'out', '--group', 'all', ...SOME, '--bundle'] }] },
  {
    name: 'crawl: an unknown search parameter', known: [[/\.metadata: (done|complete|keys)/, 'a type that failed is not marked done, so that the next run tries it again']],
    steps: [{ args: ['crawl', 'out', '--group', 'all', ...SOME, '--type-filter', 'Condition?nonsense=1'], ours: 3 }],
  },
  {
    name: 'crawl: begun by one, continued by the other', lanes: ['pp', 'po', 'op', 'oo'],
    steps: [{ args: ['crawl', 'out', '--group', 'all', ...SOME] }, { args: ['crawl', 'out', '--group', 'all', ...SOME] }],
  },
];
