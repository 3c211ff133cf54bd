/** Values at a dotted path of a resource, arrays flattened: `pathValues(obs, 'category.coding.code')`. */
export function pathValues(node, path) {
  let values = [node];
  for (const key of path.split('.')) {
    const next = [];
    for (const value of values) {
      const child = value?.[key];
      if (child === undefined || child === null) continue;
      if (Array.isArray(child)) next.push(...child);
      else next.push(child);
    }
    values = next;
  }
  return values;
}
