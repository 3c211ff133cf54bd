/**
 * Paths and links, the same in all backends of browsers. Paths come from the core, `/`-separated and relative to the folder.
 */
import { StorageError } from '../errors.js';

/**
 * The segments of a path; none for the folder itself. Throws `denied` where it leads out of the folder.
 * @param {string} path
 * @returns {string[]}
 */
export function segmentsOf(path) {
  if (path.startsWith('/') || path.includes('\0') || path.split(/[/\\]/).includes('..')) {
    throw new StorageError('denied', 'the path leads out of the folder');
  }
  return path.split('/').filter((segment) => segment !== '' && segment !== '.');
}

/**
 * What a link at `path` shows.
 * @param {string} path
 * @param {string} target relative to the folder of `path`
 */
export function resolveLink(path, target) {
  const segments = path.split('/').slice(0, -1);
  for (const segment of target.split('/')) {
    if (segment === '..') {
      if (segments.pop() === undefined) throw new StorageError('denied', 'the link leads out of the folder');
    } else if (segment !== '.' && segment !== '') {
      segments.push(segment);
    }
  }
  return segments.join('/');
}

/** Bytes of a file that are read at once. */
const PIECE = 1 << 20;

/** More than any state: a ledger of a million files. */
const WHOLE = 1 << 30;

/**
 * How much of a file to ask for at once. A job replaces `.metadata` while others read it: in one read, nobody sees halves of two.
 * @param {string} path
 */
export const pieceOf = (path) => (/(^|\/)\.metadata$/.test(path) ? WHOLE : PIECE);

/** How many links may follow each other. */
export const MAX_HOPS = 8;

/**
 * What a browser's storage threw, as the kinds of `src/platform/storage.rs`.
 * @param {any} thrown
 * @returns {StorageError}
 */
export function storageError(thrown) {
  if (thrown instanceof StorageError) return thrown;
  const message = String(thrown?.message || thrown?.name || thrown);
  switch (thrown?.name) {
    case 'NotFoundError':
      return new StorageError('notFound', message);
    case 'QuotaExceededError':
      return new StorageError('full', 'the room that the browser gives to this site is used up');
    case 'NotAllowedError':
    case 'SecurityError':
      return new StorageError('denied', `the browser does not allow it (${message})`);
    case 'TypeMismatchError':
      return new StorageError('other', 'it is a folder where a file was expected, or a file where a folder was');
    case 'NoModificationAllowedError':
      return new StorageError('locked', 'another tab or job has the file open');
    default:
      return new StorageError('other', message);
  }
}

/**
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    throw storageError(error);
  }
}

/** How much room the site has left, in bytes, where the browser tells. */
export async function available() {
  const { quota, usage } = (await globalThis.navigator?.storage?.estimate?.()) ?? {};
  return { available: quota === undefined || usage === undefined ? undefined : Math.max(0, quota - usage) };
}

/** How long a worker that was ended may keep its files, in tries and milliseconds between them. */
const TRIES = 100;
const PAUSE = 50;

/**
 * Does what needs a file that nobody else has open. The job has the folder's lock: who still has it open is a worker that was
 * ended, of a tab that was closed, and lets go of it soon.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function patiently(work) {
  for (let left = TRIES; ; left--) {
    try {
      return await work();
    } catch (error) {
      if (/** @type {any} */ (error)?.name !== 'NoModificationAllowedError' || left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}
