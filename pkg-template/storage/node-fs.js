/**
 * A folder of Node's file system.
 *
 * The umask decides who may read the data, as with the reference, since other users' tools may have to; what holds our state
 * (names that begin with a dot) may hold signed URLs and is always private. Nothing is written through a link that leads out
 * of the folder. In worker threads calls block, the fastest way that Node has; on the main thread none does, unless the
 * program says that it has nothing else to do.
 */
import { constants, writeSync } from 'node:fs';
import * as promises from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { isMainThread } from 'node:worker_threads';

import { StorageError } from '../errors.js';
import { takeLock } from '../locks/node-lockfile.js';
import * as blocking from './blocking-fs.js';
import { INDEX, Links } from './links.js';

/** @typedef {import('../host.d.ts').Backend} Backend */
/** @typedef {import('../host.d.ts').FileHandle} FileHandle */

/** @typedef {typeof promises} Calls blocking or not */

/** Mode of a new file. @param {string} path */
const modeOf = (path) => (basename(path).startsWith('.') ? 0o600 : 0o666);

/** Our own files in a folder, which `list` does not show: the lock, links and locks in the making, the index of links. */
const OWN = /^\.(lock|link)(\.|$)|^\.links\.json/;

/** What making a symbolic link throws where there are none: FAT, some network shares, Windows for most users. */
const NO_LINKS = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'UNKNOWN']);

/** How many files are looked at at once. */
const BATCH = 64;

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const DENIED = new Set(['EACCES', 'EPERM', 'EROFS']);
const UNSUPPORTED = new Set(['ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);

/**
 * @param {any} thrown
 * @returns {StorageError}
 */
export function storageError(thrown) {
  if (thrown instanceof StorageError) return thrown;
  const code = String(thrown?.code ?? '');
  // "ENOSPC: no space left on device, write" -> "no space left on device (ENOSPC), write"
  const message = String(thrown?.message ?? thrown).replace(/^(E[A-Z0-9]+): ([^,]*)/, '$2 ($1)');
  if (code === 'ENOENT') return new StorageError('notFound', message);
  if (FULL.has(code)) return new StorageError('full', message);
  if (DENIED.has(code)) return new StorageError('denied', message);
  if (UNSUPPORTED.has(code)) return new StorageError('unsupported', message);
  return new StorageError('other', message);
}

/**
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    throw storageError(error);
  }
}

/** @param {any} error */
const missing = (error) => error?.code === 'ENOENT';

/**
 * Makes a folder and its parents. Not by `recursive`: where the system answers ENOENT though the parent is there (/proc, some
 * network mounts), Node 20 tries again for ever, on a thread that keeps the process from ending.
 * @param {Calls} fs
 * @param {string} path
 * @returns {Promise<void>}
 */
async function makeFolder(fs, path) {
  /** @param {NodeJS.ErrnoException} error */
  const fine = (error) => {
    if (error.code !== 'EEXIST') throw error;
  };
  try {
    await fs.mkdir(path).catch(fine);
  } catch (error) {
    if (!missing(error) || dirname(path) === path) throw error;
    await makeFolder(fs, dirname(path));
    await fs.mkdir(path).catch(fine);
  }
}

/** @implements {Backend} */
export class NodeFolder {
  #root;
  #sync;
  #fs;
  /** @type {string | undefined} The folder without links, once it is there. */
  #real;
  /** Where the file system has no links. */
  #links = new Links(
    () =>
      this.#fs.readFile(join(this.#root, INDEX), 'utf8').catch((error) => {
        if (!missing(error)) throw error;
        return undefined;
      }),
    async (text) => {
      const path = join(await this.#realRoot(), INDEX);
      if (text === undefined) return this.#fs.rm(path, { force: true });
      await this.#fs.writeFile(`${path}.tmp`, text, { flush: true });
      await this.#fs.rename(`${path}.tmp`, path);
    },
  );

  /**
   * @param {string} path the folder; made by the first write if it is not there
   * @param {{ sync?: boolean }} [options] `sync`: with blocking calls; default in worker threads
   */
  constructor(path, { sync = !isMainThread } = {}) {
    this.#root = resolve(path);
    this.#sync = sync;
    this.#fs = /** @type {Calls} */ (/** @type {unknown} */ (sync ? blocking : promises));
    this.name = this.#root;
    /** @type {import('../host.d.ts').FolderDescriptor} */
    this.descriptor = { kind: 'node-fs', path: this.#root };
  }

  /** @param {string} path */
  #at(path) {
    if (isAbsolute(path) || path.includes('\0') || path.split(/[/\\]/).includes('..')) {
      throw new StorageError('denied', 'the path leads out of the folder');
    }
    return join(this.#root, path);
  }

  async #realRoot() {
    if (this.#real === undefined) {
      await makeFolder(this.#fs, this.#root);
      this.#real = await this.#fs.realpath(this.#root);
    }
    return this.#real;
  }

  /**
   * The real folder of a file that is about to change, made if it is not there.
   * @param {string} absolute
   * @returns {Promise<string>}
   */
  async #parent(absolute) {
    const root = await this.#realRoot();
    const dir = dirname(absolute);
    if (dir === this.#root) return root;
    let real;
    try {
      real = await this.#fs.realpath(dir);
    } catch (error) {
      if (!missing(error)) throw error;
      const parent = await this.#parent(dir);
      await this.#fs.mkdir(join(parent, basename(dir))).catch((failed) => {
        // Another transfer was faster, or it is a link to nothing: the next line tells.
        if (failed.code !== 'EEXIST') throw failed;
      });
      real = await this.#fs.realpath(dir);
    }
    if (real !== root && !real.startsWith(root + sep)) {
      throw new StorageError('denied', `${dir} is a link that leads out of the folder`);
    }
    return real;
  }

  /** @param {string} path */
  async #writable(path) {
    const absolute = this.#at(path);
    if (absolute === this.#root) throw new StorageError('denied', 'that is the folder itself');
    return join(await this.#parent(absolute), basename(absolute));
  }

  /**
   * @param {string} path
   * @returns {Promise<import('../host.d.ts').Entry | undefined>}
   */
  stat(path) {
    return guarded(async () => {
      const absolute = this.#at(path);
      try {
        // The folder itself may be a link that the user made.
        return await entry(this.#fs, absolute, basename(path), await (path === '' ? this.#fs.stat(absolute) : this.#fs.lstat(absolute)));
      } catch (error) {
        if (!missing(error) && /** @type {any} */ (error).code !== 'ENOTDIR') throw error;
        const target = (await this.#links.all()).get(path);
        return target === undefined ? undefined : { name: basename(path), isDir: false, size: 0, target };
      }
    });
  }

  /** @param {string} path */
  list(path) {
    return guarded(async () => {
      const absolute = this.#at(path);
      /** @type {string[]} */
      let names;
      try {
        names = await this.#fs.readdir(absolute);
      } catch (error) {
        if (missing(error)) return [];
        throw error;
      }
      names = names.filter((name) => !OWN.test(name));
      const entries = [];
      for (let at = 0; at < names.length; at += BATCH) {
        const batch = names.slice(at, at + BATCH).map(async (name) => {
          // Gone since it was listed: then it is not there.
          const path = join(absolute, name);
          const stats = await this.#fs.lstat(path).catch((error) => (missing(error) ? undefined : Promise.reject(error)));
          return stats && entry(this.#fs, path, name, stats);
        });
        entries.push(...(await Promise.all(batch)));
      }
      const prefix = path === '' ? '' : `${path}/`;
      for (const [link, target] of await this.#links.all()) {
        const name = link.slice(prefix.length);
        if (link.startsWith(prefix) && !name.includes('/') && !names.includes(name)) entries.push({ name, isDir: false, size: 0, target });
      }
      return entries.filter((one) => one !== undefined);
    });
  }

  /**
   * @param {string} path
   * @param {number} offset
   * @param {number} max
   */
  read(path, offset, max) {
    return guarded(async () => {
      const file = await this.#fs.open(this.#at(path), 'r').catch(async (error) => {
        const behind = missing(error) ? await this.#links.resolve(path) : path;
        if (behind === path) throw error;
        return this.#fs.open(this.#at(behind), 'r');
      });
      try {
        // Not more than is there: `max` is only a limit, and may be large.
        const { size } = await file.stat();
        const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(max, size - offset)));
        let filled = 0;
        while (filled < bytes.length) {
          const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, offset + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return /** @type {Uint8Array} */ (bytes.subarray(0, filled));
      } finally {
        await file.close();
      }
    });
  }

  /**
   * @param {string} path
   * @param {boolean} append
   * @returns {Promise<import('../host.d.ts').FileHandle>}
   */
  open(path, append) {
    return guarded(async () => {
      const { O_WRONLY, O_CREAT, O_APPEND, O_TRUNC, O_NOFOLLOW = 0 } = constants;
      const flags = O_WRONLY | O_CREAT | O_NOFOLLOW | (append ? O_APPEND : O_TRUNC);
      const target = await this.#writable(path);
      if ((await this.#links.all()).has(path)) throw new StorageError('denied', `${target} is a link: it is not written through`);
      const file = await this.#fs.open(target, flags, modeOf(path)).catch((error) => {
        if (error.code === 'ELOOP') throw new StorageError('denied', `${target} is a link: it is not written through`);
        throw error;
      });
      return this.#sync ? new SyncFile(file) : new AsyncFile(file);
    });
  }

  /**
   * @param {string} from
   * @param {string} to
   */
  rename(from, to) {
    return guarded(async () => {
      const source = this.#at(from);
      // A missing source must not make folders for it.
      const there = await this.#fs.lstat(source).catch((error) => (missing(error) ? undefined : Promise.reject(error)));
      if (!there) return this.#links.move(from, to);
      const [old, target] = [await this.#writable(from), await this.#writable(to)];
      await this.#fs.rename(old, target);
      await syncFolder(this.#fs, dirname(target));
      if (dirname(old) !== dirname(target)) await syncFolder(this.#fs, dirname(old));
    });
  }

  /** @param {string} path */
  remove(path) {
    return guarded(async () => {
      try {
        const stats = await this.#fs.lstat(this.#at(path));
        const target = await this.#writable(path);
        await (stats.isDirectory() ? this.#fs.rmdir(target) : this.#fs.unlink(target));
      } catch (error) {
        if (!missing(error)) throw error;
        await this.#forget(path);
      }
    });
  }

  /**
   * @param {string} target
   * @param {string} path
   */
  link(target, path) {
    return guarded(async () => {
      const link = await this.#writable(path);
      this.#at(join(dirname(path), target)); // Refuses a target outside.
      const there = await this.#fs.lstat(link).catch((error) => (missing(error) ? undefined : Promise.reject(error)));
      if (there && !there.isSymbolicLink()) throw new StorageError('other', `${link} is there and is no link`);
      // Made beside and renamed: at every moment there is the old link or the new one.
      const fresh = join(dirname(link), `.link.${process.pid}.${Math.random().toString(36).slice(2)}`);
      try {
        await this.#fs.symlink(target, fresh);
      } catch (error) {
        if (there || !NO_LINKS.has(/** @type {any} */ (error).code)) throw error;
        return this.#links.change((links) => void links.set(path, target));
      }
      try {
        await this.#fs.rename(fresh, link);
      } catch (error) {
        await this.#fs.unlink(fresh);
        throw error;
      }
      await syncFolder(this.#fs, dirname(link));
      await this.#forget(path);
    });
  }

  /** @param {string} path of what may be a link in the index */
  async #forget(path) {
    if ((await this.#links.all()).has(path)) await this.#links.change((links) => void links.delete(path));
  }

  usage() {
    return guarded(async () => {
      const { bavail, bsize } = await this.#fs.statfs(await this.#realRoot());
      return { available: bavail * bsize };
    });
  }

  /** @param {string} [path] of a subfolder */
  lock(path = '') {
    return guarded(async () => {
      const root = await this.#realRoot();
      if (path === '') return takeLock(root);
      const folder = await this.#writable(path);
      await makeFolder(this.#fs, folder);
      return takeLock(folder);
    });
  }
}

/**
 * @param {Calls} fs
 * @param {string} path
 * @param {string} name
 * @param {import('node:fs').Stats} stats
 * @returns {Promise<import('../host.d.ts').Entry>}
 */
async function entry(fs, path, name, stats) {
  if (stats.isSymbolicLink()) return { name, isDir: false, size: 0, target: await fs.readlink(path) };
  return { name, isDir: stats.isDirectory(), size: stats.isFile() ? stats.size : 0 };
}

/**
 * Makes names survive a crash of the machine.
 * @param {Calls} fs
 * @param {string} path
 */
async function syncFolder(fs, path) {
  // Windows has no such thing.
  if (process.platform === 'win32') return;
  const dir = await fs.open(path, 'r');
  try {
    await dir.sync();
  } catch (error) {
    // Some network file systems cannot; their servers keep names themselves.
    if (/** @type {any} */ (error).code !== 'EINVAL') throw error;
  } finally {
    await dir.close();
  }
}

/** What both kinds of open files share. Flushing never blocks, for the disk may take its time. */
class OpenFile {
  /** @param {promises.FileHandle} file */
  constructor(file) {
    this.file = file;
  }

  flush() {
    return guarded(() => this.file.sync());
  }

  close() {
    return guarded(() => this.file.close());
  }

  release() {
    this.file.close().catch(() => {});
  }
}

/** @implements {FileHandle} */
class SyncFile extends OpenFile {
  /** @param {Uint8Array} bytes */
  write(bytes) {
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.file.fd, bytes, at, bytes.length - at);
    } catch (error) {
      throw storageError(error);
    }
  }
}

/** @implements {FileHandle} */
class AsyncFile extends OpenFile {
  /** @param {Uint8Array} view */
  write(view) {
    // The view is gone when this returns.
    const bytes = Uint8Array.from(view);
    return guarded(async () => {
      for (let at = 0; at < bytes.length; ) {
        at += (await this.file.write(bytes, at, bytes.length - at)).bytesWritten;
      }
    });
  }
}
