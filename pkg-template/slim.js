/**
 * smart-fetch without workers and without WebAssembly of its own: the caller loads that, and the core runs in the caller's
 * thread. For workers of one's own, edge runtimes, and hosts that keep such files elsewhere.
 */
import { SmartFetchError, usage } from './errors.js';
import { flavour } from './flavour.js';
import { inThread } from './in-thread.js';
import { importClients } from './keys/webcrypto.js';
import { checkFolder, persist } from './site.js';
import { choose, openBackend } from './storage/choose.js';
import * as base from './wasm/smart_fetch_full_base.js';
import * as simd from './wasm/smart_fetch_full_simd.js';

export { SmartFetchError } from './errors.js';
export { generateKeys } from './keys/generate.js';
export { zip } from './save/zip.js';
export { nameOptions } from './names.js';
export { Tally } from './tally.js';
export { flavour };

const GLUES = /** @type {Record<'simd' | 'base', any>} */ ({ simd, base });

/** @type {Promise<import('./host.d.ts').Core> | undefined} */
let loading;

/**
 * Takes the WebAssembly; to be called before anything else.
 * @param {import('./slim.d.ts').Sources} sources
 */
export async function init(sources) {
  const start = async () => {
    const name = flavour();
    const given = sources[name] ?? sources.base;
    if (given === undefined) throw usage(`This engine needs the file ${name}.`, 'Give init() both files, or the one that flavour() names.');
    const core = GLUES[sources[name] === undefined ? 'base' : name];
    await core.default({ module_or_path: await (typeof given === 'function' ? given() : given) });
    return core;
  };
  loading = start();
  try {
    await loading;
  } catch (error) {
    // The next call may have better luck.
    loading = undefined;
    throw SmartFetchError.from(error, 'load');
  }
}

const load = async () => {
  if (!loading) throw usage('The WebAssembly is not there yet.', 'Await init() first.');
  return loading;
};

const environment = {
  load,
  // `fetch`, in the core.
  createHttp: () => undefined,
  createPool: () => undefined,
  importClients: (/** @type {any} */ clients) => importClients(clients),
};

const { folderIn, ...api } = inThread(environment);
export const { Client, SmartAppClient, bundle, copyFolder, fromSmartClient, hydrationTasks, importFolder, loadKeys, memoryFolder, merge, parseIds, resetLinks, resourceTypes, verify, version } = api;

/**
 * Opens a folder that the browser keeps, or that the user has picked. OPFS works in dedicated workers only.
 * @param {string | FileSystemDirectoryHandle} name
 * @param {{ storage?: 'auto' | 'opfs' | 'idb' | 'memory' }} [options]
 */
export async function openFolder(name, { storage = 'auto' } = {}) {
  if (typeof name === 'string') {
    checkFolder(name, storage);
    if (storage !== 'memory') await persist();
  }
  const wanted = typeof name === 'string' ? storage : name;
  const { descriptor, reason, warning } = await choose(typeof name === 'string' ? name : name.name, wanted).catch((error) => {
    throw SmartFetchError.from(error, 'open folder');
  });
  return folderIn(openBackend(descriptor), descriptor.kind, { reason, warning });
}
