/**
 * Time and randomness, the same in Node and browsers.
 */

/** Timers count milliseconds in 31 bits; longer ones fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** @type {import('./host.d.ts').HostClock} */
export const clock = {
  now: () => Date.now(),
  offsetMinutes: (millis) => -new Date(millis).getTimezoneOffset(),
  sleep(millis) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const promise = /** @type {Promise<void>} */ (new Promise((resolve) => {
      let left = Math.max(0, millis);
      const step = () => {
        const now = Math.min(left, LONGEST_TIMER);
        left -= now;
        timer = setTimeout(left > 0 ? step : resolve, now);
      };
      step();
    }));
    return { done: () => promise, cancel: () => clearTimeout(timer) };
  },
};

/** @type {import('./host.d.ts').HostRandom} */
export const random = {
  fill(bytes) {
    // The Web Crypto API gives at most 65,536 bytes at a time.
    for (let at = 0; at < bytes.length; at += 65536) {
      globalThis.crypto.getRandomValues(bytes.subarray(at, at + 65536));
    }
  },
};
