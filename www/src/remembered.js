// What the page remembers of each run beside its folder, to resume it with the same settings and to show how it ended.
// Never a token or a key.

const PLACE = 'smart-fetch.runs';

/**
 * @typedef {object} Remembered
 * @property {string} server as shown
 * @property {'none' | 'token' | 'smart'} auth
 * @property {string} [clientId]
 * @property {'made' | 'pasted'} [key]
 * @property {string} [way] of getting the data, see `ways.js`
 * @property {boolean} [hydrate]
 * @property {object} options of the export
 * @property {number} started
 * @property {boolean} [running] it has begun, and no end of it was seen
 * @property {import('./ways.js').Outcome} [outcome] how it ended
 * @property {{ title: string, text: string, hint?: string }} [problem] why it ended, where that was no end of its own
 */

/** @returns {Record<string, Remembered>} */
export function all() {
  try {
    return JSON.parse(localStorage.getItem(PLACE) ?? '{}');
  } catch {
    return {};
  }
}

/** @param {string} name of the folder */
export const recall = (name) => all()[name];

/** Keeps `value` for the folder; without one, forgets it. */
export function remember(name, value) {
  const runs = all();
  if (value === undefined) delete runs[name];
  else runs[name] = { ...runs[name], ...value };
  try {
    localStorage.setItem(PLACE, JSON.stringify(runs));
  } catch {
    // Full or forbidden: the run itself does not need it.
  }
}
