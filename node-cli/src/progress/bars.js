import cliProgress from 'cli-progress';
import { Tally } from 'smart-fetch';
import { briefTask, describeTask } from '../hydrated.js';
import { formatBytes, formatCount, formatDuration, plural } from '../output.js';
import { describeStep, describeWait, oneLine, PHASES } from './words.js';

const BAR_WIDTH = 24;
/** On a terminal narrower than this the bar is short, and files have a percentage alone. */
const NARROW = 100;
const NARROW_BAR_WIDTH = 12;
/** The longest name of a file that is shown, and what the figures behind it take at most. */
const NAME_WIDTH = 34;
const FIGURES_WIDTH = 46;
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

  constructor(output, { verbose = false, brief = false } = {}) {
    this.output = output;
    this.verbose = verbose;
    this.brief = brief && !verbose;
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
      format: (options, params, line) => cut(line.draw(options), this.#width),
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
        if (!this.brief) this.#tables.push(...describeTask(event.report));
        else if (briefTask(event.report)) this.message(`  ${oneLine(briefTask(event.report))}`);
        break;
      case 'kickedOff':
        if (this.verbose) this.message(`Status URL: ${oneLine(event.statusUrl)}`);
        break;
      case 'waiting':
        if (this.verbose && event.message) this.message(oneLine(describeWait({ ...event, left: event.millis })));
        break;
      case 'progress':
        // Of a hydration task more is known in a moment.
        if (event.done === event.total && !(this.brief && this.#tally.phase === 'hydrate')) this.message(`  ${oneLine(event.task)}: ${describeStep(event)}`);
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

  /** What a line can hold: the last column is left free, since some terminals break the line there. */
  get #width() {
    return (this.output.stderr.columns || 80) - 1;
  }

  get #isNarrow() {
    return this.#width < NARROW - 1;
  }

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
    const width = Math.max(12, Math.min(NAME_WIDTH, this.#width - FIGURES_WIDTH));
    const name = `  ${cut(oneLine(file.name), width).padEnd(width)} `;
    const counted = file.expected === undefined ? plural(file.resources, 'resource') : `${formatCount(file.resources)}/${plural(file.expected, 'resource')}`;
    const share = file.expected ? file.resources / file.expected : undefined;
    const part = share === undefined ? '' : `${this.#isNarrow ? percent(share) : this.#bar(share, options)} `;
    return `${name}${part}${formatBytes(file.received)}, ${counted}`;
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
      const before = total === undefined ? '' : `${this.#bar(total === 0 ? 1 : done / total, options)} `;
      const after = `: ${describeStep(tally.step)}, ${elapsed}`;
      return before + cut(oneLine(task), Math.max(8, this.#width - before.length - after.length)) + after;
    }
    if (!tally.filesKnown) return elapsed;
    // What is least to be missed goes first where there is no room for all.
    const parts = [
      { text: `${formatCount(tally.filesDone)}/${plural(tally.filesKnown, 'file')}`, rank: 0 },
      { text: plural(tally.resources, 'resource'), rank: 1 },
      { text: formatBytes(tally.received), rank: 3 },
      ...(tally.rate === undefined ? [] : [{ text: `${formatBytes(tally.rate)}/s`, rank: 4 }]),
      { text: `${tally.inFlight}/${plural(tally.limit, 'request')}`, rank: 5 },
      { text: elapsed, rank: 2 },
    ];
    const before = `${this.#bar(tally.share ?? 0, options)} `;
    for (let rank = parts.length; ; rank -= 1) {
      const text = before + parts.filter((part) => part.rank <= rank).map((part) => part.text).join(', ');
      if (rank === 0 || text.length <= this.#width) return text;
    }
  }

  #bar(share, options) {
    const barsize = this.#isNarrow ? NARROW_BAR_WIDTH : BAR_WIDTH;
    return `${cliProgress.Format.BarFormat(within(share), { ...options, barsize })} ${percent(share)}`;
  }
}

function within(share) {
  return Math.max(0, Math.min(1, share));
}

function percent(share) {
  return `${String(Math.floor(within(share) * 100)).padStart(3)}%`;
}

function cut(text, width) {
  return text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text;
}
