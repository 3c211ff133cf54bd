// The view of a run: how far it is, and what happens.
import { $, fill, h, pairs, say } from './dom.js';
import { engine } from './engine.js';
import { totalsOf } from './ways.js';
import { bytes, count, duration, explain, explainSilence, fileProblem, host, PHASES, plural, wait as waitWords } from './words.js';

/** How often the view is brought up to date, and how often screen readers are told; milliseconds. */
const STEP = 150;
const TELL = 15_000;
/** Rows of what happened. */
const LINES = 200;

const TITLES = { discover: 'Looking at the server', kickOff: 'Asking for the export', wait: 'The server is preparing the files', download: 'Downloading', crawl: 'Searching, patient by patient', hydrate: 'Fetching what is referred to', check: 'Checking', finish: 'Finishing' };

/**
 * Shows a job until it ends.
 * @param {import('smart-fetch').Job<import('smart-fetch').BulkReport>} job
 * @param {{ server: string, relayed: boolean, folder: import('smart-fetch').Folder, phases: string[] }} at
 * @returns {Promise<import('smart-fetch').BulkReport>} rejects as the job does, when that has been shown
 */
export async function watch(job, { server, relayed, folder, phases }) {
  const { Tally } = await engine();
  const tally = new Tally();
  const view = new RunView(tally, PHASES.filter(([id]) => phases.includes(id)));
  $('run-where').textContent = `${host(server)}${relayed ? ', through the relay' : ''}`;
  view.line('note', `The data is kept in ${PLACES[folder.storage] ?? 'this browser'}.`);
  if (folder.warning) view.line('warning', folder.warning);
  const controls = new AbortController();
  const on = (id, listener) => $(id).addEventListener('click', listener, { signal: controls.signal });
  on('pause', () => {
    if (job.paused) job.resume();
    else job.pause();
    view.paused = job.paused;
    view.show();
  });
  on('stop', () => {
    view.stopping = true;
    view.show();
    job.cancel();
  });
  const timer = setInterval(() => view.show(), STEP);
  let reached = false;
  try {
    for await (const event of job) {
      tally.take(event);
      view.take(event);
      if (event.type === 'kickedOff') reached = true;
      const silence = event.type === 'waiting' && !reached && explainSilence(event, { server, relayed });
      if (silence) showProblem('warn', silence);
    }
    const report = await job.result;
    const { resources, files } = totalsOf(report);
    view.tell(`Finished: ${plural(resources, 'resource')} in ${plural(files, 'file')}.`);
    return report;
  } catch (error) {
    view.failed(explain(error, { server, relayed }));
    throw error;
  } finally {
    clearInterval(timer);
    controls.abort();
    view.ended = true;
    view.show();
  }
}

/** Shows what is wrong, above everything else. */
export function showProblem(kind, { text, hint, command }, ...more) {
  const problem = $('run-problem');
  const commandLine = command && h('div', { class: 'command' }, h('code', {}, command));
  if (problem.dataset.text === text && !problem.hidden && more.length === 0) return;
  problem.dataset.text = text;
  problem.className = `banner ${kind}`;
  fill(problem, h('strong', {}, text), hint && h('span', {}, hint), commandLine, ...more);
  problem.hidden = false;
}

const PLACES = { opfs: 'the private file system of this browser', idb: 'the database of this browser', memory: 'the memory of this tab', picked: 'the folder that you picked' };

class RunView {
  paused = false;
  stopping = false;
  ended = false;
  #tally;
  #told = 0;
  #rows = new Map();

  #phases;

  constructor(tally, phases) {
    this.#tally = tally;
    this.#phases = phases;
    fill($('phases'), ...phases.map(([id, text]) => h('li', { 'data-phase': id }, text)));
    for (const id of ['log', 'files', 'figures']) fill($(id));
    $('files-more').hidden = true;
    $('progress-card').hidden = false;
    $('run-problem').hidden = true;
    say($('run-title'), 'Starting');
    this.show();
  }

  /** What goes into the list of what happened. */
  take(event) {
    if (event.type === 'phase') {
      const title = TITLES[event.phase] ?? event.phase;
      this.line('note', `${title}.`);
      this.tell(`${title}.`);
    }
    if (event.type === 'note') this.line('note', event.message);
    if (event.type === 'warning') this.line('warning', event.message);
    if (event.type === 'waiting' && event.reason !== 'status') this.line('warning', waitWords({ ...event, left: event.millis }));
    if (event.type === 'kickedOff') this.line('note', 'The server accepted the export.');
    if (event.type === 'manifest') {
      this.line('note', `The server has ${plural(event.files, 'file')}${event.resources ? ` with ${plural(event.resources, 'resource')}` : ''}.`);
    }
    if (event.type === 'progress' && event.done === event.total) this.line('note', `${event.task}: ${plural(event.resources, 'resource')}.`);
    if (event.type === 'fileFailed') this.line(event.last ? 'bad' : 'warning', `${event.name}: ${fileProblem(event.message)}${event.last ? '' : ' It is tried again.'}`);
  }

  line(kind, text) {
    const log = $('log');
    const last = log.lastElementChild?.lastElementChild;
    if (last?.textContent === text) return;
    const time = new Date().toLocaleTimeString('en-GB');
    log.append(h('li', {}, h('time', {}, time), h('span', { class: kind === 'note' ? undefined : kind === 'bad' ? 'bad-text' : 'warn-text' }, text)));
    while (log.children.length > LINES) log.firstElementChild.remove();
    log.scrollTop = log.scrollHeight;
  }

  /** Says it to screen readers. */
  tell(text) {
    this.#told = performance.now();
    say($('said'), text);
  }

  show() {
    const tally = this.#tally;
    const at = this.#phases.findIndex(([id]) => id === tally.phase);
    for (const [index, item] of [...$('phases').children].entries()) {
      const state = this.ended && !this.problem ? 'done' : index < at ? 'done' : index === at ? 'now' : 'later';
      item.dataset.state = state;
      if (state === 'now') item.setAttribute('aria-current', 'step');
      else item.removeAttribute('aria-current');
    }
    if (!this.problem) say($('run-title'), this.ended ? 'Finished' : this.stopping ? 'Stopping…' : this.paused ? 'Paused' : (TITLES[tally.phase] ?? 'Starting'));
    const files = `${count(tally.filesDone)} of ${plural(tally.filesKnown, 'file')}`;
    const { step } = tally;
    const stepText = step && `${step.task}: ${count(step.done)}${step.total === undefined ? '' : ` of ${count(step.total)}`}`;
    const fetched = tally.filesKnown > 0 && (tally.phase === 'download' || tally.phase === 'finish');
    say($('now'), stepText ?? (fetched ? files : (this.#phases[at]?.[2] ?? 'Starting…')));
    this.#meter(tally.share);
    const wait = this.ended ? undefined : tally.wait;
    $('wait').hidden = !wait;
    $('wait').classList.toggle('calm', wait?.reason === 'status');
    if (wait) say($('wait'), waitWords(wait));
    const { rate } = tally;
    const fields = [
      ['Resources', count(tally.resources)],
      ['Received', bytes(tally.received)],
      ['Rate', rate === undefined || this.ended ? '–' : `${bytes(rate)}/s`],
      ['Time', this.ended ? ($('figures').dataset.time ?? '') : duration(tally.elapsed)],
    ];
    $('figures').dataset.time = fields[3][1];
    fill($('figures'), ...pairs(fields));
    say($('pause'), this.paused ? 'Go on' : 'Pause');
    for (const id of ['pause', 'stop']) $(id).hidden = this.ended;
    this.#files();
    if (!this.ended && tally.phase === 'download' && performance.now() - this.#told > TELL) this.tell(`${files}, ${plural(tally.resources, 'resource')}.`);
  }

  #meter(share) {
    const meter = $('total');
    const known = share !== undefined || this.ended;
    meter.classList.toggle('unknown', !known && this.#tally.phase !== undefined);
    const percent = known ? Math.floor((share ?? 0) * 100) : 0;
    meter.firstElementChild.style.width = known ? `${percent}%` : '';
    if (known) meter.setAttribute('aria-valuenow', percent);
    else meter.removeAttribute('aria-valuenow');
    say($('share'), known ? `${percent}%` : '');
  }

  /** Those under way first, then the latest. */
  #files() {
    const rank = { active: 0, again: 0, failed: 1, done: 2 };
    const shown = [...this.#tally.files].sort(([a, x], [b, y]) => rank[x.state] - rank[y.state] || b - a);
    const keep = new Set(shown.map(([number]) => number));
    for (const [number, row] of this.#rows) {
      if (keep.has(number)) continue;
      row.remove();
      this.#rows.delete(number);
    }
    for (const [index, [number, file]] of shown.entries()) {
      const row = this.#rows.get(number) ?? this.#row(number, file);
      if ($('files').children[index] !== row) $('files').insertBefore(row, $('files').children[index] ?? null);
      const amount = `${plural(file.resources ?? 0, 'resource')}, ${bytes(file.received)}`;
      const state = { active: amount, again: 'will be tried again', failed: 'could not be had', done: `${amount}, checked` }[file.state];
      say(row.querySelector('.hint'), state);
      const share = file.state === 'done' ? 1 : file.expected ? Math.min(1, file.resources / file.expected) : undefined;
      const meter = row.querySelector('.meter');
      meter.classList.toggle('unknown', share === undefined && file.state === 'active');
      meter.firstElementChild.style.width = share === undefined ? '' : `${share * 100}%`;
      meter.hidden = file.state === 'again' || file.state === 'failed';
    }
    $('files-card').hidden = shown.length === 0;
    const more = this.#tally.filesKnown - shown.length;
    $('files-more').hidden = more <= 0;
    if (more > 0) say($('files-more'), `and ${count(more)} more`);
  }

  #row(number, { name }) {
    const meter = h('div', { class: 'meter thin', 'aria-hidden': 'true' }, h('span'));
    const row = h('li', {}, h('div', { class: 'row' }, h('span', { class: 'name' }, name), h('span', { class: 'hint' })), meter);
    this.#rows.set(number, row);
    return row;
  }

  failed({ title, text }) {
    this.problem = true;
    $('progress-card').hidden = this.#tally.filesKnown === 0;
    say($('run-title'), title);
    this.line('bad', text);
    this.tell(`${title}. ${text}`);
  }
}
