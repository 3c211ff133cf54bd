/**
 * smart-fetch for Node: undici for HTTP, worker threads for files, the file system for folders.
 */
import { Client as BaseClient } from './client.js';
import { Folder } from './folder.js';
import { createHttp } from './http/node.js';
import { readPem } from './keys/pem-node.js';
import { importKeys, loadKeys as loadKeysWith } from './keys/webcrypto.js';
import { load } from './load-node.js';
import { MemoryFolder } from './storage/memory.js';
import { NodeFolder } from './storage/node-fs.js';
import { createPool } from './worker/node.js';

export { SmartFetchError } from './errors.js';

/** @type {import('./client.js').Environment} */
const environment = {
  load: () => load(),
  createHttp: () => createHttp(),
  createPool,
  importKeys: (keys) => importKeys(keys, readPem),
};

export class Client extends BaseClient {
  /** @param {import('./index.d.ts').ClientOptions} options */
  constructor(options) {
    super(options, environment);
  }
}

/**
 * A folder of the file system; made by the first job in it if it is not there.
 * @param {string} path
 */
export async function openFolder(path) {
  return new Folder(new NodeFolder(path));
}

/**
 * A folder in memory: it ends with the program.
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
  return loadKeysWith(keys, readPem);
}

/** The resource types that are known. */
export async function resourceTypes() {
  return (await load()).resourceTypes();
}

/** The version of the core. */
export async function version() {
  return (await load()).version();
}
