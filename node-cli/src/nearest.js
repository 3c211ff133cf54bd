/** `; did you mean 'x'?` where one of `names` is near enough to `name` or begins with it, else nothing. */
export function didYouMean(name, names, prefix = '') {
  const limit = Math.max(1, Math.floor(name.length / 3));
  const ranked = [...names]
    .map((candidate) => ({ candidate, distance: name && candidate.startsWith(name) ? 0 : distance(name, candidate) }))
    .filter((entry) => entry.distance <= limit)
    .sort((a, b) => a.distance - b.distance);
  return ranked.length ? `; did you mean '${prefix}${ranked[0].candidate}'?` : '';
}

/** How many letters must be added, removed, changed or swapped with their neighbour. */
function distance(from, to) {
  const rows = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= from.length; i += 1) {
    rows[i] = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const same = from[i - 1] === to[j - 1];
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (same ? 0 : 1));
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[from.length][to.length];
}
