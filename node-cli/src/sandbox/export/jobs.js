// The running and finished exports.
import { randomUUID } from 'node:crypto';

const LIFE = 60 * 60_000; // ms a job and its files are kept
const MAX_JOBS = 1000;

/** One export. */
export class Job {
  constructor(fields) {
    this.id = randomUUID();
    this.polls = 0;
    this.manifestReads = 0;
    /** When it is thrown away, ms since 1970. */
    this.expires = fields.now + LIFE;
    this.transactionTime = new Date(fields.now).toISOString();
    Object.assign(this, fields);
    /** @type {import('./plan.js').PlannedFile[]|null} */
    this.files = null;
    this.failure = null;
    this.planned = fields.plan().then((files) => { this.files = files; }, (error) => { this.failure = error; });
  }

  /** Waits for the plan, but no longer than so many ms. */
  async plannedWithin(ms) {
    if (this.files !== null) return;
    let timer;
    await Promise.race([this.planned, new Promise((resolve) => { timer = setTimeout(resolve, ms); })]);
    clearTimeout(timer);
  }

  /** Still to be answered 202. */
  get running() {
    return this.files === null || (this.faults.pending > 0 && this.polls <= this.faults.pending);
  }
}

export class Jobs {
  #jobs = new Map();

  add(job) {
    for (const [id, { expires }] of this.#jobs) if (expires < job.now || this.#jobs.size >= MAX_JOBS) this.#jobs.delete(id);
    this.#jobs.set(job.id, job);
    return job;
  }

  get(id) {
    return this.#jobs.get(id) ?? null;
  }

  delete(id) {
    return this.#jobs.delete(id);
  }

  anyRunning() {
    return [...this.#jobs.values()].some((job) => job.running);
  }

  /** Waits until no plan is being made. */
  async settled() {
    await Promise.all([...this.#jobs.values()].map((job) => job.planned));
  }
}
