/**
 * A folder as a ZIP file, made while it is read. Entries are stored, not compressed: the data files are gzip already.
 */
import { SmartFetchError } from '../errors.js';
import { INDEX } from '../storage/links.js';
import { makeZip } from '../vendor/client-zip.js';

/**
 * @param {import('../index.d.ts').Folder} folder
 * @returns {ReadableStream<Uint8Array>}
 */
export function zip(folder) {
  const { access } = /** @type {import('../folder.js').Folder} */ (folder);
  const now = new Date();
  async function* entries() {
    try {
      /** @type {Record<string, string>} */
      const links = {};
      for (const { path, size, target } of await access.contents()) {
        if (target === undefined) yield { name: path, size, input: folder.file(path).stream(), lastModified: now };
        else links[path] = target;
      }
      // Not every program that unpacks knows links: they go as our index of them.
      if (Object.keys(links).length > 0) yield { name: INDEX, input: JSON.stringify(links, undefined, 1), lastModified: now };
    } catch (error) {
      throw SmartFetchError.from(error, 'zip');
    }
  }
  return makeZip(entries());
}
