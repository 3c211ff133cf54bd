/**
 * A folder of the origin private file system, written by sync access handles: what they have written is on file at once, also
 * when the tab is closed (`createWritable` loses all until the end). They exist in dedicated workers only.
 */
import { StorageError } from '../errors.js';
import { DirectoryFolder } from './directory.js';
import { patiently, storageError } from './paths.js';

/** @typedef {import('../host.d.ts').FileHandle} FileHandle */

/** Under the site's OPFS root, beside what else the site keeps there. */
const HOME = 'smart-fetch';

const home = async (/** @type {boolean} */ create) => (await navigator.storage.getDirectory()).getDirectoryHandle(HOME, { create });

export class OpfsFolder extends DirectoryFolder {
  #name;

  /** @param {string} name */
  constructor(name) {
    super({
      name,
      descriptor: { kind: 'opfs', name },
      lockName: `smart-fetch:opfs:${name}`,
      open: async () => (await home(true)).getDirectoryHandle(encodeURIComponent(name), { create: true }),
      openFile: async (file, append) => new SyncFile(await accessHandle(file), append),
    });
    this.#name = name;
  }

  /** Removes the folder with all that is in it. */
  async destroy() {
    const folder = await home(true);
    await folder.removeEntry(encodeURIComponent(this.#name), { recursive: true }).catch((error) => {
      if (error.name !== 'NotFoundError') throw storageError(error);
    });
  }
}

/** The names of all folders. */
export async function opfsFolders() {
  const names = [];
  const folder = /** @type {any} */ (await home(true));
  // What begins with a dot is our own.
  for await (const name of folder.keys()) if (!name.startsWith('.')) names.push(decodeURIComponent(name));
  return names;
}

/** @param {any} file */
function accessHandle(file) {
  if (typeof file.createSyncAccessHandle !== 'function') {
    throw new StorageError('unsupported', 'this browser has no sync access handles here');
  }
  return patiently(() => file.createSyncAccessHandle());
}

/** @implements {FileHandle} */
class SyncFile {
  #handle;
  #at;

  /**
   * @param {any} handle
   * @param {boolean} append
   */
  constructor(handle, append) {
    this.#handle = handle;
    if (!append) handle.truncate(0);
    this.#at = handle.getSize();
  }

  /** @param {Uint8Array} bytes */
  write(bytes) {
    try {
      for (let done = 0; done < bytes.length; ) {
        const written = this.#handle.write(done === 0 ? bytes : bytes.subarray(done), { at: this.#at });
        if (written === 0) throw new StorageError('full', 'the browser takes no more bytes');
        done += written;
        this.#at += written;
      }
    } catch (error) {
      throw storageError(error);
    }
  }

  flush() {
    try {
      this.#handle.flush();
    } catch (error) {
      throw storageError(error);
    }
  }

  close() {
    this.#handle.close();
  }

  release() {
    // Closing a second time does nothing.
    this.#handle.close();
  }
}
