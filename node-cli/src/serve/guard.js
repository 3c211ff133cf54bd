// Who may use this server: only the page that it serves itself. Pages of other origins reach loopback from the browser of
// whoever runs us, and a host name of an attacker can be made to mean loopback (DNS rebinding).
import { timingSafeEqual } from 'node:crypto';

const HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
};

/** What comes through the relay is data: it is never shown, run or kept by the browser. */
export const DATA_HEADERS = { ...HEADERS, 'cache-control': 'no-store', 'content-security-policy': "sandbox; default-src 'none'" };

/** What has no policy of its own: styles, WebAssembly. */
export const INERT_HEADERS = HEADERS;

/** The page: its own scripts, workers, styles and wasm; requests to whatever server the user names. */
export const PAGE_HEADERS = {
  ...HEADERS,
  'content-security-policy': [
    "default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self'", "style-src 'self'", "img-src 'self' data:",
    'connect-src http: https:', "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
  ].join('; '),
};

/**
 * Why a request is refused, or undefined if it may be one of our own page. Only browsers send `Origin` and `Sec-Fetch-Site`,
 * and no page can forge them.
 * @param {import('node:http').IncomingMessage} request
 * @param {number} port the one that we listen on
 */
export function refusal({ headers }, port) {
  const { host, origin, 'sec-fetch-site': site, 'sec-fetch-mode': mode } = headers;
  if (host !== `127.0.0.1:${port}` && host !== `localhost:${port}`) return 'This server answers to its own address only.';
  if (origin !== undefined && origin !== `http://${host}`) return 'Pages of other origins may not use this server.';
  // `none`: the user typed the address.
  const isOwn = site === undefined || site === 'same-origin' || (site === 'none' && mode === 'navigate');
  return isOwn ? undefined : 'Pages of other origins may not use this server. If you followed a link, open the address itself.';
}

/** Whether two secrets are equal, in a time that says nothing of where they differ. */
export function sameSecret(given, expected) {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
