import { access, constants, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { CommandError, UsageError } from './exit-codes.js';
import { describeSystemError } from './output.js';

/** `s3:`, `https:` and the like; a single letter is a drive. */
const SCHEME = /^[a-z][a-z0-9+.-]+:/i;

/**
 * @param {string} path as the user wrote it
 */
export function refuseUrl(path) {
  if (SCHEME.test(path)) throw new UsageError(`Expected a local folder, but '${path}' looks like a URL.`);
}

/**
 * Sees to it, without writing anything, that `path` is a folder that can be written, or can be made one.
 * @param {string} path as the user wrote it
 */
export async function checkOutputFolder(path) {
  refuseUrl(path);
  let place = resolve(path);
  for (;;) {
    const found = await existing(place, path);
    if (!found) {
      place = dirname(place);
      continue;
    }
    if (!found.isDirectory()) throw notAFolder(path, place);
    await writable(place, path);
    return;
  }
}

async function existing(place, path) {
  try {
    return await stat(place);
  } catch (error) {
    // A part of the path that is a file turns up further up.
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw new CommandError(`Could not open the output folder '${path}': ${describeSystemError(error)}.`);
  }
}

function notAFolder(path, place) {
  if (place === resolve(path)) return new UsageError(`Expected an output folder, but '${path}' is a file.`);
  return new UsageError(`The output folder '${path}' cannot be made, because '${place}' is a file.`);
}

async function writable(place, path) {
  try {
    await access(place, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new CommandError(`Could not write to the output folder '${path}': ${describeSystemError(error)}.`);
  }
}
