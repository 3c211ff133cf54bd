/**
 * The client of a FHIR server: puts options into the core's form and jobs onto a host. `index.js` and `node.js` give it
 * the parts of their environment.
 */
import { clock, random } from './clock.js';
import { SmartFetchError, usage } from './errors.js';
import { Folder } from './folder.js';
import { Job } from './job.js';
import { MemoryFolder } from './storage/memory.js';

/**
 * What an environment brings.
 * @typedef {object} Environment
 * @property {() => Promise<import('./host.d.ts').Core>} load
 * @property {() => import('./host.d.ts').Transport | undefined} createHttp a transport for one job; none: `fetch`
 * @property {(folder: import('./host.d.ts').FolderDescriptor, workers?: number) => Pool | undefined} createPool
 * @property {(keys: any) => Promise<import('./host.d.ts').HostSigner>} importKeys
 *
 * @typedef {import('./host.d.ts').Transfers & { close(): void }} Pool
 */

/** Rejects when an instance of the core has panicked; it must not be called again. @type {WeakMap<object, Promise<never>>} */
const panics = new WeakMap();

/** @param {import('./host.d.ts').Core} core */
function panicOf(core) {
  let panic = panics.get(core);
  if (!panic) {
    panic = new Promise((_, reject) => {
      core.onPanic((message) =>
        reject(
          new SmartFetchError({
            kind: 'internal',
            operation: 'core',
            message: `The core of smart-fetch failed: ${message}.`,
            hint: 'This is a bug: please report it. What is in the folder is kept; start the program again to resume.',
            retry: true,
            exitStatus: 1,
          }),
        ),
      );
    });
    panic.catch(() => {});
    panics.set(core, panic);
  }
  return panic;
}

export class Client {
  #environment;
  #server;
  #keys;
  #workers;

  /**
   * @param {import('./index.d.ts').ClientOptions} options
   * @param {Environment} environment
   */
  constructor(options, environment) {
    const { fhirUrl, auth, headers, rewriteUrls, workers, ...rest } = options;
    if (typeof fhirUrl !== 'string' || fhirUrl === '') throw usage('fhirUrl is missing.', 'Give the base URL of the FHIR server.');
    if (workers !== undefined && !(Number.isInteger(workers) && workers >= 0)) {
      throw usage(`workers is ${workers}.`, 'Give a whole number; 0 fetches files without workers.');
    }
    this.#environment = environment;
    const { config, keys } = authConfig(auth);
    this.#server = { ...rest, fhirUrl, auth: config, headers: pairs(headers), rewriteUrls: pairs(rewriteUrls) };
    this.#keys = keys;
    this.#workers = workers;
  }

  /** @param {Partial<import('./index.d.ts').BulkOptions>} options */
  #bulkConfig({ signal, ...options }) {
    return { ...options, params: pairs(options.params), server: this.#server };
  }

  /**
   * Runs `work` on a host for `folder`, and takes the host down after it.
   * @template T
   * @param {import('./index.d.ts').Folder} folder
   * @param {(core: import('./host.d.ts').Core, host: import('./host.d.ts').Host) => Promise<T>} work
   * @param {(event: import('./index.d.ts').Event) => void} [event]
   * @returns {Promise<T>}
   */
  async #onHost(folder, work, event) {
    const environment = this.#environment;
    const [core, signer] = await Promise.all([
      environment.load(),
      this.#keys === undefined ? undefined : environment.importKeys(this.#keys),
    ]);
    const panic = panicOf(core);
    const { backend } = /** @type {Folder} */ (folder);
    const http = environment.createHttp();
    const transfers = backend.descriptor && this.#workers !== 0
      ? environment.createPool(backend.descriptor, this.#workers)
      : undefined;
    try {
      const host = { http, storage: backend, clock, random, signer, transfers, event };
      return await Promise.race([panic, work(core, host)]);
    } finally {
      transfers?.close();
      http?.close();
    }
  }

  /**
   * Starts a bulk export into `folder`, or resumes the one that is there.
   * @param {import('./index.d.ts').Folder} folder
   * @param {Partial<import('./index.d.ts').BulkOptions>} [options]
   */
  bulk(folder, options = {}) {
    const config = this.#bulkConfig(options);
    return new Job(
      'bulk',
      (cancelled, onEvent) => this.#onHost(folder, (core, host) => core.bulk(host, config, cancelled), onEvent),
      options.signal,
    );
  }

  /**
   * Looks at the options without sending anything.
   * @param {Partial<import('./index.d.ts').BulkOptions>} [options]
   */
  checkBulk(options = {}) {
    return typed('options', async () => (await this.#environment.load()).checkBulk(this.#bulkConfig(options)));
  }

  /**
   * Cancels the export that was begun in `folder`, on the server too.
   * @param {import('./index.d.ts').Folder} folder
   */
  cancelBulk(folder) {
    return typed('cancel', () => this.#onHost(folder, (core, host) => core.cancelBulk(host, this.#bulkConfig({}))));
  }

  /**
   * Gets one resource.
   * @param {string} resource
   * @param {import('./index.d.ts').SingleOptions} [options]
   * @returns {Promise<Uint8Array>}
   */
  single(resource, { signal, ...options } = {}) {
    const config = { ...options, resource, server: this.#server };
    /** @type {() => void} */
    let cancel = () => {};
    const cancelled = /** @type {Promise<void>} */ (new Promise((resolve) => (cancel = resolve)));
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    // Nothing is stored: the folder is only there because every host has one.
    const folder = new Folder(new MemoryFolder());
    const result = typed('single', () => this.#onHost(folder, (core, host) => core.single(host, config, cancelled)));
    return result.finally(() => signal?.removeEventListener('abort', cancel));
  }
}

/**
 * @template T
 * @param {string} operation
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function typed(operation, work) {
  try {
    return await work();
  } catch (error) {
    throw SmartFetchError.from(error, operation);
  }
}

/**
 * @param {import('./index.d.ts').Auth | undefined} auth
 * @returns {{ config: object, keys?: unknown }}
 */
function authConfig(auth) {
  if (auth === undefined || auth === 'none') return { config: { kind: 'none' } };
  if (auth !== null && typeof auth === 'object') {
    if ('token' in auth) return { config: { kind: 'bearer', token: text(auth.token, 'auth.token') } };
    if ('user' in auth) {
      const [user, password] = [text(auth.user, 'auth.user'), text(auth.password, 'auth.password')];
      return { config: { kind: 'basic', user, password } };
    }
    if ('clientId' in auth) {
      if (auth.keys === undefined) throw usage('auth.keys is missing.', 'SMART Backend Services needs the private key.');
      const { tokenUrl, scope, keys } = auth;
      return { config: { kind: 'smart', clientId: text(auth.clientId, 'auth.clientId'), tokenUrl, scope }, keys };
    }
  }
  throw usage('auth is none of the known forms.', "Give 'none', {token}, {user, password} or {clientId, keys}.");
}

/**
 * @param {unknown} value
 * @param {string} name
 */
function text(value, name) {
  // Without the value: it may be a secret.
  if (typeof value !== 'string' || value === '') throw usage(`${name} is not a text.`);
  return value;
}

/**
 * Pairs, from an object or any iterable of pairs.
 * @param {Record<string, string> | Iterable<[string, string]> | undefined} given
 * @returns {[string, string][]}
 */
function pairs(given) {
  if (given === undefined) return [];
  return Symbol.iterator in given ? [.../** @type {Iterable<[string, string]>} */ (given)] : Object.entries(given);
}
