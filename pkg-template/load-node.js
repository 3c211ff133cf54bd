/**
 * Loads the core in Node, main thread or worker.
 */
import { readFileSync } from 'node:fs';

import { fileFor, flavour } from './flavour.js';

/** @typedef {import('./flavour.js').FileName} FileName */
/** @typedef {{ name: FileName, module: WebAssembly.Module }} Compiled */

/** By name. @type {Map<FileName, Compiled>} */
const compiled = new Map();

/**
 * The compiled module that has a function of the core, to be shared with workers: compiled once per process.
 * `SMART_FETCH_WASM=base` or `simd` overrules what the engine can do.
 * @param {string} [operation]
 * @returns {Compiled}
 */
export function compile(operation = 'transfer') {
  const known = flavour(process.env.SMART_FETCH_WASM);
  const name = fileFor(operation, known);
  // The full file can do what the small one can: where it is there, one is enough.
  const there = compiled.get(name) ?? compiled.get(`full_${known}`);
  if (there) return there;
  const file = new URL(`./wasm/smart_fetch_${name}_bg.wasm`, import.meta.url);
  const fresh = { name, module: new WebAssembly.Module(readFileSync(file)) };
  compiled.set(name, fresh);
  return fresh;
}

/** Written out, so that bundlers find them. @type {Record<FileName, () => Promise<any>>} */
const GLUES = {
  simd: () => import('./wasm/smart_fetch_simd.js'),
  base: () => import('./wasm/smart_fetch_base.js'),
  full_simd: () => import('./wasm/smart_fetch_full_simd.js'),
  full_base: () => import('./wasm/smart_fetch_full_base.js'),
};

/**
 * The JS glue of a file.
 * @param {FileName} name
 */
export const glue = (name) => GLUES[name]();

/**
 * An instance of the core for this thread that has a function.
 * @param {string} [operation]
 * @returns {Promise<import('./host.d.ts').Core>}
 */
export const load = (operation) => instantiate(compile(operation));

/**
 * The instance of the core of this thread.
 * @param {Compiled} compiled perhaps of another thread
 * @returns {Promise<import('./host.d.ts').Core>}
 */
export async function instantiate({ name, module }) {
  const core = await glue(name);
  core.initSync({ module });
  return core;
}
