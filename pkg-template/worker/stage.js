/**
 * Files on their way to the user, in browsers without a save dialog: gathered in OPFS, so that memory stays flat, or in a Blob
 * where OPFS is missing.
 */
import { OpfsFolder } from '../storage/opfs.js';

/** Beside the folders. */
const STAGE = new OpfsFolder('.stage');

/** When a staged file has been saved or never will be, in milliseconds. */
const OLD = 3600_000;

/** @typedef {{ path: string, file?: import('../host.d.ts').FileHandle, parts: Blob[] }} Staged */

/** @type {Map<number, Staged>} */
const open = new Map();
let next = 0;

/** Methods of the worker. */
export const stage = {
  async stageOpen() {
    await removeOld();
    const id = next++;
    /** @type {Staged} */
    const staged = { path: `${crypto.randomUUID()}`, parts: [] };
    staged.file = await STAGE.open(staged.path, false).catch(() => undefined);
    open.set(id, staged);
    return id;
  },
  /**
   * @param {number} id
   * @param {Uint8Array} bytes
   */
  async stageWrite(id, bytes) {
    const { file, parts } = found(id);
    if (file) await file.write(bytes);
    else parts.push(new Blob([/** @type {any} */ (bytes)]));
  },
  /** @param {number} id */
  async stageClose(id) {
    const { path, file, parts } = found(id);
    open.delete(id);
    if (!file) return new Blob(parts);
    await file.close();
    return STAGE.blob(path);
  },
  /** @param {number} id */
  async stageDrop(id) {
    const { path, file } = found(id);
    open.delete(id);
    file?.release();
    if (file) await STAGE.remove(path);
  },
};

async function removeOld() {
  for (const { name } of await STAGE.list('').catch(() => [])) {
    const { lastModified } = await STAGE.blob(name);
    // In use by another tab: next time.
    if (Date.now() - lastModified > OLD) await STAGE.remove(name).catch(() => {});
  }
}

/** @param {number} id */
function found(id) {
  const staged = open.get(id);
  if (!staged) throw new Error('there is no such staged file');
  return staged;
}
