/**
 * Hands files to the user: into a place of their choice where the browser has a save dialog, else as a download.
 */
import { SmartFetchError } from '../errors.js';
import { call } from '../worker/page.js';
import { zip } from './zip.js';

/**
 * @param {import('../index.d.ts').Folder} folder
 * @param {import('../index.d.ts').CopyOptions & { fileName?: string }} [options]
 */
export async function saveZip(folder, { fileName = `${folder.name}.zip`, signal, onProgress } = {}) {
  await save(() => zip(folder), fileName, { signal, onProgress });
}

/**
 * @param {import('../index.d.ts').Folder} folder
 * @param {string} name
 * @param {{ decode?: boolean, fileName?: string }} [options]
 */
export async function saveFile(folder, name, { decode = false, fileName } = {}) {
  const base = name.slice(name.lastIndexOf('/') + 1);
  const file = folder.file(name);
  // What lies on disk needs no copy.
  if (!decode && !canPick()) return download(await file.blob(), fileName ?? base);
  await save(() => file.stream({ decode }), fileName ?? (decode ? base.replace(/\.gz$/, '') : base), {});
}

const canPick = () => 'showSaveFilePicker' in globalThis && globalThis.navigator.userActivation?.isActive === true;

/**
 * @param {() => ReadableStream<Uint8Array>} source
 * @param {string} fileName
 * @param {import('../index.d.ts').CopyOptions} options
 */
async function save(source, fileName, { signal, onProgress }) {
  try {
    if (canPick()) {
      const handle = await /** @type {any} */ (globalThis).showSaveFilePicker({ suggestedName: fileName });
      const counted = source().pipeThrough(counter(fileName, onProgress));
      await counted.pipeTo(await handle.createWritable(), { signal });
      return;
    }
    await download(await staged(source().pipeThrough(counter(fileName, onProgress)), signal), fileName);
  } catch (error) {
    if (/** @type {any} */ (error)?.name === 'AbortError') {
      throw new SmartFetchError({ kind: 'cancelled', operation: 'save', message: 'Saving was cancelled.', retry: true, exitStatus: 130 });
    }
    throw SmartFetchError.from(error, 'save');
  }
}

/**
 * Gathers a stream on disk where there is OPFS, so that memory stays flat, else in a Blob.
 * @param {ReadableStream<Uint8Array>} stream
 * @param {AbortSignal} [signal]
 * @returns {Promise<Blob>}
 */
async function staged(stream, signal) {
  const reader = stream.getReader();
  const stage = await call('stageOpen', []);
  try {
    for (;;) {
      signal?.throwIfAborted();
      const { done, value } = await reader.read();
      if (done) break;
      await call('stageWrite', [stage, value]);
    }
    return await call('stageClose', [stage]);
  } catch (error) {
    await reader.cancel(error).catch(() => {});
    await call('stageDrop', [stage]).catch(() => {});
    throw error;
  }
}

/** How long a download may take to begin. */
const HOLD_MILLIS = 60_000;

/**
 * @param {Blob} blob
 * @param {string} fileName
 */
function download(blob, fileName) {
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement('a'), { href: url, download: fileName });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), HOLD_MILLIS);
}

/**
 * @param {string} name
 * @param {import('../index.d.ts').CopyOptions['onProgress']} onProgress
 * @returns {TransformStream<Uint8Array, Uint8Array>}
 */
function counter(name, onProgress) {
  const progress = { name, files: 1, bytes: 0 };
  return new TransformStream({
    transform(chunk, controller) {
      progress.bytes += chunk.length;
      onProgress?.({ ...progress });
      controller.enqueue(chunk);
    },
  });
}
