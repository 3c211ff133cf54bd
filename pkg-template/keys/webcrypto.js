/**
 * Signing keys for SMART Backend Services. They become WebCrypto keys that cannot be read back, here, and never enter wasm.
 */
import { usage } from '../errors.js';

/**
 * @typedef {{ kid: string | null, alg: string, key: CryptoKey, clientId?: string }} Key `clientId`: the client that it is for
 * @typedef {JsonWebKey & { kid?: string, alg?: string }} Jwk
 */

/** JWS algorithms that a key can be used with, the preferred one first (RFC 7518 §3.1; SMART asks for RS384 and ES384). */
const ALGORITHMS = /** @type {Record<string, string[]>} */ ({
  RSA: ['RS384', 'RS256', 'RS512'],
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
});

/** What to hand in, for messages. */
const WANTED = 'Give a private RSA key, or an EC key on P-256, P-384 or P-521, as a JWK, a JWKS or a PEM file.';

/** @param {string} alg */
const hash = (alg) => `SHA-${alg.slice(2)}`;

/** @param {Jwk} jwk */
const family = (jwk) => (jwk.kty === 'EC' ? String(jwk.crv) : String(jwk.kty));

/**
 * The JWK's thumbprint (RFC 7638): the `kid` of keys that have none, as the Python smart-fetch makes it for PEM files.
 * @param {Jwk} jwk
 */
export async function thumbprint(jwk) {
  const { crv, e, kty, n, x, y } = jwk;
  // Required members only, sorted by name.
  const text = JSON.stringify(kty === 'RSA' ? { e, kty, n } : { crv, kty, x, y });
  const digest = await globalThis.crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return base64url(new Uint8Array(digest));
}

/** @param {Uint8Array} bytes */
function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/**
 * Whether a key can sign: it is private, and meant for signatures where it says what it is meant for. The reference wants
 * `key_ops`, `kid` and `alg` to be there; many real key files lack one.
 * @param {Jwk} jwk
 */
function canSign(jwk) {
  const meant = (jwk.use === undefined || jwk.use === 'sig') && (jwk.key_ops === undefined || jwk.key_ops.includes('sign'));
  return typeof jwk.d === 'string' && meant && ALGORITHMS[family(jwk)] !== undefined;
}

/**
 * Imports one key: once for each algorithm that it may be used with.
 * @param {Jwk} jwk
 * @returns {Promise<Key[]>}
 */
async function importJwk(jwk) {
  const possible = ALGORITHMS[family(jwk)];
  if (jwk.alg !== undefined && !possible.includes(jwk.alg)) {
    throw usage(`The key '${jwk.kid ?? ''}' is for ${jwk.alg}, which is not supported.`, `Use one of ${possible.join(', ')}.`);
  }
  const kid = jwk.kid ?? (await thumbprint(jwk));
  // WebCrypto refuses a JWK whose `key_ops` or `alg` is not exactly what it would write itself.
  const { kty, crv, n, e, d, p, q, dp, dq, qi, x, y } = jwk;
  const bare = kty === 'EC' ? { kty, crv, x, y, d } : { kty, n, e, d, p, q, dp, dq, qi };
  const algorithms = jwk.alg === undefined ? possible : [jwk.alg];
  return Promise.all(
    algorithms.map(async (alg) => {
      const algorithm = kty === 'EC' ? { name: 'ECDSA', namedCurve: String(crv) } : { name: 'RSASSA-PKCS1-v1_5', hash: hash(alg) };
      try {
        return { kid, alg, key: await globalThis.crypto.subtle.importKey('jwk', bare, algorithm, false, ['sign']) };
      } catch {
        // Without the engine's words: some of them quote the input.
        throw usage(`The key '${kid}' is damaged: it cannot be imported as ${alg}.`, WANTED);
      }
    }),
  );
}

/**
 * The JWKs of a JWK or a JWKS that can sign, in their order.
 * @param {any} json
 * @returns {Jwk[]}
 */
function usableJwks(json) {
  const isSet = Array.isArray(json?.keys);
  /** @type {Jwk[]} */
  const jwks = isSet ? json.keys : [json];
  const usable = jwks.filter((jwk) => jwk !== null && typeof jwk === 'object' && canSign(jwk));
  if (usable.length === 0) {
    const isPublic = jwks.some((jwk) => jwk?.kty !== undefined && jwk.d === undefined);
    throw usage(
      isPublic
        ? `The ${isSet ? 'JWKS holds only public keys' : 'JWK is a public key'}; signing needs the private one.`
        : 'No valid private key found in the provided JWKS file.',
      WANTED,
    );
  }
  return usable;
}

/**
 * All keys of a JWK or a JWKS that can sign, in their order.
 * @param {any} json
 * @returns {Promise<Key[]>}
 */
export async function importJson(json) {
  return (await Promise.all(usableJwks(json).map(importJwk))).flat();
}

/**
 * The first key that can sign, with the JWK it came from.
 * @param {any} json a JWK or a JWKS, or its text
 * @returns {Promise<[Key, Jwk]>}
 */
export async function readJwks(json) {
  const [jwk] = usableJwks(typeof json === 'string' ? parseJson(json) : json);
  const [key] = await importJwk(jwk);
  return [key, jwk];
}

/** @param {string} text */
function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    // Without the parser's words: they quote the input.
    throw usage('The key is neither JSON nor PEM.', WANTED);
  }
}

/**
 * The keys as the core sees them.
 * @param {Key[]} keys
 * @returns {import('../host.d.ts').HostSigner}
 */
export function signer(keys) {
  return {
    keys: () => keys.map(({ key: _, ...known }) => known),
    async sign(index, input) {
      const { alg, key } = keys[index];
      const algorithm = alg.startsWith('ES') ? { name: 'ECDSA', hash: hash(alg) } : 'RSASSA-PKCS1-v1_5';
      // WebCrypto copies the input before it returns; ECDSA signatures come as r and s, just as JWS wants them.
      return new Uint8Array(await globalThis.crypto.subtle.sign(algorithm, key, /** @type {any} */ (input)));
    },
  };
}

/**
 * Keys from what a caller has: a JWK or JWKS, as an object or as JSON text, or a `CryptoKey` with its `alg` and `kid`.
 * @param {any} keys
 * @param {(pem: string) => Jwk} [readPem] reads PEM text, where the host can
 * @returns {Promise<Key[]>}
 */
export async function loadKeys(keys, readPem) {
  if (typeof keys === 'string') {
    const text = keys.trim();
    if (text.startsWith('-----BEGIN')) {
      if (!readPem) throw usage('PEM keys are not supported here.', 'Give the key as a JWK.');
      return importJson(readPem(text));
    }
    return importJson(parseJson(text));
  }
  const given = Array.isArray(keys) ? keys : [keys];
  if (given.every((one) => one?.key instanceof CryptoKey && typeof one.alg === 'string')) {
    return given.map(({ kid = null, alg, key }) => ({ kid, alg, key }));
  }
  return importJson(Array.isArray(keys) ? { keys } : keys);
}

/**
 * A signer from what a caller has.
 * @param {any} keys
 * @param {(pem: string) => Jwk} [readPem]
 * @returns {Promise<import('../host.d.ts').HostSigner>}
 */
export async function importKeys(keys, readPem) {
  return signer(await loadKeys(keys, readPem));
}

/**
 * One signer for all clients that a job may be.
 * @param {{ clientId: string, keys: any }[]} clients
 * @param {(pem: string) => Jwk} [readPem]
 * @returns {Promise<import('../host.d.ts').HostSigner>}
 */
export async function importClients(clients, readPem) {
  const all = clients.map(async ({ clientId, keys }) => (await loadKeys(keys, readPem)).map((key) => ({ ...key, clientId })));
  return signer((await Promise.all(all)).flat());
}
