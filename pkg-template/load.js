/**
 * Loads the core in a browser.
 */
import { SmartFetchError } from './errors.js';
import { fileFor, flavour } from './flavour.js';
import * as base from './wasm/smart_fetch_base.js';
import * as full_base from './wasm/smart_fetch_full_base.js';
import * as full_simd from './wasm/smart_fetch_full_simd.js';
import * as simd from './wasm/smart_fetch_simd.js';

/** @typedef {import('./flavour.js').FileName} FileName */
/** @typedef {{ name: FileName, module: WebAssembly.Module }} Compiled */

/** All glues are imported as such: bundlers make one file of a worker, which has no parts to load later. */
const GLUES = /** @type {Record<FileName, any>} */ ({ simd, base, full_simd, full_base });

/** Written out, so that bundlers find the files. */
const FILES = {
  simd: () => new URL('./wasm/smart_fetch_simd_bg.wasm', import.meta.url),
  base: () => new URL('./wasm/smart_fetch_base_bg.wasm', import.meta.url),
  full_simd: () => new URL('./wasm/smart_fetch_full_simd_bg.wasm', import.meta.url),
  full_base: () => new URL('./wasm/smart_fetch_full_base_bg.wasm', import.meta.url),
};

/**
 * @param {FileName} name
 * @returns {Promise<Compiled>}
 */
async function fetchModule(name) {
  const url = FILES[name]();
  const response = await fetch(url).catch((error) => {
    throw missing(`${url} could not be loaded: ${error.message}`, error);
  });
  if (!response.ok) throw missing(`${url} answered ${response.status}`);
  // Servers that call it something else than application/wasm are common.
  const isWasm = response.headers.get('content-type') === 'application/wasm';
  try {
    return { name, module: await (isWasm ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer())) };
  } catch (error) {
    throw missing(`${url} is not run: ${/** @type {any} */ (error).message}`, error);
  }
}

/**
 * @param {string} what
 * @param {unknown} [cause]
 */
const missing = (what, cause) =>
  new SmartFetchError({
    kind: 'unsupported',
    operation: 'start',
    message: `The WebAssembly file of smart-fetch cannot be had: ${what}.`,
    hint: "Look whether it is served beside the scripts, and whether the page's content policy lets it be loaded (connect-src 'self') and run (script-src 'wasm-unsafe-eval').",
    retry: true,
    exitStatus: 1,
  }, cause);

/**
 * Something that is made once for each file. A network failure must not stick: the next call tries again.
 * @template T
 * @param {(name: FileName) => Promise<T>} make
 */
function once(make) {
  /** @type {Map<FileName, Promise<T>>} */
  const made = new Map();
  return (/** @type {string} */ operation) => {
    const known = flavour();
    const name = fileFor(operation, known);
    // The full file can do what the small one can: where it is there, one is enough.
    const there = made.get(name) ?? made.get(`full_${known}`);
    if (there) return there;
    const making = make(name);
    made.set(name, making);
    making.catch(() => made.delete(name));
    return making;
  };
}

const compiled = once(fetchModule);

/**
 * The compiled module that has a function of the core, to be shared with workers: loaded once, by its URL beside this module.
 * @param {string} [operation]
 */
export const compile = (operation = 'transfer') => compiled(operation);

/**
 * The instance of the core of this thread.
 * @param {Compiled} compiled
 * @returns {Promise<import('./host.d.ts').Core>}
 */
export async function instantiate({ name, module }) {
  const core = GLUES[name];
  await core.default({ module_or_path: module });
  return core;
}

const loaded = once(async (name) => instantiate(await compiled(name.startsWith('full_') ? 'full' : 'transfer')));

/**
 * The core in a browser that has a function, loaded once.
 * @param {string} [operation]
 */
export const load = (operation = 'transfer') => loaded(operation);
