// JSON Web Tokens as SMART Backend Services use them, verified with node:crypto.
import { createPrivateKey, createPublicKey, generateKeyPair, randomUUID, sign, verify } from 'node:crypto';
import { promisify } from 'node:util';

// dsaEncoding ieee-p1363 is JOSE's raw r||s (RFC 7518 section 3.4); a DER signature does not verify.
const ALGORITHMS = {
  RS256: { hash: 'sha256', kty: 'RSA' }, RS384: { hash: 'sha384', kty: 'RSA' }, RS512: { hash: 'sha512', kty: 'RSA' },
  ES256: { hash: 'sha256', kty: 'EC', crv: 'P-256' }, ES384: { hash: 'sha384', kty: 'EC', crv: 'P-384' }, ES512: { hash: 'sha512', kty: 'EC', crv: 'P-521' },
};

/** Splits and decodes a compact JWS without checking it. Throws where it is none. */
export function decodeJwt(jwt) {
  const parts = String(jwt).split('.');
  if (parts.length !== 3 || parts.some((part) => !/^[A-Za-z0-9_-]+$/.test(part))) {
    throw new Error('it is not three base64url parts');
  }
  const json = (part) => {
    const value = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    if (value === null || typeof value !== 'object') throw new Error('header and payload must be JSON objects');
    return value;
  };
  return { header: json(parts[0]), claims: json(parts[1]), signature: Buffer.from(parts[2], 'base64url'), signed: Buffer.from(`${parts[0]}.${parts[1]}`) };
}

/** Whether a public JWK made the signature. */
export function verifyJwt({ header, signature, signed }, jwk) {
  const algorithm = ALGORITHMS[header.alg];
  if (!algorithm || jwk.kty !== algorithm.kty || (algorithm.crv && jwk.crv !== algorithm.crv) || (jwk.alg && jwk.alg !== header.alg)) return false;
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  return verify(algorithm.hash, signed, algorithm.kty === 'EC' ? { key, dsaEncoding: 'ieee-p1363' } : key, signature);
}

/** A compact JWS of claims, by an RSA key of makeKey. */
export function signJwt({ jwk, pem }, claims) {
  const input = [{ alg: jwk.alg, kid: jwk.kid, typ: 'JWT' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${input}.${sign(ALGORITHMS[jwk.alg].hash, Buffer.from(input), createPrivateKey(pem)).toString('base64url')}`;
}

const PRIVATE_PARTS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** The public half of a JWK, for a JWKS. */
export function publicJwk(jwk) {
  const rest = Object.fromEntries(Object.entries(jwk).filter(([name]) => !PRIVATE_PARTS.includes(name)));
  return { ...rest, key_ops: ['verify'] };
}

/**
 * A new key pair.
 * @param {keyof ALGORITHMS} alg
 * @returns {Promise<{jwk: object, pem: string}>} the private key as a JWK (with kid, alg, key_ops) and as PKCS#8 PEM
 */
export async function makeKey(alg) {
  const { kty, crv } = ALGORITHMS[alg];
  const options = kty === 'RSA' ? { modulusLength: 2048 } : { namedCurve: crv };
  const { privateKey } = await promisify(generateKeyPair)(kty === 'RSA' ? 'rsa' : 'ec', options);
  return {
    jwk: { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg, use: 'sig', key_ops: ['sign'] },
    pem: privateKey.export({ format: 'pem', type: 'pkcs8' }),
  };
}
