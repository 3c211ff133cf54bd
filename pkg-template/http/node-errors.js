/**
 * What undici and Node throw, as the kinds that the core acts on (`src/platform/http.rs`).
 */
import { TransportError } from '../errors.js';

/** Nothing was sent. */
const CONNECT = new Set([
  'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'EAI_NONAME', 'EHOSTUNREACH', 'ENETUNREACH',
  'EHOSTDOWN', 'ENETDOWN', 'EADDRNOTAVAIL', 'ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT',
]);

const TIMEOUT = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);

const INVALID = new Set(['UND_ERR_INVALID_ARG', 'ERR_INVALID_URL', 'ERR_INVALID_CHAR', 'ERR_INVALID_ARG_VALUE']);

/** OpenSSL's names for what it does not like about a certificate. */
const CERTIFICATE =
  /^(CERT_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY|DECRYPT|DECODE)|ERR_TLS_CERT|CRL_|INVALID_(CA|PURPOSE)|PATH_LENGTH|HOSTNAME_MISMATCH|ERROR_IN_CERT|UND_ERR_PRX_TLS)/;

/** What it does not like about the handshake. */
const HANDSHAKE = /^(ERR_SSL_|EPROTO|ERR_TLS_)/;

/**
 * @param {any} thrown
 * @returns {TransportError}
 */
export function transportError(thrown) {
  if (thrown instanceof TransportError) return thrown;
  // One error for each address that was tried: the first says as much as all.
  const error = thrown?.errors?.[0] ?? thrown;
  const code = String(error?.code ?? '');
  const message = String(error?.message || code || error);
  if (CERTIFICATE.test(code)) {
    return new TransportError(
      'tls',
      `the certificate is not trusted: ${message} (${code}). If the server uses a CA of your organisation, set the ` +
        'environment variable NODE_EXTRA_CA_CERTS to the file with its certificate (PEM) and run again.',
    );
  }
  if (HANDSHAKE.test(code)) {
    return new TransportError('tls', `no secure connection could be agreed on (TLS 1.2 or newer is needed): ${code}`);
  }
  if (/^Proxy /.test(message)) return proxyError(message);
  if (CONNECT.has(code)) return new TransportError('connect', message);
  if (TIMEOUT.has(code)) return new TransportError('timeout', 'the server was silent for too long');
  if (INVALID.has(code)) return new TransportError('invalid', message);
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') {
    return new TransportError('interrupted', 'the connection was closed before the whole body had come');
  }
  if (code === 'UND_ERR_SOCKET') {
    return new TransportError('interrupted', `the connection was closed too early (${message})`);
  }
  return new TransportError('interrupted', code && !message.includes(code) ? `${message} (${code})` : message);
}

/** @param {string} message */
function proxyError(message) {
  const status = /\((\d+)\)/.exec(message)?.[1];
  if (status === '407') {
    return new TransportError(
      'invalid',
      'the proxy asks for a user and password (407): give them in HTTPS_PROXY, as http://user:password@proxy:port',
    );
  }
  return new TransportError('connect', `the proxy refused the connection (${status ?? message})`);
}
