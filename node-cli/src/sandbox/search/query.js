// A search on one type: which rows match. Also used for `_typeFilter`.
import { HttpError } from '../reply.js';
import { dateTest, valueRange } from './dates.js';
import { searchParams } from './params.js';

/** Parameters that shape the answer and select nothing. */
export const RESULT_PARAMS = new Set(['_count', '_elements', '_format', '_include', '_pretty', '_revinclude', '_sort', '_summary', '_total', '_offset']);

/**
 * Parses search parameters into a query.
 * @param {string} type
 * @param {URLSearchParams} params
 * @param {{unsupported?: string[], lenient?: boolean}} [options] `unsupported`: parameters to act as if unknown
 * @returns {{rows: (table) => Promise<Uint32Array>}}
 */
export function parseQuery(type, params, { unsupported = [], lenient = false } = {}) {
  const known = searchParams(type);
  let ids = null;
  let patients = null;
  const rowTests = []; // (table, row) => boolean, from the index alone
  const tests = []; // (path => values) => boolean
  for (const [key, raw] of params) {
    if (RESULT_PARAMS.has(key)) continue;
    const [name, modifier] = key.split(':');
    const param = unsupported.includes(name) ? undefined : known[name];
    if (!param) {
      if (lenient) continue;
      throw new HttpError(400, 'not-supported', `Unknown search parameter "${name}" for ${type}.`);
    }
    const values = splitValues(raw);
    if (param.kind === 'id') ids = intersect(ids, values);
    else if (param.kind === 'patient') patients = intersect(patients, values.map((value) => value.replace(/^.*Patient\//, '')));
    else if (param.kind === 'updated') {
      const any = values.map((value) => dateTestOf(name, value));
      rowTests.push((table, row) => any.some((test) => test([table.updated(row), table.updated(row) + 1])));
    } else tests.push(valueTest(name, modifier, param, values));
  }
  return {
    async rows(table) {
      await table.indexed();
      const found = [];
      for (const row of candidates(table, ids, patients)) {
        if (!rowTests.every((test) => test(table, row))) continue;
        const values = (path) => table.values(row, path);
        if (tests.every((test) => test(values))) found.push(row);
      }
      return Uint32Array.from(found);
    },
  };
}

function* candidates(table, ids, patients) {
  if (ids) {
    const owned = patients && new Set(patients.flatMap((id) => table.rowsByPatient.get(id) ?? []));
    const rows = ids.map((id) => table.rowById.get(id)).filter((row) => row !== undefined && (!owned || owned.has(row)));
    yield* rows.sort((a, b) => a - b);
  } else if (patients) {
    const lists = patients.map((id) => table.rowsByPatient.get(id) ?? []);
    yield* lists.length === 1 ? lists[0] : lists.flat().sort((a, b) => a - b);
  } else {
    for (let row = 0; row < table.count; row++) yield row;
  }
}

/** Splits at commas that are not escaped; `\,` `\|` `\$` `\\` stand for themselves. */
function splitValues(raw) {
  return raw.split(/(?<!\\),/).map((value) => value.replace(/\\([,|$\\])/g, '$1'));
}

function intersect(before, values) {
  const unique = [...new Set(values)];
  return before === null ? unique : unique.filter((value) => before.includes(value));
}

function dateTestOf(name, value) {
  const test = dateTest(value);
  if (!test) throw new HttpError(400, 'invalid', `"${value}" is no date for the search parameter "${name}".`);
  return test;
}

function valueTest(name, modifier, { kind, paths }, values) {
  if (modifier === 'missing') {
    const missing = values[0] === 'true';
    return (valuesAt) => paths.every((path) => valuesAt(path).length === 0) === missing;
  }
  const negate = modifier === 'not';
  if (modifier !== undefined && !negate && !(kind === 'string' && ['contains', 'exact'].includes(modifier))) {
    throw new HttpError(400, 'not-supported', `Modifier ":${modifier}" of "${name}" is not supported.`);
  }
  const match = {
    token: () => anyToken(values),
    reference: () => anyReference(values),
    string: () => anyString(values, modifier),
    date: () => {
      const any = values.map((value) => dateTestOf(name, value));
      return (value) => {
        const range = valueRange(value);
        return range !== null && any.some((test) => test(range));
      };
    },
  }[kind]();
  return (valuesAt) => paths.some((path) => valuesAt(path).some(match)) !== negate;
}

function anyToken(values) {
  const wanted = values.map((value) => {
    const bar = value.indexOf('|');
    return bar === -1 ? { code: value } : { system: value.slice(0, bar), code: value.slice(bar + 1) };
  });
  const same = (system, code) => wanted.some((one) => (one.system === undefined || one.system === (system ?? '')) && (one.code === '' || one.code === String(code)));
  return (value) => {
    if (typeof value !== 'object') return same(undefined, value) || wanted.some((one) => one.system !== undefined && one.code === String(value));
    if (Array.isArray(value.coding)) return value.coding.some((coding) => same(coding.system, coding.code));
    return same(value.system, value.code ?? value.value);
  };
}

function anyReference(values) {
  return (value) => {
    const reference = value?.reference;
    return typeof reference === 'string' && values.some((wanted) => reference === wanted || reference.endsWith(`/${wanted}`));
  };
}

function anyString(values, modifier) {
  const fold = (text) => String(text).normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
  if (modifier === 'exact') return (value) => values.includes(value);
  const wanted = values.map(fold);
  return (value) => wanted.some((one) => (modifier === 'contains' ? fold(value).includes(one) : fold(value).startsWith(one)));
}
