// What the server has seen, for assertions in tests.
const MAX_BODY = 65_536;

/** The last requests, in order. */
export class RequestLog {
  #entries = [];
  #limit;

  constructor(limit) {
    this.#limit = limit;
  }

  /** Starts an entry; `status` is filled in when the answer ends (0: the connection was reset). */
  add(req, origin) {
    const entry = { time: Date.now(), method: req.method, url: req.url, headers: req.headers, body: '', status: null, origin };
    this.#entries.push(entry);
    if (this.#entries.length > 2 * this.#limit) this.#entries = this.#entries.slice(-this.#limit);
    return entry;
  }

  static body(entry, bytes) {
    entry.body = bytes.subarray(0, MAX_BODY).toString('utf8');
  }

  list() {
    return this.#entries.slice(-this.#limit);
  }

  clear() {
    this.#entries = [];
  }
}

/** Counters over all requests and by route. */
export class Stats {
  inFlight = 0;
  maxInFlight = 0;
  total = 0;
  /** @type {Record<string, {total: number, inFlight: number, maxInFlight: number}>} */
  routes = {};

  begin(route) {
    const counter = (this.routes[route] ??= { total: 0, inFlight: 0, maxInFlight: 0 });
    for (const one of [this, counter]) {
      one.total++;
      one.inFlight++;
      one.maxInFlight = Math.max(one.maxInFlight, one.inFlight);
    }
    return () => {
      this.inFlight--;
      counter.inFlight--;
    };
  }
}
