/**
 * Runs calls of a client on an instance of the core in this thread.
 */
import { clock, random } from './clock.js';
import { SmartFetchError } from './errors.js';
import { MemoryFolder } from './storage/memory.js';

/**
 * What an environment brings.
 * @typedef {object} Environment
 * @property {(operation?: string) => Promise<import('./host.d.ts').Core>} load an instance that has a function of the core
 * @property {() => Promise<import('./host.d.ts').Transport> | undefined} createHttp a transport for one job; none: `fetch`
 * @property {(folder: import('./host.d.ts').FolderDescriptor, workers?: number) => Pool | undefined} createPool
 * @property {(clients: { clientId: string, keys: any }[]) => Promise<import('./host.d.ts').HostSigner>} importClients
 *
 * @typedef {import('./host.d.ts').Transfers & { close(): void }} Pool
 */

/** Rejects when an instance of the core has panicked; it must not be called again. @type {WeakMap<object, Promise<never>>} */
const panics = new WeakMap();

/** @param {import('./host.d.ts').Core} core */
function panicOf(core) {
  let panic = panics.get(core);
  if (!panic) {
    panic = new Promise((_, reject) => core.onPanic((message) => reject(internal(`The core of smart-fetch failed: ${message}.`))));
    panic.catch(() => {});
    panics.set(core, panic);
  }
  return panic;
}

/** @param {string} message */
export function internal(message) {
  return new SmartFetchError({
    kind: 'internal',
    operation: 'core',
    message,
    hint: 'This is a bug: please report it. What is in the folder is kept; start the program again to resume.',
    retry: true,
    exitStatus: 1,
  });
}

/**
 * @param {Environment} environment
 * @returns {(call: import('./client.js').Call, backend: import('./host.d.ts').Backend | undefined,
 *   control: import('./client.js').Control, source?: import('./host.d.ts').Backend) => Promise<any>} `source`: the folder to
 *   read from, where it is another one
 */
export function runner(environment) {
  return async ({ operation, config, clients, workers }, backend, { cancelled = new Promise(() => {}), onEvent, pause, token }, source) => {
    const [core, signer] = await Promise.all([
      // A Bundle is made by what the full file has.
      environment.load(/** @type {any} */ (config).bundle ? 'bundle' : operation),
      clients.length === 0 ? undefined : environment.importClients(clients),
    ]);
    if (operation === 'checkBulk' || operation === 'checkCrawl' || operation === 'checkExport' || operation === 'checkHydrate') return core[operation](config);
    const panic = panicOf(core);
    const http = await environment.createHttp();
    const transfers = backend?.descriptor && workers !== 0 ? environment.createPool(backend.descriptor, workers) : undefined;
    try {
      const host = {
        http,
        // A single resource is not stored: the folder is only there because every host has one.
        storage: backend ?? new MemoryFolder(),
        source,
        clock,
        random,
        signer,
        token,
        transfers,
        event: onEvent,
        resumed: () => pause?.over(),
      };
      return await Promise.race([panic, core[operation](host, config, cancelled)]);
    } finally {
      transfers?.close();
      http?.close();
    }
  };
}
