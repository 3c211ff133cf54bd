import { EXIT } from '../exit-codes.js';
import { openFolder } from '../folder.js';
import { checkInputFolder } from '../input-folder.js';
import { formatBytes, formatCount, formatTable, plural } from '../output.js';
import { oneLine } from '../progress/words.js';

/** Where nobody knows how many resources there are. */
const UNKNOWN = '-';

/**
 * Prints what a folder holds, and how far it is. Reads no data, so that it takes moments whatever the size; may run while a job
 * is at work.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, output }) {
  await checkInputFolder(operand);
  const status = await (await openFolder(operand)).status();
  const exitStatus = status.complete ? EXIT.complete : EXIT.partial;
  if (settings.json) output.line(JSON.stringify({ ...status, exitStatus }, null, 2));
  else if (!settings.quiet) print(status, operand, output);
  return exitStatus;
}

function print(status, folder, output) {
  const { kind, files, exports = [] } = status;
  const timestamp = exports.at(-1)?.timestamp ?? status.timestamp;
  if (kind === 'managed') printExports(exports, output);
  else printTypes(files.filter((file) => file.kind === 'output'), output);
  for (const place of ['error', 'deleted']) {
    const there = files.filter((file) => file.kind === place).length;
    if (there > 0) output.line(`${plural(there, 'file')} in '${folder.replace(/\/+$/, '')}/${place}'`);
  }
  output.line(`'${folder}' ${verdict(status)}.`);
  if (timestamp) output.line(`Its state was written last on ${timestamp.slice(0, 16).replace('T', ' at ')}.`);
}

function printTypes(files, output) {
  const counts = [...new Set(files.map(({ type }) => type))].sort().map((type) => {
    const some = files.filter((file) => file.type === type);
    return [oneLine(type), some.length, sum(some, 'resources'), sum(some, 'bytes')];
  });
  if (counts.length > 1) counts.push(['Total', files.length, sum(files, 'resources'), sum(files, 'bytes')]);
  const rows = counts.map(([type, number, resources, bytes]) => [
    type, formatCount(number), resources === undefined ? UNKNOWN : formatCount(resources), bytes === undefined ? UNKNOWN : formatBytes(bytes),
  ]);
  if (rows.length > 0) output.line(formatTable(['Type', 'Files', 'Resources', 'Size'], rows));
}

function printExports(exports, output) {
  const rows = exports.map(({ folder, complete, since, done, newPatients }) => [
    oneLine(folder), complete ? 'complete' : 'not complete', oneLine(since ?? 'all'), formatCount(Object.keys(done).length),
    formatCount(newPatients), asOf(done),
  ]);
  if (rows.length > 0) output.line(formatTable(['Export', 'State', 'Since', 'Types', 'New patients', 'As of'], rows));
}

/** The time to which each of the types is done: the earliest of theirs. */
function asOf(done) {
  const [first] = Object.values(done).sort((a, b) => Date.parse(a) - Date.parse(b));
  return first === undefined ? UNKNOWN : oneLine(first).replace(/\.\d+/, '');
}

function verdict({ kind, complete, missing, runs, exports = [] }) {
  if (missing.length > 0) {
    const more = missing.length > 1 ? ` and ${plural(missing.length - 1, 'more file')}` : '';
    return `is not complete: ${oneLine(missing[0].name)}${more} had been fetched, and is missing or not as it was. Run the same command again, which fetches what is lost`;
  }
  if (kind === 'managed') {
    if (exports.length === 0) return 'is a managed folder without any export yet';
    const last = exports.at(-1).folder;
    const which = complete ? `the last one, '${last}', is complete` : `the last one, '${last}', is not complete: run it again to carry on`;
    return `has ${plural(exports.length, 'export')}; ${which}`;
  }
  if (complete) return 'is complete';
  const run = runs.at(-1);
  if (kind === undefined && run === undefined) return 'holds no export';
  if (run?.state === 'waiting') return 'is not complete: the server was still preparing the files. Run the same command again to carry on';
  if (run?.missing > 0) return `is not complete: ${formatCount(run.missing)} of ${plural(run.files, 'file')} ${run.missing === 1 ? 'is' : 'are'} missing. Run the same command again to get just what is missing`;
  return 'is not complete. Run the same command again to carry on';
}

/** A sum; undefined where one of the addends is. */
function sum(files, key) {
  return files.reduce((total, file) => (total === undefined || file[key] === undefined ? undefined : total + file[key]), 0);
}
