/**
 * Which of the wasm files: the ones with SIMD (zlib-rs) for every current engine, the baseline (miniz_oxide) for engines without,
 * as in locked-down hospital browsers (DESIGN §3); and of these the small one, or the full one for what only that can do.
 */

/** @typedef {'simd' | 'base' | 'full_simd' | 'full_base'} FileName */

/** The smallest module that uses SIMD: `(func (result v128) i32.const 0 i8x16.splat i8x16.popcnt)`. */
const SIMD_MODULE = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

/**
 * @param {string} [wanted] `base` or `simd`; anything else leaves the choice to the engine
 * @returns {'simd' | 'base'}
 */
export function flavour(wanted) {
  if (wanted === 'base' || wanted === 'simd') return wanted;
  return WebAssembly.validate(SIMD_MODULE) ? 'simd' : 'base';
}

/** What the small files can do, by the names of the core's functions. */
const SMALL = new Set(['bulk', 'cancelBulk', 'checkBulk', 'gzip', 'resourceTypes', 'single', 'transfer', 'version', 'view']);

/**
 * The file that has a function of the core.
 * @param {string} operation
 * @param {'simd' | 'base'} name
 * @returns {FileName}
 */
export const fileFor = (operation, name) => (SMALL.has(operation) ? name : `full_${name}`);
