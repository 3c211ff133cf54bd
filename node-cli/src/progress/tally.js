/** How far back the rate looks, in milliseconds. */
const RATE_WINDOW = 10_000;
const RATE_STEP = 500;

/** Where a job stands, gathered from its events: the one thing that the bars and the plain lines read. */
export class Tally {
  phase = undefined;
  /** Files under way by number: `{name, expected, received, resources, since}`. */
  active = new Map();
  filesDone = 0;
  files = 0;
  received = 0;
  resources = 0;
  /** Resources that the manifest announced, if it did. */
  expected = undefined;
  inFlight = 0;
  limit = 0;
  /** The waits under way by reason: `{until, progress, message}`. */
  waits = new Map();
  waitingSince = undefined;
  /** The step under way besides the download of files: `{task, done, total, resources}`. */
  step = undefined;
  #samples = [];

  /** @param {() => number} now milliseconds that only grow */
  constructor(now = () => performance.now()) {
    this.now = now;
    this.started = now();
  }

  take(event) {
    switch (event.type) {
      case 'phase':
        this.phase = event.phase;
        this.waits.clear();
        this.step = undefined;
        this.waitingSince = event.phase === 'wait' ? this.now() : undefined;
        break;
      case 'manifest':
        this.files = Math.max(this.files, event.files);
        this.expected = event.resources;
        break;
      case 'waiting':
        this.waits.set(event.reason, { until: this.now() + event.millis, progress: event.progress, message: event.message });
        break;
      case 'fileStarted':
        this.active.set(event.file, { name: event.name, expected: event.expected, received: 0, resources: 0, since: this.now() });
        break;
      case 'fileProgress': {
        const file = this.active.get(event.file);
        if (file) Object.assign(file, { received: event.received, resources: event.resources });
        break;
      }
      case 'fileFinished':
      case 'fileFailed':
        this.active.delete(event.file);
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

  /** Bytes a second, lately. */
  get rate() {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || last.at - first.at < RATE_STEP) return undefined;
    return ((last.received - first.received) * 1000) / (Math.max(this.now(), last.at) - first.at);
  }

  /** Part of the work that is done, 0 to 1, where that is known. */
  get share() {
    if (this.expected) return Math.min(1, this.resources / this.expected);
    return this.files ? Math.min(1, this.filesDone / this.files) : undefined;
  }

  /** The wait that ends last, with the milliseconds left, or undefined. */
  get wait() {
    let longest;
    for (const [reason, wait] of this.waits) {
      const left = wait.until - this.now();
      if (left <= 0) this.waits.delete(reason);
      else if (!longest || left > longest.left) longest = { ...wait, reason, left };
    }
    return longest;
  }

  #totals(event) {
    Object.assign(this, {
      filesDone: event.filesDone,
      files: Math.max(this.files, event.files),
      received: event.received,
      resources: event.resources,
      inFlight: event.active,
      limit: event.limit,
    });
    const at = this.now();
    const last = this.#samples.at(-1);
    if (!last || at - last.at >= RATE_STEP) this.#samples.push({ at, received: event.received });
    while (this.#samples.length > 2 && this.#samples[0].at < at - RATE_WINDOW) this.#samples.shift();
  }
}
