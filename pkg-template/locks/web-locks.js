/**
 * Web Locks: one job per folder, across tabs and workers of a site. A lock goes with the tab or worker that holds it.
 */
import { StorageError } from '../errors.js';

/** Locks of this thread that are just being released, by name. @type {Map<string, Promise<unknown>>} */
const releasing = new Map();

/**
 * The name of a subfolder's lock; of the folder's own without a path.
 * @param {string} folder
 * @param {string} path
 */
export const lockName = (folder, path) => (path === '' ? folder : `${folder}/${path}`);

/**
 * Takes the lock `name`, or throws `locked` at once.
 * @param {string} name
 * @returns {Promise<import('../host.d.ts').Held>}
 */
export async function takeLock(name) {
  // A job that ends and one that begins right after it are not at work at once.
  await releasing.get(name);
  return new Promise((resolve, reject) => {
    const released = navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (!lock) throw new StorageError('locked', 'another tab or job is at work in this folder');
      return /** @type {Promise<void>} */ (new Promise((done) => {
        const release = () => {
          releasing.set(name, released);
          done();
        };
        resolve({ release });
      }));
    });
    released.catch(reject).finally(() => releasing.get(name) === released && releasing.delete(name));
  });
}

/**
 * Holds `name` for as long as this page or worker lives. Resolves when it is held.
 * @param {string} name
 * @returns {Promise<void>}
 */
export function holdForLife(name) {
  return new Promise((resolve, reject) => {
    const forEver = () => {
      resolve();
      return new Promise(() => {});
    };
    navigator.locks.request(name, forEver).catch(reject);
  });
}

/**
 * Calls `gone` when whoever holds `name` for life has ended, however that happened: browsers tell nobody that a worker was
 * ended. To be called after the worker has said that it lives.
 * @param {string} name
 * @param {() => void} gone
 * @returns {() => void} stops watching
 */
export function watchLife(name, gone) {
  const stop = new AbortController();
  navigator.locks.request(name, { signal: stop.signal, mode: 'shared' }, () => gone()).catch(() => {});
  return () => stop.abort();
}
