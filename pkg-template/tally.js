/**
 * Where a job stands, gathered from its events: what progress bars and pages read.
 */

/** How far back the rate looks, and how often it is sampled; milliseconds. */
const WINDOW = 10_000;
const STEP = 500;

/** Files that are remembered after their end: an export may have any number. */
const KEPT = 50;

/** @typedef {import('./index.d.ts').Event} Event */

export class Tally {
  /** @type {string | undefined} */
  phase;
  /** @type {Map<number, import('./tally.d.ts').TallyFile>} */
  files = new Map();
  filesDone = 0;
  filesKnown = 0;
  received = 0;
  resources = 0;
  /** @type {number | undefined} */
  expected;
  inFlight = 0;
  limit = 0;
  /** @type {number | undefined} */
  waitingSince;
  /** @type {Extract<Event, { type: 'progress' }> | undefined} */
  step;
  /** @type {Map<string, { reason: string, until: number, progress?: string, message?: string }>} */
  #waits = new Map();
  /** @type {number[]} */
  #ended = [];
  /** @type {{ at: number, received: number }[]} */
  #samples = [];

  /** @param {() => number} [now] milliseconds that only grow */
  constructor(now = () => performance.now()) {
    this.now = now;
    this.started = now();
  }

  /** @param {Event} event */
  take(event) {
    switch (event.type) {
      case 'phase':
        this.phase = event.phase;
        this.#waits.clear();
        this.step = undefined;
        this.waitingSince = event.phase === 'wait' ? this.now() : undefined;
        break;
      case 'manifest':
        this.filesKnown = Math.max(this.filesKnown, event.files);
        this.expected = event.resources ?? this.expected;
        break;
      case 'waiting':
        this.#waits.set(event.reason, { reason: event.reason, until: this.now() + event.millis, progress: event.progress, message: event.message });
        break;
      case 'fileStarted':
        this.files.set(event.file, { name: event.name, expected: event.expected, received: 0, resources: 0, state: 'active', since: this.now() });
        break;
      case 'fileProgress':
        this.#change(event.file, { received: event.received, resources: event.resources });
        break;
      case 'fileFinished':
        this.#change(event.file, { received: event.received, resources: event.resources, state: 'done' });
        break;
      case 'fileFailed':
        this.#change(event.file, { state: event.last ? 'failed' : 'again' });
        break;
      case 'totals':
        this.#totals(event);
        break;
      case 'progress':
        this.step = event;
        break;
      default:
    }
  }

  /**
   * @param {number} number
   * @param {Partial<import('./tally.d.ts').TallyFile>} change
   */
  #change(number, change) {
    const file = this.files.get(number);
    if (!file) return;
    Object.assign(file, change);
    if (file.state !== 'done' && file.state !== 'failed') return;
    this.#ended.push(number);
    const oldest = this.#ended.length > KEPT ? this.#ended.shift() : undefined;
    if (oldest !== undefined) this.files.delete(oldest);
  }

  /** @param {Extract<Event, { type: 'totals' }>} event */
  #totals(event) {
    this.filesDone = event.filesDone;
    this.filesKnown = Math.max(this.filesKnown, event.files);
    this.received = event.received;
    this.resources = event.resources;
    this.inFlight = event.active;
    this.limit = event.limit;
    const at = this.now();
    const last = this.#samples.at(-1);
    if (!last || at - last.at >= STEP) this.#samples.push({ at, received: event.received });
    while (this.#samples.length > 2 && this.#samples[0].at < at - WINDOW) this.#samples.shift();
  }

  get active() {
    return [...this.files.values()].filter(({ state }) => state === 'active');
  }

  get elapsed() {
    return this.now() - this.started;
  }

  get rate() {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (!first || !last || last.at - first.at < STEP) return undefined;
    return ((last.received - first.received) * 1000) / (Math.max(this.now(), last.at) - first.at);
  }

  get share() {
    if (this.phase === 'finish') return 1;
    if (this.step) return this.step.total === undefined ? undefined : this.step.total === 0 ? 1 : this.step.done / this.step.total;
    if (this.phase !== 'download') return undefined;
    if (this.expected) return Math.min(1, this.resources / this.expected);
    return this.filesKnown ? Math.min(1, this.filesDone / this.filesKnown) : undefined;
  }

  get wait() {
    let longest;
    for (const [reason, wait] of this.#waits) {
      const left = wait.until - this.now();
      if (left <= 0) this.#waits.delete(reason);
      else if (!longest || left > longest.left) longest = { ...wait, left };
    }
    return longest;
  }
}
