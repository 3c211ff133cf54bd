// The package, loaded once, after the page can be used.

/** @type {Promise<typeof import('./package.js')> | undefined} */
let loading;

/** What messages call the options: what stands beside their fields. */
const LABELS = {
  'auth.clientId': '“Client ID”',
  'auth.keys': '“Private key”',
  'auth.token': '“Access token”',
  'auth.user': 'a user name',
  ids: '“Patient IDs”',
  kickoff: 'a trial export',
  level: '“Whose data”',
  'level.group': '“Group”',
  'resourceTypes()': '“Resource types”',
  since: '“Changed since”',
  typeFilters: '“Type filters”',
  types: '“Resource types”',
};

async function load() {
  const loaded = await import('./package.js');
  loaded.nameOptions((option) => LABELS[option] ?? option);
  return loaded;
}

export function engine() {
  loading ??= load();
  // A network failure must not stick.
  loading.catch(() => (loading = undefined));
  return loading;
}
