/**
 * The lock of a folder in Node: a file `.lock` that says which process holds it. Node has no file locks, so a process that
 * was killed leaves the file behind; process id and start time tell whether it still runs.
 */
import { randomUUID } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { readFileSync, unlinkSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';

import { StorageError } from '../errors.js';

const NAME = '.lock';

/** Held while a lock that was left behind is replaced: a few milliseconds. */
const TAKEOVER = '.lock.takeover';

/** What a process writes on its way to the lock; the number is that of the process. */
const FRESH = /^\.lock\.(?:(\d+)\.)?[0-9a-f-]{36}$/;

/** When a takeover that has not ended must have been killed, in milliseconds. */
const TAKEOVER_LIMIT = 10_000;

/** When a file that a process writes on its way to the lock must have been left behind, in milliseconds. */
const STALE = 3 * TAKEOVER_LIMIT;

/**
 * @typedef {object} Holder
 * @property {string} id of this lock, to tell it from any other
 * @property {number} pid
 * @property {string} started when the process started, in whatever form the system gives it; empty if it gives none
 * @property {string} host
 */

/**
 * Takes the lock of `folder`, or throws `locked`.
 * @param {string} folder
 * @returns {Promise<import('../host.d.ts').Held>}
 */
export async function takeLock(folder) {
  const path = join(folder, NAME);
  const own = { id: randomUUID(), pid: process.pid, started: started(process.pid) ?? '', host: hostname() };
  // Written beside and linked, so that a lock is never seen half written.
  const fresh = join(folder, `.lock.${own.pid}.${own.id}`);
  await fs.writeFile(fresh, JSON.stringify(own), { mode: 0o600, flag: 'wx' });
  try {
    if (!(await place(fresh, path))) await replace(folder, fresh, path);
  } finally {
    await fs.rm(fresh, { force: true });
  }
  await tidy(folder);
  return { release: () => release(path, own.id) };
}

/**
 * Removes what processes left that were killed while they took the lock, or while they made a link, which only the holder
 * of the lock does.
 * @param {string} folder
 */
async function tidy(folder) {
  for (const name of await fs.readdir(folder)) {
    const path = join(folder, name);
    if (name.startsWith('.link.')) await fs.rm(path, { force: true });
    else if (name === TAKEOVER || FRESH.test(name)) await removeStale(path);
  }
}

/**
 * Removes a file of ours whose writer is gone, or old where that cannot be told: these files live for seconds. Should its
 * process come back to life, it finds that it has no lock.
 * @param {string} path
 */
async function removeStale(path) {
  const since = await fs.stat(path).catch(() => undefined);
  const runs = await writerRuns(path);
  if (!since || runs || (runs === undefined && Date.now() - since.mtimeMs < STALE)) return;
  // Somebody else may have put another one in its place by now.
  if ((await fs.stat(path).catch(() => undefined))?.ino === since.ino) await fs.rm(path, { force: true });
}

/**
 * Whether the process that wrote a file of ours still runs; undefined where that cannot be told.
 * @param {string} path
 */
async function writerRuns(path) {
  try {
    const holder = JSON.parse(await fs.readFile(path, 'utf8'));
    return holder.host === hostname() ? isRunning(holder) : undefined;
  } catch {
    // Killed before it had written anything, it is known by its name.
    const pid = FRESH.exec(basename(path))?.[1];
    return pid === undefined ? undefined : isRunning({ pid: Number(pid), started: '' });
  }
}

/**
 * Gives `fresh` the name `path` unless there is one.
 * @param {string} fresh
 * @param {string} path
 */
async function place(fresh, path) {
  try {
    await fs.link(fresh, path);
    return true;
  } catch (error) {
    const { code } = /** @type {any} */ (error);
    if (code === 'EEXIST') return false;
    // File systems without hard links (FAT, some network shares).
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) throw error;
  }
  try {
    await fs.writeFile(path, await fs.readFile(fresh), { mode: 0o600, flag: 'wx' });
    return true;
  } catch (error) {
    if (/** @type {any} */ (error).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Replaces a lock whose holder is gone. Only who holds the takeover file may do that, and looks once more before: so nobody
 * ever removes a lock that is held.
 * @param {string} folder
 * @param {string} fresh
 * @param {string} path
 */
async function replace(folder, fresh, path) {
  await isLeftBehind(path);
  const takeover = join(folder, TAKEOVER);
  const since = await fs.stat(takeover).catch(() => undefined);
  if (since) {
    const left = since.mtimeMs + TAKEOVER_LIMIT - Date.now();
    // Who was killed while taking over is waited for: two that removed its file at once would both believe to be alone.
    if (left > 0 && (await writerRuns(takeover)) === false) await new Promise((resolve) => { setTimeout(resolve, left + 50); });
    const age = Date.now() - since.mtimeMs;
    if (age > TAKEOVER_LIMIT && (await fs.stat(takeover).catch(() => since)).mtimeMs === since.mtimeMs) await fs.rm(takeover, { force: true });
  }
  if (!(await place(fresh, takeover))) {
    throw new StorageError('locked', 'another program has just taken this folder');
  }
  try {
    if (await isLeftBehind(path)) await fs.rename(fresh, path);
    else if (!(await place(fresh, path))) throw new StorageError('locked', 'another program has just taken this folder');
  } finally {
    await fs.rm(takeover, { force: true });
  }
}

/**
 * Whether a lock is there that nobody holds; throws if somebody holds it.
 * @param {string} path
 */
async function isLeftBehind(path) {
  /** @type {Holder} */
  let holder;
  try {
    holder = JSON.parse(await fs.readFile(path, 'utf8'));
  } catch (error) {
    const { code } = /** @type {any} */ (error);
    if (code === 'ENOENT') return false;
    if (code !== undefined) throw error;
    // Half written, on a file system without hard links: it is being written, or its writer was killed.
    const age = Date.now() - (await fs.stat(path)).mtimeMs;
    if (age > TAKEOVER_LIMIT) return true;
    throw new StorageError('locked', 'another program is just taking this folder');
  }
  if (holder.host !== hostname()) {
    throw new StorageError(
      'locked',
      `a program on the computer ${holder.host} (process ${holder.pid}) is at work in this folder. ` +
        `If it is not running any more, delete ${path}`,
    );
  }
  if (isRunning(holder)) {
    throw new StorageError('locked', `another program (process ${holder.pid}) is at work in this folder`);
  }
  return true;
}

/** @param {Pick<Holder, 'pid' | 'started'>} holder */
function isRunning({ pid, started: since }) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user.
    if (/** @type {any} */ (error).code !== 'EPERM') return false;
  }
  const now = started(pid);
  // The same number may be another process by now.
  return now === undefined || since === '' || now === since;
}

/**
 * When a process started; undefined where the system does not tell.
 * @param {number} pid
 */
function started(pid) {
  try {
    if (process.platform === 'linux') {
      // Field 22 of stat, counted after the name, which may hold anything; in ticks since the boot with this id.
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
      return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()} ${ticks}`;
    }
    if (process.platform === 'win32') return undefined;
    const ps = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return ps.trim() || undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} path
 * @param {string} id
 */
function release(path, id) {
  try {
    // Whoever deleted it by hand and started another job has it now.
    if (JSON.parse(readFileSync(path, 'utf8')).id === id) unlinkSync(path);
  } catch {
    // Left behind, it is recognised as such.
  }
}
