// What an export consists of: which rows of which tables, cut into files.
import { SHARED_TYPES } from '../data/compartment.js';

const DEFAULT_ROWS = 10_000;
const SYSTEM_ONLY = new Set(['Binary', 'Group']);

/**
 * @typedef {object} Segment part of a file: rows of a table (`rows` null: all from `from` to `to`), or made lines
 * @typedef {object} PlannedFile
 * @property {number} n number in the job, from 1
 * @property {'output'|'deleted'|'error'} kind
 * @property {string|null} type null where organized by patient
 * @property {string} name file name without extension
 * @property {number} count resources
 * @property {Segment[]} segments
 * @property {import('../data/table.js').DataFile} [whole] set where the file is a file of the data folder as it is
 * @property {boolean} [continues] its last block goes on in the next file
 */

/**
 * Plans the files of a job.
 * @returns {Promise<PlannedFile[]>}
 */
export async function planFiles({ store, level, members, params, faults, scopes }) {
  if (faults.empty) return [];
  const selections = await selectRows({ store, level, members, params, scopes, faults });
  const deleted = deletedSince(store, params, scopes);
  if (faults.deleted > 0 && params.since !== null) deleted.push(...takeDeleted(selections, faults.deleted));
  const files = params.organized
    ? await organizedFiles(selections, faults.page || DEFAULT_ROWS)
    : selections.flatMap((selection) => cutSelection(selection, faults.page));
  if (deleted.length > 0) files.push(deletedFile(deleted, faults));
  files.push(...errorFiles(params.issues, faults));
  files.forEach((file, index) => { file.n = index + 1; });
  return files;
}

async function selectRows({ store, level, members, params, scopes, faults }) {
  const wanted = params.types ?? store.types().filter((type) => level === 'system' || !SYSTEM_ONLY.has(type));
  if (params.provenance && store.types().includes('Provenance') && !wanted.includes('Provenance')) wanted.push('Provenance');
  const selections = [];
  for (const type of wanted) {
    if (!scopes(type)) continue;
    const shared = SHARED_TYPES.has(type);
    if (shared && members && params.types === null) continue; // a group's own record, unless they are asked for
    const table = await store.table(type);
    if (!table) continue;
    const { until, since } = params;
    const times = { until, since: faults.alwaysWhole.includes(type) ? null : since };
    const rows = await rowsOf(table, { members: shared ? null : members, times, filters: params.typeFilters.get(type) });
    if (rows === null || rows.length > 0) selections.push({ type, table, rows });
  }
  return selections;
}

/** Row numbers, or null for all. */
async function rowsOf(table, { members, times: { since, until }, filters }) {
  if (!members && !filters && since === null && until === null) return null;
  await table.indexed();
  let rows;
  if (filters) {
    const lists = await Promise.all(filters.map((filter) => filter.rows(table)));
    rows = lists.length === 1 ? [...lists[0]] : [...new Set(lists.flatMap((list) => [...list]))].sort((a, b) => a - b);
  } else if (members) {
    rows = [...members].flatMap((id) => table.rowsByPatient.get(id) ?? []).sort((a, b) => a - b);
  } else {
    rows = Array.from({ length: table.count }, (_, row) => row);
  }
  if (filters && members) {
    const owned = new Set([...members].flatMap((id) => table.rowsByPatient.get(id) ?? []));
    rows = rows.filter((row) => owned.has(row));
  }
  if (since !== null) rows = rows.filter((row) => table.updated(row) >= since);
  if (until !== null) rows = rows.filter((row) => table.updated(row) < until);
  return Uint32Array.from(rows);
}

function cutSelection({ type, table, rows }, page) {
  if (rows === null && page === 0) {
    return table.files.filter((file) => file.rows > 0).map((file) => ({
      kind: 'output', type, name: file.name, count: file.rows, whole: file,
      segments: [{ table, rows: null, from: file.firstRow, to: file.firstRow + file.rows }],
    }));
  }
  const total = rows === null ? table.count : rows.length;
  const size = page || DEFAULT_ROWS;
  const files = [];
  for (let from = 0; from < total; from += size) {
    const to = Math.min(from + size, total);
    files.push({
      kind: 'output', type, name: `${type}.${String(files.length + 1).padStart(3, '0')}`, count: to - from,
      segments: [rows === null ? { table, rows: null, from, to } : { table, rows: rows.subarray(from, to) }],
    });
  }
  return files;
}

/** Blocks a patient, each behind a Parameters header (IG: organizeOutputBy). A block may go on in the next file. */
async function organizedFiles(selections, size) {
  const blocks = new Map();
  for (const { table, rows } of selections) {
    await table.indexed();
    const wanted = rows && new Set(rows);
    for (const [patient, owned] of table.rowsByPatient) {
      const mine = wanted ? owned.filter((row) => wanted.has(row)) : owned;
      if (mine.length === 0) continue;
      if (!blocks.has(patient)) blocks.set(patient, []);
      blocks.get(patient).push({ table, rows: Uint32Array.from(mine) });
    }
  }
  const files = [];
  let file = null;
  const open = () => {
    file = { kind: 'output', type: null, name: `Patient-organized.${String(files.length + 1).padStart(3, '0')}`, count: 0, segments: [] };
    files.push(file);
  };
  for (const [patient, segments] of blocks) {
    const header = { make: () => [JSON.stringify({ resourceType: 'Parameters', parameter: [{ name: 'header', valueReference: { reference: `Patient/${patient}` } }] })] };
    if (!file || file.count >= size) open();
    file.segments.push(header);
    for (const { table, rows } of segments) {
      for (let from = 0; from < rows.length;) {
        if (file.count >= size) {
          file.continues = true;
          open();
          file.segments.push(header);
        }
        const to = Math.min(rows.length, from + size - file.count);
        file.segments.push({ table, rows: rows.subarray(from, to) });
        file.count += to - from;
        from = to;
      }
    }
  }
  return files;
}

/** What the data says was deleted since `_since`, of the types asked for. */
function deletedSince({ deletions: { references, time } }, { since, types }, scopes) {
  if (since === null || time < since) return [];
  return references.filter((reference) => {
    const [type] = reference.split('/');
    return (types === null ? type !== 'Binary' : types.includes(type)) && scopes(type);
  });
}

/** Takes every k-th row out of the selections: those are reported as deleted. */
function takeDeleted(selections, percent) {
  const deleted = [];
  for (const selection of selections) {
    const rows = selection.rows ?? Uint32Array.from({ length: selection.table.count }, (_, row) => row);
    const gone = (row, index) => Math.floor(((index + 1) * percent) / 100) > Math.floor((index * percent) / 100);
    deleted.push(...[...rows].filter(gone).map((row) => `${selection.type}/${selection.table.ids[row]}`));
    selection.rows = rows.filter((row, index) => !gone(row, index));
  }
  return deleted;
}

/** Transaction Bundles of DELETE entries, two a line. */
function deletedFile(urls, { deletedPost }) {
  const lines = function* lines() {
    for (let at = 0; at < urls.length; at += 2) {
      const entry = urls.slice(at, at + 2).map((url) => ({ request: { method: 'DELETE', url } }));
      if (deletedPost && at === 0) entry.push({ resource: { resourceType: 'Basic', code: { text: 'not a deletion' } }, request: { method: 'POST', url: 'Basic' } });
      yield JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry });
    }
  };
  return { kind: 'deleted', type: 'Bundle', name: 'deleted.001', count: Math.ceil(urls.length / 2), segments: [{ make: lines }] };
}

function errorFiles(issues, { errors, errorSeverity }) {
  const severities = errorSeverity.split('+');
  const file = (n, lines) => ({ kind: 'error', type: 'OperationOutcome', name: `OperationOutcome.${String(n).padStart(3, '0')}`, count: lines.length, segments: [{ make: () => lines }] });
  const outcome = (severity, code, text) => JSON.stringify({ resourceType: 'OperationOutcome', issue: [{ severity, code, details: { text }, diagnostics: text }] });
  const files = [];
  if (issues.length > 0) files.push(file(1, issues.map((text) => outcome('information', 'not-supported', `Ignored: ${text}`))));
  for (let n = 0; n < errors; n++) {
    files.push(file(files.length + 1, [outcome(severities[n % severities.length], 'exception', `Sandbox problem ${n + 1}: some resources could not be exported.`)]));
  }
  return files;
}
