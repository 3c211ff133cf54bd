/**
 * smart-fetch for browsers: `fetch` for HTTP (through gloo-net, in the core), files transferred where the core runs, folders
 * in memory.
 */
import { Client as BaseClient } from './client.js';
import { Folder } from './folder.js';
import { importKeys, loadKeys as loadKeysWith } from './keys/webcrypto.js';
import { load } from './load.js';
import { MemoryFolder } from './storage/memory.js';

export { SmartFetchError } from './errors.js';

/** @type {import('./client.js').Environment} */
const environment = {
  load,
  createHttp: () => undefined,
  createPool: () => undefined,
  importKeys: (keys) => importKeys(keys),
};

export class Client extends BaseClient {
  /** @param {import('./index.d.ts').ClientOptions} options */
  constructor(options) {
    super(options, environment);
  }
}

/**
 * A folder in memory: it ends with the page.
 * @param {{ capacity?: number }} [options] `capacity`: bytes at most
 */
export function memoryFolder(options) {
  return new Folder(new MemoryFolder(options));
}

/**
 * Turns keys into WebCrypto keys that cannot be read back.
 * @param {import('./index.d.ts').Keys} keys
 */
export function loadKeys(keys) {
  return loadKeysWith(keys);
}

/** The resource types that are known. */
export async function resourceTypes() {
  return (await load()).resourceTypes();
}

/** The version of the core. */
export async function version() {
  return (await load()).version();
}
