/**
 * HTTP for Node, over undici's dispatcher: raw gzip is kept, redirects are the core's, URLs go out byte for byte.
 */
import { TransportError } from '../errors.js';
import { transportError } from './node-errors.js';
import { Client, buildConnector } from './undici.js';

/** @typedef {import('../host.d.ts').Exchange} Exchange */
/** @typedef {import('../host.d.ts').Head} Head */

/**
 * Who sends requests.
 * @typedef {object} Dispatchers
 * @property {(origin: string) => import('undici').Dispatcher} take one that is free for a request to an origin
 * @property {(origin: string, dispatcher: import('undici').Dispatcher) => void} give it back after the request
 * @property {() => void} close
 */

/** Once this much waits for the core, the socket is not read any further. */
const HIGH_WATER = 256 * 1024;

/** Of a connection: also where NODE_TLS_REJECT_UNAUTHORIZED or --tls-min-v1.0 say otherwise (A01). */
const CONNECT = {
  timeout: 30_000,
  rejectUnauthorized: true,
  minVersion: /** @type {const} */ ('TLSv1.2'),
  autoSelectFamily: true,
  // Node's default of 250 ms per address gives up on slow links.
  autoSelectFamilyAttemptTimeout: 2500,
};

/**
 * A transport with connections of its own. Proxies come from `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`; loopback never
 * goes through one. The number of connections is the core's to limit.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<import('../host.d.ts').Transport>}
 */
export async function createHttp(env = process.env) {
  const proxies = { http: proxyUrl(env, 'HTTP_PROXY'), https: proxyUrl(env, 'HTTPS_PROXY'), not: env.no_proxy ?? env.NO_PROXY ?? '' };
  const dispatchers = proxies.http === '' && proxies.https === '' ? direct() : await proxied(proxies);
  return {
    send: (method, url, headers, body, timeout) => new NodeExchange(dispatchers, method, url, headers, body, timeout),
    close: () => dispatchers.close(),
  };
}

/**
 * A connection for each request in flight, kept for the next. The core limits how many there are, so that undici's queues and
 * pools, which a crawl feels, would have nothing to do.
 * @returns {Dispatchers}
 */
function direct() {
  const options = { connect: strict(CONNECT), pipelining: 1 };
  /** @type {Map<string, Client[]>} */
  const free = new Map();
  /** @type {Set<Client>} */
  const all = new Set();
  return {
    take(origin) {
      const known = free.get(origin)?.pop();
      if (known) return known;
      const client = new Client(origin, options);
      all.add(client);
      return client;
    },
    give(origin, client) {
      const others = free.get(origin);
      if (others) others.push(/** @type {Client} */ (client));
      else free.set(origin, [/** @type {Client} */ (client)]);
    },
    close() {
      for (const client of all) void client.destroy();
    },
  };
}

/**
 * @param {{ http: string, https: string, not: string }} proxies
 * @returns {Promise<Dispatchers>}
 */
async function proxied({ http, https, not }) {
  const { EnvHttpProxyAgent, Pool } = await import('./undici-proxy.js');
  const agent = new EnvHttpProxyAgent({
    connect: CONNECT,
    pipelining: 1,
    factory: (/** @type {any} */ origin, /** @type {any} */ options) => new Pool(origin, { ...options, connect: strict(options.connect) }),
    httpProxy: http,
    httpsProxy: https,
    noProxy: not.trim() === '*' ? '*' : `${not},localhost,127.0.0.1,[::1]`,
    requestTls: CONNECT,
    proxyTls: CONNECT,
    // Plain http goes to a proxy as such: most refuse CONNECT to port 80.
    proxyTunnel: false,
  });
  return { take: () => agent, give: () => {}, close: () => void agent.destroy() };
}

/**
 * A connector whose sockets do not let undici take a reset for the end of a body without a length: on ECONNRESET it would.
 * @param {any} connect
 * @returns {import('undici').buildConnector.connector}
 */
function strict(connect) {
  const connector = typeof connect === 'function' ? connect : buildConnector(connect);
  return (options, callback) =>
    connector(options, (/** @type {any} */ error, /** @type {import('node:net').Socket} */ socket) => {
      socket?.prependListener('error', (/** @type {any} */ failure) => {
        if (failure.code === 'ECONNRESET') failure.code = 'UND_ERR_SOCKET';
      });
      callback(error, /** @type {any} */ (socket));
    });
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string} name
 */
function proxyUrl(env, name) {
  const value = (env[name.toLowerCase()] ?? env[name] ?? '').trim();
  if (value === '') return '';
  const url = value.includes('://') ? value : `http://${value}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    // Without the value: it may hold a password.
    throw new TransportError('invalid', `${name} is no URL of a proxy; write for example http://proxy.example:3128`);
  }
  return url;
}

/** The origin that was found to be one last: a crawl asks one for everything. */
let lastOrigin = '';

/**
 * Splits a URL without changing a byte of what is sent.
 * @param {string} url
 */
function split(url) {
  const parts = /^(https?:\/\/([^/?#\\]+))([^#]*)/i.exec(url);
  if (!parts) throw new TransportError('invalid', 'it is no http or https URL');
  const [, origin, authority, rest] = parts;
  if (authority.includes('@')) throw new TransportError('invalid', 'URLs with user and password are not supported');
  if (origin !== lastOrigin && !URL.canParse(origin)) throw new TransportError('invalid', 'its host is no valid host name');
  lastOrigin = origin;
  if (/[^\x21-\x7e]/.test(rest)) throw new TransportError('invalid', 'it holds characters that must be escaped');
  return { origin, path: rest.startsWith('/') ? rest : `/${rest}` };
}

const CONTENT_ENCODING = 'content-encoding';

const aborted = () => new TransportError('interrupted', 'the request was aborted');

/**
 * One request; also undici's handler for it, in the form that undici calls without copying the headers.
 * @implements {Exchange}
 */
class NodeExchange {
  #dispatchers;
  #dispatch;
  #mayResend;
  #origin = '';
  /** @type {import('undici').Dispatcher | undefined} at work for this request */
  #dispatcher;
  /** @type {((reason: Error) => void) | undefined} */
  #abort;
  /** @type {() => void} reads the socket again */
  #readOn = () => {};
  #paused = false;
  /** @type {Buffer[]} */
  #queue = [];
  #queued = 0;
  #flushing = false;
  #ended = false;
  #aborted = false;
  /** @type {Error | undefined} */
  #error;
  /** @type {Head | undefined} */
  #head;
  /** @type {{ resolve: (head: Head) => void, reject: (error: Error) => void } | undefined} */
  #headWaiter;
  /** @type {{ resolve: (bytes: Uint8Array | undefined) => void, reject: (error: Error) => void } | undefined} */
  #waiter;

  /**
   * @param {Dispatchers} dispatchers
   * @param {string} method
   * @param {string} url
   * @param {string[]} headers
   * @param {Uint8Array | undefined} body
   * @param {number} timeout
   */
  constructor(dispatchers, method, url, headers, body, timeout) {
    this.#dispatchers = dispatchers;
    this.#mayResend = method === 'GET';
    this.#dispatch = () => {
      const { origin, path } = split(url);
      this.#origin = origin;
      this.#dispatcher = dispatchers.take(origin);
      /** @type {any} */
      const options = { origin, path, method, headers, body, headersTimeout: timeout, bodyTimeout: timeout };
      this.#dispatcher.dispatch(options, /** @type {any} */ (this));
    };
    try {
      this.#dispatch();
    } catch (error) {
      this.onError(error);
    }
  }

  response() {
    return /** @type {Promise<Head>} */ (new Promise((resolve, reject) => {
      this.#headWaiter = { resolve, reject };
      if (this.#head || this.#error) this.#flush();
    }));
  }

  chunk() {
    if (this.#queued > 0) {
      const bytes = this.#take();
      this.#read();
      return bytes;
    }
    if (this.#error) throw this.#error;
    if (this.#ended) return undefined;
    return /** @type {Promise<Uint8Array | undefined>} */ (new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#read();
    }));
  }

  abort() {
    this.#aborted = true;
    this.#queue = [];
    this.#queued = 0;
    this.#abort?.(aborted());
  }

  #read() {
    if (!this.#paused) return;
    this.#paused = false;
    this.#readOn();
  }

  #take() {
    const bytes = this.#queue.length === 1 ? this.#queue[0] : Buffer.concat(this.#queue, this.#queued);
    this.#queue = [];
    this.#queued = 0;
    return bytes;
  }

  /** The connection is free for the next request. */
  #release() {
    if (this.#dispatcher) this.#dispatchers.give(this.#origin, this.#dispatcher);
    this.#dispatcher = undefined;
  }

  /** Answers the waiting call, if there is one and an answer. */
  #flush() {
    this.#flushing = false;
    if (this.#headWaiter && (this.#head || this.#error)) {
      if (this.#head) this.#headWaiter.resolve(this.#head);
      else this.#headWaiter.reject(/** @type {Error} */ (this.#error));
      this.#headWaiter = undefined;
    }
    const waiter = this.#waiter;
    if (!waiter || !(this.#queued > 0 || this.#ended || this.#error)) return;
    this.#waiter = undefined;
    if (this.#queued > 0) waiter.resolve(this.#take());
    else if (this.#error) waiter.reject(this.#error);
    else waiter.resolve(undefined);
  }

  /** Later in the same turn, so that all that one read of the socket brought goes to the core as one piece. */
  #flushSoon() {
    if (this.#flushing || !(this.#headWaiter || this.#waiter)) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  // undici's handler.

  /** @param {(reason: Error) => void} abort */
  onConnect(abort) {
    this.#abort = abort;
    if (this.#aborted) abort(aborted());
  }

  onUpgrade() {
    this.#abort?.(new TransportError('interrupted', 'the server wants another protocol'));
  }

  /**
   * @param {number} status
   * @param {Buffer[]} raw names and values in turn
   * @param {() => void} resume
   */
  onHeaders(status, raw, resume) {
    if (status < 200) return true;
    this.#readOn = resume;
    /** @type {string[]} */
    const headers = [];
    let coding = '';
    for (let i = 0; i < raw.length; i += 2) {
      const [name, value] = [raw[i].toString('latin1'), raw[i + 1].toString('latin1')];
      headers.push(name, value);
      if (name.length === CONTENT_ENCODING.length && name.toLowerCase() === CONTENT_ENCODING) coding += value.trim().toLowerCase();
    }
    this.#head = { status, headers, coding: coding === 'gzip' || coding === 'x-gzip' ? 'gzip' : 'identity' };
    this.#flushSoon();
    return true;
  }

  /** @param {Buffer} bytes */
  onData(bytes) {
    if (this.#aborted || bytes.length === 0) return true;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    this.#flushSoon();
    if (this.#queued < HIGH_WATER) return true;
    this.#paused = true;
    return false;
  }

  onComplete() {
    this.#ended = true;
    this.#release();
    this.#flushSoon();
  }

  /** @param {any} error */
  onError(error) {
    this.#release();
    // A kept connection that the server closed just before the request came: RFC 9112 §9.3.1 lets clients send a GET
    // again at once. Anything else is the core's to retry.
    const stale = error?.code === 'UND_ERR_SOCKET' && error.socket?.bytesRead > 0;
    if (stale && this.#mayResend && !this.#head && !this.#aborted) {
      this.#mayResend = false;
      this.#dispatch();
      return;
    }
    this.#error = transportError(error);
    this.#flushSoon();
  }
}
