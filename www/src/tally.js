// Where a job stands, gathered from its events: what the view of a run reads.

/** How far back the rate looks, and how often it is sampled; milliseconds. */
const WINDOW = 8000;
const STEP = 400;
/** Files that are remembered after their end. */
const KEPT = 50;

export class Tally {
  phase = undefined;
  /** Files under way and the last ones by number: `{ name, expected, received, resources, state }`. */
  files = new Map();
  #ended = [];
  filesDone = 0;
  filesKnown = 0;
  received = 0;
  resources = 0;
  expected = undefined;
  /** The last wait: `{ reason, until, progress, message }`. */
  waiting = undefined;
  retries = 0;
  #samples = [];

  constructor(now = () => performance.now()) {
    this.now = now;
    this.started = now();
  }

  /** @param {import('smart-fetch').Event} event */
  take(event) {
    switch (event.type) {
      case 'phase':
        this.phase = event.phase;
        this.waiting = undefined;
        break;
      case 'waiting':
        this.waiting = { ...event, until: this.now() + event.millis };
        if (event.reason === 'retry') this.retries += 1;
        break;
      case 'manifest':
        this.filesKnown = Math.max(this.filesKnown, event.files);
        this.expected = event.resources ?? this.expected;
        break;
      case 'fileStarted':
        this.files.set(event.file, { name: event.name, expected: event.expected, received: 0, resources: 0, state: 'active' });
        break;
      case 'fileProgress':
        Object.assign(this.files.get(event.file) ?? {}, { received: event.received, resources: event.resources });
        break;
      case 'fileFinished':
        this.#end(event, 'done');
        break;
      case 'fileFailed':
        if (event.last) this.#end(event, 'failed');
        else this.files.set(event.file, { ...this.files.get(event.file), name: event.name, state: 'again' });
        break;
      case 'totals':
        this.filesDone = event.filesDone;
        this.filesKnown = Math.max(this.filesKnown, event.files);
        this.received = event.received;
        this.resources = event.resources;
        this.#sample(event.received);
        break;
      default:
    }
  }

  /** An export may have any number of files; the last ones are enough to look at. */
  #end({ file, name, received, resources }, state) {
    this.files.set(file, { ...this.files.get(file), name, received, resources, state });
    this.#ended.push(file);
    if (this.#ended.length > KEPT) this.files.delete(this.#ended.shift());
  }

  #sample(received) {
    const at = this.now();
    const last = this.#samples.at(-1);
    if (!last || at - last.at >= STEP) this.#samples.push({ at, received });
    while (this.#samples.length > 2 && this.#samples[0].at < at - WINDOW) this.#samples.shift();
  }

  get elapsed() {
    return this.now() - this.started;
  }

  /** Bytes a second, lately; undefined before there is one. */
  get rate() {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (!first || last.at - first.at < STEP) return undefined;
    return ((last.received - first.received) * 1000) / (Math.max(this.now(), last.at) - first.at);
  }

  /** The part that is done, 0 to 1; undefined where nobody knows. */
  get share() {
    if (this.phase === 'finish') return 1;
    if (this.phase !== 'download') return undefined;
    if (this.expected) return Math.min(1, this.resources / this.expected);
    return this.filesKnown ? Math.min(1, this.filesDone / this.filesKnown) : undefined;
  }

  /** The wait under way, with the milliseconds left. */
  get wait() {
    const left = (this.waiting?.until ?? 0) - this.now();
    return left > 0 ? { ...this.waiting, left } : undefined;
  }
}
