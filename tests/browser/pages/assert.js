// What the contract needs of node:assert, for browsers.
const show = (value) => (value instanceof Uint8Array ? `bytes ${value}` : JSON.stringify(value));

function fail(message) {
  throw new Error(message);
}

const same = (a, b) => {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  return Array.isArray(a) === Array.isArray(b) && keys.length === others.length && keys.every((key) => key in b && same(a[key], b[key]));
};

export default {
  fail,
  ok: (value, message) => value || fail(message ?? 'not true'),
  equal: (a, b, message) => Object.is(a, b) || fail(`${message ?? 'not equal'}: ${show(a)} and ${show(b)}`),
  deepEqual: (a, b, message) => same(a, b) || fail(`${message ?? 'not equal'}: ${show(a)} and ${show(b)}`),
  async rejects(work) {
    try {
      await (typeof work === 'function' ? work() : work);
    } catch {
      return;
    }
    fail('it did not throw');
  },
};
