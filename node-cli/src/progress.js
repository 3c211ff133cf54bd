import { PlainProgress } from './progress/plain.js';

/**
 * What shows a job's events while it runs. No event may make it throw, and none that is dropped loses more than a line.
 * @typedef {object} Progress
 * @property {(event: object) => void} event takes an event of the job (`src/event.rs` in camelCase)
 * @property {(text: string) => void} message prints a line of our own to standard error without disturbing the rest
 * @property {() => void} stop takes down what must not stay; messages still work after it
 * @property {(last: object) => void} end tells programs how it ended
 */

/**
 * @param {'auto'|'bar'|'plain'|'json'|'none'} mode
 * @param {import('./output.js').Output} output
 * @param {{verbose?: boolean, quiet?: boolean, brief?: boolean}} talk `brief`: a line for each hydration task that did something
 * @returns {Promise<Progress>}
 */
export async function openProgress(mode, output, talk = {}) {
  switch (talk.quiet && mode !== 'json' ? 'none' : resolve(mode, output)) {
    case 'bar': {
      // Loaded where it is shown: that takes as long as a small export.
      const { BarProgress } = await import('./progress/bars.js');
      return new BarProgress(output, talk);
    }
    case 'json':
      return new JsonProgress(output);
    case 'none':
      return new QuietProgress(output);
    default:
      return new PlainProgress(output, talk);
  }
}

function resolve(mode, output) {
  // Bars can be drawn on a terminal only, whoever asks for them.
  if (mode === 'bar') return output.stderr.isTTY ? 'bar' : 'plain';
  if (mode !== 'auto') return mode;
  return output.stderr.isTTY && process.env.TERM !== 'dumb' ? 'bar' : 'plain';
}

/** Warnings only. */
class QuietProgress {
  constructor(output) {
    this.output = output;
  }

  event(event) {
    // The first of these, and how many there are, are told at the end.
    if (event.type === 'warning' && event.code !== 'hydration-failed') this.message(`Warning: ${event.message}`);
  }

  message(text) {
    this.output.error(text);
  }

  stop() {}

  end() {}
}

/** Events that the next of their kind makes obsolete. */
const PASSING = new Set(['fileProgress', 'totals']);

/** One event a line on standard output, for programs; warnings for people on standard error as well. */
class JsonProgress extends QuietProgress {
  event(event) {
    super.event(event);
    // A reader that is slower than the export must not make us hold the events.
    if (PASSING.has(event.type) && !this.output.ready) return;
    this.output.line(JSON.stringify(event));
  }

  end(last) {
    this.output.line(JSON.stringify(last));
  }
}
