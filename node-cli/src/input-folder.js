import { stat } from 'node:fs/promises';
import { UsageError } from './exit-codes.js';
import { refuseUrl } from './output-folder.js';
import { formatCount } from './output.js';
import { oneLine } from './progress/words.js';

/** How many of a kind are named. */
const NAMED = 20;

/**
 * Lines of a list: the first of `texts`, and how many there are beyond.
 * @param {string[]} texts
 * @param {number} [unnamed] how many there are that are not among the texts
 */
export function listed(texts, unnamed = 0) {
  const named = texts.slice(0, NAMED).map((text) => `\n - ${oneLine(text)}`);
  const more = texts.length - named.length + unnamed;
  return [...named, ...(more > 0 ? [`\n - and ${formatCount(more)} more`] : [])].join('');
}

/**
 * Sees to it that `path`, a folder to read, is there. The core looks, too; here it is found before keys and the like are read.
 * @param {string | undefined} path as the user wrote it
 * @param {string} [operand] what the command calls it
 */
export async function checkInputFolder(path, operand = 'DIR') {
  if (path === undefined) throw new UsageError(`${operand} is missing`);
  refuseUrl(path);
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new UsageError(`Local folder '${path}' does not exist. Give a folder that an export, a crawl or a merge has made.`);
  if (!found.isDirectory()) throw new UsageError(`Expected a folder, but '${path}' is a file.`);
}
