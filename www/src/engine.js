// The package, loaded once, after the page can be used.

/** @type {Promise<typeof import('./package.js')> | undefined} */
let loading;

export function engine() {
  loading ??= import('./package.js');
  // A network failure must not stick.
  loading.catch(() => (loading = undefined));
  return loading;
}
