/** Deterministic random numbers (mulberry32): the same seed gives the same data on every machine. */
export class Random {
  #state;

  constructor(...seeds) {
    let hash = 0x811c9dc5; // FNV-1a over the parts, so that (1, 23) and (12, 3) differ
    for (const char of seeds.join('/')) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
    this.#state = hash >>> 0;
  }

  /** 0 <= x < 1 */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** Whole number, low <= n <= high. */
  int(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  pick(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  chance(probability) {
    return this.next() < probability;
  }
}
