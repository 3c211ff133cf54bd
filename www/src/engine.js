// The package, loaded once, after the page can be used.

/** @type {Promise<typeof import('smart-fetch')> | undefined} */
let loading;

export function engine() {
  loading ??= import('smart-fetch');
  // A network failure must not stick.
  loading.catch(() => (loading = undefined));
  return loading;
}
