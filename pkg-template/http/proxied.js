/**
 * HTTP through proxies, over undici's dispatcher; loaded where there is a proxy. Its parts are named one by one: all of it (fetch,
 * WebSocket, mocks …) takes 50 ms more to load, and 4 MB more in each worker. `package.json` takes no other minor version, since these
 * paths are not undici's public ones.
 */
// @ts-ignore single files have no types
import connect from 'undici/lib/api/api-connect.js';
// @ts-ignore
import buildConnector from 'undici/lib/core/connect.js';
// @ts-ignore
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
// @ts-ignore
import EnvHttpProxyAgent from 'undici/lib/dispatcher/env-http-proxy-agent.js';
// @ts-ignore
import Pool from 'undici/lib/dispatcher/pool.js';

import { TransportError } from '../errors.js';
import { Exchange, aborted } from './exchange.js';
import { transportError } from './node-errors.js';
import { CONNECT, CONNECT_TIMEOUT, split, wasReset } from './request.js';

// As undici's index does for all of its API; tunnels through proxies are made with it.
Dispatcher.prototype.connect ??= connect;

const CONTENT_ENCODING = 'content-encoding';

/** @typedef {import('../host.d.ts').Transport} HostTransport */

/** @implements {HostTransport} */
export class Proxied {
  /** @type {import('undici').Dispatcher} */
  #agent;

  /** @param {{ http: string, https: string, not: string }} proxies URLs; empty: none */
  constructor({ http, https, not }) {
    const options = { ...CONNECT, timeout: CONNECT_TIMEOUT };
    this.#agent = new EnvHttpProxyAgent({
      connect: options,
      pipelining: 1,
      factory: (/** @type {any} */ origin, /** @type {any} */ own) => new Pool(origin, { ...own, connect: strict(own.connect) }),
      httpProxy: http,
      httpsProxy: https,
      noProxy: not.trim() === '*' ? '*' : `${not},localhost,127.0.0.1,[::1]`,
      requestTls: options,
      proxyTls: options,
      // Plain http goes to a proxy as such: most refuse CONNECT to port 80.
      proxyTunnel: false,
    });
  }

  /**
   * @param {string} method
   * @param {string} url
   * @param {string} headers
   * @param {Uint8Array | undefined} body
   * @param {number} timeout
   * @param {(number: number) => void} wake
   * @param {number} number
   */
  send(method, url, headers, body, timeout, wake, number) {
    const exchange = new Exchange(wake, number);
    try {
      const { origin, path } = split(url);
      const list = headers === '' ? [] : headers.split('\n');
      /** @type {any} */
      const options = { origin, path, method, headers: list, body, headersTimeout: timeout, bodyTimeout: timeout };
      const dispatch = () => this.#agent.dispatch(options, /** @type {any} */ (new Handler(exchange, method === 'GET' ? dispatch : undefined)));
      dispatch();
    } catch (error) {
      exchange.fail(transportError(error));
    }
    return exchange;
  }

  close() {
    void this.#agent.destroy();
  }
}

/**
 * A connector whose sockets do not let undici take a reset for the end of a body without a length: on ECONNRESET it would, and where
 * Node itself takes it for an end.
 * @param {any} connector
 * @returns {import('undici').buildConnector.connector}
 */
function strict(connector) {
  const open = typeof connector === 'function' ? connector : buildConnector(connector);
  return (options, callback) =>
    open(options, (/** @type {any} */ error, /** @type {import('node:net').Socket} */ socket) => {
      socket?.prependListener('error', (/** @type {any} */ failure) => {
        if (failure.code === 'ECONNRESET') failure.code = 'UND_ERR_SOCKET';
      });
      if (socket) {
        /** @type {(...event: any[]) => boolean} */
        const emit = socket.emit.bind(socket);
        socket.emit = (/** @type {any[]} */ ...event) => {
          if (event[0] !== 'end' || !wasReset(socket)) return emit(...event);
          socket.destroy(Object.assign(new Error('reset by the other side'), { code: 'UND_ERR_SOCKET' }));
          return true;
        };
      }
      callback(error, /** @type {any} */ (socket));
    });
}

/** undici's handler, in the form that undici calls without copying the headers. */
class Handler {
  #exchange;
  #again;
  #flushing = false;

  /**
   * @param {Exchange} exchange
   * @param {(() => void) | undefined} again sends the request once more
   */
  constructor(exchange, again) {
    this.#exchange = exchange;
    this.#again = again;
  }

  /** @param {(reason: Error) => void} abort */
  onConnect(abort) {
    this.#exchange.break = () => abort(aborted());
    if (this.#exchange.over) abort(aborted());
  }

  onUpgrade() {
    this.#exchange.fail(new TransportError('interrupted', 'the server wants another protocol'));
    this.#exchange.break();
  }

  /**
   * @param {number} status
   * @param {Buffer[]} raw names and values in turn
   * @param {() => void} resume
   */
  onHeaders(status, raw, resume) {
    if (status < 200) return true;
    this.#exchange.resume = resume;
    const list = raw.map((bytes) => bytes.toString('latin1'));
    const codings = list.filter((_, i) => i % 2 === 1 && list[i - 1].toLowerCase() === CONTENT_ENCODING);
    const coding = codings.join('').trim().toLowerCase();
    this.#exchange.begin({ status, headers: list.join('\n'), gzip: coding === 'gzip' || coding === 'x-gzip' });
    this.#flushSoon();
    return true;
  }

  /** @param {Buffer} bytes */
  onData(bytes) {
    this.#exchange.data(bytes);
    this.#flushSoon();
    return !this.#exchange.paused;
  }

  onComplete() {
    this.#exchange.end();
    this.#flushSoon();
  }

  /** @param {any} error */
  onError(error) {
    // A kept connection that the server closed just before the request came: RFC 9112 §9.3.1 lets clients send a GET
    // again at once. Anything else is the core's to retry.
    const isStale = error?.code === 'UND_ERR_SOCKET' && error.socket?.bytesRead > 0;
    const again = isStale && !this.#exchange.headCame && !this.#exchange.over ? this.#again : undefined;
    this.#again = undefined;
    if (again) again();
    else this.#exchange.fail(transportError(error));
  }

  /** Later in the same turn, so that all that one read of the socket brought goes to the core as one piece. */
  #flushSoon() {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#exchange.flush();
    });
  }
}
