// The ways to get data: one bulk export, a crawl, or a folder that is kept up to date; and how each is told.
import { engine } from './engine.js';

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

/** Two jobs as one: the second begins when the first has ended with all that there is. */
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
    if (this.#cancelled || report.verdict === 'incomplete') return report;
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

/** A folder whose name is free. */
export async function freshFolder(name) {
  const { folders, openFolder } = await engine();
  const taken = new Set((await folders()).map((folder) => folder.name));
  let free = name;
  for (let number = 2; taken.has(free); number += 1) free = `${name}, ${number}`;
  return openFolder(free);
}
