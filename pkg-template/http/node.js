/**
 * HTTP for Node, over undici's dispatcher: raw gzip is kept, redirects are the core's, URLs go out byte for byte.
 */
import { TransportError } from '../errors.js';
import { transportError } from './node-errors.js';
import { Agent, EnvHttpProxyAgent, Pool, buildConnector } from './undici.js';

/** @typedef {import('../host.d.ts').Exchange} Exchange */

/** Once this much waits for the core, the socket is not read any further. */
const HIGH_WATER = 256 * 1024;

/** Longest wait for a connection, in milliseconds. */
const CONNECT_TIMEOUT = 30_000;

/**
 * A transport with connections of its own. Proxies come from `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`; loopback never
 * goes through one. The number of connections is the core's to limit.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {import('../host.d.ts').Transport}
 */
export function createHttp(env = process.env) {
  // Even where NODE_TLS_REJECT_UNAUTHORIZED or --tls-min-v1.0 say otherwise (A01).
  const tls = { timeout: CONNECT_TIMEOUT, rejectUnauthorized: true, minVersion: /** @type {const} */ ('TLSv1.2') };
  const noProxy = env.no_proxy ?? env.NO_PROXY ?? '';
  const [httpProxy, httpsProxy] = [proxyUrl(env, 'HTTP_PROXY'), proxyUrl(env, 'HTTPS_PROXY')];
  const options = {
    connect: tls,
    pipelining: 1,
    factory: (/** @type {any} */ origin, /** @type {any} */ options) => new Pool(origin, { ...options, connect: strict(options.connect) }),
    // Node's default of 250 ms per address gives up on slow links.
    autoSelectFamilyAttemptTimeout: 2500,
  };
  // The agent for proxies looks at each URL anew, which a crawl feels.
  const agent = httpProxy === '' && httpsProxy === ''
    ? new Agent(options)
    : new EnvHttpProxyAgent({
        ...options,
        httpProxy,
        httpsProxy,
        noProxy: noProxy.trim() === '*' ? '*' : `${noProxy},localhost,127.0.0.1,[::1]`,
        requestTls: tls,
        proxyTls: tls,
        // Plain http goes to a proxy as such: most refuse CONNECT to port 80.
        proxyTunnel: false,
      });
  return {
    send: (method, url, headers, body, timeout) => new NodeExchange(agent, method, url, headers, body, timeout),
    close: () => void agent.destroy(),
  };
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

const aborted = () => new TransportError('interrupted', 'the request was aborted');

/**
 * One request; also undici's handler for it.
 * @implements {Exchange}
 */
class NodeExchange {
  /** @type {import('undici').Dispatcher.DispatchController | undefined} */
  #controller;
  /** @type {Buffer[]} */
  #queue = [];
  #queued = 0;
  /** @type {{ resolve: (bytes: Uint8Array | undefined) => void, reject: (error: Error) => void } | undefined} */
  #waiter;
  #flushing = false;
  #ended = false;
  #aborted = false;
  #hasHead = false;
  #mayResend;
  /** @type {Error | undefined} */
  #error;
  /** @type {Promise<import('../host.d.ts').Head>} */
  #head;
  /** @type {(head: import('../host.d.ts').Head) => void} */
  #resolveHead = () => {};
  /** @type {(error: Error) => void} */
  #rejectHead = () => {};
  #dispatch;

  /**
   * @param {import('undici').Dispatcher} agent
   * @param {string} method
   * @param {string} url
   * @param {string[]} headers
   * @param {Uint8Array | undefined} body
   * @param {number} timeout
   */
  constructor(agent, method, url, headers, body, timeout) {
    this.#head = new Promise((resolve, reject) => {
      this.#resolveHead = resolve;
      this.#rejectHead = reject;
    });
    // Nobody may be listening yet, or any more.
    this.#head.catch(() => {});
    this.#mayResend = method === 'GET';
    this.#dispatch = () => {
      const { origin, path } = split(url);
      /** @type {any} */
      const options = { origin, path, method, headers, body, headersTimeout: timeout, bodyTimeout: timeout };
      agent.dispatch(options, /** @type {any} */ (this));
    };
    try {
      this.#dispatch();
    } catch (error) {
      this.onResponseError(undefined, error);
    }
  }

  response() {
    return this.#head;
  }

  chunk() {
    if (this.#queued > 0) {
      const bytes = this.#take();
      this.#controller?.resume();
      return bytes;
    }
    if (this.#error) throw this.#error;
    if (this.#ended) return undefined;
    return /** @type {Promise<Uint8Array | undefined>} */ (new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#controller?.resume();
    }));
  }

  abort() {
    this.#aborted = true;
    this.#queue = [];
    this.#queued = 0;
    this.#controller?.abort(aborted());
  }

  #take() {
    const bytes = this.#queue.length === 1 ? this.#queue[0] : Buffer.concat(this.#queue, this.#queued);
    this.#queue = [];
    this.#queued = 0;
    return bytes;
  }

  /** Answers the waiting call, if there is one and an answer. */
  #flush() {
    this.#flushing = false;
    const waiter = this.#waiter;
    if (!waiter || !(this.#queued > 0 || this.#ended || this.#error)) return;
    this.#waiter = undefined;
    if (this.#queued > 0) waiter.resolve(this.#take());
    else if (this.#error) waiter.reject(this.#error);
    else waiter.resolve(undefined);
  }

  /** Later in the same turn, so that all that one read of the socket brought goes to the core as one piece. */
  #flushSoon() {
    if (this.#flushing || !this.#waiter) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  // undici's handler.

  /** @param {import('undici').Dispatcher.DispatchController} controller */
  onRequestStart(controller) {
    this.#controller = controller;
    if (this.#aborted) controller.abort(aborted());
  }

  onRequestUpgrade() {
    this.#controller?.abort(new TransportError('interrupted', 'the server wants another protocol'));
  }

  /**
   * @param {any} controller
   * @param {number} status
   */
  onResponseStart(controller, status) {
    if (status < 200) return;
    this.#hasHead = true;
    /** @type {string[]} */
    const headers = controller.rawHeaders.map((/** @type {Buffer | string} */ part) =>
      typeof part === 'string' ? part : part.toString('latin1'),
    );
    let coding = '';
    for (let i = 0; i < headers.length; i += 2) {
      if (headers[i].toLowerCase() === 'content-encoding') coding += headers[i + 1].trim().toLowerCase();
    }
    this.#resolveHead({ status, headers, coding: coding === 'gzip' || coding === 'x-gzip' ? 'gzip' : 'identity' });
  }

  /**
   * @param {import('undici').Dispatcher.DispatchController} controller
   * @param {Buffer} bytes
   */
  onResponseData(controller, bytes) {
    if (this.#aborted || bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    if (this.#queued >= HIGH_WATER) controller.pause();
    this.#flushSoon();
  }

  onResponseEnd() {
    this.#ended = true;
    this.#flushSoon();
  }

  /**
   * @param {unknown} _controller
   * @param {any} error
   */
  onResponseError(_controller, error) {
    // A kept connection that the server closed just before the request came: RFC 9112 §9.3.1 lets clients send a GET
    // again at once. Anything else is the core's to retry.
    const stale = error?.code === 'UND_ERR_SOCKET' && error.socket?.bytesRead > 0;
    if (stale && this.#mayResend && !this.#hasHead && !this.#aborted) {
      this.#mayResend = false;
      this.#dispatch();
      return;
    }
    this.#error = transportError(error);
    this.#rejectHead(this.#error);
    this.#flushSoon();
  }
}
