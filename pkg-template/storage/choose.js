/**
 * Which storage a folder is kept in. Whether one works is seen by really using it: some browsers have an interface that
 * fails (OPFS in private windows of Safari).
 */
import { StorageError } from '../errors.js';
import { IdbFolder, idbFolders } from './idb.js';
import { MemoryFolder } from './memory.js';
import { OpfsFolder, opfsFolders } from './opfs.js';
import { PickedFolder } from './picked-dir.js';

/** @typedef {import('../host.d.ts').FolderDescriptor} FolderDescriptor */

/** Folders in memory, by name: they live as long as this worker. @type {Map<string, MemoryFolder>} */
const inMemory = new Map();

/**
 * The backend for a folder, the same from any worker; memory only in the one that has it.
 * @param {FolderDescriptor} descriptor
 * @returns {import('../host.d.ts').Backend}
 */
export function openBackend(descriptor) {
  switch (descriptor.kind) {
    case 'opfs':
      return new OpfsFolder(descriptor.name);
    case 'idb':
      return new IdbFolder(descriptor.name);
    case 'picked':
      return new PickedFolder(descriptor.handle);
    case 'memory': {
      const folder = inMemory.get(descriptor.name) ?? new MemoryFolder({ capacity: descriptor.capacity });
      inMemory.set(descriptor.name, folder);
      return folder;
    }
    default:
      throw new StorageError('unsupported', `folders of the kind ${descriptor.kind} cannot be opened here`);
  }
}

/** Removes a folder in memory. @param {string} name */
export const forgetMemory = (name) => inMemory.delete(name);

/** What is written to see whether a storage works. */
const SAMPLE = new Uint8Array([1, 2, 3, 4]);

/**
 * Opens, writes, reads and removes a file.
 * @param {import('../host.d.ts').Backend} backend
 */
export async function probe(backend) {
  const path = `.probe-${Math.random().toString(36).slice(2)}`;
  const file = await backend.open(path, false);
  try {
    await file.write(SAMPLE);
    await file.flush();
    await file.close();
  } catch (error) {
    file.release();
    throw error;
  }
  const read = await backend.read(path, 0, 100);
  await backend.remove(path);
  if (read.join() !== SAMPLE.join()) throw new StorageError('other', 'what was written cannot be read back');
}

/** In order of preference: files that survive a killed tab byte for byte first. */
const ORDER = /** @type {const} */ (['opfs', 'idb']);

/** How people call them. */
const WORDS = { opfs: "the browser's private file system", idb: 'IndexedDB', memory: 'memory', picked: 'the picked folder' };

/** Where a probe writes, so that it makes no folder that was not asked for. */
const PROBE = '.probe';

/** @type {Map<string, Promise<string | undefined>>} What stands against a storage, once known. */
const probed = new Map();

/** @param {'opfs' | 'idb'} kind */
function problemOf(kind) {
  let known = probed.get(kind);
  if (!known) {
    const backend = /** @type {OpfsFolder | IdbFolder} */ (openBackend({ kind, name: `${PROBE}-${Math.random().toString(36).slice(2)}` }));
    known = probe(backend)
      .finally(() => backend.destroy())
      .then(
        () => undefined,
        (error) => String(error.message),
      );
    probed.set(kind, known);
    // What is full now may have room later.
    known.then((problem) => problem !== undefined && probed.delete(kind));
  }
  return known;
}

/**
 * Chooses where a folder is kept. A folder that is there already stays where it is.
 * @param {string} name
 * @param {'auto' | 'opfs' | 'idb' | 'memory' | FileSystemDirectoryHandle} wanted
 * @returns {Promise<{ descriptor: FolderDescriptor, reason: string, warning?: string }>}
 */
export async function choose(name, wanted) {
  if (typeof wanted === 'object') {
    await probe(openBackend({ kind: 'picked', handle: wanted }));
    return { descriptor: { kind: 'picked', handle: wanted }, reason: 'You picked this folder.' };
  }
  if (wanted === 'memory') return { descriptor: { kind: 'memory', name }, reason: 'Memory was asked for.', warning: LOST };
  const skipped = [];
  const candidates = wanted === 'auto' ? await existingFirst(name) : [wanted];
  for (const kind of candidates) {
    const problem = await problemOf(kind);
    if (problem === undefined) {
      return { descriptor: { kind, name }, reason: `${sentence(WORDS[kind])} works here.${skipped.map((why) => ` ${why}`).join('')}` };
    }
    skipped.push(`${sentence(WORDS[kind])} cannot be used: ${problem}.`);
  }
  if (wanted !== 'auto') throw new StorageError('unsupported', skipped.join(' '));
  return { descriptor: { kind: 'memory', name }, reason: skipped.join(' '), warning: LOST };
}

const LOST = 'The data are in memory only: they are lost when this page is closed. Save them before.';

/** @param {string} text */
const sentence = (text) => text[0].toUpperCase() + text.slice(1);

/** @param {string} name */
async function existingFirst(name) {
  const inIdb = await idbFolders().then((names) => names.includes(name), () => false);
  const inOpfs = inIdb && (await opfsFolders().then((names) => names.includes(name), () => false));
  return inIdb && !inOpfs ? [...ORDER].reverse() : [...ORDER];
}

/** All folders that are kept in this browser. */
export async function allFolders() {
  /** @type {FolderDescriptor[]} */
  const found = [];
  for (const [kind, list] of /** @type {const} */ ([['opfs', opfsFolders], ['idb', idbFolders]])) {
    // A storage that does not work holds nothing.
    const names = await list().catch(() => []);
    for (const name of names) if (!name.startsWith(PROBE)) found.push({ kind, name });
  }
  for (const name of inMemory.keys()) found.push({ kind: 'memory', name });
  return found;
}
