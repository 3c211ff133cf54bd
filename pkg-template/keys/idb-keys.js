/**
 * Signing keys that live in this browser: WebCrypto keys that cannot be read back, in IndexedDB. They survive the page; no
 * script, ours included, can see their private part.
 */
import { usage } from '../errors.js';
import { generatePair, publicPart } from './generate.js';
import { readJwks, thumbprint } from './webcrypto.js';

/** @typedef {import('../index.d.ts').StoredKey} StoredKey */

const DATABASE = 'smart-fetch-keys';
const STORE = 'keys';

/** @returns {Promise<IDBDatabase>} */
function database() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'name' });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} work
 * @returns {Promise<T>}
 */
async function inStore(mode, work) {
  const db = await database();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = db.transaction(STORE, mode, { durability: 'strict' });
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    db.close();
  }
}

/** @param {string} name */
function checkName(name) {
  if (typeof name !== 'string' || name === '') throw usage('The name of the key is missing.');
}

/**
 * @param {StoredKey} key
 * @returns {Promise<StoredKey>}
 */
async function keep(key) {
  try {
    await inStore('readwrite', (store) => store.add(key));
  } catch (error) {
    if (/** @type {any} */ (error)?.name !== 'ConstraintError') throw error;
    throw usage(`There is a key named '${key.name}' already.`, 'Choose another name, or remove that key first.');
  }
  return key;
}

/**
 * Makes a key.
 * @param {string} name
 * @param {{ alg?: 'ES384' | 'RS384', kid?: string }} [options]
 */
export async function createKey(name, { alg = 'ES384', kid } = {}) {
  checkName(name);
  const pair = await generatePair(alg, false);
  const jwk = await crypto.subtle.exportKey('jwk', pair.publicKey);
  const id = kid ?? (await thumbprint(jwk));
  return keep({ name, kid: id, alg, key: pair.privateKey, publicJwk: publicPart(jwk, id, alg) });
}

/**
 * Keeps a key that was made elsewhere.
 * @param {string} name
 * @param {any} jwk
 */
export async function importKey(name, jwk) {
  checkName(name);
  const [{ kid, alg, key }, source] = await readJwks(jwk);
  const id = kid ?? (await thumbprint(source));
  return keep({ name, kid: id, alg, key, publicJwk: publicPart(source, id, alg) });
}

/** The keys that are kept, by name. */
export const storedKeys = () => /** @type {Promise<StoredKey[]>} */ (inStore('readonly', (store) => store.getAll()));

/** @param {string} name */
export async function removeKey(name) {
  await inStore('readwrite', (store) => store.delete(name));
}
