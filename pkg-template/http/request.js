/**
 * What goes out, and under which conditions.
 */
import { TransportError } from '../errors.js';

/** Time for a connection to be made, in milliseconds. */
export const CONNECT_TIMEOUT = 30_000;

/** Of a connection: also where NODE_TLS_REJECT_UNAUTHORIZED or --tls-min-v1.0 say otherwise (A01). */
export const CONNECT = {
  rejectUnauthorized: true,
  minVersion: /** @type {const} */ ('TLSv1.2'),
  autoSelectFamily: true,
  // Node's default of 250 ms per address gives up on slow links.
  autoSelectFamilyAttemptTimeout: 2500,
};

/**
 * Whether a socket that says 'end' was reset: libuv says so too of a reset that data came before (`uv__stream_io`). Who was reset has
 * no peer any more. Node keeps the address once it was asked for: nobody may, earlier.
 * @param {import('node:net').Socket} socket
 */
export const wasReset = (socket) => socket.remoteAddress === undefined;

const NAME = /^[\w!#$%&'*+.^`|~-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Headers that say how a message is framed, or what becomes of the connection. */
const OWN = new Set(['connection', 'content-length', 'expect', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade']);

/** The origin that was found to be one last, and its host as it is sent: a crawl asks one for everything. */
let last = { origin: '', host: '' };

/**
 * Splits a URL without changing a byte of what is sent.
 * @param {string} url
 */
export function split(url) {
  const parts = /^(https?:\/\/([^/?#\\]+))([^#]*)/i.exec(url);
  if (!parts) throw new TransportError('invalid', 'it is no http or https URL');
  const [, origin, authority, rest] = parts;
  if (authority.includes('@')) throw new TransportError('invalid', 'URLs with user and password are not supported');
  if (origin !== last.origin) {
    if (!URL.canParse(origin)) throw new TransportError('invalid', 'its host is no valid host name');
    last = { origin, host: new URL(origin).host };
  }
  if (/[^\x21-\x7e]/.test(rest)) throw new TransportError('invalid', 'it holds characters that must be escaped');
  return { origin, host: last.host, path: rest.startsWith('/') ? rest : `/${rest}` };
}

/**
 * A request as it goes over a connection (RFC 9112 §3).
 * @param {string} method
 * @param {string} url
 * @param {string} headers names and values in turn, with line breaks between
 * @param {Uint8Array | undefined} body
 * @param {number} timeout
 */
export function requestOf(method, url, headers, body, timeout) {
  const { origin, host, path } = split(url);
  const list = headers === '' ? [] : headers.split('\n');
  let [fields, hasHost] = ['', false];
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i].toLowerCase();
    const isGood = NAME.test(name) && VALUE.test(list[i + 1] ?? '\n');
    if (!isGood || OWN.has(name)) throw new TransportError('invalid', `the header '${list[i]}' cannot be sent, or not with this value`);
    hasHost ||= name === 'host';
    fields += `${list[i]}: ${list[i + 1]}\r\n`;
  }
  if (body || method === 'POST') fields += `Content-Length: ${body?.length ?? 0}\r\n`;
  const first = hasHost ? '' : `Host: ${host}\r\n`;
  return { origin, method, head: `${method} ${path} HTTP/1.1\r\n${first}Connection: keep-alive\r\n${fields}\r\n`, body, timeout };
}
