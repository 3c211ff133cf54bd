/**
 * A request under way, as the core sees it: what came of the response, until the core asks for it.
 */
import { TransportError } from '../errors.js';

/** Once this much waits for the core, the connection is not read any further. */
const HIGH_WATER = 256 * 1024;

export const aborted = () => new TransportError('interrupted', 'the request was aborted');

/** @typedef {import('../host.d.ts').Exchange} HostExchange */

/** @implements {HostExchange} */
export class Exchange {
  /** @type {Uint8Array[]} */
  #queue = [];
  #queued = 0;
  #paused = false;
  #ended = false;
  /** @type {Error | undefined} */
  #error;
  /** @type {import('../host.d.ts').Head | undefined} */
  #head;
  #headGiven = false;
  #waiting = false;
  #wake;
  #number;
  /** @type {(() => void) | undefined} the memory of the body is lent, and goes back by this */
  #giveBack;
  /** Reads the connection again; of whoever does the exchange. */
  resume = () => {};
  /** Breaks the connection; of whoever does the exchange. */
  break = () => {};

  /**
   * @param {(number: number) => void} wake
   * @param {number} number
   */
  constructor(wake, number) {
    this.#wake = wake;
    this.#number = number;
  }

  // The core's side.

  head() {
    const head = this.#head;
    if (head) {
      // All of it is here: nobody need ask for it.
      if (this.#ended) head.body = this.#take();
      this.#headGiven = true;
      return head;
    }
    if (this.#error) throw this.#error;
    this.#waiting = true;
    return undefined;
  }

  chunk() {
    if (this.#queued > 0) {
      const bytes = this.#take();
      this.#read();
      return bytes;
    }
    if (this.#error) throw this.#error;
    if (this.#ended) return null;
    this.#waiting = true;
    this.#read();
    return undefined;
  }

  taken() {
    this.#giveBack?.();
    this.#giveBack = undefined;
  }

  abort() {
    if (this.#ended || this.#error) return;
    this.#queue = [];
    this.#queued = 0;
    this.#waiting = false;
    this.fail(aborted());
    this.break();
  }

  #read() {
    if (!this.#paused) return;
    this.#paused = false;
    this.resume();
  }

  #take() {
    const bytes = this.#queue.length === 1 ? this.#queue[0] : Buffer.concat(this.#queue, this.#queued);
    this.#queue = [];
    this.#queued = 0;
    return bytes;
  }

  // The connection's side. What comes in one go is told in one go: by `flush`.

  /** Whether it has ended, well or not. */
  get over() {
    return this.#ended || this.#error !== undefined;
  }

  get headCame() {
    return this.#head !== undefined;
  }

  /** Whether reading goes on only when the core has taken what is here. */
  get paused() {
    return this.#paused;
  }

  /** @param {import('../host.d.ts').Head} head */
  begin(head) {
    this.#head = head;
  }

  /**
   * A piece of the body, which is the exchange's from now on.
   * @param {Uint8Array} bytes
   */
  data(bytes) {
    if (this.over || bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    this.#paused = this.#queued >= HIGH_WATER;
  }

  /**
   * The last piece of the body, in memory that serves again once the core has copied it. If nobody says so, it is the exchange's.
   * @param {Uint8Array} bytes
   * @param {() => void} giveBack
   */
  lend(bytes, giveBack) {
    if (this.#queued === 0) this.#giveBack = giveBack;
    this.data(bytes);
  }

  end() {
    this.#ended = true;
    // The connection may be another's by now.
    this.#paused = false;
  }

  /** @param {Error} error */
  fail(error) {
    if (this.over) return;
    this.#error = error;
    this.flush();
  }

  /** Wakes whoever waits, if there is an answer. */
  flush() {
    if (!this.#waiting || !(this.#head || this.#error)) return;
    if (this.#headGiven && !(this.#queued > 0 || this.over)) return;
    this.#waiting = false;
    this.#wake(this.#number);
  }
}
