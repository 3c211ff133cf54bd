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
  return { ...(ids.size > 0 && { ids: [...ids] }), ...(idSystem !== undefined && { idSystem }), ...(name !== undefined && { name }) };
}

/** The ids in a file: one a line, or the column `id` (else `mrn`) of a .csv. */
async function readIds(path) {
  let text;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`Could not read the ID file '${path}': ${describeSystemError(error)}`);
  }
  const { parseIds } = await import('smart-fetch');
  return parseIds(path, text);
}
