/**
 * smart-fetch for Node: undici for HTTP, worker threads for files, the file system for folders.
 */
import { createHttp } from './http/node.js';
import { inThread } from './in-thread.js';
import { readPem } from './keys/pem-node.js';
import { importClients } from './keys/webcrypto.js';
import { load } from './load-node.js';
import { NodeFolder } from './storage/node-fs.js';
import { createPool } from './worker/node.js';

export { SmartFetchError } from './errors.js';
export { generateKeys } from './keys/generate.js';
export { zip } from './save/zip.js';
export { nameOptions } from './names.js';
export { Tally } from './tally.js';

const environment = {
  load,
  createHttp: () => createHttp(),
  createPool,
  importClients: (/** @type {any} */ clients) => importClients(clients, readPem),
};

const { folderIn, ...api } = inThread(environment, readPem);
export const { Client, SmartAppClient, bundle, copyFolder, fromSmartClient, hydrationTasks, importFolder, loadKeys, memoryFolder, merge, parseIds, resetLinks, resourceTypes, verify, version } = api;

/**
 * A folder of the file system; made by the first job in it if it is not there.
 * @param {string} path
 * @param {{ blocking?: boolean }} [options]
 */
export async function openFolder(path, { blocking } = {}) {
  return folderIn(new NodeFolder(path, { sync: blocking }), 'node-fs');
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
