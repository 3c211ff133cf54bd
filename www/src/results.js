// What an export brought, and how to get it out of the browser.
import { bars, timeline } from './charts.js';
import { columnsOf, dateOf } from './dates.js';
import { $, doing, fill, h, pairs, say } from './dom.js';
import { engine } from './engine.js';
import { readSome, rowsOf } from './reading.js';
import { recall } from './remembered.js';
import { showSample } from './sample.js';
import { resumeWord, verdictOf } from './verdict.js';
import { describe, freshFolder } from './ways.js';
import { bytes, count, host, plural, when } from './words.js';

/** Resources that are read for the chart over time. */
const READ = 100_000;
/** Bundles of deletions that are read. */
const DELETED = 20_000;
/** Rows of the lists of problems and files. */
const ROWS = 100;

/** Bytes of files that are counted by reading them. */
const COUNTED = 64_000_000;

let leaving = new AbortController();

/** Stops reading for a view that is no longer shown. */
export function leave() {
  leaving.abort();
  leaving = new AbortController();
}

/**
 * @param {import('smart-fetch').Folder} folder
 * @param {{ resume?: () => void, remove: () => void }} actions
 */
export async function showResults(folder, { resume, remove }) {
  leave();
  const { signal } = leaving;
  // What another folder holds is not this one's for a moment.
  for (const id of ['by-type', 'over-time', 'sample', 'stored']) fill($(id));
  const status = await folder.status();
  const remembered = recall(folder.name);
  const { outcome, problem } = remembered ?? {};
  const managed = status.kind === 'managed';
  const run = managed ? status.exports?.at(-1)?.runs.at(-1) : status.runs.at(-1);
  const stored = status.files.reduce((sum, file) => sum + (file.bytes ?? 0), 0);

  const time = run?.transactionTime;
  const where = [host(remembered?.server ?? run?.request.fhirUrl ?? ''), remembered && `begun ${when(remembered.started)}`, time && `data as of ${when(time)}`];
  fill($('results-where'), where.filter(Boolean).join(' · '), remembered?.options && h('br'), remembered?.options && describe(remembered));
  const facts = { status, outcome, problem, run };
  showVerdict(facts);
  const showSummary = (resources) => fill($('summary'), ...pairs([
    ['Resources', resources === undefined ? '–' : count(resources)],
    ['Files', count(status.files.length)],
    ['Stored here', bytes(stored)],
    managed && ['Exports', count(status.exports?.length)],
    outcome?.deletions > 0 && ['Deletions', count(outcome.deletions)],
  ]));
  showSummary();
  $('problems-card').hidden = true;
  showFiles(folder, status);
  showHistory(status.exports);
  const isDone = status.complete && (!outcome || (outcome.verdict !== 'incomplete' && outcome.references === 0));
  showActions(folder, { resume: isDone && !managed ? undefined : resume, remove, managed, word: resumeWord({ managed, status, problem }) }, signal);
  if (await countUnknown(folder, status, signal)) showFiles(folder, status);
  if (signal.aborted) return;
  const types = typesOf(status);
  const total = types.reduce((sum, [, resources]) => (sum === undefined || resources === undefined ? undefined : sum + resources), 0);
  showSummary(total);
  if (total === 0) showVerdict({ ...facts, isEmpty: true });
  const isSeveral = managed && status.exports?.filter(({ complete }) => complete).length > 1;
  bars($('by-type'), 'Resources by type', types, isSeveral ? 'A resource counts in each export that brought it. “Make one current copy” leaves one of each.' : undefined);
  const names = types.filter(([, resources]) => resources !== 0).map(([type]) => type);
  const usual = names.find((type) => type !== 'Patient') ?? names[0];
  choosing('time-type', names, usual, signal, (type) => showTimeline(folder, type, signal));
  choosing('sample-type', names, names.includes('Patient') ? 'Patient' : names[0], signal, (type) => showSample($('sample'), folder, type, signal));
  await showProblems(folder, status, outcome, signal);
}

/** Counts what is in files of which no ledger knows it, where they are no giants; whether there were any. */
async function countUnknown(folder, status, signal) {
  const unknown = status.files.filter(({ kind, resources }) => kind === 'output' && resources === undefined);
  if (unknown.length === 0 || unknown.reduce((sum, file) => sum + (file.bytes ?? 0), 0) > COUNTED) return false;
  fill($('by-type'), h('p', { class: 'hint' }, `Counting what is in ${plural(unknown.length, 'file')}…`));
  for (const file of unknown) {
    // One that is damaged has no number; verifying says why.
    file.resources = await rowsOf(folder.file(file.name), signal).catch(() => undefined);
    if (signal.aborted) return false;
  }
  return true;
}

/** Types with their resources, as far as they are known, the most first. */
function typesOf(status) {
  const types = new Map();
  for (const { kind, type, resources } of status.files) {
    if (kind !== 'output') continue;
    const before = types.has(type) ? types.get(type) : 0;
    types.set(type, before === undefined || resources === undefined ? undefined : before + resources);
  }
  return [...types].sort(([, a], [, b]) => (b ?? 0) - (a ?? 0));
}

/** The exports of a managed folder, the latest first. */
function showHistory(exports = []) {
  $('history-card').hidden = exports.length === 0;
  fill($('history'), ...[...exports].reverse().map(({ folder, complete, since, newPatients, timestamp }) => {
    const what = [since === undefined ? 'everything' : 'what changed', newPatients > 0 && plural(newPatients, 'new patient'), !complete && 'not finished'];
    return h('li', { class: complete ? undefined : 'bad' }, h('strong', {}, folder), ` ${timestamp ? `${when(timestamp)}: ` : ''}${what.filter(Boolean).join(', ')}`);
  }));
}

function showVerdict(facts) {
  const [kind, title, text] = verdictOf(facts);
  $('verdict').className = `banner ${kind}`;
  fill($('verdict'), h('strong', {}, title), h('span', {}, text));
}

/** Fills a list of types, and does `show` for the chosen one. */
function choosing(id, names, first, signal, show) {
  const select = $(id);
  fill(select, ...names.map((name) => h('option', { selected: name === first }, name)));
  select.disabled = names.length === 0;
  const update = () => show(select.value).catch((error) => {
    if (!signal.aborted) fill(select.closest('section').lastElementChild, h('p', { class: 'bad-text' }, error.message));
  });
  select.addEventListener('change', update, { signal });
  if (names.length > 0) update();
  else fill(select.closest('section').lastElementChild, h('p', { class: 'hint' }, 'There are no resources.'));
}

let timelines = 0;

async function showTimeline(folder, type, signal) {
  const mine = ++timelines;
  const place = $('over-time');
  fill(place, h('p', { class: 'hint' }, 'Reading…'));
  const counts = new Map();
  let [read, dated] = [0, 0];
  for await (const resource of readSome(folder, type, { limit: READ, signal })) {
    if (mine !== timelines) return;
    read += 1;
    const date = dateOf(resource);
    if (date === undefined) continue;
    dated += 1;
    counts.set(date, (counts.get(date) ?? 0) + 1);
  }
  if (signal.aborted || mine !== timelines) return;
  const notes = [read === READ && `The first ${count(READ)} resources.`, dated < read && `${plural(read - dated, 'resource')} without a date.`];
  timeline(place, `${type} resources over time`, { ...columnsOf(counts), note: notes.filter(Boolean).join(' ') || undefined });
}

async function showProblems(folder, status, outcome, signal) {
  const has = (kind) => status.files.some((file) => file.kind === kind);
  const issues = [];
  if (has('error')) {
    for await (const outcome of readSome(folder, 'OperationOutcome', { limit: ROWS, kind: 'error', signal })) {
      for (const issue of outcome.issue ?? []) issues.push({ severity: issue.severity, text: issue.diagnostics ?? issue.details?.text ?? issue.code });
    }
  }
  /** Deleted resources by type. @type {Map<string, string[]>} */
  const gone = new Map();
  if (has('deleted')) {
    for await (const bundle of readSome(folder, 'Bundle', { limit: DELETED, kind: 'deleted', signal })) {
      for (const { request } of bundle.entry ?? []) {
        if (request?.method !== 'DELETE' || typeof request.url !== 'string') continue;
        const [type] = request.url.split('/');
        gone.set(type, [...(gone.get(type) ?? []), request.url.slice(type.length + 1)]);
      }
    }
  }
  const { failed = [], bad = [], unknown = [], examples = [], failures = [] } = outcome ?? {};
  if (signal.aborted) return;
  const list = (title, items, more = '') => items.length > 0 && [h('h3', {}, title), h('ul', { class: `issues ${more}` }, ...items.slice(0, ROWS))];
  const item = (severity, text) => h('li', { class: /error|fatal/.test(severity) ? 'bad' : undefined }, h('strong', {}, `${severity}: `), text);
  // What could not be fetched besides is in the list of the server's words, too, where that could be read.
  const lost = issues.length > 0 ? [] : failures;
  $('problems-card').hidden = issues.length + gone.size + failed.length + bad.length + unknown.length + examples.length + lost.length === 0;
  fill(
    $('problems'),
    ...[
      list('Files that could not be had', failed.map(({ name, problem }) => item('missing', `${name}: ${problem}`))),
      list('Patients that the server does not know', unknown.map((id) => item('missing', id))),
      list('What patients lack', examples.map((text) => item('missing', text))),
      list('References that could not be had', lost.map((text) => item('missing', text))),
      list('What the server reported', issues.map(({ severity, text }) => item(severity ?? 'error', text ?? ''))),
      list('Lines that are no resources', bad.map((text) => item('error', text))),
      list('Deleted on the server', [...gone].map(([type, ids]) => h('li', {}, h('details', {}, h('summary', {}, `${type}: ${count(ids.length)}`), h('p', { class: 'ids' }, ids.slice(0, ROWS).join(', '), ids.length > ROWS && ' …')))), 'columned'),
    ].filter(Boolean).flat(),
  );
}

function showFiles(folder, status) {
  const rows = status.files.slice(0, ROWS).map((file) => {
    const result = h('span', { class: 'status', role: 'status' });
    const button = h('button', { type: 'button', class: 'link', 'aria-label': `Download ${file.name}` }, ...breakable(file.name));
    button.addEventListener('click', () => doing(button, result, '…', async () => (await engine()).saveFile(folder, file.name)));
    return h('tr', {}, h('th', { scope: 'row' }, button, result), h('td', { class: 'number' }, file.resources === undefined ? '–' : count(file.resources)),
      h('td', { class: 'number' }, file.bytes === undefined ? '–' : bytes(file.bytes)));
  });
  const head = ['Name', 'Resources', 'Size'].map((title, index) => h('th', { scope: 'col', class: index > 0 ? 'number' : undefined }, title));
  const more = status.files.length > ROWS && h('p', { class: 'hint' }, `and ${count(status.files.length - ROWS)} more: save all as zip or to a folder`);
  fill($('stored'), h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Table of files' },
    h('table', {}, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows))), more);
}

/** A file name that breaks at its dots, where it has to. */
const breakable = (name) => name.split(/(?=[./])/).flatMap((part, index) => (index > 0 ? [h('wbr'), part] : [part]));

function showActions(folder, { resume, remove, managed, word }, signal) {
  const result = $('save-result');
  fill(result);
  const on = (id, listener) => $(id).addEventListener('click', listener, { signal });
  const progress = (tell) => ({ onProgress: ({ name, bytes: done }) => tell(`${name}, ${bytes(done)} …`) });
  on('save-zip', () =>
    doing($('save-zip'), result, 'Packing…', async (tell) => {
      await unlessDismissed((await engine()).saveZip(folder, { ...progress(tell), fileName: `${folder.name}.zip` }));
      return 'Saved.';
    }));
  $('save-folder').hidden = typeof window.showDirectoryPicker !== 'function';
  on('save-folder', () =>
    doing($('save-folder'), result, 'Copying…', async (tell) => {
      const directory = await unlessDismissed(window.showDirectoryPicker({ mode: 'readwrite' }));
      const { files, bytes: size } = await (await engine()).copyFolder(folder, directory, progress(tell));
      return `Copied ${plural(files, 'file')}, ${bytes(size)}, to ${directory.name}. The command line can go on with it.`;
    }));
  on('verify', () =>
    doing($('verify'), result, 'Checking every file…', async (tell) => {
      const job = (await engine()).verify(folder, { signal });
      for await (const event of job) if (event.type === 'progress') tell(`${event.task}: ${count(event.done)} …`);
      return verified(await job.result);
    }));
  $('merge').hidden = !managed;
  on('merge', () =>
    doing($('merge'), result, 'Putting the exports together…', async (tell) => {
      const copy = await freshFolder(`${folder.name} (current)`);
      const job = (await engine()).merge(folder, copy, { signal });
      for await (const event of job) if (event.type === 'progress') tell(`${event.task}: ${count(event.done)} …`);
      const report = await job.result;
      location.hash = `#results/${encodeURIComponent(copy.name)}`;
      return `${plural(report.resources, 'resource')} of ${plural(report.runs.length, 'export')}.`;
    }));
  say($('again'), word);
  $('again').hidden = !resume;
  on('again', () => resume());
  on('delete', () => remove());
  say($('results-title'), 'Results');
}

/** What a check has found, in a sentence; problems are thrown, to be shown as such. */
function verified({ files, resources, problemCount, problems }) {
  const looked = `${plural(files, 'file')} with ${plural(resources, 'resource')}`;
  if (problemCount === 0) return `Checked ${looked}: all are whole and as they were received.`;
  const [{ path, problem }] = problems;
  throw new Error(`Checked ${looked}: ${plural(problemCount, 'problem')}. ${path} ${problem}`);
}

/** A dialog that the user closed is no failure to explain. */
async function unlessDismissed(work) {
  try {
    return await work;
  } catch (error) {
    throw error.name === 'AbortError' || error.code === 'cancelled' ? new Error('Not saved: the dialog was closed.') : error;
  }
}
