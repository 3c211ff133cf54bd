// What all modes of kill.mjs need: our program as a process, repeatable chance, and a look at a folder.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, readFileSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { root } from '../../scripts/lib/run.mjs';
import { factsOf } from '../parity/snapshot.mjs';

/** The program that is killed; another build of it may be put here. */
export const ours = { cli: join(root, 'node-cli/bin/smart-fetch.js') };
/** Patients of the sandbox whose records cannot be read, and what `verify` says of a folder without them. */
export const ILL = { ids: ['pt-000002', 'pt-000005', 'pt-000007'], expected: /lacks what \d+ patients have|is not complete/ };
const DATA = /\.ndjson(\.gz)?$/;
/** Files that a run has only while it runs. */
const TEMPORARY = /\.(part|tmp|bundle|link|hydration)\b|\.lock(\.takeover)?/;

/** Runs the CLI; kills it after `ms` unless that is null. `code` is null if it was killed, `phase` the last that it told. */
export function runOurs(args, ms) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [ours.cli, ...args, '--progress', 'json'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    let phase = 'start';
    child.stderr.on('data', (chunk) => { errors = (errors + chunk).slice(-500); });
    createInterface({ input: child.stdout }).on('line', (line) => { phase = /"type":"phase","phase":"(\w+)"/.exec(line)?.[1] ?? phase; });
    const timer = ms === null ? null : setTimeout(() => child.kill('SIGKILL'), ms);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, errors, phase });
    });
  });
}

/**
 * What `smart-fetch verify` finds wrong with a folder.
 * @param {string} folder @param {RegExp} [expected] what is no problem, since a part of the export is made to fail
 */
export async function verifyProblems(folder, expected) {
  const child = spawn(process.execPath, [ours.cli, 'verify', folder, '--json', '--progress', 'none'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [printed, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  if (code !== 0 && code !== 3) return [`verify ended with ${code}: ${errors.slice(-500)}`];
  return JSON.parse(printed).problems.map(({ path, problem }) => `verify: ${path} ${problem}`).filter((line) => !expected?.test(line));
}

/** A function that gives the same random numbers in 0..1 for the same seed. */
export function randomBy(seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13; state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5; state >>>= 0;
    return state / 2 ** 32;
  };
}

/** The rows of a data file; throws where it is torn. */
export function readRows(path) {
  const bytes = readFileSync(path);
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  if (text.length > 0 && !text.endsWith('\n')) throw new Error('its last line has no end');
  return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

/** Paths of the data files in a folder and its subfolders, links and the log left out. */
export function dataFiles(folder, relative = '') {
  if (!existsSync(folder)) return [];
  return readdirSync(join(folder, relative), { withFileTypes: true }).flatMap((entry) => {
    const path = relative ? `${relative}/${entry.name}` : entry.name;
    if (entry.isDirectory()) return dataFiles(folder, path);
    return entry.isFile() && DATA.test(entry.name) && entry.name !== 'log.ndjson' ? [path] : [];
  });
}

/** Problems of files that have their final name, and of `.metadata`. */
export function tornFiles(folder) {
  const problems = [];
  for (const path of dataFiles(folder)) {
    try {
      readRows(join(folder, path));
    } catch (error) {
      problems.push(`${path} is torn: ${error.message}`);
    }
  }
  for (const path of ['', ...subfolders(folder)].map((name) => join(folder, name, '.metadata')).filter(existsSync)) {
    try {
      JSON.parse(readFileSync(path, 'utf8'));
    } catch (error) {
      problems.push(`${path} cannot be read: ${error.message}`);
    }
  }
  return problems;
}

export function subfolders(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory() && /^\d+\./.test(entry.name)).map(({ name }) => name).sort();
}

/** Problems of the links at the top of a managed folder: each must lead to a file of its type that is there, and no two to one. */
export function wrongLinks(folder) {
  const problems = [];
  const targets = new Map();
  if (!existsSync(folder)) return [];
  // One in the making has a hidden name until it takes its place.
  for (const name of readdirSync(folder).filter((one) => !one.startsWith('.') && lstatSync(join(folder, one)).isSymbolicLink())) {
    try {
      const target = realpathSync(join(folder, name));
      readRows(target);
      if (targets.has(target)) problems.push(`${name} and ${targets.get(target)} lead to one file`);
      targets.set(target, name);
      if (target.split('/').at(-1).split('.')[0] !== name.split('.')[0]) problems.push(`${name} leads to ${target}`);
    } catch (error) {
      problems.push(`the link ${name} leads to no complete file: ${error.message}`);
    }
  }
  return problems;
}

/** What is left over of temporary files. */
export function leftOver(folder) {
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true }) : [];
  return names.filter((name) => TEMPORARY.test(name)).map((name) => `${name} is left over`);
}

/** Which kinds of temporary files are there. */
export function temporaryKinds(folder) {
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true }) : [];
  return [...new Set(names.map((name) => TEMPORARY.exec(name)?.[0]).filter(Boolean))];
}

/**
 * Types that `.metadata` calls done although they are not what an undisturbed run leaves.
 * @param {string} folder output folder @param {Map<string, number>} wanted rows by type
 */
export function wronglyDone(folder, wanted) {
  if (!existsSync(join(folder, '.metadata'))) return [];
  const { done = {} } = JSON.parse(readFileSync(join(folder, '.metadata'), 'utf8'));
  const have = rowsByType(folder);
  return Object.keys(done).filter((type) => (have.get(type) ?? 0) !== (wanted.get(type) ?? 0))
    .map((type) => `${type} is called done with ${have.get(type) ?? 0} of ${wanted.get(type) ?? 0} rows`);
}

/**
 * What a folder says, to be compared. The log has more events the oftener a run begins, and `.metadata` may have its keys in
 * another order when its first run came to nothing; what they say is parity's business.
 */
export function comparable(folder, clock) {
  const sorted = (fact) => fact.replace(/(?<=\.metadata: keys ).*/, (keys) => keys.split(' ').sort().join(' '));
  return factsOf(folder, clock).filter((fact) => !fact.includes('log.ndjson')).map(sorted);
}

/**
 * Rows by type of the files that an export or crawl writes, without what hydration adds, and without what new patients had
 * before, which comes when the types are done.
 */
export function rowsByType(folder) {
  const state = join(folder, '.metadata');
  const jobs = existsSync(state) ? (JSON.parse(readFileSync(state, 'utf8')).ledger?.jobs ?? []) : [];
  const without = new Set(jobs.filter(({ joins }) => joins).flatMap(({ files }) => files.map(({ name }) => name)));
  const counts = new Map();
  for (const path of dataFiles(folder).filter((one) => !without.has(one) && /^[A-Z][A-Za-z]+(\.\d+)?\.ndjson/.test(one))) {
    const type = path.split('.')[0];
    counts.set(type, (counts.get(type) ?? 0) + readRows(join(folder, path)).length);
  }
  return counts;
}

/** What is in one of two lists of facts only, as problems. */
export function differing(wanted, got) {
  const counts = new Map();
  for (const fact of wanted) counts.set(fact, (counts.get(fact) ?? 0) + 1);
  for (const fact of got) counts.set(fact, (counts.get(fact) ?? 0) - 1);
  return [...counts].filter(([, count]) => count !== 0).map(([fact, count]) => `${count > 0 ? 'lost' : 'doubled or wrong'}: ${fact.slice(0, 300)}`);
}
