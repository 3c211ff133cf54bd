/**
 * What a browser keeps for a site.
 */
import { usage } from './errors.js';

/**
 * Refuses names that a folder of the browser's cannot have.
 * @param {string} name
 * @param {string} storage
 */
export function checkFolder(name, storage) {
  if (name === '' || name.length > 100) throw usage(`The name of a folder has 1 to 100 characters, not ${name.length}.`);
  if (name.startsWith('.')) throw usage(`The folder's name ${name} begins with a dot.`, 'Choose another name.');
  if (!['auto', 'opfs', 'idb', 'memory'].includes(storage)) throw usage(`storage is ${storage}.`, 'Give auto, opfs, idb or memory.');
}

/** Asks the browser not to evict the data. */
export async function persist() {
  // Browsers without it promise nothing.
  return (await globalThis.navigator?.storage?.persist?.().catch(() => false)) ?? false;
}

/** How much this site stores. */
export async function storageUsage() {
  const { usage: used, quota } = (await navigator.storage?.estimate?.()) ?? {};
  return { usage: used, quota, persisted: (await navigator.storage?.persisted?.()) ?? false };
}
