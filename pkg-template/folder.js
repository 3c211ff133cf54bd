/**
 * A folder that jobs work in, and what can be read back from it.
 */
import { SmartFetchError, usage } from './errors.js';
import { resourcesOf } from './lines.js';

/**
 * How a folder is reached: in this thread (`local.js`), or in the worker that has it (`worker/page.js`).
 * @typedef {object} Access
 * @property {string} name
 * @property {import('./index.d.ts').StorageKind} storage
 * @property {string} [reason]
 * @property {string} [warning]
 * @property {() => Promise<import('./index.d.ts').FolderStatus>} view
 * @property {(path: string, decode: boolean) => AsyncGenerator<Uint8Array, void, void>} bytes
 * @property {(path: string) => Promise<Blob>} blob
 * @property {() => Promise<import('./storage/copy.js').Content[]>} contents all files that are worth keeping
 * @property {() => Promise<void>} remove
 */

export class Folder {
  /** @param {Access} access */
  constructor(access) {
    this.access = access;
  }

  /** Where it is, for people. */
  get name() {
    return this.access.name;
  }

  get storage() {
    return this.access.storage;
  }

  get reason() {
    return this.access.reason;
  }

  get warning() {
    return this.access.warning;
  }

  /** What is in it, and how far it is. */
  status() {
    return typed(() => this.access.view());
  }

  /** The data files that are complete. */
  async files() {
    return (await this.status()).files;
  }

  /** Files and resources by type. */
  async types() {
    /** @type {Record<string, { files: number, resources: number | undefined }>} */
    const types = {};
    for (const { kind, type, resources } of await this.files()) {
      if (kind !== 'output') continue;
      const known = (types[type] ??= { files: 0, resources: 0 });
      known.files++;
      known.resources = known.resources === undefined || resources === undefined ? undefined : known.resources + resources;
    }
    return types;
  }

  /**
   * All resources of a type, one by one.
   * @param {string} type
   * @param {{ kind?: 'output' | 'error' | 'deleted', onBadLine?: (file: string, line: number, text: string) => void,
   *   onMissing?: (file: string) => void }} [options]
   * @returns {AsyncGenerator<any, void, void>}
   */
  async *resources(type, { kind = 'output', onBadLine, onMissing } = {}) {
    const { files, missing } = await this.status();
    for (const { name } of missing.filter(({ types }) => kind === 'output' && types.includes(type))) {
      if (!onMissing) throw missingFile(name, type);
      onMissing(name);
    }
    for (const file of files) {
      if (file.kind !== kind || file.type !== type) continue;
      yield* resourcesOf(file.name, typedChunks(this.access.bytes(file.name, true)), onBadLine);
    }
  }

  /**
   * One file.
   * @param {string} name as in `files()`; or `.metadata` or `log.ndjson`
   */
  file(name) {
    if (typeof name !== 'string' || name === '') throw usage('The name of the file is missing.');
    return new StoredFile(name, this.access);
  }

  /** Removes the folder with everything that smart-fetch has put into it. */
  remove() {
    return typed(() => this.access.remove());
  }
}

/** A file of a folder. */
class StoredFile {
  #access;

  /**
   * @param {string} name
   * @param {Access} access
   */
  constructor(name, access) {
    this.name = name;
    this.#access = access;
  }

  /**
   * Its bytes; read as fast as they are taken.
   * @param {{ decode?: boolean }} [options] `decode`: without the gzip it may be stored as
   * @returns {ReadableStream<Uint8Array>}
   */
  stream({ decode = false } = {}) {
    const chunks = typedChunks(this.#access.bytes(this.name, decode));
    return new ReadableStream(
      {
        async pull(controller) {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        async cancel() {
          await chunks.return();
        },
      },
      { highWaterMark: 1 },
    );
  }

  /** Its bytes as stored; on disk, not in memory, where the storage allows it. */
  blob() {
    return typed(() => this.#access.blob(this.name));
  }

  /** Its text, decoded. For small files. */
  async text() {
    const decoder = new TextDecoder();
    let text = '';
    for await (const bytes of typedChunks(this.#access.bytes(this.name, true))) text += decoder.decode(bytes, { stream: true });
    return text + decoder.decode();
  }
}

/**
 * @param {string} name
 * @param {string} type
 */
function missingFile(name, type) {
  const message = `${name} is missing, or not as it was, so that not all resources of type ${type} are here.`;
  const hint = 'Run the job again, which fetches it anew; or give onMissing to read what is here.';
  return new SmartFetchError({ kind: 'corrupt', operation: 'read folder', message, hint, retry: false, exitStatus: 1 });
}

/**
 * @template T
 * @param {() => Promise<T>} work
 */
async function typed(work) {
  try {
    return await work();
  } catch (error) {
    throw SmartFetchError.from(error, 'read folder');
  }
}

/**
 * @param {AsyncGenerator<Uint8Array, void, void>} chunks
 * @returns {AsyncGenerator<Uint8Array, void, void>}
 */
async function* typedChunks(chunks) {
  try {
    yield* chunks;
  } catch (error) {
    throw SmartFetchError.from(error, 'read file');
  }
}
