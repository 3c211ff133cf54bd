/**
 * What the package offers where the core runs in the caller's own thread: Node, and `slim.js`.
 */
import { Client as BaseClient } from './client.js';
import { control, folderOf } from './copying.js';
import { SmartFetchError } from './errors.js';
import { folderJobs } from './folder-jobs.js';
import { Folder } from './folder.js';
import { loadKeys } from './keys/webcrypto.js';
import { LocalAccess, relink } from './local.js';
import { runner } from './run.js';
import { smartApp } from './smart-app.js';
import { copyAll } from './storage/copy.js';
import { FilesFolder } from './storage/files.js';
import { MemoryFolder } from './storage/memory.js';

/** @typedef {import('./host.d.ts').Backend} Backend */
/** @typedef {import('./index.d.ts').Folder} AnyFolder */

/** @param {AnyFolder} folder */
const backendOf = (folder) => /** @type {LocalAccess} */ (/** @type {Folder} */ (folder).access).backend;

/**
 * @param {import('./run.js').Environment} environment
 * @param {(pem: string) => any} [readPem]
 */
export function inThread(environment, readPem) {
  const run = runner(environment);
  /** @param {import('./folder.js').Access | undefined} access */
  const storageOf = (access) => /** @type {LocalAccess | undefined} */ (access)?.backend;
  /** @type {import('./client.js').Execute} */
  const execute = (call, access, events, source) => run(call, storageOf(access), events, storageOf(source));

  class Client extends BaseClient {
    /** @param {import('./index.d.ts').ClientOptions} options */
    constructor(options) {
      super(options, execute);
    }
  }

  /**
   * @param {Backend} from
   * @param {AnyFolder} to
   * @param {import('./index.d.ts').CopyOptions} options
   * @param {boolean} [isPicked] links of `from` may not show
   */
  const copy = async (from, to, options, isPicked = false) => {
    try {
      const access = /** @type {LocalAccess} */ (/** @type {Folder} */ (to).access);
      const copied = await copyAll(from, access.backend, control(options));
      if (isPicked) await relink(run, access);
      return copied;
    } catch (error) {
      throw SmartFetchError.from(error, 'copy');
    }
  };

  return {
    ...folderJobs(execute),
    ...smartApp(Client),
    Client,
    /**
     * The folder of a backend.
     * @param {Backend} backend
     * @param {import('./index.d.ts').StorageKind} storage
     * @param {{ reason?: string, warning?: string }} [more]
     */
    folderIn: (backend, storage, more) => new Folder(Object.assign(new LocalAccess(backend, storage, environment.load), more)),
    /**
     * A folder in memory: it ends with the program.
     * @param {{ capacity?: number }} [options] `capacity`: bytes at most
     */
    memoryFolder: (options) => new Folder(new LocalAccess(new MemoryFolder(options), 'memory', environment.load)),
    /**
     * Turns keys into WebCrypto keys that cannot be read back.
     * @param {import('./index.d.ts').Keys} keys
     */
    loadKeys: (keys) => loadKeys(keys, readPem),
    /**
     * The ids in the text of a file called `name`.
     * @param {string} name
     * @param {string} text
     */
    parseIds: async (name, text) => {
      const core = await environment.load('parseIds');
      try {
        return core.parseIds(name, text);
      } catch (error) {
        throw SmartFetchError.from(error, 'options');
      }
    },
    /** The names of groups of hydration tasks. */
    hydrationTasks: async () => (await environment.load('hydrationTasks')).hydrationTasks(),
    /** The resource types that are known. */
    resourceTypes: async () => (await environment.load()).resourceTypes(),
    /** The version of the core. */
    version: async () => (await environment.load()).version(),
    /**
     * Copies a folder.
     * @param {AnyFolder} from
     * @param {AnyFolder} to
     * @param {import('./index.d.ts').CopyOptions} [options]
     */
    copyFolder: (from, to, options = {}) => copy(backendOf(from), to, options, from.storage === 'picked'),
    /**
     * Takes in a folder that was made elsewhere.
     * @param {AnyFolder} folder
     * @param {AnyFolder | Iterable<File>} source
     * @param {import('./index.d.ts').CopyOptions} [options]
     */
    importFolder: async (folder, source, options = {}) =>
      (source instanceof Folder
        ? copy(backendOf(source), folder, options, source.storage === 'picked')
        : copy(new FilesFolder(folderOf(/** @type {Iterable<File>} */ (source))), folder, options, true)),
  };
}
