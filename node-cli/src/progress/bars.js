import cliProgress from 'cli-progress';
import { Tally } from 'smart-fetch';
import { describeTask } from '../hydrated.js';
import { formatBytes, formatCount, formatDuration, plural } from '../output.js';
import { describeStep, describeWait, oneLine, PHASES } from './words.js';

const BAR_WIDTH = 24;
/** A file is shown once it has taken this long: thousands of tiny ones would only flicker. */
const SHOWN_AFTER = 400;
const MOST_FILES_SHOWN = 8;
/** Above this many files their end is no news. */
const MANY_FILES = 200;

/** Bars on a terminal: a line for each file that takes its time, one for waits, one for the whole job. Drawn at a fixed rate, whatever comes in. */
export class BarProgress {
  #tally = new Tally();
  #bars;
  #lines = [];
  #pending = false;
  #stopped = false;
  /** For standard output, once no bar is in the way. */
  #tables = [];

  constructor(output, { verbose = false } = {}) {
    this.output = output;
    this.verbose = verbose;
    const stream = output.stderr;
    this.#bars = new cliProgress.MultiBar({
      stream,
      fps: 8,
      barsize: BAR_WIDTH,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      clearOnComplete: true,
      hideCursor: true,
      // Lines are cut to the width here; switching the terminal's own wrapping off would cut the messages as well.
      linewrap: true,
      forceRedraw: true,
      gracefulExit: false,
      format: (options, params, line) => cut(line.draw(options), (stream.columns || 80) - 1),
    });
    this.#bars.on('update-pre', () => this.#layOut());
    this.#bars.on('redraw-pre', () => {
      // A message overwrites the lines of the bars: nothing of them may show behind it.
      if (this.#pending) this.#bars.terminal.clearBottom();
      this.#pending = false;
    });
    this.#add(() => this.#statusLine());
    this.#add((options) => this.#totalLine(options));
  }

  event(event) {
    this.#tally.take(event);
    switch (event.type) {
      case 'note':
        this.message(oneLine(event.message));
        break;
      case 'warning':
        if (this.verbose || event.code !== 'hydration-failed') this.message(`Warning: ${oneLine(event.message)}`);
        break;
      case 'hydrated':
        this.#tables.push(...describeTask(event.report));
        break;
      case 'kickedOff':
        if (this.verbose) this.message(`Status URL: ${oneLine(event.statusUrl)}`);
        break;
      case 'waiting':
        if (this.verbose && event.message) this.message(oneLine(describeWait({ ...event, left: event.millis })));
        break;
      case 'progress':
        if (event.done === event.total) this.message(`  ${oneLine(event.task)}: ${describeStep(event)}`);
        break;
      case 'fileFinished':
        if (this.verbose || this.#tally.filesKnown <= MANY_FILES) this.message(`  Downloaded ${oneLine(event.name)} (${formatBytes(event.received)})`);
        break;
      case 'fileFailed':
        if (this.verbose || event.last) this.message(`  ${oneLine(event.name)}: ${oneLine(event.message)}`);
        break;
      default:
    }
  }

  message(text) {
    if (this.#stopped) {
      this.output.error(text);
      return;
    }
    this.#pending = true;
    this.#bars.log(`${text}\n`);
  }

  stop() {
    if (this.#stopped) return;
    this.#stopped = true;
    // The messages still held are drawn with the next update only.
    this.#bars.update();
    this.#bars.stop();
    this.#tables.forEach((line) => this.output.line(line));
  }

  end() {}

  #add(draw) {
    const line = { draw };
    this.#lines.push(this.#bars.create(1, 0, line));
  }

  /** Sees to it that there are as many lines for files as are needed: never fewer than before, so that nothing jumps. */
  #layOut() {
    const room = Math.min(MOST_FILES_SHOWN, (this.output.stderr.rows || 24) - 4);
    const wanted = Math.min(room, this.#shown().length);
    while (this.#lines.length - 2 < wanted) {
      const index = this.#lines.length - 2;
      this.#add((options) => this.#fileLine(index, options));
    }
  }

  #shown() {
    const since = this.#tally.now() - SHOWN_AFTER;
    return this.#tally.active.filter((file) => file.since <= since);
  }

  #fileLine(index, options) {
    const file = this.#shown()[index];
    if (!file) return '';
    const name = `  ${oneLine(file.name).slice(0, 34).padEnd(34)} `;
    const counted = file.expected === undefined ? plural(file.resources, 'resource') : `${formatCount(file.resources)}/${plural(file.expected, 'resource')}`;
    const share = file.expected ? `${bar(file.resources / file.expected, options)} ` : '';
    return `${name}${share}${formatBytes(file.received)}, ${counted}`;
  }

  #statusLine() {
    const tally = this.#tally;
    const { wait } = tally;
    if (wait) {
      const soFar = wait.reason === 'status' && tally.waitingSince !== undefined ? tally.now() - tally.waitingSince : undefined;
      return oneLine(describeWait(wait, soFar));
    }
    return PHASES[tally.phase] ?? '';
  }

  #totalLine(options) {
    const tally = this.#tally;
    const elapsed = formatDuration(tally.elapsed);
    if (tally.step) {
      const { task, done, total } = tally.step;
      return `${total === undefined ? '' : `${bar(total === 0 ? 1 : done / total, options)} `}${oneLine(task)}: ${describeStep(tally.step)}, ${elapsed}`;
    }
    if (!tally.filesKnown) return elapsed;
    const parts = [
      `${formatCount(tally.filesDone)}/${plural(tally.filesKnown, 'file')}`,
      plural(tally.resources, 'resource'),
      formatBytes(tally.received),
      ...(tally.rate === undefined ? [] : [`${formatBytes(tally.rate)}/s`]),
      `${tally.inFlight}/${plural(tally.limit, 'request')}`,
      elapsed,
    ];
    return `${bar(tally.share ?? 0, options)} ${parts.join(', ')}`;
  }
}

function bar(share, options) {
  const part = Math.max(0, Math.min(1, share));
  return `${cliProgress.Format.BarFormat(part, options)} ${String(Math.floor(part * 100)).padStart(3)}%`;
}

function cut(text, width) {
  return text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text;
}
