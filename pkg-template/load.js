/**
 * Loads the core in a browser.
 */
import { TransportError } from './errors.js';
import { flavour } from './flavour.js';
import * as base from './wasm/smart_fetch_base.js';
import * as simd from './wasm/smart_fetch_simd.js';

/** @typedef {{ name: 'simd' | 'base', module: WebAssembly.Module }} Compiled */

/** Both glues are imported as such: bundlers make one file of a worker, which has no parts to load later. */
const GLUES = /** @type {Record<'simd' | 'base', any>} */ ({ simd, base });

/** Written out, so that bundlers find the files. */
const FILES = {
  simd: () => new URL('./wasm/smart_fetch_simd_bg.wasm', import.meta.url),
  base: () => new URL('./wasm/smart_fetch_base_bg.wasm', import.meta.url),
};

/** @param {'simd' | 'base'} name */
async function fetchModule(name) {
  const response = await fetch(FILES[name]());
  if (!response.ok) throw new TransportError('interrupted', `${response.url} answered ${response.status}`);
  // Servers that call it something else than application/wasm are common.
  if (response.headers.get('content-type') !== 'application/wasm') return WebAssembly.compile(await response.arrayBuffer());
  return WebAssembly.compileStreaming(response);
}

/** @type {Promise<Compiled> | undefined} */
let compiling;

/**
 * The compiled module, to be shared with workers: loaded once, by its URL beside this module.
 * @returns {Promise<Compiled>}
 */
export function compile() {
  const name = flavour();
  compiling ??= fetchModule(name).then((module) => ({ name, module }));
  // A network failure must not stick: the next call tries again.
  compiling.catch(() => (compiling = undefined));
  return compiling;
}

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

/** @type {Promise<import('./host.d.ts').Core> | undefined} */
let loading;

/** The core in a browser, loaded once. */
export function load() {
  loading ??= compile().then(instantiate);
  loading.catch(() => (loading = undefined));
  return loading;
}
