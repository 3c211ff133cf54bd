/**
 * Copies whole folders between backends: out of the browser, and in.
 */
import { SmartFetchError, StorageError } from '../errors.js';
import { pieceOf } from './paths.js';

/** @typedef {import('../host.d.ts').Backend} Backend */

/** @typedef {{ path: string, size: number, target?: string }} Content a file, or a link with its `target` */

const STATE = '.metadata';

/** What a running or killed program left: of no use elsewhere. */
const OWN = /(^|\/)\.(lock|link|probe)[^/]*$|\.part(\.[^/]*)?$|\.tmp$/;

/** What systems put beside files. */
const FOREIGN = /(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini)$/;

/**
 * All files of a folder that are worth keeping, in their order; the state, which vouches for the rest, last. `target`: a link.
 * @param {Backend} backend
 * @returns {Promise<Content[]>}
 */
export async function contents(backend) {
  /** @type {Content[]} */
  const found = [];
  /** @param {string} folder */
  const walk = async (folder) => {
    for (const { name, isDir, size, target } of await backend.list(folder)) {
      const path = folder === '' ? name : `${folder}/${name}`;
      if (isDir) await walk(path);
      else if (!OWN.test(path) && !FOREIGN.test(path)) found.push({ path, size, target });
    }
  };
  await walk('');
  const rank = (/** @type {string} */ path) => (path === STATE ? 2 : path.endsWith(`/${STATE}`) ? 1 : 0);
  return found.sort((a, b) => rank(a.path) - rank(b.path) || (a.path < b.path ? -1 : 1));
}

/**
 * Copies everything from one folder into another one that has no state yet. Broken off, it can be begun again.
 * @param {Backend} from
 * @param {Backend} to
 * @param {import('../client.js').Control} [control] its events are `CopyProgress`
 */
export async function copyAll(from, to, { cancelled, onEvent } = {}) {
  let isCancelled = false;
  cancelled?.then(() => (isCancelled = true));
  const lock = await to.lock();
  try {
    if (await to.stat(STATE)) {
      throw new SmartFetchError({
        kind: 'mismatch',
        operation: 'copy',
        message: `The folder ${to.name} holds an export already.`,
        hint: 'Choose an empty folder.',
        retry: false,
        exitStatus: 1,
      });
    }
    const progress = { name: '', files: 0, bytes: 0 };
    for (const { path, target } of await contents(from)) {
      progress.name = path;
      if (target !== undefined) {
        await to.link(target, path);
      } else {
        await copyFile(from, to, path, (bytes) => {
          if (isCancelled) throw cancelledError();
          progress.bytes += bytes;
          onEvent?.(/** @type {any} */ ({ ...progress }));
        });
        progress.files++;
      }
    }
    return { files: progress.files, bytes: progress.bytes };
  } finally {
    lock.release();
  }
}

const cancelledError = () =>
  new SmartFetchError({ kind: 'cancelled', operation: 'copy', message: 'Cancelled.', retry: true, exitStatus: 130 });

/**
 * @param {Backend} from
 * @param {Backend} to
 * @param {string} path
 * @param {(bytes: number) => void} onBytes
 */
async function copyFile(from, to, path, onBytes) {
  const part = `${path}.part`;
  const { size } = (await from.stat(path)) ?? { size: 0 };
  const writer = await to.open(part, false);
  try {
    const piece = pieceOf(path);
    let at = 0;
    for (let more = true; more; ) {
      const bytes = await from.read(path, at, piece);
      onBytes(bytes.length);
      await writer.write(bytes);
      at += bytes.length;
      more = bytes.length === piece;
    }
    if (at !== size) throw new StorageError('other', `${path} has changed while it was copied`);
    await writer.flush();
    await writer.close();
  } catch (error) {
    writer.release();
    await to.remove(part);
    throw error;
  }
  await to.rename(part, path);
}
