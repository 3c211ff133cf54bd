/**
 * smart-fetch for browsers: the core and the storage in a worker, files fetched by further ones.
 */
import { Client as BaseClient } from './client.js';
import { control, folderOf } from './copying.js';
import { folderJobs } from './folder-jobs.js';
import { Folder } from './folder.js';
import { loadKeys as loadKeysWith } from './keys/webcrypto.js';
import { checkFolder, persist } from './site.js';
import { smartApp } from './smart-app.js';
import { RemoteAccess, call } from './worker/page.js';

export { SmartFetchError } from './errors.js';
export { generateKeys } from './keys/generate.js';
export { createKey, importKey, removeKey, storedKeys } from './keys/idb-keys.js';
export { saveFile, saveZip } from './save/save.js';
export { zip } from './save/zip.js';
export { nameOptions } from './names.js';
export { Tally } from './tally.js';
export { persist, storageUsage } from './site.js';

/** @param {import('./folder.js').Access | undefined} access */
const placeOf = (access) => /** @type {RemoteAccess | undefined} */ (access)?.descriptor;

/** @type {import('./client.js').Execute} */
const execute = (request, access, control, source) => call('execute', [request, placeOf(access), placeOf(source)], control);

export const { bundle, merge, resetLinks, verify } = folderJobs(execute);

export class Client extends BaseClient {
  /** @param {import('./index.d.ts').ClientOptions} options */
  constructor(options) {
    super(options, execute);
  }
}

export const { SmartAppClient, fromSmartClient } = smartApp(Client);

/**
 * Opens a folder.
 * @param {string | FileSystemDirectoryHandle} name
 * @param {{ storage?: 'auto' | 'opfs' | 'idb' | 'memory' }} [options]
 */
export async function openFolder(name, { storage = 'auto' } = {}) {
  if (typeof name === 'string') {
    checkFolder(name, storage);
    if (storage !== 'memory') await persist();
  }
  const wanted = typeof name === 'string' ? storage : name;
  return new Folder(new RemoteAccess(await call('choose', [typeof name === 'string' ? name : name.name, wanted])));
}

/** All folders that this browser keeps for the site. */
export async function folders() {
  /** @type {import('./host.d.ts').FolderDescriptor[]} */
  const found = await call('folders', []);
  return found.map((descriptor) => new Folder(new RemoteAccess({ descriptor })));
}

let memoryFolders = 0;

/**
 * A folder in memory: it ends with the page.
 * @param {{ capacity?: number }} [options] `capacity`: bytes at most
 */
export function memoryFolder({ capacity } = {}) {
  return new Folder(new RemoteAccess({ descriptor: { kind: 'memory', name: `memory ${++memoryFolders}`, capacity } }));
}

/**
 * Turns keys into WebCrypto keys that cannot be read back.
 * @param {import('./index.d.ts').Keys} keys
 */
export function loadKeys(keys) {
  return loadKeysWith(keys);
}

/**
 * The ids in the text of a file called `name`.
 * @param {string} name
 * @param {string} text
 */
export async function parseIds(name, text) {
  try {
    return await call('parseIds', [name, text]);
  } catch (error) {
    throw SmartFetchError.from(error, 'options');
  }
}

/** The names of groups of hydration tasks. */
export function hydrationTasks() {
  return call('hydrationTasks', []);
}

/** The resource types that are known. */
export function resourceTypes() {
  return call('resourceTypes', []);
}

/** The version of the core. */
export const version = () => call('version', []);

/** @param {import('./index.d.ts').Folder} folder */
const descriptorOf = (folder) => /** @type {RemoteAccess} */ (/** @type {Folder} */ (folder).access).descriptor;

/**
 * Copies a folder.
 * @param {import('./index.d.ts').Folder} from
 * @param {import('./index.d.ts').Folder | FileSystemDirectoryHandle} to
 * @param {import('./index.d.ts').CopyOptions} [options]
 */
export function copyFolder(from, to, options = {}) {
  const target = to instanceof Folder ? descriptorOf(to) : { kind: 'picked', handle: to };
  return call('copy', [descriptorOf(from), target], control(options));
}

/**
 * Takes in a folder that was made elsewhere.
 * @param {import('./index.d.ts').Folder} folder
 * @param {import('./index.d.ts').Folder | FileSystemDirectoryHandle | Iterable<File>} source
 * @param {import('./index.d.ts').CopyOptions} [options]
 */
export async function importFolder(folder, source, options = {}) {
  if (Symbol.iterator in source) return call('importFiles', [folderOf(source), descriptorOf(folder)], control(options));
  const from = source instanceof Folder ? descriptorOf(source) : { kind: 'picked', handle: source };
  return call('copy', [from, descriptorOf(folder)], control(options));
}
