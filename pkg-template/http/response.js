/**
 * Reads the responses of one connection (RFC 9112): strict, since what one program takes for the end of a body another takes for its
 * middle. What is not as the RFC has it is an error, never a guess.
 */
import { TransportError } from '../errors.js';

/** Bytes of a head, or of the trailers of a body. */
const MAX_HEAD = 64 * 1024;
/** Interim responses before the one that counts. */
const MAX_INTERIM = 20;
/** Bytes of the line before a chunk. */
const MAX_CHUNK_LINE = 1024;

const END_OF_HEAD = '\r\n\r\n';
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: |$)/;
/** A status line, then fields; the status line is looked at by itself. Fields over several lines were given up by RFC 9112 (§5.2); Node does not take them either. */
const HEAD_TEXT = /^HTTP[^\r\n\0]*(?:\r\n[\w!#$%&'*+.^`|~-]+:[\t\x20-\x7e\x80-\xff]*)*$/;
/** A size, and extensions, which nobody has a use for. */
const CHUNK_SIZE = /^([\da-f]{1,13})(?:;[\w!#$%&'*+.^`|~-]+(?:=(?:[\w!#$%&'*+.^`|~-]+|"[\t !#-[\]-~]*"))?)*$/i;

const HEAD = 0;
const LENGTH = 1;
const CHUNK_LINE = 2;
const CHUNK = 3;
const CHUNK_END = 4;
const TRAILERS = 5;
const TO_THE_END = 6;
const DONE = 7;

/**
 * Takes what is read.
 * @typedef {object} Sink
 * @property {(head: import('../host.d.ts').Head) => void} head
 * @property {(bytes: Buffer) => void} data a piece of the body, valid only until the call returns
 */

/**
 * @param {Buffer} bytes
 * @param {number} from
 * @param {number} to
 */
const latin1 = (bytes, from, to) => bytes.toString('latin1', from, to);

/** @param {string} what */
const wrong = (what) => new TransportError('interrupted', `the server broke the HTTP protocol: ${what}`);

export class ResponseReader {
  #sink;
  #state = HEAD;
  /** What came of a head or a line so far. */
  #text = '';
  /** Bytes to come of the body, or of the chunk. */
  #left = 0;
  #interim = 0;
  /** Whether any byte of the response has come. */
  begun = false;
  /** Whether the connection may serve for another request after this response. */
  reusable = false;
  /** How long the server says that it keeps it, in milliseconds. */
  keptFor = Infinity;

  /** @param {Sink} sink */
  constructor(sink) {
    this.#sink = sink;
  }

  get done() {
    return this.#state === DONE;
  }

  /**
   * Takes the next bytes of the connection. Returns how many of them belong to the response: fewer than there are where it ends.
   * @param {Buffer} bytes valid only until the call returns
   */
  push(bytes) {
    let at = 0;
    this.begun ||= bytes.length > 0;
    while (at < bytes.length && this.#state !== DONE) {
      switch (this.#state) {
        case HEAD:
        case TRAILERS:
          at = this.#readHead(bytes, at);
          break;
        case CHUNK_LINE:
          at = this.#readChunkLine(bytes, at);
          break;
        case CHUNK_END:
          at = this.#readChunkEnd(bytes, at);
          break;
        default:
          at = this.#readBody(bytes, at);
      }
    }
    return at;
  }

  /**
   * The connection has ended in good order: an error where that is not the end of the response. Over TLS, Node does not show whether
   * the server said so (close_notify) or its connection was cut; a body without a length or chunks is taken as whole either way, as
   * the reference and undici take it. Whoever reads it finds out, unless the cut is between two lines.
   */
  end() {
    if (this.#state === TO_THE_END) this.#state = DONE;
    if (this.#state !== DONE) throw new TransportError('interrupted', 'the connection was closed before the whole answer had come');
  }

  /**
   * @param {Buffer} bytes
   * @param {number} from
   */
  #readBody(bytes, from) {
    const to = Math.min(bytes.length, from + this.#left);
    this.#left -= to - from;
    this.#sink.data(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
    if (this.#left === 0) this.#state = this.#state === CHUNK ? CHUNK_END : DONE;
    return to;
  }

  /**
   * A head, or trailers, which are dropped: both end in an empty line.
   * @param {Buffer} bytes
   * @param {number} from
   */
  #readHead(bytes, from) {
    const before = this.#text.length;
    if (before === 0 && this.#state === HEAD) {
      const end = bytes.indexOf(END_OF_HEAD, from, 'latin1');
      if (end >= 0 && end - from <= MAX_HEAD) {
        this.#takeHead(latin1(bytes, from, end));
        return end + END_OF_HEAD.length;
      }
    }
    this.#text += latin1(bytes, from, Math.min(bytes.length, from + MAX_HEAD + END_OF_HEAD.length - before));
    const text = this.#text;
    // Trailers may be none: then the empty line comes at once.
    const none = this.#state === TRAILERS && text.startsWith('\r\n');
    const end = none ? 0 : text.indexOf(END_OF_HEAD, Math.max(0, before - 3));
    if (end < 0) {
      if (text.length > MAX_HEAD) throw wrong(`a head of more than ${MAX_HEAD >> 10} KB`);
      return bytes.length;
    }
    this.#text = '';
    if (this.#state === HEAD) {
      this.#takeHead(text.slice(0, end));
    } else {
      if (!none && !HEAD_TEXT.test(`HTTP\r\n${text.slice(0, end)}`)) throw wrong('a trailer that none may have');
      this.#state = DONE;
    }
    return from + end + (none ? 2 : END_OF_HEAD.length) - before;
  }

  /** @param {string} head without the empty line */
  #takeHead(head) {
    const lines = head.split('\r\n');
    const [, minor, code] = STATUS_LINE.exec(lines[0]) ?? [];
    if (code === undefined) throw wrong('its answer is no HTTP/1.1');
    if (!HEAD_TEXT.test(head)) throw wrong('a header that none may have');
    const status = Number(code);
    const headers = fields(lines);
    const { length, chunked, close, keep, gzip, keptFor } = framing(headers);
    if (status < 200) {
      if (status === 101) throw wrong('it wants another protocol');
      this.#interim += 1;
      if (this.#interim > MAX_INTERIM) throw wrong('interim answers without end');
      return;
    }
    if (chunked && (minor === '0' || length !== undefined)) throw wrong('two ways to tell the length of a body');
    const empty = status === 204 || status === 304 || (length === 0 && !chunked);
    this.keptFor = keptFor;
    this.reusable = (minor === '1' ? !close : keep && !close) && (empty || chunked || length !== undefined);
    this.#left = length ?? Infinity;
    if (empty) this.#state = DONE;
    else if (chunked) this.#state = CHUNK_LINE;
    else this.#state = length === undefined ? TO_THE_END : LENGTH;
    this.#sink.head({ status, headers: headers.join('\n'), gzip });
  }

  /**
   * @param {Buffer} bytes
   * @param {number} from
   */
  #readChunkLine(bytes, from) {
    const end = bytes.indexOf(10, from);
    this.#text += latin1(bytes, from, Math.min(end < 0 ? bytes.length : end + 1, from + MAX_CHUNK_LINE + 2));
    if (this.#text.length > MAX_CHUNK_LINE) throw wrong('a chunk without a size');
    if (end < 0) return bytes.length;
    const [, size] = this.#text.endsWith('\r\n') ? CHUNK_SIZE.exec(this.#text.slice(0, -2)) ?? [] : [];
    if (size === undefined) throw wrong('a chunk without a size');
    this.#text = '';
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left === 0 ? TRAILERS : CHUNK;
    return end + 1;
  }

  /**
   * @param {Buffer} bytes
   * @param {number} from
   */
  #readChunkEnd(bytes, from) {
    const piece = latin1(bytes, from, from + 2 - this.#text.length);
    this.#text += piece;
    if (!'\r\n'.startsWith(this.#text)) throw wrong('a chunk that is longer than its size');
    if (this.#text.length === 2) {
      this.#text = '';
      this.#state = CHUNK_LINE;
    }
    return from + piece.length;
  }
}

/**
 * The header fields of a head that {@link HEAD_TEXT} allows: names and values in turn.
 * @param {string[]} lines the status line first
 */
function fields(lines) {
  /** @type {string[]} */
  const found = [];
  for (let i = 1; i < lines.length; i += 1) {
    const line = lines[i];
    const colon = line.indexOf(':');
    found.push(line.slice(0, colon), trimmed(line, colon + 1));
  }
  return found;
}

/** @param {number} code */
const isSpace = (code) => code === 32 || code === 9;

/**
 * Without spaces and tabs around it. No regular expression: on many spaces, those take the square of the time.
 * @param {string} text
 * @param {number} from
 */
function trimmed(text, from) {
  let to = text.length;
  while (from < to && isSpace(text.charCodeAt(from))) from += 1;
  while (to > from && isSpace(text.charCodeAt(to - 1))) to -= 1;
  return text.slice(from, to);
}

/**
 * How the body ends, and what becomes of the connection (RFC 9112 §6 and §9).
 * @param {string[]} headers names and values in turn
 */
function framing(headers) {
  /** @type {number | undefined} */
  let length;
  let [chunked, close, keep, keptFor, coding] = [false, false, false, Infinity, ''];
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1];
    // Most headers are none of these, and their length tells.
    switch (headers[i].length) {
      case 10:
        if (isName(headers[i], 'connection')) {
          const options = value.toLowerCase().split(',').map((option) => trimmed(option, 0));
          close ||= options.includes('close');
          keep ||= options.includes('keep-alive');
        } else if (isName(headers[i], 'keep-alive')) {
          keptFor = Number(/(?:^|[,;\t ])timeout=(\d{1,9})/i.exec(value)?.[1] ?? Infinity) * 1000;
        }
        break;
      case 14:
        if (!isName(headers[i], 'content-length')) break;
        if (length !== undefined || !/^\d{1,15}$/.test(value)) throw wrong('a body without one clear length');
        length = Number(value);
        break;
      case 16:
        if (isName(headers[i], 'content-encoding')) coding += value.toLowerCase();
        break;
      case 17:
        if (!isName(headers[i], 'transfer-encoding')) break;
        if (chunked || value.toLowerCase() !== 'chunked') throw wrong('a transfer coding that was not asked for');
        chunked = true;
        break;
      default:
    }
  }
  return { length, chunked, close, keep, keptFor, gzip: coding === 'gzip' || coding === 'x-gzip' };
}

/**
 * @param {string} name
 * @param {string} known in lower case
 */
const isName = (name, known) => name === known || name.toLowerCase() === known;
