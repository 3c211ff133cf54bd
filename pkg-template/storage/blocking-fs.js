/**
 * What a folder uses of `node:fs/promises`, over calls that block: each takes microseconds on a local disk, where a trip to Node's thread
 * pool takes a third of a millisecond. Only flushing, for which the disk takes its time, does not block.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';

const flush = promisify(fs.fsync);

/**
 * @template {unknown[]} Arguments
 * @template Result
 * @param {(...args: Arguments) => Result} call
 */
const settled = (call) => async (/** @type {Arguments} */ ...args) => call(...args);

/** An open file. */
class File {
  /** @param {number} fd */
  constructor(fd) {
    this.fd = fd;
  }

  async stat() {
    return fs.fstatSync(this.fd);
  }

  /**
   * @param {Uint8Array} bytes
   * @param {number} offset
   * @param {number} length
   * @param {number} position
   */
  async read(bytes, offset, length, position) {
    return { bytesRead: fs.readSync(this.fd, bytes, offset, length, position) };
  }

  sync() {
    return flush(this.fd);
  }

  async close() {
    fs.closeSync(this.fd);
  }
}

/** @param {Parameters<typeof fs.openSync>} args */
export const open = async (...args) => new File(fs.openSync(...args));
export const lstat = settled((/** @type {string} */ path) => fs.lstatSync(path));
export const mkdir = settled((/** @type {string} */ path) => fs.mkdirSync(path));
export const readFile = settled((/** @type {string} */ path, /** @type {BufferEncoding} */ encoding) => fs.readFileSync(path, encoding));
export const readdir = settled((/** @type {string} */ path) => fs.readdirSync(path));
export const readlink = settled((/** @type {string} */ path) => fs.readlinkSync(path));
export const realpath = settled((/** @type {string} */ path) => fs.realpathSync(path));
export const rename = settled(fs.renameSync);
export const rm = settled(fs.rmSync);
export const rmdir = settled((/** @type {string} */ path) => fs.rmdirSync(path));
export const stat = settled((/** @type {string} */ path) => fs.statSync(path));
export const statfs = settled((/** @type {string} */ path) => fs.statfsSync(path));
export const symlink = settled((/** @type {string} */ target, /** @type {string} */ path) => fs.symlinkSync(target, path));
export const unlink = settled(fs.unlinkSync);
export const writeFile = settled(fs.writeFileSync);
