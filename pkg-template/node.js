/**
 * smart-fetch for Node: undici for HTTP, worker threads for files, the file system for folders.
 */
import { Client as BaseClient } from './client.js';
import { folderJobs } from './folder-jobs.js';
import { Folder } from './folder.js';
import { createHttp } from './http/node.js';
import { readPem } from './keys/pem-node.js';
import { importClients, loadKeys as loadKeysWith } from './keys/webcrypto.js';
import { load } from './load-node.js';
import { LocalAccess } from './local.js';
import { runner } from './run.js';
import { MemoryFolder } from './storage/memory.js';
import { NodeFolder } from './storage/node-fs.js';
import { createPool } from './worker/node.js';

export { SmartFetchError } from './errors.js';
export { zip } from './save/zip.js';

const run = runner({
  load: () => load(),
  createHttp: () => createHttp(),
  createPool,
  importClients: (clients) => importClients(clients, readPem),
});

/** @param {import('./folder.js').Access | undefined} access */
const backendOf = (access) => /** @type {LocalAccess | undefined} */ (access)?.backend;

/** @type {import('./client.js').Execute} */
const execute = (call, access, control, source) => run(call, backendOf(access), control, backendOf(source));

export const { bundle } = folderJobs(execute);

export class Client extends BaseClient {
  /** @param {import('./index.d.ts').ClientOptions} options */
  constructor(options) {
    super(options, execute);
  }
}

/**
 * A folder of the file system; made by the first job in it if it is not there.
 * @param {string} path
 */
export async function openFolder(path) {
  return new Folder(new LocalAccess(new NodeFolder(path), 'node-fs', () => load()));
}

/**
 * The folders in `path` that jobs have worked in.
 * @param {string} [path]
 */
export async function folders(path = '.') {
  const { readdir, access } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const found = [];
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const name = join(path, entry.name);
    if (await access(join(name, '.metadata')).then(() => true, () => false)) found.push(await openFolder(name));
  }
  return found;
}

/**
 * A folder in memory: it ends with the program.
 * @param {{ capacity?: number }} [options] `capacity`: bytes at most
 */
export function memoryFolder(options) {
  return new Folder(new LocalAccess(new MemoryFolder(options), 'memory', () => load()));
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
