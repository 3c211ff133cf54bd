// The page: which view is shown, and the one job that runs in this tab.
import { $, confirmed, fill, h } from './dom.js';
import { engine } from './engine.js';
import { readSignIn } from './keys.js';
import { all, recall, remember } from './remembered.js';
import { showProblem, watch } from './run.js';
import { readRuns, setUpImport, showCount, showRuns } from './runs.js';
import { route } from './servers.js';
import { fillIn, setUp, showRoom } from './setup.js';
import { describe, outcomeOf, phasesOf, startOrder } from './ways.js';
import { explain, host, when } from './words.js';

/** The view of results, loaded when there will be some. @type {Promise<typeof import('./results.js')> | undefined} */
let results;

function resultsView() {
  results ??= import('./results.js');
  // A network failure must not stick.
  results.catch(() => (results = undefined));
  return results;
}

/** The job at work in this tab: `{ name, job }`. */
let current;
/** The folder that the form is to resume, where it has to ask for a secret again. */
let resuming;

const VIEWS = { new: 'Export FHIR data in this browser', run: 'Running', results: 'Results', runs: 'Runs in this browser' };

/** Shows the view that the address names. */
async function navigate() {
  const [view, name] = location.hash.slice(1).split('/');
  const wanted = view in VIEWS && (view !== 'run' || current || !$('run-problem').hidden) && (view !== 'results' || name) ? view : 'new';
  // A run ends with its tab: the address must not go on to promise one.
  if (view !== wanted && view !== '') history.replaceState(null, '', `#${wanted}`);
  const moved = $(`view-${wanted}`).hidden;
  if (wanted !== 'results') results?.then(({ leave }) => leave());
  for (const id of Object.keys(VIEWS)) $(`view-${id}`).hidden = id !== wanted;
  for (const link of document.querySelectorAll('[data-nav]')) {
    if (link.dataset.nav === wanted) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${VIEWS[wanted]} · smart-fetch`;
  if (wanted !== 'new') showResuming(undefined);
  else await showInterrupted();
  if (moved) {
    window.scrollTo(0, 0);
    $(`${wanted}-title`).focus({ preventScroll: true });
  }
  if (wanted === 'runs') await listRuns();
  if (wanted === 'results') await open(decodeURIComponent(name));
}

/** Shows the view of an address, which may be that of now. */
function go(address) {
  if (location.hash === address) return navigate();
  location.hash = address;
  return new Promise((resolve) => {
    window.addEventListener('hashchange', resolve, { once: true });
  });
}

const listRuns = () => showRuns({ running: current?.name, resume, remove });

async function open(name) {
  const folder = (await (await engine()).folders()).find((candidate) => candidate.name === name) ?? memoryFolders.get(name);
  if (!folder) {
    location.hash = '#runs';
    return;
  }
  const { showResults } = await resultsView();
  await showResults(folder, {
    resume: recall(name)?.options && current?.name !== name ? () => resume(name) : undefined,
    remove: () => remove(folder),
  });
}

/** Folders in memory are in no list; they end with the tab. */
const memoryFolders = new Map();

async function remove(folder) {
  if (!(await confirmed('Delete this run?', 'Its data is removed from this browser. Nothing is deleted on the server.', 'Delete'))) return;
  await folder.remove();
  memoryFolders.delete(folder.name);
  remember(folder.name, undefined);
  if (location.hash === '#runs') await navigate();
  else location.hash = '#runs';
}

/** A lock that a tab holds while it is at work on a run: whoever reloads it, or closes it, lets go of it. */
const lockOf = (name) => `smart-fetch-page:${name}`;

/** Offers the latest run that was at work when its tab was closed or reloaded. */
async function showInterrupted() {
  const begun = Object.entries(all()).filter(([name, { running }]) => running && name !== current?.name && name !== resuming);
  $('interrupted').hidden = true;
  if (begun.length === 0) return;
  const { held = [] } = (await navigator.locks?.query()) ?? {};
  const kept = new Set((await (await engine()).folders()).map((folder) => folder.name));
  const isLeft = ([name]) => kept.has(name) && name !== current?.name && name !== resuming && !held.some((lock) => lock.name === lockOf(name));
  const [latest] = begun.filter(isLeft).sort(([, a], [, b]) => b.started - a.started);
  if (!latest) return;
  const [name, run] = latest;
  const again = h('button', { type: 'button', class: 'primary', onclick: () => resume(name) }, 'Resume');
  const later = h('button', { type: 'button', class: 'quiet', onclick: () => {
    remember(name, { running: false });
    showInterrupted();
  } }, 'Not now');
  fill($('interrupted'), h('strong', {}, 'An export was interrupted.'),
    h('span', {}, `${host(run.server)}, begun ${when(run.started)}: ${describe(run)}. What it has is kept; resuming gets the rest.`), h('div', { class: 'row' }, again, later));
  $('interrupted').hidden = false;
}

/** Begins an export in a new folder, or goes on with the one of `name`. */
async function start({ server, relayed, client, order, remember: settings }, name = resuming) {
  if (current) {
    location.hash = '#run';
    return;
  }
  showResuming(undefined);
  const { openFolder } = await engine();
  const now = new Date();
  const stamp = new Date(now - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace('T', ' ').replaceAll(':', '.');
  const folder = await openFolder(name ?? `${stamp} ${host(server).replaceAll(':', '-')}`);
  if (folder.storage === 'memory') memoryFolders.set(folder.name, folder);
  remember(folder.name, { ...settings, started: recall(folder.name)?.started ?? now.getTime(), running: true, problem: undefined });
  const job = startOrder(client, folder, order);
  resultsView();
  current = { name: folder.name, job };
  navigator.locks?.request(lockOf(folder.name), () => job.result.catch(() => {}));
  go('#run');
  const address = `#results/${encodeURIComponent(folder.name)}`;
  try {
    const report = await watch(job, { server, relayed, folder, phases: phasesOf(order) });
    remember(folder.name, { outcome: outcomeOf(report), running: false });
    current = undefined;
    if (location.hash === '#run') location.hash = address;
  } catch (error) {
    current = undefined;
    const isStopped = error.code === 'cancelled';
    const { title, text, hint, command } = explain(error, { server, relayed });
    remember(folder.name, { running: false, outcome: undefined, problem: isStopped ? undefined : { title, text, hint } });
    if (isStopped && location.hash === '#run') location.hash = address;
    else showFailure({ title, text, hint, command }, folder.name, address);
  }
  showCount((await readRuns()).length);
}

/** Whether a managed folder has an export that later ones can go by. */
async function isBegun(name) {
  const folder = (await (await engine()).folders()).find((candidate) => candidate.name === name) ?? memoryFolders.get(name);
  return (await folder?.status())?.exports?.some(({ complete }) => complete) ?? false;
}

function showFailure(problem, name, address) {
  const again = h('button', { type: 'button', class: 'primary', onclick: () => resume(name) }, 'Try again');
  const look = h('button', { type: 'button', class: 'quiet', onclick: () => (location.hash = address) }, 'See what is here');
  showProblem('bad', problem, h('div', { class: 'row' }, again, look));
}

/** Goes on with a run, with the settings that it was begun with; secrets were not kept, so the form asks for them. */
async function resume(name) {
  const settings = recall(name);
  fillIn(settings);
  if (settings.auth === 'token' || (settings.auth === 'smart' && settings.key === 'pasted')) {
    showResuming(name);
    // The view takes the focus when it is shown; here it belongs to the field.
    await go('#new');
    $(settings.auth === 'token' ? 'token' : 'jwks').focus();
    return;
  }
  const at = route(settings.server);
  const { Client } = await engine();
  const client = new Client({ ...at.options, auth: await readSignIn() });
  const order = { way: settings.way ?? 'once', hydrate: settings.hydrate ?? false, options: settings.options };
  // The date was for the first export; what comes after it goes by what is here.
  if (order.way === 'managed' && (await isBegun(name))) order.options = { ...order.options, since: 'auto' };
  await start({ ...at, client, order, remember: settings }, name);
}

function showResuming(name) {
  resuming = name;
  $('resuming').hidden = name === undefined;
  fill($('resuming'), h('span', {}, 'Going on with a run that was begun before. Its secret was not stored: give it again, then start.'));
}

setUp((order) => start(order));
setUpImport(listRuns);
window.addEventListener('hashchange', navigate);
// The address names the view: it is not to change for this.
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  $('main').focus();
});
navigate();

// The wasm comes once the page can be used.
const later = window.requestIdleCallback ?? setTimeout;
window.addEventListener('load', () =>
  later(async () => {
    const { version } = await engine();
    $('version').textContent = `smart-fetch ${await version()}`;
    document.documentElement.dataset.ready = 'true';
    await showRoom();
    showCount((await readRuns()).length);
  }), { once: true });
