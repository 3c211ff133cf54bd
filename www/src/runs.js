// The runs that this browser keeps.
import { $, fill, h } from './dom.js';
import { engine } from './engine.js';
import { recall } from './remembered.js';
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

function row({ folder, status, remembered, time }, { running, resume, remove }) {
  const isRunning = folder.name === running;
  const last = status.runs.at(-1);
  const [kind, word] = isRunning ? ['', 'Running'] : status.damaged ? ['warn', 'Damaged'] : status.complete ? ['good', 'Complete'] : ['warn', 'Not finished'];
  const resources = status.runs.reduce((sum, job) => sum + job.resources, 0);
  const stored = status.files.reduce((sum, file) => sum + (file.bytes ?? 0), 0);
  const server = host(remembered?.server ?? last?.request.fhirUrl ?? folder.name);
  const label = `${server}, ${time ? when(time) : folder.name}`;
  const button = (text, more, listener) => h('button', { 'type': 'button', 'class': 'quiet', 'aria-label': `${text}: ${label}`, ...more, 'onclick': listener }, text);
  const address = isRunning ? '#run' : `#results/${encodeURIComponent(folder.name)}`;
  return h(
    'li',
    { class: 'card run-row' },
    h('div', {}, h('h2', {}, server, h('span', { class: `tag ${kind}` }, word)),
      h('p', {}, `${time ? when(time) : ''} · ${plural(resources, 'resource')} in ${plural(status.files.length, 'file')}, ${bytes(stored)}`)),
    h('div', { class: 'row' },
      button(isRunning ? 'Watch' : 'Open', {}, () => (location.hash = address)),
      !isRunning && !status.complete && remembered && button('Resume', {}, () => resume(folder.name)),
      !isRunning && button('Delete', { class: 'quiet danger' }, () => remove(folder))),
  );
}
