/**
 * A folder in IndexedDB, where OPFS is missing (as in private windows of Safari): files as chunks. Each change is one
 * transaction that waits for nothing but the database, so a closed tab leaves whole chunks.
 */
import { StorageError } from '../errors.js';
import { lockName, takeLock } from '../locks/web-locks.js';
import { MAX_HOPS, available, guarded, resolveLink, segmentsOf, storageError } from './paths.js';

/** @typedef {import('../host.d.ts').FileHandle} FileHandle */

/** @typedef {import('../host.d.ts').Backend} Backend */

/**
 * @typedef {{ folder: string, path: string, id: string, size: number, target?: string }} Row a file, or a link with `target`
 */

const DATABASE = 'smart-fetch';

/** Bytes per chunk. */
const CHUNK = 1 << 20;

/** @type {Promise<IDBDatabase> | undefined} */
let opening;

function database() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('folders');
      request.result.createObjectStore('files', { keyPath: ['folder', 'path'] });
      request.result.createObjectStore('chunks');
    };
    request.onsuccess = () => {
      // A later version of this package, in another tab, waits for that.
      request.result.onversionchange = () => request.result.close();
      request.result.onclose = () => (opening = undefined);
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new StorageError('locked', 'a tab with an older version of this page is open; close it'));
  });
  opening.catch(() => (opening = undefined));
  return opening;
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
const ask = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/**
 * Runs `work` in a transaction and waits until it is on disk. `work` may wait for `ask` only.
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(files: IDBObjectStore, chunks: IDBObjectStore, folders: IDBObjectStore) => Promise<T>} work
 * @param {IDBTransactionDurability} [durability]
 * @returns {Promise<T>}
 */
async function transaction(mode, work, durability = 'default') {
  const opened = (await database()).transaction(['files', 'chunks', 'folders'], mode, { durability });
  const ended = new Promise((resolve, reject) => {
    opened.oncomplete = () => resolve(undefined);
    opened.onabort = () => reject(opened.error ?? new StorageError('other', 'the transaction was given up'));
  });
  ended.catch(() => {});
  try {
    const result = await work(opened.objectStore('files'), opened.objectStore('chunks'), opened.objectStore('folders'));
    await ended;
    return result;
  } catch (error) {
    try {
      opened.abort();
    } catch {
      // It has ended by itself; how, is the better error.
      if (opened.error) throw storageError(opened.error);
    }
    throw storageError(error);
  }
}

/** @param {string} id */
const chunksOf = (id) => IDBKeyRange.bound([id], [id, []]);

/** @implements {Backend} */
export class IdbFolder {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    /** @type {import('../host.d.ts').FolderDescriptor} */
    this.descriptor = { kind: 'idb', name };
  }

  /** @param {string} path */
  #key(path) {
    return [this.name, segmentsOf(path).join('/')];
  }

  /** @param {string} prefix */
  #range(prefix) {
    return IDBKeyRange.bound([this.name, prefix], [this.name, `${prefix}\uffff`]);
  }

  /**
   * Follows links.
   * @param {IDBObjectStore} files
   * @param {string} path
   * @returns {Promise<Row>}
   */
  async #resolve(files, path) {
    let key = this.#key(path);
    for (let hops = 0; hops < MAX_HOPS; hops++) {
      /** @type {Row | undefined} */
      const row = await ask(files.get(key));
      if (!row) break;
      if (row.target === undefined) return row;
      key = this.#key(resolveLink(row.path, row.target));
    }
    throw new StorageError('notFound', 'no such file');
  }

  /**
   * Folders are not stored: there is one where there is a file in it.
   * @param {string} path
   */
  stat(path) {
    return guarded(async () => {
      const segments = segmentsOf(path);
      const name = segments[segments.length - 1] ?? '';
      if (name === '') return { name, isDir: true, size: 0 };
      return transaction('readonly', async (files) => {
        /** @type {Row | undefined} */
        const row = await ask(files.get(this.#key(path)));
        if (row) return entry(name, row);
        const inside = await ask(files.getKey(this.#range(`${segments.join('/')}/`)));
        return inside === undefined ? undefined : { name, isDir: true, size: 0 };
      });
    });
  }

  /** @param {string} path */
  list(path) {
    return guarded(async () => {
      const prefix = segmentsOf(path).map((segment) => `${segment}/`).join('');
      /** @type {Row[]} */
      const rows = await transaction('readonly', (files) => ask(files.getAll(this.#range(prefix))));
      /** @type {Map<string, import('../host.d.ts').Entry>} */
      const entries = new Map();
      for (const row of rows) {
        const [name, ...rest] = row.path.slice(prefix.length).split('/');
        const isDir = rest.length > 0;
        entries.set(name, isDir ? { name, isDir, size: 0 } : entry(name, row));
      }
      return [...entries.values()];
    });
  }

  /**
   * @param {string} path
   * @param {number} offset
   * @param {number} max
   */
  read(path, offset, max) {
    return guarded(() =>
      transaction('readonly', async (files, chunks) => {
        const row = await this.#resolve(files, path);
        const end = Math.min(row.size, offset + max);
        const bytes = new Uint8Array(Math.max(0, end - offset));
        if (bytes.length === 0) return bytes;
        const first = Math.floor(offset / CHUNK);
        const range = IDBKeyRange.bound([row.id, first], [row.id, Math.floor((end - 1) / CHUNK)]);
        /** @type {Uint8Array[]} */
        const found = await ask(chunks.getAll(range));
        found.forEach((chunk, index) => {
          const start = (first + index) * CHUNK;
          const part = chunk.subarray(Math.max(0, offset - start), Math.max(0, end - start));
          bytes.set(part, Math.max(0, start - offset));
        });
        return bytes;
      }),
    );
  }

  /**
   * @param {string} path
   * @param {boolean} append
   * @returns {Promise<import('../host.d.ts').FileHandle>}
   */
  open(path, append) {
    return guarded(async () => {
      const key = this.#key(path);
      if (key[1] === '') throw new StorageError('denied', 'that is the folder itself');
      return transaction('readwrite', async (files, chunks, folders) => {
        /** @type {Row | undefined} */
        let row = await ask(files.get(key));
        if (row?.target !== undefined) throw new StorageError('denied', 'it is a link: it is not written through');
        /** @type {Uint8Array | undefined} */
        let tail;
        if (row && append) {
          const rest = row.size % CHUNK;
          if (rest > 0) tail = await ask(chunks.get([row.id, Math.floor(row.size / CHUNK)]));
        } else {
          if (row) chunks.delete(chunksOf(row.id));
          row = { folder: key[0], path: key[1], id: crypto.randomUUID(), size: 0 };
          files.put(row);
          folders.put(this.name, this.name);
        }
        return new IdbFile(row, tail);
      });
    });
  }

  /**
   * @param {string} from
   * @param {string} to
   */
  rename(from, to) {
    return guarded(async () => {
      const [source, target] = [this.#key(from), this.#key(to)];
      if (target[1] === '') throw new StorageError('denied', 'that is the folder itself');
      await transaction(
        'readwrite',
        async (files, chunks) => {
          /** @type {Row | undefined} */
          const row = await ask(files.get(source));
          if (!row) throw new StorageError('notFound', 'no such file');
          if (source[1] === target[1]) return;
          /** @type {Row | undefined} */
          const old = await ask(files.get(target));
          if (old) chunks.delete(chunksOf(old.id));
          files.delete(source);
          files.put({ ...row, path: target[1] });
        },
        'strict',
      );
    });
  }

  /** @param {string} path */
  remove(path) {
    return guarded(async () => {
      const key = this.#key(path);
      if (key[1] === '') throw new StorageError('denied', 'that is the folder itself');
      await transaction('readwrite', async (files, chunks) => {
        /** @type {Row | undefined} */
        const row = await ask(files.get(key));
        if (row) {
          chunks.delete(chunksOf(row.id));
          files.delete(key);
        } else if ((await ask(files.getKey(this.#range(`${key[1]}/`)))) !== undefined) {
          throw new StorageError('other', 'the folder is not empty');
        }
      });
    });
  }

  /**
   * @param {string} target
   * @param {string} path
   */
  link(target, path) {
    return guarded(async () => {
      const [folder, name] = this.#key(path);
      resolveLink(name, target); // Refuses a target outside.
      await transaction('readwrite', async (files, _, folders) => {
        /** @type {Row | undefined} */
        const row = await ask(files.get([folder, name]));
        if (row && row.target === undefined) throw new StorageError('other', `${path} is there and is no link`);
        files.put({ folder, path: name, id: crypto.randomUUID(), size: 0, target });
        folders.put(this.name, this.name);
      });
    });
  }

  usage() {
    return guarded(available);
  }

  /** @param {string} [path] of a subfolder */
  lock(path = '') {
    return takeLock(lockName(`smart-fetch:idb:${this.name}`, path));
  }

  /** Removes the folder with all that is in it. */
  async destroy() {
    await transaction('readwrite', async (files, chunks, folders) => {
      /** @type {Row[]} */
      const rows = await ask(files.getAll(this.#range('')));
      for (const { id } of rows) chunks.delete(chunksOf(id));
      files.delete(this.#range(''));
      folders.delete(this.name);
    });
  }
}

/**
 * @param {string} name
 * @param {Row} row
 */
function entry(name, { size, target }) {
  return target === undefined ? { name, isDir: false, size } : { name, isDir: false, size: 0, target };
}

/** The names of all folders. */
export async function idbFolders() {
  return /** @type {string[]} */ (await transaction('readonly', (_files, _chunks, folders) => ask(folders.getAllKeys())));
}

/**
 * A file open for writing: gathers chunks, and writes each in one transaction with the file's size.
 * @implements {FileHandle}
 */
class IdbFile {
  #row;
  #buffer = new Uint8Array(CHUNK);
  #filled;
  #size;
  #released = false;

  /**
   * @param {Row} row
   * @param {Uint8Array} [tail] the last chunk where it is not full
   */
  constructor(row, tail) {
    this.#row = row;
    this.#size = row.size;
    this.#filled = tail?.length ?? 0;
    if (tail) this.#buffer.set(tail);
  }

  /** @param {Uint8Array} bytes */
  write(bytes) {
    /** @type {[number, Uint8Array][]} */
    const full = [];
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + CHUNK - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      this.#size += part.length;
      at += part.length;
      if (this.#filled === CHUNK) {
        full.push([Math.ceil(this.#size / CHUNK) - 1, this.#buffer]);
        this.#buffer = new Uint8Array(CHUNK);
        this.#filled = 0;
      }
    }
    return full.length > 0 ? this.#store(full, this.#size - this.#filled, 'relaxed') : undefined;
  }

  flush() {
    return this.#storeAll('strict');
  }

  close() {
    return this.#storeAll('relaxed');
  }

  release() {
    this.#released = true;
  }

  /** @param {IDBTransactionDurability} durability */
  #storeAll(durability) {
    const tail = this.#buffer.slice(0, this.#filled);
    const index = Math.floor(this.#size / CHUNK);
    return this.#store(tail.length > 0 ? [[index, tail]] : [], this.#size, durability);
  }

  /**
   * @param {[number, Uint8Array][]} parts
   * @param {number} size of the file after them
   * @param {IDBTransactionDurability} durability
   */
  #store(parts, size, durability) {
    const { folder, path, id } = this.#row;
    return guarded(() =>
      transaction(
        'readwrite',
        async (files, chunks) => {
          /** @type {Row | undefined} */
          const row = await ask(files.get([folder, path]));
          // Another job has the name by now.
          if (row?.id !== id || this.#released) throw new StorageError('other', 'the file was replaced or given up');
          for (const [index, bytes] of parts) chunks.put(bytes, [id, index]);
          files.put({ ...row, size });
        },
        durability,
      ),
    );
  }
}
