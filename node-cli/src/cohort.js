import { readFile } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { UsageError } from './exit-codes.js';
import { describeSystemError } from './output.js';

/**
 * The cohort of the settings, as the core's `CohortConfig`. A Group is none of it: that is the level of the export.
 * @param {Record<string, any>} settings
 */
export async function cohortOptions(settings) {
  const { 'id-list': list, 'id-file': file, 'id-system': idSystem, 'group-nickname': nickname, group } = settings;
  if (idSystem !== undefined && list === undefined && file === undefined) {
    throw new UsageError('--id-system needs the identifiers: give --id-list or --id-file');
  }
  const ids = new Set([...(list?.split(',') ?? []), ...(file === undefined ? [] : await readIds(file))].map((id) => id.trim()));
  ids.delete('');
  if (ids.size === 0 && (list ?? file) !== undefined) {
    throw new UsageError(file === undefined ? '--id-list holds no ID' : `The ID file '${file}' holds no ID`);
  }
  const name = nickname ?? (group === undefined && file !== undefined ? basename(file, extname(file)) : undefined);
  return { ids: [...ids], ...(idSystem !== undefined && { idSystem }), ...(name !== undefined && { name }) };
}

/** The ids in a file: one a line, or the column `id` (else `mrn`) of a .csv. */
async function readIds(path) {
  let text;
  try {
    text = (await readFile(path, 'utf8')).replace(/^\uFEFF/, '');
  } catch (error) {
    throw new UsageError(`Could not read the ID file '${path}': ${describeSystemError(error)}`);
  }
  if (extname(path).toLowerCase() !== '.csv') return text.split(/\r\n|\r|\n/);
  const [header = [], ...rows] = csvRows(text);
  const names = header.map((name) => name.trim().toLowerCase());
  const column = names.includes('id') ? names.indexOf('id') : names.indexOf('mrn');
  if (column === -1) throw new UsageError(`ID file ${path} has no 'id' or 'mrn' header`);
  return rows.map((row) => row[column] ?? '');
}

/** The rows of a CSV text (RFC 4180). */
function csvRows(text) {
  const rows = [];
  let row = [];
  // A field, quoted or not, and what ends it.
  const field = /(?:"((?:[^"]|"")*)"|((?:[^",\r\n][^,\r\n]*)?))(,|\r\n|\r|\n|$)/gy;
  while (field.lastIndex < text.length) {
    const line = rows.length + 1;
    const found = field.exec(text);
    if (!found) throw new UsageError(`The ID file is no CSV: row ${line} has a quotation mark where none can be`);
    const [, quoted, plain, end] = found;
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ',') continue;
    rows.push(row);
    row = [];
  }
  if (row.length > 0) rows.push(row);
  return rows;
}
