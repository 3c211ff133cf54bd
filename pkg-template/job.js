/**
 * A job under way: what it tells, and how it ends.
 */
import { SmartFetchError } from './errors.js';

/** @typedef {import('./index.d.ts').Event} Event */

/** Events kept for a listener that is slow or not there. Losing one loses no data (`src/event.rs`). */
const KEPT = 10_000;

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

  /**
   * @param {string} operation
   * @param {(cancelled: Promise<void>, onEvent: (event: Event) => void) => Promise<Report>} run
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
        return await run(cancelled, (event) => this.#push(event));
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

  /** @param {Event} event */
  #push(event) {
    const last = this.#events.at(-1);
    const replaces =
      last !== undefined &&
      ((event.type === 'totals' && last.type === 'totals') ||
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
