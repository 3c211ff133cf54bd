// The command line as its users have it: a process with arguments, two outputs and an exit status.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

export const BIN = fileURLToPath(new URL('../../node-cli/bin/smart-fetch.js', import.meta.url));

/** Longer than any command here may take: a hung process must fail its own test, by name. */
const DEADLINE_MILLIS = 120_000;

/**
 * Starts the command line.
 * @param {string[]} args
 * @param {{env?: object, cwd?: string, stdio?: any, through?: string[]}} [options] `through`: a command that starts it
 */
export function start(args, { env, cwd, stdio = ['ignore', 'pipe', 'pipe'], through = [] } = {}) {
  const [command, ...rest] = [...through, process.execPath, BIN, ...args];
  const child = spawn(command, rest, {
    cwd,
    stdio,
    env: { ...process.env, NO_COLOR: '1', ...env },
  });
  const got = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name]?.setEncoding('utf8').on('data', (text) => {
      got[name] += text;
    });
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MILLIS);
  const ended = once(child, 'close').then(([code, signal]) => {
    clearTimeout(timer);
    return { code, signal, ...got };
  });
  return { child, ended, got };
}

/** Runs the command line to its end. */
export function run(args, options) {
  return start(args, options).ended;
}

/** Waits until `found(what was printed so far)` is true. */
export async function printed(process, found) {
  for (let waited = 0; waited < DEADLINE_MILLIS; waited += 20) {
    const value = found(process.got);
    if (value) return value;
    if (process.child.exitCode !== null) break;
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
  throw new Error(`It was never printed.\nstdout: ${process.got.stdout}\nstderr: ${process.got.stderr}`);
}

/** A folder of its own for a test, gone after it. */
export async function scratch(t) {
  const path = await mkdtemp(join(tmpdir(), 'smart-fetch-cli-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** All files below a folder, by path relative to it. */
export async function filesBelow(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** What a folder says of itself. */
export const metadataOf = (folder) => JSON.parse(readFileSync(join(folder, '.metadata'), 'utf8'));

/** The rows of a folder's data files by type, sorted; each as it is stored. */
export function rowsOf(folder) {
  const rows = {};
  for (const name of readdirSync(folder).filter((one) => /^[A-Z].*\.ndjson(\.gz)?$/.test(one))) {
    const bytes = readFileSync(join(folder, name));
    const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    (rows[name.split('.')[0]] ??= []).push(...text.split('\n').filter(Boolean));
  }
  for (const list of Object.values(rows)) list.sort();
  return rows;
}
