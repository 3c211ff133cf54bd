/**
 * Access to a folder in the thread that has its storage and the core.
 */
import { clock, random } from './clock.js';
import { StorageError } from './errors.js';
import { contents } from './storage/copy.js';
import { pieceOf } from './storage/paths.js';

/** @typedef {import('./host.d.ts').Backend} Backend */
/** @typedef {import('./folder.js').Access} Access */

/**
 * The bytes of a file.
 * @param {Backend} backend
 * @param {string} path
 */
async function* raw(backend, path) {
  const piece = pieceOf(path);
  for (let at = 0; ; ) {
    const bytes = await backend.read(path, at, piece);
    if (bytes.length > 0) yield bytes;
    if (bytes.length < piece) return;
    at += bytes.length;
  }
}

/**
 * The bytes of a file, without gzip.
 * @param {import('./host.d.ts').Core} core
 * @param {Backend} backend
 * @param {string} path
 */
async function* decoded(core, backend, path) {
  const decoder = new core.Decoder();
  try {
    for await (const bytes of raw(backend, path)) {
      decoder.push(bytes);
      for (let piece = decoder.pull(); piece.length > 0; piece = decoder.pull()) yield piece;
    }
    const last = decoder.finish();
    if (last.length > 0) yield last;
  } finally {
    decoder.free();
  }
}

/** @implements {Access} */
export class LocalAccess {
  #load;

  /**
   * @param {Backend} backend
   * @param {import('./index.d.ts').StorageKind} storage
   * @param {() => Promise<import('./host.d.ts').Core>} load
   */
  constructor(backend, storage, load) {
    this.backend = backend;
    this.storage = storage;
    this.#load = load;
  }

  get name() {
    return this.backend.name;
  }

  async view() {
    return (await this.#load()).view({ storage: this.backend, clock, random });
  }

  /**
   * @param {string} path
   * @param {boolean} decode
   */
  async *bytes(path, decode) {
    yield* decode ? decoded(await this.#load(), this.backend, path) : raw(this.backend, path);
  }

  /** @param {string} path */
  async blob(path) {
    if (this.backend.blob) return this.backend.blob(path);
    const parts = [];
    // Blobs of blobs, which browsers may keep on disk.
    for await (const bytes of raw(this.backend, path)) parts.push(new Blob([/** @type {any} */ (bytes)]));
    return new Blob(parts);
  }

  contents() {
    return contents(this.backend);
  }

  async remove() {
    const lock = await this.backend.lock();
    try {
      if (this.backend.destroy) await this.backend.destroy();
      else await this.#removeOurs();
    } finally {
      lock.release();
    }
  }

  /** Where others may keep things too, only what the core has written goes. */
  async #removeOurs() {
    const { files, kind } = await this.view();
    if (kind === 'managed') {
      throw new StorageError('unsupported', 'it is a managed folder: remove the exports in it one by one');
    }
    for (const { name } of files) await this.backend.remove(name);
    for (const folder of ['error', 'deleted', '']) {
      const entries = await this.backend.list(folder);
      const path = (/** @type {string} */ name) => (folder === '' ? name : `${folder}/${name}`);
      // What an interrupted run left.
      for (const { name } of entries) if (/\.part(\.|$)/.test(name)) await this.backend.remove(path(name));
      if (folder !== '' && (await this.backend.list(folder)).length === 0) await this.backend.remove(folder);
    }
    for (const name of ['log.ndjson', '.metadata.tmp', '.metadata']) await this.backend.remove(name);
  }
}

/**
 * Makes the links of a managed folder that was taken in from picked files: browsers show a page no links, or the files behind them.
 * @param {ReturnType<typeof import('./run.js').runner>} run
 * @param {LocalAccess} access
 */
export async function relink(run, access) {
  if ((await access.view()).kind !== 'managed') return;
  const call = /** @type {import('./client.js').Call} */ ({ operation: 'resetLinks', config: {}, clients: [], workers: 0 });
  await run(call, access.backend, {}).catch((error) => {
    // Files are where links would be: what they hold can be read as well.
    if (error?.kind !== 'mismatch') throw error;
  });
}
