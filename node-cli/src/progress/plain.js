import { Tally } from 'smart-fetch';
import { briefTask, describeTask } from '../hydrated.js';
import { formatBytes, formatCount, plural } from '../output.js';
import { describeStep, describeWait, oneLine, PHASES } from './words.js';

/** Above this many files only totals are printed: 20,000 lines are no progress report. */
const MANY_FILES = 200;
/** Least time between two lines of totals, and between two lines on the same kind of wait, in milliseconds. */
const TOTALS_EVERY = 10_000;
const WAITS_EVERY = 60_000;

/** Lines for a log: phases, waits, files, totals; the time of day with each but the files. */
export class PlainProgress {
  #tally = new Tally();
  #lastTotals;
  #lastWait = new Map();

  constructor(output, { verbose = false, brief = false } = {}) {
    this.output = output;
    this.verbose = verbose;
    this.brief = brief && !verbose;
    this.#lastTotals = this.#tally.started;
  }

  event(event) {
    const tally = this.#tally;
    const before = tally.phase;
    tally.take(event);
    switch (event.type) {
      case 'phase':
        // The core asks again when a server refuses a part of the request.
        if (event.phase !== before) this.#stamped(PHASES[event.phase] ?? `${event.phase}…`);
        break;
      case 'note':
        this.#stamped(oneLine(event.message));
        break;
      case 'warning':
        if (this.verbose || event.code !== 'hydration-failed') this.message(`Warning: ${oneLine(event.message)}`);
        break;
      case 'kickedOff':
        if (this.verbose) this.#stamped(`Status URL: ${oneLine(event.statusUrl)}`);
        break;
      case 'waiting':
        this.#wait(event);
        break;
      case 'manifest':
        this.#stamped(this.#announcement(event));
        break;
      case 'fileStarted':
        if (this.verbose) this.message(`  Downloading ${oneLine(event.name)}`);
        break;
      case 'fileFinished':
        if (this.verbose || tally.filesKnown <= MANY_FILES) this.message(`  Downloaded ${oneLine(event.name)} (${formatBytes(event.received)})`);
        break;
      case 'fileFailed':
        if (this.verbose || event.last) this.message(`  ${oneLine(event.name)}: ${oneLine(event.message)}${event.last ? '' : ' It is tried again.'}`);
        break;
      case 'hydrated':
        if (!this.brief) describeTask(event.report).forEach((line) => this.output.line(line));
        else if (briefTask(event.report)) this.message(`  ${oneLine(briefTask(event.report))}`);
        break;
      case 'totals':
        this.#totals();
        break;
      case 'progress':
        this.#step(event);
        break;
      default:
    }
  }

  message(text) {
    this.output.error(text);
  }

  stop() {}

  end() {}

  #announcement({ files, resources, transactionTime }) {
    const counted = resources === undefined ? '' : ` with ${plural(resources, 'resource')}`;
    return `The server offers ${plural(files, 'file')}${counted}, as of ${oneLine(transactionTime)}.`;
  }

  #totals() {
    const tally = this.#tally;
    const now = tally.now();
    if (now - this.#lastTotals < TOTALS_EVERY) return;
    this.#lastTotals = now;
    const parts = [
      `${formatCount(tally.filesDone)} of ${plural(tally.filesKnown, 'file')}`,
      plural(tally.resources, 'resource'),
      formatBytes(tally.received),
    ];
    if (tally.rate !== undefined) parts.push(`${formatBytes(tally.rate)}/s`);
    parts.push(`${tally.inFlight} of ${plural(tally.limit, 'request')} at once`);
    this.#stamped(parts.join(', '));
  }

  /** A step is told when it has ended, and now and again while it lasts. */
  #step(event) {
    const now = this.#tally.now();
    const text = `${oneLine(event.task)}: ${describeStep(event)}`;
    if (event.done === event.total) {
      // Of a hydration task more is known in a moment.
      if (!this.brief || this.#tally.phase !== 'hydrate') this.message(`  ${text}`);
    } else if (now - this.#lastTotals >= TOTALS_EVERY) this.#stamped(text);
    else return;
    this.#lastTotals = now;
  }

  /** Short waits are no news unless asked for; long ones are told at once, then now and again. */
  #wait({ reason, millis, progress, message }) {
    const now = this.#tally.now();
    const last = this.#lastWait.get(reason);
    const quiet = millis < WAITS_EVERY && last !== undefined && now - last < WAITS_EVERY;
    if (!this.verbose && (quiet || (millis < 1000 && !progress))) return;
    this.#lastWait.set(reason, now);
    const soFar = reason === 'status' && this.#tally.waitingSince !== undefined ? now - this.#tally.waitingSince : undefined;
    this.#stamped(oneLine(describeWait({ reason, left: millis, progress, message }, soFar)));
  }

  #stamped(text) {
    this.message(`${new Date().toTimeString().slice(0, 8)} ${text}`);
  }
}
