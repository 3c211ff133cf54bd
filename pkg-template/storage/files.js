/**
 * Files that the user has picked or dropped, as a folder that can only be read.
 */
import { StorageError } from '../errors.js';
import { segmentsOf } from './paths.js';

/** @typedef {import('../host.d.ts').Backend} Backend */

/** @returns {never} */
const readOnly = () => {
  throw new StorageError('unsupported', 'picked files can only be read');
};

/** @implements {Backend} */
export class FilesFolder {
  /** @type {Map<string, File>} */
  #files;

  /** @param {Iterable<[string, File]>} files by path */
  constructor(files) {
    this.name = 'picked files';
    this.#files = new Map(files);
    for (const path of this.#files.keys()) segmentsOf(path);
  }

  /** @param {string} path */
  stat(path) {
    const file = this.#files.get(path);
    return file && { name: path.slice(path.lastIndexOf('/') + 1), isDir: false, size: file.size };
  }

  /** @param {string} path */
  list(path) {
    const prefix = path === '' ? '' : `${path}/`;
    /** @type {Map<string, import('../host.d.ts').Entry>} */
    const entries = new Map();
    for (const [key, file] of this.#files) {
      if (!key.startsWith(prefix)) continue;
      const [name, ...rest] = key.slice(prefix.length).split('/');
      const isDir = rest.length > 0;
      entries.set(name, { name, isDir, size: isDir ? 0 : file.size });
    }
    return [...entries.values()];
  }

  /**
   * @param {string} path
   * @param {number} offset
   * @param {number} max
   */
  async read(path, offset, max) {
    const file = this.#files.get(path);
    if (!file) throw new StorageError('notFound', 'no such file');
    return new Uint8Array(await file.slice(offset, offset + max).arrayBuffer());
  }

  open = readOnly;
  rename = readOnly;
  remove = readOnly;
  link = readOnly;
  lock = readOnly;
  usage = () => ({});
}

/**
 * Paths of files as `<input webkitdirectory>` gives them, without the name of the picked folder itself.
 * @param {Iterable<File>} files
 * @returns {[string, File][]}
 */
export function byPath(files) {
  return [...files].map((file) => {
    const path = file.webkitRelativePath || file.name;
    const slash = path.indexOf('/');
    return [file.webkitRelativePath && slash > 0 ? path.slice(slash + 1) : path, file];
  });
}
