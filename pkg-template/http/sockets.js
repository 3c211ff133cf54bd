/**
 * HTTP/1.1 over sockets of our own: a connection for each request in flight, kept for the next one. A library's client takes six times
 * as long for small answers (its streams, its events, and the time until they are compiled), which a crawl feels.
 */
import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { TransportError } from '../errors.js';
import { Exchange } from './exchange.js';
import { transportError } from './node-errors.js';
import { CONNECT, CONNECT_TIMEOUT, requestOf, wasReset } from './request.js';
import { ResponseReader } from './response.js';

/** What is read at once. */
const BUFFER = 64 * 1024;
/** A connection that was idle for longer is not used again, unless the server says how long it keeps it. */
const KEPT = 4_000;
/** So much earlier than the server says. */
const MARGIN = 2_000;

/** @typedef {ReturnType<typeof requestOf>} Request */

/** Connections by origin. */
export class Sockets {
  /** @type {Map<string, Connection[]>} */
  #free = new Map();
  /** @type {Set<Connection>} */
  #all = new Set();
  /** TLS sessions by origin, to be resumed. @type {Map<string, Buffer>} */
  sessions = new Map();
  /** @type {(() => void)[]} */
  #toWrite = [];
  /** @type {Buffer[]} to read into: new memory costs more than what is read into it */
  #buffers = [];
  #closed = false;

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
      const request = requestOf(method, url, headers, body, timeout);
      const kept = this.#take(request.origin);
      if (kept) kept.send(request, exchange);
      else this.sendAnew(request, exchange);
    } catch (error) {
      exchange.fail(transportError(error));
    }
    return exchange;
  }

  close() {
    this.#closed = true;
    for (const connection of this.#all) connection.destroy();
  }

  /** @param {string} origin */
  #take(origin) {
    const free = this.#free.get(origin);
    for (let connection = free?.pop(); connection; connection = free?.pop()) {
      if (connection.fresh) return connection;
      connection.destroy();
    }
    return undefined;
  }

  /**
   * Sends over a connection that nobody has used.
   * @param {Request} request
   * @param {Exchange} exchange
   */
  sendAnew(request, exchange) {
    if (this.#closed) return exchange.fail(closed());
    try {
      const connection = new Connection(this, request.origin);
      this.#all.add(connection);
      connection.send(request, exchange);
    } catch (error) {
      exchange.fail(transportError(error));
    }
  }

  /**
   * Writes at the end of this turn of the event loop, with what else is to be written: to wake a server costs more than to write.
   * @param {() => void} write
   */
  soon(write) {
    if (this.#toWrite.push(write) > 1) return;
    setImmediate(() => {
      const writes = this.#toWrite;
      this.#toWrite = [];
      for (const one of writes) one();
    });
  }

  buffer() {
    return this.#buffers.pop() ?? Buffer.allocUnsafeSlow(BUFFER);
  }

  /** @param {Buffer} buffer */
  giveBuffer(buffer) {
    this.#buffers.push(buffer);
  }

  /** @param {Connection} connection */
  give(connection) {
    const others = this.#free.get(connection.origin);
    if (others) others.push(connection);
    else this.#free.set(connection.origin, [connection]);
  }

  /** @param {Connection} connection */
  forget(connection) {
    this.#all.delete(connection);
    const free = this.#free.get(connection.origin);
    const place = free?.indexOf(connection) ?? -1;
    if (place >= 0) free?.splice(place, 1);
  }
}

/** One connection. */
class Connection {
  origin;
  #sockets;
  #socket;
  /** @type {NodeJS.Timeout | undefined} */
  #connecting;
  /** @type {Request | undefined} */
  #request;
  /** @type {Exchange | undefined} */
  #exchange;
  /** @type {ResponseReader | undefined} */
  #reader;
  /** Whether the request has been written, or part of it. */
  #sent = false;
  #buffer;
  /** What the last read brought of the body: from here in the buffer … */
  #from = 0;
  /** … to here. */
  #to = 0;
  /** Responses so far. */
  #served = 0;
  #timeout = 0;
  #freshUntil = 0;

  /**
   * @param {Sockets} sockets
   * @param {string} origin
   */
  constructor(sockets, origin) {
    this.#sockets = sockets;
    this.origin = origin;
    const { protocol, hostname, port } = new URL(origin);
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const isTls = protocol === 'https:';
    this.#buffer = sockets.buffer();
    const options = {
      host,
      port: port === '' ? (isTls ? 443 : 80) : Number(port),
      ...CONNECT,
      onread: { buffer: () => this.#buffer, callback: (/** @type {number} */ length) => this.#onRead(this.#buffer.subarray(0, length)) },
    };
    const session = sockets.sessions.get(origin);
    const tls = { ...options, servername: isIP(host) ? '' : host, ALPNProtocols: ['http/1.1'], session };
    this.#socket = isTls ? connectTls(tls) : connectTcp(options);
    this.#socket.setNoDelay(true).setKeepAlive(true, 60_000);
    this.#socket
      .once(isTls ? 'secureConnect' : 'connect', () => this.#onConnect())
      .on('session', (/** @type {Buffer} */ made) => sockets.sessions.set(origin, made))
      .on('timeout', () => this.#onTimeout())
      .on('error', (error) => this.#onGone(transportError(error)))
      .on('end', () => this.#onEnd())
      .on('close', () => this.#onGone(closed()));
    this.#connecting = setTimeout(
      () => this.#onGone(new TransportError('connect', `no connection within ${CONNECT_TIMEOUT / 1000} seconds`)),
      CONNECT_TIMEOUT,
    );
  }

  /** Whether the server has it still, as far as can be told. */
  get fresh() {
    return performance.now() < this.#freshUntil;
  }

  /**
   * @param {Request} request
   * @param {Exchange} exchange
   */
  send(request, exchange) {
    this.#request = request;
    this.#exchange = exchange;
    this.#reader = new ResponseReader({ head: (head) => exchange.begin(head), data: (bytes) => this.#gather(bytes) });
    this.#sent = false;
    exchange.resume = () => {
      this.#socket.setTimeout(this.#timeout);
      this.#socket.resume();
    };
    exchange.break = () => this.destroy();
    if (this.#served > 0) this.#socket.ref();
    if (this.#timeout !== request.timeout) {
      this.#timeout = request.timeout;
      if (!this.#connecting) this.#socket.setTimeout(this.#timeout);
    }
    // Not a byte before it is known who the server is: then `#onConnect` writes.
    if (!this.#connecting) this.#sockets.soon(() => this.#write(request));
  }

  /** @param {Request} request */
  #write(request) {
    if (this.#socket.destroyed) return;
    this.#sent = true;
    if (request.body) {
      this.#socket.cork();
      this.#socket.write(request.head, 'latin1');
      this.#socket.write(request.body);
      this.#socket.uncork();
    } else {
      this.#socket.write(request.head, 'latin1');
    }
  }

  destroy() {
    clearTimeout(this.#connecting);
    this.#connecting = undefined;
    this.#sockets.forget(this);
    this.#socket.destroy();
  }

  #onConnect() {
    clearTimeout(this.#connecting);
    this.#connecting = undefined;
    this.#socket.setTimeout(this.#timeout);
    if (this.#request) this.#write(this.#request);
  }

  /**
   * @param {Buffer} bytes
   * @returns {boolean} whether to read on
   */
  #onRead(bytes) {
    const [exchange, reader] = [this.#exchange, this.#reader];
    if (!exchange || !reader || !this.#sent) {
      // Nobody asked: whatever this answers, it is not what is asked next.
      this.#onGone(closed());
      return false;
    }
    try {
      const taken = reader.push(bytes);
      if (reader.done) this.#lendPiece(exchange);
      else this.#keepPiece(exchange);
      if (reader.done) this.#onDone(reader, exchange, taken === bytes.length);
    } catch (error) {
      this.#onGone(transportError(error));
      return false;
    }
    exchange.flush();
    return !exchange.paused || reader.done;
  }

  /**
   * Chunks of one read are moved together, over what stood between them.
   * @param {Buffer} bytes in the buffer
   */
  #gather(bytes) {
    const from = bytes.byteOffset - this.#buffer.byteOffset;
    if (this.#to === 0) this.#from = this.#to = from;
    else this.#buffer.copyWithin(this.#to, from, from + bytes.length);
    this.#to += bytes.length;
  }

  #piece() {
    const piece = this.#buffer.subarray(this.#from, this.#to);
    this.#from = this.#to = 0;
    return piece;
  }

  /**
   * What was read is the exchange's, since the next read goes to the same place.
   * @param {Exchange} exchange
   */
  #keepPiece(exchange) {
    if (this.#to > 0) exchange.data(Buffer.from(this.#piece()));
  }

  /**
   * What was read is the end of the body: it may stay where it is, for the next read can go elsewhere.
   * @param {Exchange} exchange
   */
  #lendPiece(exchange) {
    if (this.#to === 0) return;
    const buffer = this.#buffer;
    exchange.lend(this.#piece(), () => this.#sockets.giveBuffer(buffer));
    this.#buffer = this.#sockets.buffer();
  }

  /**
   * The response is here whole.
   * @param {ResponseReader} reader
   * @param {Exchange} exchange
   * @param {boolean} clean whether nothing came after it
   */
  #onDone(reader, exchange, clean) {
    this.#request = undefined;
    this.#exchange = undefined;
    this.#reader = undefined;
    this.#served += 1;
    exchange.end();
    if (!reader.reusable || !clean || this.#socket.writableLength > 0) return this.destroy();
    this.#freshUntil = performance.now() + (reader.keptFor === Infinity ? KEPT : reader.keptFor - MARGIN);
    this.#socket.unref();
    this.#sockets.give(this);
  }

  #onEnd() {
    const [exchange, reader] = [this.#exchange, this.#reader];
    if (exchange && reader?.begun && !wasReset(this.#socket)) {
      try {
        reader.end();
        this.#onDone(reader, exchange, false);
        exchange.flush();
      } catch (error) {
        this.#onGone(transportError(error));
      }
    }
    this.#onGone(closed());
  }

  #onTimeout() {
    // While nobody reads, the server cannot go on.
    if (this.#exchange?.paused) return;
    this.#onGone(new TransportError('timeout', 'the server was silent for too long'));
  }

  /** @param {TransportError} error */
  #onGone(error) {
    const [request, exchange, reader] = [this.#request, this.#exchange, this.#reader];
    // It may be the session that the server does not like.
    if (this.#connecting) this.#sockets.sessions.delete(this.origin);
    this.#request = undefined;
    this.#exchange = undefined;
    this.#reader = undefined;
    this.destroy();
    if (!request || !exchange || exchange.over) return;
    // A kept connection that the server closed just before the request came: RFC 9112 §9.3.1 lets clients send a GET
    // again at once, and whatever has not been sent. Anything else is the core's to retry.
    const isStale = request.method === 'GET' && !reader?.begun && error.kind === 'interrupted';
    if (this.#served > 0 && (isStale || !this.#sent)) this.#sockets.sendAnew(request, exchange);
    else exchange.fail(error);
  }
}

const closed = () => new TransportError('interrupted', 'the connection was closed too early (other side closed)');
