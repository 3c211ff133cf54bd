/**
 * Loads the core in Node, main thread or worker.
 */
import { readFileSync } from 'node:fs';

import { flavour } from './flavour.js';

/** @typedef {{ name: 'simd' | 'base', module: WebAssembly.Module }} Compiled */

/** @type {Compiled | undefined} */
let compiled;

/**
 * The compiled module, to be shared with workers: compiled once per process. `SMART_FETCH_WASM=base` or `simd` overrules
 * what the engine can do.
 * @returns {Compiled}
 */
export function compile() {
  if (!compiled) {
    const name = flavour(process.env.SMART_FETCH_WASM);
    const file = new URL(`./wasm/smart_fetch_${name}_bg.wasm`, import.meta.url);
    compiled = { name, module: new WebAssembly.Module(readFileSync(file)) };
  }
  return compiled;
}

/**
 * The JS glue of a flavour.
 * @param {'simd' | 'base'} name
 */
export const glue = (name) => (name === 'simd' ? import('./wasm/smart_fetch_simd.js') : import('./wasm/smart_fetch_base.js'));

/**
 * An instance of the core for this thread.
 * @param {Compiled} [given] from another thread
 * @returns {Promise<import('./host.d.ts').Core>}
 */
export async function load(given) {
  const { name, module } = given ?? compile();
  const core = await glue(name);
  core.initSync({ module });
  return core;
}
