// The runs that this browser keeps.
import { $, doing, fill, h } from './dom.js';
import { engine } from './engine.js';
import { recall } from './remembered.js';
import { resumeWord, verdictOf } from './verdict.js';
import { describe } from './ways.js';
import { bytes, count, host, plural, when } from './words.js';

/** Runs with what is known of them, the latest first. */
export async function readRuns() {
  const found = await (await engine()).folders();
  const runs = await Promise.all(found.map(async (folder) => {
    // One damaged folder must not hide the others.
    const status = await folder.status().catch(() => ({ complete: false, runs: [], files: [], damaged: true }));
    const remembered = recall(folder.name);
    return { folder, status, remembered, time: remembered?.started ?? Date.parse(status.timestamp ?? '') };
  }));
  return runs.sort((a, b) => (b.time || 0) - (a.time || 0));
}

/** Shows how many there are, in the navigation. */
export function showCount(number) {
  const place = $('runs-count');
  place.hidden = number === 0;
  place.textContent = `(${count(number)})`;
}

/**
 * @param {{ running?: string, resume: (name: string) => void, remove: (folder: any) => void }} actions `running`: the folder at work in this tab
 */
export async function showRuns({ running, resume, remove }) {
  const runs = await readRuns();
  showCount(runs.length);
  const { usage, quota, persisted } = await (await engine()).storageUsage();
  const room = usage === undefined ? '' : `${bytes(usage)} stored${quota === undefined ? '' : ` of ${bytes(quota)} that the browser allows`}. `;
  $('usage').textContent = `${room}${persisted ? 'The browser promised to keep the data.' : 'A browser may remove what it stores: save what matters.'}`;
  if (runs.length === 0) return fill($('runs'), h('div', { class: 'card' }, h('p', {}, 'There are none yet. ', h('a', { href: '#new' }, 'Start an export.'))));
  return fill($('runs'), h('ul', { class: 'runs' }, ...runs.map((run) => row(run, { running, resume, remove }))));
}

/**
 * Lets the user bring in a folder that was made elsewhere.
 * @param {() => Promise<unknown>} done
 */
export function setUpImport(done) {
  const [input, button] = [$('import'), $('import-button')];
  const take = (choose) =>
    doing(button, $('import-result'), 'Copying…', async (tell) => {
      const { name, source } = await choose();
      const copied = await bringIn(name, source, ({ name: file, bytes: size }) => tell(`${file}, ${bytes(size)} …`)).finally(done);
      return `Brought in ${plural(copied.files, 'file')}, ${bytes(copied.bytes)}.`;
    });
  button.addEventListener('click', () => {
    // Where the browser can hand over a whole folder; the file field may leave out what is hidden.
    if (typeof window.showDirectoryPicker !== 'function') return input.click();
    return take(async () => {
      const source = await window.showDirectoryPicker().catch(() => undefined);
      if (!source) throw new Error('No folder was chosen.');
      return { name: source.name, source };
    });
  });
  input.addEventListener('change', () =>
    take(async () => {
      const source = [...input.files];
      input.value = '';
      if (source.length === 0) throw new Error('There are no files in it.');
      return { name: source[0].webkitRelativePath.split('/')[0], source };
    }));
}

/** Copies what was picked into a new folder of this browser. */
async function bringIn(name, source, onProgress) {
  const { folders, importFolder, openFolder } = await engine();
  const taken = new Set((await folders()).map((folder) => folder.name));
  let free = `${name} (brought in)`;
  for (let number = 2; taken.has(free); number += 1) free = `${name} (brought in, ${number})`;
  const folder = await openFolder(free);
  try {
    return await importFolder(folder, source, { onProgress });
  } catch (error) {
    await folder.remove();
    throw error;
  }
}

/** The state of a run, as kind and word of its tag. */
function tagOf({ status, remembered }, isRunning) {
  if (isRunning) return ['', 'Running'];
  if (status.damaged) return ['warn', 'Damaged'];
  const [kind] = verdictOf({ status, ...remembered, run: lastRun(status) });
  if (kind === 'bad') return ['bad', 'Failed'];
  const managed = status.kind === 'managed';
  const isDone = managed ? status.exports?.at(-1)?.complete !== false : status.complete;
  if (!isDone) return ['warn', 'Not finished'];
  return [kind, `${managed ? 'Kept up to date' : 'Complete'}${kind === 'warn' ? ', with problems' : ''}`];
}

const lastRun = (status) => (status.exports?.at(-1) ?? status).runs.at(-1);

/** What was asked for where the page did not begin the run. */
function asked(run) {
  if (!run) return undefined;
  const { level, ids } = run.request;
  return describe({ way: run.transactionTime === undefined ? 'crawl' : 'once', options: { level: level ?? 'system', types: run.types, ids: ids === undefined ? undefined : [] } });
}

function row({ folder, status, remembered, time }, { running, resume, remove }) {
  const isRunning = folder.name === running;
  const last = lastRun(status);
  const [kind, word] = tagOf({ status, remembered }, isRunning);
  const managed = status.kind === 'managed';
  const output = status.files.filter((file) => file.kind === 'output');
  const resources = output.some((file) => file.resources === undefined) ? undefined : output.reduce((sum, file) => sum + file.resources, 0);
  const stored = status.files.reduce((sum, file) => sum + (file.bytes ?? 0), 0);
  const server = host(remembered?.server ?? last?.request.fhirUrl ?? folder.name);
  const label = `${server}, ${time ? when(time) : folder.name}`;
  const button = (text, more, listener) => h('button', { 'type': 'button', 'class': 'quiet', 'aria-label': `${text}: ${label}`, ...more, 'onclick': listener }, text);
  const address = isRunning ? '#run' : `#results/${encodeURIComponent(folder.name)}`;
  const amount = `${resources === undefined ? '' : `${plural(resources, 'resource')} in `}${plural(status.files.length, 'file')}, ${bytes(stored)}`;
  const what = kind === 'bad' ? remembered.problem.title : managed ? `${plural(status.exports?.length ?? 0, 'export')}: ${amount}` : amount;
  return h(
    'li',
    { class: 'card run-row' },
    h('div', {}, h('h2', {}, server, h('span', { class: `tag ${kind}` }, word)),
      h('p', {}, remembered?.options ? describe(remembered) : asked(last)),
      h('p', {}, `${time ? `${when(time)} · ` : ''}${what}`)),
    h('div', { class: 'row' },
      button(isRunning ? 'Watch' : 'Open', {}, () => (location.hash = address)),
      !isRunning && (managed || !status.complete) && remembered?.options && button(resumeWord({ managed, status, problem: remembered.problem }), {}, () => resume(folder.name)),
      !isRunning && button('Delete', { class: 'quiet danger' }, () => remove(folder))),
  );
}
