/**
 * The client of a FHIR server: puts options into the core's form. Where the core runs is the environment's affair: in this
 * thread in Node (`node.js`), in a worker in browsers (`browser.js`).
 */
import { SmartFetchError, usage } from './errors.js';
import { Job } from './job.js';
import { wordedAll } from './names.js';

/**
 * One thing to do, as plain data: it may cross to a worker.
 * @typedef {object} Call
 * @property {'bulk' | 'checkBulk' | 'cancelBulk' | 'crawl' | 'checkCrawl' | 'hydrate' | 'checkHydrate' | 'single' | 'bundle' | 'merge' | 'verify' | 'doctor' | 'patientIds' | 'groups' | 'managedExport' | 'checkExport' | 'resetLinks'} operation
 * @property {object} config options in the core's form
 * @property {{ clientId: string, keys: any }[]} clients keys for SMART Backend Services, in any form that `loadKeys` takes
 * @property {number} [workers]
 *
 * @typedef {object} Control
 * @property {Promise<void>} [cancelled] settles when the call is to end
 * @property {(event: import('./index.d.ts').Event) => void} [onEvent]
 * @property {import('./job.js').Pause} [pause]
 * @property {(source: number) => Promise<import('./host.d.ts').HostToken>} [token] asks the program for a token
 *
 * @typedef {(call: Call, access: import('./folder.js').Access | undefined, control: Control,
 *   source?: import('./folder.js').Access) => Promise<any>} Execute `source`: the folder to read from, where it is another one
 */

/** What there is besides what the constructor looks at; the core checks the values. */
const SERVER_OPTIONS = ['tokenOrigins', 'allowInsecure', 'maxConnections', 'retryDelays'];

/** The options of each way to prove who we are, by the first of them. */
const AUTH_FORMS = [['token'], ['user', 'password'], ['clientId', 'keys', 'tokenUrl', 'scope']];

export class Client {
  #execute;
  #server;
  #bulkServer;
  /** @type {Call['clients']} */
  #clients;
  /** Functions that give tokens, by their numbers in the configuration. @type {import('./index.d.ts').TokenSource[]} */
  #sources;
  #workers;

  /**
   * @param {import('./index.d.ts').ClientOptions} options
   * @param {Execute} execute
   */
  constructor(options, execute) {
    const { fhirUrl, auth, bulkAuth = auth, headers, rewriteUrls, relay, workers, ...rest } = options ?? {};
    refuseOthers(rest, SERVER_OPTIONS, 'a client');
    if (typeof fhirUrl !== 'string' || fhirUrl === '') throw usage('fhirUrl is missing.', 'Give the base URL of the FHIR server.');
    if (workers !== undefined && !(Number.isInteger(workers) && workers >= 0)) {
      throw usage(`workers is ${workers}.`, 'Give a whole number; 0 fetches files without workers.');
    }
    this.#execute = execute;
    const through = { routes: pairs(relay?.routes, 'relay.routes'), headers: pairs(relay?.headers, 'relay.headers') };
    const server = { ...rest, fhirUrl, headers: pairs(headers, 'headers'), rewriteUrls: pairs(rewriteUrls, 'rewriteUrls'), relay: through };
    const parts = new Map([...new Set([auth, bulkAuth])].map((one, source) => [one, authConfig(one, source)]));
    this.#server = { ...server, auth: parts.get(auth)?.config };
    this.#bulkServer = { ...server, auth: parts.get(bulkAuth)?.config };
    this.#clients = [...parts.values()].flatMap(({ client }) => client ?? []);
    this.#sources = [...parts.keys()].map((one) => /** @type {any} */ (one)?.token);
    this.#workers = workers;
  }

  /** @param {Partial<import('./index.d.ts').BulkOptions>} options */
  #bulkConfig({ signal, ...options }) {
    return { ...options, params: pairs(options.params, 'params'), server: this.#bulkServer };
  }

  /** @param {Partial<import('./index.d.ts').CrawlOptions>} options */
  #crawlConfig({ ids, idSystem, cohortName, count, source, ...bulk }) {
    const cohort = { ids: listed(ids), idSystem, name: cohortName };
    return { bulk: this.#bulkConfig(bulk), restServer: this.#server, cohort, count };
  }

  /** @param {Partial<import('./export.d.ts').ExportOptions>} options */
  #exportConfig({ mode, nickname, ids, idSystem, cohortName, count, hydrationTasks, mimetypes, reconcile, ...bulk }) {
    const cohort = { ids: listed(ids), idSystem, name: cohortName };
    return { bulk: this.#bulkConfig(bulk), restServer: this.#server, mode, nickname, cohort, count, hydrationTasks, mimetypes, reconcile };
  }

  /**
   * @param {Call['operation']} operation
   * @param {object} config
   * @param {import('./index.d.ts').Folder} [folder]
   * @param {Control} [control]
   * @param {import('./index.d.ts').Folder} [source] the folder to read from, where it is another one
   */
  #run(operation, config, folder, control = {}, source) {
    const call = { operation, config, clients: this.#clients, workers: this.#workers };
    const asked = new Set();
    const token = (/** @type {number} */ number) => {
      const again = asked.has(number);
      asked.add(number);
      return given(this.#sources[number], again);
    };
    return this.#execute(call, accessOf(folder), { ...control, token }, accessOf(source));
  }

  /**
   * Starts a bulk export into `folder`, or resumes the one that is there.
   * @param {import('./index.d.ts').Folder} folder
   * @param {Partial<import('./index.d.ts').BulkOptions>} [options]
   */
  bulk(folder, options = {}) {
    const config = this.#bulkConfig(options);
    return new Job('bulk', (control) => this.#run('bulk', config, folder, control), options.signal);
  }

  /**
   * Looks at the options without sending anything.
   * @param {Partial<import('./index.d.ts').BulkOptions>} [options]
   */
  checkBulk(options = {}) {
    return typed('options', () => this.#run('checkBulk', this.#bulkConfig(options)));
  }

  /**
   * Starts a crawl into `folder`, or resumes the one that is there.
   * @param {import('./index.d.ts').Folder} folder
   * @param {Partial<import('./index.d.ts').CrawlOptions>} [options]
   */
  crawl(folder, options = {}) {
    const config = this.#crawlConfig(options);
    return new Job('crawl', (control) => this.#run('crawl', config, folder, control, options.source), options.signal);
  }

  /**
   * Looks at the options of a crawl without sending anything.
   * @param {Partial<import('./index.d.ts').CrawlOptions>} [options]
   */
  checkCrawl(options = {}) {
    return typed('options', () => this.#run('checkCrawl', this.#crawlConfig(options)));
  }

  /**
   * Fetches what the resources in `folder` refer to, or goes on with it.
   * @param {import('./index.d.ts').Folder} folder
   * @param {Partial<import('./index.d.ts').HydrateOptions>} [options]
   */
  hydrate(folder, { signal, source, ...options } = {}) {
    const config = { folder: (source ?? folder).name, ...options, server: this.#server };
    return new Job('hydrate', (control) => this.#run('hydrate', config, folder, control, source), signal);
  }

  /**
   * Looks at the options of a hydration without sending anything.
   * @param {Partial<import('./index.d.ts').HydrateOptions>} [options]
   */
  checkHydrate({ signal, source, ...options } = {}) {
    return typed('options', () => this.#run('checkHydrate', { ...options, server: this.#server }));
  }

  /**
   * Cancels the export that was begun in `folder`, on the server too.
   * @param {import('./index.d.ts').Folder} folder
   */
  cancelBulk(folder) {
    return typed('cancel', () => this.#run('cancelBulk', this.#bulkConfig({}), folder));
  }

  /**
   * Starts the next export of the managed folder `folder`, or resumes the last one.
   * @param {import('./index.d.ts').Folder} folder
   * @param {Partial<import('./export.d.ts').ExportOptions>} [options]
   */
  export(folder, options = {}) {
    const config = this.#exportConfig(options);
    return new Job('export', (control) => this.#run('managedExport', config, folder, control), options.signal);
  }

  /**
   * Looks at the options of a managed export without sending anything.
   * @param {Partial<import('./export.d.ts').ExportOptions>} [options]
   */
  checkExport(options = {}) {
    return typed('options', () => this.#run('checkExport', this.#exportConfig(options)));
  }

  /**
   * Gets one resource.
   * @param {string} resource
   * @param {import('./index.d.ts').SingleOptions} [options]
   * @returns {Promise<Uint8Array>}
   */
  single(resource, { signal, ...options } = {}) {
    return this.#once('single', { ...options, resource, server: this.#server }, signal);
  }

  /**
   * The ids of the patients that a search finds.
   * @param {string} query
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<string[]>}
   */
  patientIds(query, { signal } = {}) {
    return this.#once('patientIds', { query, server: this.#server }, signal);
  }

  /**
   * The groups that the server lists.
   * @param {string} [query]
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<import('./doctor.d.ts').Group[]>}
   */
  groups(query = '', { signal } = {}) {
    return this.#once('groups', { query, server: this.#server }, signal);
  }

  /**
   * Examines the server.
   * @param {import('./index.d.ts').DoctorOptions} [options]
   * @returns {Promise<import('./index.d.ts').DoctorReport>}
   */
  async doctor({ signal, ...options } = {}) {
    // Pages and their workers have one: there the browser asks for leave, and hides headers.
    const origin = globalThis.location?.origin;
    const page = origin === undefined ? {} : { inBrowser: true, origin };
    const report = await this.#once('doctor', { ...options, ...page, server: this.#bulkServer }, signal);
    // The command is one.
    return { ...report, checks: wordedAll(report.checks) };
  }

  /**
   * A call without a folder and without events, which a signal breaks off.
   * @param {Call['operation']} operation
   * @param {object} config
   * @param {AbortSignal} [signal]
   */
  #once(operation, config, signal) {
    /** @type {() => void} */
    let cancel = () => {};
    const cancelled = /** @type {Promise<void>} */ (new Promise((resolve) => (cancel = resolve)));
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    const result = typed(operation, () => this.#run(operation, config, undefined, { cancelled }));
    return result.finally(() => signal?.removeEventListener('abort', cancel));
  }
}

/** @param {import('./index.d.ts').Folder | undefined} folder */
const accessOf = (folder) => /** @type {import('./folder.js').Folder | undefined} */ (folder)?.access;

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
 * A token of the program's, as the core takes it.
 * @param {import('./index.d.ts').TokenSource} source
 * @param {boolean} again whether this call of the core has had one before
 * @returns {Promise<import('./host.d.ts').HostToken>}
 */
async function given(source, again) {
  const answer = await source({ again });
  const { token, expiresIn } = typeof answer === 'string' ? { token: answer, expiresIn: undefined } : (answer ?? {});
  if (typeof token !== 'string') throw new Error('it gave no text');
  return { token, lifeMillis: Number.isFinite(expiresIn) ? Math.max(0, Math.round(Number(expiresIn) * 1000)) : undefined };
}

/**
 * @param {import('./index.d.ts').Auth | undefined} auth
 * @param {number} source number of the function that gives the token, if there is one
 * @returns {{ config: object, client?: Call['clients'][number] }}
 */
function authConfig(auth, source) {
  if (auth === undefined || auth === 'none') return { config: { kind: 'none' } };
  if (auth !== null && typeof auth === 'object') {
    const form = AUTH_FORMS.find(([first]) => first in auth);
    if (form) refuseOthers(auth, form, 'auth');
    if ('token' in auth && typeof auth.token === 'function') return { config: { kind: 'host', source } };
    if ('token' in auth) return { config: { kind: 'bearer', token: text(auth.token, 'auth.token') } };
    if ('user' in auth) {
      const [user, password] = [text(auth.user, 'auth.user'), text(auth.password, 'auth.password')];
      return { config: { kind: 'basic', user, password } };
    }
    if ('clientId' in auth) {
      if (auth.keys === undefined) throw usage('auth.keys is missing.', 'SMART Backend Services needs the private key.');
      const { tokenUrl, scope, keys } = auth;
      const clientId = text(auth.clientId, 'auth.clientId');
      return { config: { kind: 'smart', clientId, tokenUrl, scope }, client: { clientId, keys } };
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
 * A list, of any iterable but a text, whose letters are no items. What is none is the core's to refuse.
 * @param {unknown} given
 */
const listed = (given) => (given !== null && typeof given === 'object' && Symbol.iterator in given ? [.../** @type {Iterable<unknown>} */ (given)] : given);

/**
 * Throws where an object has an option that there is not: misspelt, it would do nothing.
 * @param {object} given
 * @param {string[]} known
 * @param {string} whose
 */
function refuseOthers(given, known, whose) {
  const other = Object.entries(given).find(([name, value]) => value !== undefined && !known.includes(name));
  if (other) throw usage(`There is no option '${other[0]}' of ${whose}.`, 'Look at its spelling.');
}

/**
 * Pairs, from an object or any iterable of pairs.
 * @param {Record<string, string> | Iterable<[string, string]> | undefined} given
 * @param {string} name
 * @returns {[string, string][]}
 */
function pairs(given, name) {
  if (given === undefined) return [];
  if (given === null || typeof given !== 'object') throw usage(`${name} is no object.`, 'Give names with their values, or pairs.');
  return Symbol.iterator in given ? [.../** @type {Iterable<[string, string]>} */ (given)] : Object.entries(given);
}
