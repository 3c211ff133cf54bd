/**
 * A job under way: what it tells, and how it ends.
 */
import { SmartFetchError } from './errors.js';
import { worded, wordedAll } from './names.js';

/** @typedef {import('./index.d.ts').Event} Event */

/** Events kept for a listener that is slow or not there. Losing one loses no data (`src/event.rs`). */
const KEPT = 10_000;

/** The pause button of a job. */
export class Pause {
  /** @type {Promise<void> | undefined} */
  #over;
  #end = () => {};
  /** Told of each change, where the job runs in another thread. @type {((paused: boolean) => void) | undefined} */
  onChange;

  get paused() {
    return this.#over !== undefined;
  }

  /** @param {boolean} paused */
  set(paused) {
    if (paused === this.paused) return;
    if (paused) {
      this.#over = new Promise((resolve) => (this.#end = resolve));
    } else {
      this.#over = undefined;
      this.#end();
    }
    this.onChange?.(paused);
  }

  /** Resolves when the pause is over; nothing if there is none. */
  over() {
    return this.#over;
  }
}

/**
 * @template Report
 * @implements {AsyncIterable<Event>}
 */
export class Job {
  /** @type {Event[]} */
  #events = [];
  /** @type {(() => void) | undefined} */
  #wake;
  #ended = false;
  /** @type {() => void} */
  #cancel = () => {};
  #pause = new Pause();

  /**
   * @param {string} operation
   * @param {(control: import('./client.js').Control) => Promise<Report>} run
   * @param {AbortSignal} [signal]
   */
  constructor(operation, run, signal) {
    const cancelled = /** @type {Promise<void>} */ (new Promise((resolve) => (this.#cancel = resolve)));
    const cancel = () => this.cancel();
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    /** @type {Promise<Report>} */
    this.result = (async () => {
      try {
        return wordedAll(await run({ cancelled, onEvent: (event) => this.#push(event), pause: this.#pause }));
      } catch (error) {
        throw SmartFetchError.from(error, operation);
      } finally {
        signal?.removeEventListener('abort', cancel);
        this.#ended = true;
        this.#wake?.();
      }
    })();
    // Who iterates gets the error there; it must not count as unhandled before `result` is awaited.
    this.result.catch(() => {});
  }

  /** Stops the job. What it has done is kept; `result` rejects with the code `cancelled`. */
  cancel() {
    this.#cancel();
  }

  /** Sends no further request until `resume`; what is in flight goes on to its end. */
  pause() {
    this.#pause.set(true);
  }

  /** Goes on after `pause`. */
  resume() {
    this.#pause.set(false);
  }

  /** Whether it is paused. */
  get paused() {
    return this.#pause.paused;
  }

  /** @param {Event} event */
  #push(event) {
    if ('message' in event && event.message !== undefined) event.message = worded(event.message);
    const last = this.#events.at(-1);
    const replaces =
      last !== undefined &&
      ((event.type === 'totals' && last.type === 'totals') ||
        (event.type === 'progress' && last.type === 'progress' && event.task === last.task) ||
        (event.type === 'fileProgress' && last.type === 'fileProgress' && event.file === last.file));
    if (replaces) this.#events.pop();
    this.#events.push(event);
    if (this.#events.length > KEPT) this.#events.shift();
    this.#wake?.();
  }

  /** The events, for one listener; throws what `result` rejects with. */
  async *[Symbol.asyncIterator]() {
    for (;;) {
      // Taken as a whole: shifting one by one would be slow after a burst.
      const events = this.#events;
      this.#events = [];
      yield* events;
      if (this.#events.length > 0) continue;
      if (this.#ended) break;
      await /** @type {Promise<void>} */ (new Promise((resolve) => (this.#wake = resolve)));
      this.#wake = undefined;
    }
    await this.result;
  }
}
