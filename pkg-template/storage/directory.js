/**
 * A folder behind a `FileSystemDirectoryHandle`: what OPFS and picked folders share. They differ in how a file is written.
 */
import { StorageError } from '../errors.js';
import { lockName, takeLock } from '../locks/web-locks.js';
import { INDEX, Links } from './links.js';
import { available, guarded, patiently, resolveLink, segmentsOf, storageError } from './paths.js';

/** @typedef {import('../host.d.ts').Backend} Backend */
/** @typedef {import('../host.d.ts').FileHandle} FileHandle */

/** Bytes that are copied at once where a file cannot be moved. */
const PIECE = 1 << 20;

/** How often a file is opened again that is replaced while it is read. */
const READ_TRIES = 5;

/** @param {any} error */
const missing = (error) => error?.name === 'NotFoundError';

/** @implements {Backend} */
export class DirectoryFolder {
  #open;
  #openFile;
  #lockName;
  /** @type {Map<string, FileSystemDirectoryHandle>} Folders by path: looking one up takes a while. */
  #folders = new Map();
  #links;

  /**
   * @param {object} options
   * @param {string} options.name for people
   * @param {import('../host.d.ts').FolderDescriptor} options.descriptor
   * @param {string} options.lockName
   * @param {() => Promise<FileSystemDirectoryHandle>} options.open the folder, made if it is not there
   * @param {(file: FileSystemFileHandle, append: boolean) => Promise<FileHandle>} options.openFile
   */
  constructor({ name, descriptor, lockName, open, openFile }) {
    this.name = name;
    this.descriptor = descriptor;
    this.#lockName = lockName;
    this.#open = open;
    this.#openFile = openFile;
    this.#links = new Links(
      async () => {
        const file = await this.#file([INDEX]);
        return file && (await file.getFile()).text();
      },
      async (text) => {
        if (text === undefined) return this.#removeEntry([INDEX]);
        const writer = await this.open(`${INDEX}.tmp`, false);
        await writer.write(new TextEncoder().encode(text));
        await writer.flush();
        await writer.close();
        await this.rename(`${INDEX}.tmp`, INDEX);
      },
    );
  }

  /**
   * A folder inside; made if it is not there and `create` is set.
   * @param {string[]} segments
   * @param {boolean} create
   * @returns {Promise<FileSystemDirectoryHandle>}
   */
  async #folder(segments, create) {
    const key = segments.join('/');
    let folder = this.#folders.get(key);
    if (!folder) {
      if (segments.length === 0) {
        folder = await this.#open();
      } else {
        const parent = await this.#folder(segments.slice(0, -1), create);
        folder = await parent.getDirectoryHandle(segments[segments.length - 1], { create });
      }
      this.#folders.set(key, folder);
    }
    return folder;
  }

  /**
   * The file at a path; undefined if there is none.
   * @param {string[]} segments
   * @returns {Promise<FileSystemFileHandle | undefined>}
   */
  async #file(segments) {
    if (segments.length === 0) return undefined;
    try {
      const folder = await this.#folder(segments.slice(0, -1), false);
      return await folder.getFileHandle(segments[segments.length - 1]);
    } catch (error) {
      if (missing(error)) return undefined;
      throw error;
    }
  }

  /** @param {string[]} segments */
  async #removeEntry(segments) {
    try {
      const folder = await this.#folder(segments.slice(0, -1), false);
      this.#folders.delete(segments.join('/'));
      await patiently(() => folder.removeEntry(segments[segments.length - 1]));
    } catch (error) {
      if (!missing(error)) throw error;
    }
  }

  /**
   * @param {string} path
   * @returns {Promise<import('../host.d.ts').Entry | undefined>}
   */
  stat(path) {
    return guarded(async () => {
      const segments = segmentsOf(path);
      if (segments.length === 0) return { name: '', isDir: true, size: 0 };
      const name = segments[segments.length - 1];
      try {
        const file = await this.#file(segments);
        if (file) return { name, isDir: false, size: (await file.getFile()).size };
      } catch (error) {
        if (/** @type {any} */ (error).name !== 'TypeMismatchError') throw error;
        // A folder on the way that is a file: then there is nothing.
        const folder = await this.#folder(segments, false).catch(() => undefined);
        return folder && { name, isDir: true, size: 0 };
      }
      const target = (await this.#links.all()).get(segments.join('/'));
      return target === undefined ? undefined : { name, isDir: false, size: 0, target };
    });
  }

  /** @param {string} path */
  list(path) {
    return guarded(async () => {
      const segments = segmentsOf(path);
      const prefix = segments.map((segment) => `${segment}/`).join('');
      /** @type {import('../host.d.ts').Entry[]} */
      const entries = [];
      try {
        const folder = await this.#folder(segments, false);
        for await (const [name, handle] of /** @type {any} */ (folder).entries()) {
          if (prefix === '' && name.startsWith(INDEX)) continue;
          const isDir = handle.kind === 'directory';
          // Gone since it was listed: then it is not there.
          const size = isDir ? 0 : await handle.getFile().then((/** @type {File} */ file) => file.size, (/** @type {any} */ error) => {
            if (!missing(error)) throw error;
          });
          if (size !== undefined) entries.push({ name, isDir, size });
        }
      } catch (error) {
        if (!missing(error)) throw error;
        this.#folders.delete(segments.join('/'));
      }
      for (const [link, target] of await this.#links.all()) {
        const name = link.slice(prefix.length);
        if (link.startsWith(prefix) && !name.includes('/')) entries.push({ name, isDir: false, size: 0, target });
      }
      return entries;
    });
  }

  /**
   * The file behind a path, through links.
   * @param {string} path
   * @returns {Promise<File>}
   */
  blob(path) {
    return guarded(async () => {
      const segments = segmentsOf(path);
      const file = (await this.#file(segments)) ?? (await this.#file(segmentsOf(await this.#links.resolve(segments.join('/')))));
      if (!file) throw new StorageError('notFound', 'no such file');
      return file.getFile();
    });
  }

  /**
   * @param {string} path
   * @param {number} offset
   * @param {number} max
   */
  read(path, offset, max) {
    return guarded(async () => {
      for (let left = READ_TRIES; ; left--) {
        const file = await this.blob(path);
        try {
          return new Uint8Array(await file.slice(offset, offset + max).arrayBuffer());
        } catch (error) {
          // Replaced since: a file that a job writes anew is read by another tab.
          const isReplaced = missing(error) || /** @type {any} */ (error).name === 'NotReadableError';
          if (!isReplaced || left === 0) throw error;
        }
      }
    });
  }

  /**
   * @param {string} path
   * @param {boolean} append
   * @returns {Promise<FileHandle>}
   */
  open(path, append) {
    return guarded(async () => {
      const segments = segmentsOf(path);
      if (segments.length === 0) throw new StorageError('denied', 'that is the folder itself');
      if ((await this.#links.all()).has(segments.join('/'))) {
        throw new StorageError('denied', 'it is a link: it is not written through');
      }
      const folder = await this.#folder(segments.slice(0, -1), true);
      const file = await folder.getFileHandle(segments[segments.length - 1], { create: true });
      return this.#openFile(file, append);
    });
  }

  /**
   * @param {string} from
   * @param {string} to
   */
  rename(from, to) {
    return guarded(async () => {
      const source = segmentsOf(from);
      const target = segmentsOf(to);
      if (target.length === 0) throw new StorageError('denied', 'that is the folder itself');
      const file = await this.#file(source);
      if (!file) return this.#links.move(source.join('/'), target.join('/'));
      if (source.join('/') === target.join('/')) return;
      const folder = await this.#folder(target.slice(0, -1), true);
      if (!(await moved(file, folder, target[target.length - 1]))) {
        await this.#copy(file, to);
        await this.#removeEntry(source);
      }
    });
  }

  /**
   * Where a browser cannot move files. A crash in between leaves both: the copy is only complete once it is closed, and what
   * is half there is fetched again.
   * @param {FileSystemFileHandle} handle
   * @param {string} to
   */
  async #copy(handle, to) {
    const file = await handle.getFile();
    const writer = await this.open(to, false);
    try {
      for (let at = 0; at < file.size; at += PIECE) {
        await writer.write(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
      }
      await writer.flush();
      await writer.close();
    } catch (error) {
      writer.release();
      throw error;
    }
  }

  /** @param {string} path */
  remove(path) {
    return guarded(async () => {
      const segments = segmentsOf(path);
      if (segments.length === 0) throw new StorageError('denied', 'that is the folder itself');
      const name = segments.join('/');
      if ((await this.#links.all()).has(name)) await this.#links.change((links) => void links.delete(name));
      else await this.#removeEntry(segments);
    });
  }

  /**
   * @param {string} target
   * @param {string} path
   */
  link(target, path) {
    return guarded(async () => {
      const segments = segmentsOf(path);
      const name = segments.join('/');
      resolveLink(name, target); // Refuses a target outside.
      if (await this.#file(segments)) throw new StorageError('other', `${path} is there and is no link`);
      await this.#links.change((links) => void links.set(name, target));
    });
  }

  usage() {
    return guarded(available);
  }

  /** @param {string} [path] of a subfolder */
  lock(path = '') {
    return takeLock(lockName(this.#lockName, path));
  }
}

/**
 * Moves a file, replacing what is there; false where the browser cannot.
 * @param {any} file
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} name
 */
async function moved(file, folder, name) {
  if (typeof file.move !== 'function') return false;
  try {
    await patiently(() => file.move(folder, name));
    return true;
  } catch (error) {
    const { kind } = storageError(error);
    if (kind === 'full' || kind === 'notFound') throw error;
    // Some cannot move outside of OPFS, or onto a file that is there.
    return false;
  }
}
