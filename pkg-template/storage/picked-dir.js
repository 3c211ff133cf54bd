/**
 * A folder that the user has picked (File System Access; Chromium only). A file appears when it is closed: what a closed tab
 * leaves half written is fetched again.
 */
import { DirectoryFolder } from './directory.js';
import { storageError } from './paths.js';

/** @typedef {import('../host.d.ts').FileHandle} FileHandle */

export class PickedFolder extends DirectoryFolder {
  /** @param {FileSystemDirectoryHandle} handle as `showDirectoryPicker({ mode: 'readwrite' })` gives it */
  constructor(handle) {
    super({
      name: handle.name,
      descriptor: { kind: 'picked', handle },
      // The browser does not tell where it is: two folders of one name share a lock, which is safe.
      lockName: `smart-fetch:picked:${handle.name}`,
      open: async () => handle,
      openFile: async (file, append) => {
        const at = append ? (await file.getFile()).size : 0;
        const stream = await file.createWritable({ keepExistingData: append });
        return new StreamFile(stream, at);
      },
    });
  }
}

/** @implements {FileHandle} */
class StreamFile {
  #stream;
  #at;

  /**
   * @param {FileSystemWritableFileStream} stream
   * @param {number} at
   */
  constructor(stream, at) {
    this.#stream = stream;
    this.#at = at;
  }

  /** @param {Uint8Array} view */
  async write(view) {
    // The view is gone when this returns.
    const data = Uint8Array.from(view);
    const position = this.#at;
    this.#at += data.length;
    try {
      await this.#stream.write({ type: 'write', position, data });
    } catch (error) {
      throw storageError(error);
    }
  }

  /** Nothing is durable before the end. */
  flush() {}

  async close() {
    try {
      await this.#stream.close();
    } catch (error) {
      throw storageError(error);
    }
  }

  release() {
    this.#stream.abort().catch(() => {});
  }
}
