/**
 * PEM files, by Node's own reader: PKCS#8, PKCS#1 (`RSA PRIVATE KEY`) and SEC1 (`EC PRIVATE KEY`).
 */
import { createPrivateKey } from 'node:crypto';

import { usage } from '../errors.js';

/**
 * The first private key of a PEM text, as a JWK.
 * @param {string} pem
 */
export function readPem(pem) {
  // Some tools write the curve's parameters before the key.
  const blocks = pem.match(/-----BEGIN [^-]*PRIVATE KEY-----[\s\S]*?-----END [^-]*PRIVATE KEY-----/g);
  if (!blocks) throw usage('No supported private key found in the provided PEM file.', 'A certificate or a public key is not enough.');
  if (/ENCRYPTED/.test(blocks[0])) {
    throw usage('The private key is protected by a passphrase.', 'Remove it: openssl pkey -in key.pem -out plain.pem');
  }
  try {
    return createPrivateKey(blocks[0]).export({ format: 'jwk' });
  } catch {
    // Without OpenSSL's words, which help nobody.
    throw usage('No supported private key found in the provided PEM file.', 'It must be an RSA or an EC key.');
  }
}
