/**
 * New keys for SMART Backend Services.
 */
import { usage } from '../errors.js';
import { thumbprint } from './webcrypto.js';

/** @typedef {import('../keys.d.ts').Jwk} Jwk */

/** How keys are made (RFC 7518; SMART asks for these two). */
const GENERATED = /** @type {Record<string, any>} */ ({
  ES384: { name: 'ECDSA', namedCurve: 'P-384' },
  RS384: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-384', modulusLength: 3072, publicExponent: new Uint8Array([1, 0, 1]) },
});

/**
 * Makes a pair of keys.
 * @param {string} alg
 * @param {boolean} extractable whether the private one can be read
 * @returns {Promise<CryptoKeyPair>}
 */
export async function generatePair(alg, extractable) {
  if (!Object.hasOwn(GENERATED, alg)) throw usage(`alg is ${alg}.`, 'Give ES384 or RS384.');
  return globalThis.crypto.subtle.generateKey(GENERATED[alg], extractable, ['sign', 'verify']);
}

/**
 * What may be shown: nothing private, and what servers look for.
 * @param {Jwk} jwk
 * @param {string} kid
 * @param {string} alg
 */
export function publicPart({ kty, crv, x, y, n, e }, kid, alg) {
  const numbers = kty === 'EC' ? { crv, x, y } : { n, e };
  return { kty, ...numbers, kid, alg, use: 'sig', key_ops: ['verify'] };
}

/**
 * Makes keys that can be read, one for each algorithm.
 * @param {import('../keys.d.ts').SmartAlgorithm[]} [algs]
 */
export async function generateKeys(algs = ['ES384', 'RS384']) {
  if (!Array.isArray(algs) || algs.length === 0) throw usage('algs is no list of algorithms.', "Give for example ['ES384'].");
  const made = await Promise.all([...new Set(algs)].map(async (alg) => {
    const { privateKey } = await generatePair(alg, true);
    const { ext, key_ops, ...jwk } = /** @type {Jwk} */ (await globalThis.crypto.subtle.exportKey('jwk', privateKey));
    const kid = await thumbprint(jwk);
    // All of these: the Python smart-fetch passes over keys that lack one.
    return { privateJwk: { ...jwk, kid, alg, use: 'sig', key_ops: ['sign'] }, publicJwk: publicPart(jwk, kid, alg) };
  }));
  return { privateJwks: { keys: made.map(({ privateJwk }) => privateJwk) }, publicJwks: { keys: made.map(({ publicJwk }) => publicJwk) } };
}
