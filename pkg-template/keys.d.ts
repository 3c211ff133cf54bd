/**
 * Signing keys: in which forms they are taken, how they are made, and those that live in a browser.
 */

/** A JSON Web Key (RFC 7517), as WebCrypto's `JsonWebKey`, with what key files have besides. */
export interface Jwk {
  kty?: string;
  kid?: string;
  alg?: string;
  use?: string;
  key_ops?: string[];
  ext?: boolean;
  crv?: string;
  x?: string;
  y?: string;
  n?: string;
  e?: string;
  d?: string;
  p?: string;
  q?: string;
  dp?: string;
  dq?: string;
  qi?: string;
}

/** A set of them (JWKS). */
export interface Jwks {
  keys: Jwk[];
}

/** A private key that can sign, in any of the forms in which people have it. */
export type Keys =
  /** A JWK or a JWKS, or their JSON text. In Node also PEM text: PKCS#8, PKCS#1 or SEC1. */
  | string
  | Jwk
  | Jwks
  /** WebCrypto keys, which need not be extractable. */
  | SigningCryptoKey
  | SigningCryptoKey[];

/** WebCrypto's `CryptoKey`, by what it has: programs without the types of browsers (`lib: dom`) compile, too. */
export interface WebCryptoKey {
  readonly algorithm: { name: string };
  readonly extractable: boolean;
  readonly type: 'private' | 'public' | 'secret';
  readonly usages: ('encrypt' | 'decrypt' | 'sign' | 'verify' | 'deriveKey' | 'deriveBits' | 'wrapKey' | 'unwrapKey')[];
}

/** A WebCrypto key for signing, with what the server knows of it. */
export interface SigningCryptoKey {
  key: WebCryptoKey;
  /** `RS384`, `ES384`, `RS256`, `RS512`, `ES256` or `ES512`. */
  alg: string;
  /** As registered with the server. */
  kid?: string | null;
}

/**
 * Turns keys into WebCrypto keys that cannot be read back, for `auth.keys`; rejects with a usage error where there is none
 * that can sign.
 */
export function loadKeys(keys: Keys): Promise<SigningCryptoKey[]>;

/** The algorithms that SMART Backend Services asks for: an EC key on P-384, and RSA with 3,072 bits. */
export type SmartAlgorithm = 'ES384' | 'RS384';

/**
 * Makes keys for SMART Backend Services, one for each algorithm: `privateJwks` is to be kept secret, where only the owner can read
 * it, and is what `auth.keys` takes; `publicJwks` is to be registered with the server. `kid` is the thumbprint (RFC 7638).
 * In browsers {@link createKey} is better: nobody can read that one.
 * @param algs default: both, so that either kind of server is served
 */
export function generateKeys(algs?: SmartAlgorithm[]): Promise<{ privateJwks: Jwks; publicJwks: Jwks }>;

/** A signing key that lives in this browser, as `auth.keys` takes it. Its private part cannot be read by any script. */
export interface StoredKey extends SigningCryptoKey {
  readonly name: string;
  readonly kid: string;
  /** The public part, to be registered with the server. */
  readonly publicJwk: Jwk & { kid: string; alg: string };
}

/** Browsers only. Makes a key and keeps it under `name`; `alg` is ES384 by default. Rejects if the name is taken. */
export function createKey(name: string, options?: { alg?: SmartAlgorithm; kid?: string }): Promise<StoredKey>;

/** Browsers only. Keeps a private JWK (or the first usable one of a JWKS) under `name`, not readable any more. */
export function importKey(name: string, jwk: Jwk | Jwks | string): Promise<StoredKey>;

/** Browsers only. The keys that this browser keeps for the site. */
export function storedKeys(): Promise<StoredKey[]>;

/** Browsers only. Forgets a key; it cannot be brought back. */
export function removeKey(name: string): Promise<void>;
