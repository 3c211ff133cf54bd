/**
 * smart-fetch without workers and without WebAssembly of its own: the caller loads that, and the core runs in the caller's
 * thread. For workers of one's own, edge runtimes, and hosts that keep such files elsewhere.
 *
 * ```js
 * import { Client, flavour, init, openFolder } from 'smart-fetch/slim';
 *
 * await init({ simd: () => fetch('/static/smart_fetch_full_simd_bg.wasm'), base: () => fetch('/static/smart_fetch_full_base_bg.wasm') });
 * const { result } = new Client({ fhirUrl }).bulk(await openFolder('export'));
 * ```
 *
 * The files are `smart-fetch/wasm/smart_fetch_full_simd_bg.wasm` and `…_full_base_bg.wasm` of the same version of the package.
 */
import type { CopyOptions, Folder } from './index.js';

export {
  Client, SmartAppClient, SmartFetchError, Tally, bundle, fromSmartClient, generateKeys, hydrationTasks, loadKeys, memoryFolder, merge, nameOptions, openFolder, parseIds, resetLinks, resourceTypes, verify, version, zip,
} from './index.js';
export type * from './index.js';

/** A WebAssembly file: where it is, what came from there, its bytes, or compiled (`WebAssembly.Module`, which has no members). */
export type Source = string | URL | Request | Response | ArrayBuffer | ArrayBufferView | object;

/** The files; one is enough if it is the one that {@link flavour} names. Functions are called for the one that is taken. */
export interface Sources {
  /** For every current engine. */
  simd?: Source | Promise<Source> | (() => Source | Promise<Source>);
  /** For engines without SIMD. */
  base?: Source | Promise<Source> | (() => Source | Promise<Source>);
}

/** Takes the WebAssembly; to be awaited before anything else. */
export function init(sources: Sources): Promise<void>;

/** Which of the two files suits this engine. */
export function flavour(): 'simd' | 'base';

/** Copies a folder with everything that is in it into one that has no state yet. */
export function copyFolder(from: Folder, to: Folder, options?: CopyOptions): Promise<{ files: number; bytes: number }>;

/** Takes in a folder that was made elsewhere: another folder, or picked files. */
export function importFolder(folder: Folder, source: Folder | Iterable<File>, options?: CopyOptions): Promise<{ files: number; bytes: number }>;
