/**
 * What copying folders needs, whatever thread does it.
 */
import { SmartFetchError } from './errors.js';
import { byPath } from './storage/files.js';

/**
 * @param {import('./index.d.ts').CopyOptions} options
 * @returns {import('./client.js').Control} its events are `CopyProgress`
 */
export function control({ onProgress, signal }) {
  const cancelled = /** @type {Promise<void>} */ (new Promise((resolve) => {
    if (signal?.aborted) resolve();
    signal?.addEventListener('abort', () => resolve(), { once: true });
  }));
  return { cancelled, onEvent: /** @type {any} */ (onProgress) };
}

/**
 * Picked files by path; they must be a folder of smart-fetch.
 * @param {Iterable<File>} files
 */
export function folderOf(files) {
  const found = byPath(files);
  if (!found.some(([path]) => path === '.metadata')) {
    // Browsers leave hidden files out of some pickers.
    throw new SmartFetchError({
      kind: 'mismatch',
      operation: 'import',
      message: 'There is no .metadata among the files: it is no folder of smart-fetch, or hidden files were left out.',
      hint: 'Pick the whole folder.',
      retry: false,
      exitStatus: 1,
    });
  }
  return found;
}
