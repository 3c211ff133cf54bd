/**
 * A folder in memory: for tests, and for programs that hand the data on at once. It ends with the program.
 */
import { StorageError } from '../errors.js';

/** @typedef {import('../host.d.ts').Backend} Backend */

/** @typedef {{ kind: 'file', parts: Uint8Array[], size: number } | { kind: 'link', target: string } | { kind: 'dir' }} Node */

/** @implements {Backend} */
export class MemoryFolder {
  /** @type {Map<string, Node>} */
  #nodes = new Map();
  /** @type {Set<string>} */
  #locked = new Set();
  #used = 0;
  #capacity;

  /** @param {{ capacity?: number }} [options] `capacity`: bytes that all files may hold together */
  constructor({ capacity = Infinity } = {}) {
    this.#capacity = capacity;
    this.name = 'memory';
  }

  /** @param {string} path */
  #check(path) {
    if (path.startsWith('/') || path.includes('\0') || path.split(/[/\\]/).includes('..')) {
      throw new StorageError('denied', 'the path leads out of the folder');
    }
    return path;
  }

  /** @param {string} path */
  #makeParents(path) {
    const segments = this.#check(path).split('/');
    for (let i = 1; i < segments.length; i++) {
      const parent = segments.slice(0, i).join('/');
      const node = this.#nodes.get(parent);
      if (node && node.kind !== 'dir') throw new StorageError('other', `${parent} is not a folder`);
      this.#nodes.set(parent, { kind: 'dir' });
    }
  }

  /**
   * The file at a path, through links.
   * @param {string} path
   */
  #file(path) {
    let at = this.#check(path);
    for (let hops = 0; hops < 8; hops++) {
      const node = this.#nodes.get(at);
      if (!node) break;
      if (node.kind === 'file') return node;
      if (node.kind === 'dir') throw new StorageError('other', 'it is a folder');
      at = normalise(`${at.slice(0, at.lastIndexOf('/') + 1)}${node.target}`);
    }
    throw new StorageError('notFound', 'no such file');
  }

  /** @param {string} path */
  stat(path) {
    if (this.#check(path) === '') return { name: '', isDir: true, size: 0 };
    const node = this.#nodes.get(path);
    return node && entry(path, node);
  }

  /** @param {string} path */
  list(path) {
    const prefix = this.#check(path) === '' ? '' : `${path}/`;
    const node = this.#nodes.get(path);
    if (node && node.kind !== 'dir') throw new StorageError('other', 'it is no folder');
    return [...this.#nodes]
      .filter(([key]) => key.startsWith(prefix) && !key.slice(prefix.length).includes('/'))
      .map(([key, child]) => entry(key, child));
  }

  /**
   * @param {string} path
   * @param {number} offset
   * @param {number} max
   */
  read(path, offset, max) {
    const file = this.#file(path);
    const end = Math.min(file.size, offset + max);
    const bytes = new Uint8Array(Math.max(0, end - offset));
    let at = 0;
    for (const part of file.parts) {
      const from = Math.max(0, offset - at);
      const to = Math.min(part.length, end - at);
      if (from < to) bytes.set(part.subarray(from, to), at + from - offset);
      at += part.length;
    }
    return bytes;
  }

  /**
   * @param {string} path
   * @param {boolean} append
   * @returns {import('../host.d.ts').FileHandle}
   */
  open(path, append) {
    this.#makeParents(path);
    let file = this.#nodes.get(path);
    if (file?.kind === 'link') throw new StorageError('denied', 'it is a link: it is not written through');
    if (file?.kind === 'dir' || path === '') throw new StorageError('other', 'it is a folder');
    if (!file || !append) {
      this.#used -= file?.size ?? 0;
      file = { kind: 'file', parts: [], size: 0 };
      this.#nodes.set(path, file);
    }
    const open = file;
    return {
      write: (view) => {
        if (this.#used + view.length > this.#capacity) throw new StorageError('full', 'the memory set aside is full');
        open.parts.push(Uint8Array.from(view));
        open.size += view.length;
        this.#used += view.length;
      },
      flush: () => {},
      close: () => {},
      release: () => {},
    };
  }

  /**
   * @param {string} from
   * @param {string} to
   */
  rename(from, to) {
    const node = this.#nodes.get(this.#check(from));
    if (!node || node.kind === 'dir') throw new StorageError('notFound', 'no such file');
    this.#makeParents(to);
    if (from === to) return;
    const old = this.#nodes.get(to);
    if (old?.kind === 'dir') throw new StorageError('other', `${to} is a folder`);
    if (old?.kind === 'file') this.#used -= old.size;
    this.#nodes.delete(from);
    this.#nodes.set(to, node);
  }

  /** @param {string} path */
  remove(path) {
    const node = this.#nodes.get(this.#check(path));
    if (node?.kind === 'dir' && this.list(path).length > 0) throw new StorageError('other', 'the folder is not empty');
    if (node?.kind === 'file') this.#used -= node.size;
    this.#nodes.delete(path);
  }

  /**
   * @param {string} target
   * @param {string} path
   */
  link(target, path) {
    this.#makeParents(path);
    normalise(`${path.slice(0, path.lastIndexOf('/') + 1)}${target}`); // Refuses a target outside.
    const old = this.#nodes.get(path);
    if (old && old.kind !== 'link') throw new StorageError('other', `${path} is there and is no link`);
    this.#nodes.set(path, { kind: 'link', target });
  }

  usage() {
    return { available: Number.isFinite(this.#capacity) ? this.#capacity - this.#used : undefined };
  }

  /** @param {string} [path] of a subfolder */
  lock(path = '') {
    if (this.#locked.has(this.#check(path))) throw new StorageError('locked', 'another job is at work in this folder');
    this.#locked.add(path);
    let held = true;
    return {
      release: () => {
        if (held) this.#locked.delete(path);
        held = false;
      },
    };
  }
}

/**
 * @param {string} path
 * @param {Node} node
 */
function entry(path, node) {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (node.kind === 'link') return { name, isDir: false, size: 0, target: node.target };
  return { name, isDir: node.kind === 'dir', size: node.kind === 'file' ? node.size : 0 };
}

/**
 * Resolves `.` and `..`.
 * @param {string} path
 */
function normalise(path) {
  /** @type {string[]} */
  const segments = [];
  for (const segment of path.split('/')) {
    if (segment === '..') {
      if (segments.pop() === undefined) throw new StorageError('denied', 'the link leads out of the folder');
    } else if (segment !== '.' && segment !== '') {
      segments.push(segment);
    }
  }
  return segments.join('/');
}
