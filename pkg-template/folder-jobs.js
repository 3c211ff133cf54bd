/**
 * Jobs on what is in a folder already: no server is asked.
 */
import { Job } from './job.js';

/** @typedef {import('./folder.js').Folder} Folder */
/** @typedef {import('./index.d.ts').Folder} AnyFolder */

/** @param {AnyFolder} folder */
const accessOf = (folder) => /** @type {Folder} */ (folder).access;

/** @param {import('./client.js').Execute} execute */
export function folderJobs(execute) {
  /**
   * @param {import('./client.js').Call['operation']} operation
   * @param {{ signal?: AbortSignal }} options
   * @param {AnyFolder} folder
   * @param {{ source?: AnyFolder, read?: AnyFolder }} [more] `read`: the folder that is read, where it is not `folder`
   */
  const start = (operation, { signal, ...options }, folder, { source, read = folder } = {}) => {
    const config = { folder: read.name, ...options };
    const call = { operation, config, clients: [] };
    return new Job(operation, (control) => execute(call, accessOf(folder), control, source && accessOf(source)), signal);
  };

  return {
    /**
     * Makes one Bundle of all data files of a folder, in their place.
     * @param {AnyFolder} folder
     * @param {import('./index.d.ts').BundleOptions} [options]
     * @returns {Job<import('./index.d.ts').BundleReport>}
     */
    bundle: (folder, options = {}) => start('bundle', options, folder),

    /**
     * Puts the current state of a managed folder into another one.
     * @param {AnyFolder} folder
     * @param {AnyFolder} out
     * @param {import('./index.d.ts').MergeOptions} [options]
     * @returns {Job<import('./index.d.ts').MergeReport>}
     */
    merge: (folder, out, options = {}) => start('merge', options, out, { source: folder, read: folder }),

    /**
     * Checks a folder against what it says of itself.
     * @param {AnyFolder} folder
     * @param {import('./index.d.ts').VerifyOptions} [options]
     * @returns {Job<import('./index.d.ts').VerifyReport>}
     */
    verify: (folder, { temporary, ...options } = {}) => start('verify', options, folder, { source: temporary }),

    /**
     * Makes the links of a managed folder to what is current anew.
     * @param {AnyFolder} folder
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Job<{ links: number }>}
     */
    resetLinks: (folder, options = {}) => start('resetLinks', options, folder),
  };
}
