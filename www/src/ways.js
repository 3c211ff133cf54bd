// The ways to get data: one bulk export, a crawl, or a folder that is kept up to date; and how each is told.
import { engine } from './engine.js';
import { plural } from './words.js';

/** What the form calls them. */
export const WAYS = { once: 'One bulk export', managed: 'A bulk export that is kept up to date', crawl: 'A crawl, patient by patient' };

/** What a run consists of, for the row of steps. */
export function phasesOf({ way, hydrate }) {
  const get = way === 'crawl' ? ['crawl'] : ['kickOff', 'wait', 'download'];
  return ['discover', ...get, ...(hydrate ? ['hydrate'] : []), 'finish'];
}

/**
 * Looks at what was filled in without sending anything.
 * @param {any} client
 * @param {{ way: string, hydrate: boolean, options: any }} order
 */
export function checkOrder(client, { way, hydrate, options }) {
  if (way === 'crawl') return client.checkCrawl(options);
  if (way === 'managed') return client.checkExport({ ...options, hydrationTasks: tasks(hydrate), mode: 'bulk' });
  return client.checkBulk(options);
}

const tasks = (hydrate) => (hydrate ? ['all'] : ['none']);

/**
 * The jobs of an order, one after the other, as one job.
 * @param {any} client
 * @param {any} folder
 * @param {{ way: string, hydrate: boolean, options: any }} order
 * @returns {any} a job
 */
export function startOrder(client, folder, { way, hydrate, options }) {
  if (way === 'managed') return client.export(folder, { ...options, hydrationTasks: tasks(hydrate), mode: 'bulk' });
  const first = way === 'crawl' ? client.crawl(folder, options) : client.bulk(folder, options);
  return hydrate ? new Sequence(first, () => client.hydrate(folder, { compress: options.compress })) : first;
}

/** Two jobs as one: the second begins when the first has ended, as in a managed export, whatever that could not have. */
class Sequence {
  #now;
  #cancelled = false;

  constructor(first, next) {
    this.#now = first;
    this.result = this.#run(first, next);
    // Who iterates gets the error there.
    this.result.catch(() => {});
  }

  async #run(first, next) {
    const report = await first.result;
    if (this.#cancelled) return report;
    this.#now = next();
    this.#begun?.();
    return { ...report, hydration: await this.#now.result };
  }

  #begun;

  cancel() {
    this.#cancelled = true;
    this.#now.cancel();
  }

  pause() {
    this.#now.pause();
  }

  resume() {
    this.#now.resume();
  }

  get paused() {
    return this.#now.paused;
  }

  async *[Symbol.asyncIterator]() {
    const first = this.#now;
    const second = new Promise((resolve) => (this.#begun = () => resolve(this.#now)));
    yield* first;
    const next = await Promise.race([second, this.result.then(() => undefined)]);
    if (next) yield* next;
    await this.result;
  }
}

/** The parts of a report that every way has. */
export function totalsOf(report) {
  const { resources = 0, files = 0 } = report.bulk ?? report.crawl ?? report;
  return { resources, files };
}

/** Lines of a list that are kept of a report: it is for the eye. */
const KEPT = 100;

/**
 * What is kept of how a run ended, of any way.
 * @typedef {object} Outcome
 * @property {string} verdict of the data
 * @property {{ name: string, problem: string }[]} failed files that could not be had
 * @property {string[]} bad lines that are no resources
 * @property {string[]} unknown ids that the server has no Patient for
 * @property {number} patients of a crawl
 * @property {Record<string, number>} missing patients by type, and the first of them in words
 * @property {string[]} examples
 * @property {number} references that could not be had, and the first of them in words
 * @property {string[]} failures
 * @property {number} deletions
 */

/** @returns {Outcome} */
export function outcomeOf(report) {
  const data = report.bulk ?? report.crawl ?? report;
  const { hydration } = report;
  const few = (list = []) => list.slice(0, KEPT);
  return {
    verdict: data.verdict,
    failed: few(data.failed ?? data.patientsProblem).map(({ name, problem }) => ({ name, problem })),
    bad: few(data.bad),
    unknown: few(data.unknownPatients),
    patients: data.patients ?? 0,
    missing: data.missing ?? {},
    examples: few(data.missingExamples).map(({ type, patient, problem }) => `${type} of ${patient}: ${problem}`),
    references: hydration?.failed ?? 0,
    failures: few(hydration?.failures),
    deletions: data.deletions ?? 0,
  };
}

const LEVELS = { system: 'everything', patient: 'all patients' };

/** What a run is for, in a phrase that tells it from others of the same server: `A group: 123, Patient and Condition, one bulk export`. */
export function describe({ way = 'once', hydrate, options: { level, types = [], ids, since } }) {
  const whose = ids?.length > 0 ? plural(ids.length, 'patient') : typeof level === 'object' ? `group ${level.group}` : (LEVELS[level] ?? '');
  const what = types.length === 0 ? 'usual types' : types.length > 3 ? `${types.length} types` : types.join(', ');
  return [WAYS[way], whose, what, since && since !== 'auto' && `since ${since}`, hydrate && 'with what is referred to'].filter(Boolean).join(' · ');
}

/** A folder whose name is free. */
export async function freshFolder(name) {
  const { folders, openFolder } = await engine();
  const taken = new Set((await folders()).map((folder) => folder.name));
  let free = name;
  for (let number = 2; taken.has(free); number += 1) free = `${name}, ${number}`;
  return openFolder(free);
}
