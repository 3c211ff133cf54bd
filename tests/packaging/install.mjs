// Packs packages and installs them into a fresh app elsewhere, without the network.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** Runs a program and returns what it prints; throws with its errors if it fails. */
export const program = (command, args, options) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options }).trim();

const dependenciesOf = (folder) => Object.keys(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).dependencies ?? {});

/** Folders of everything that these packages depend on, which `npm ci` has put into node_modules already. */
function closure(folders) {
  const found = new Set(folders.flatMap(dependenciesOf).filter((name) => name !== 'smart-fetch'));
  // A Set also visits what is added while it is walked.
  for (const name of found) for (const next of dependenciesOf(join(root, 'node_modules', name))) found.add(next);
  return [...found].map((name) => join(root, 'node_modules', name));
}

/**
 * Installs folders of the repository as npm users get them. The app goes when the test `t` ends. Returns its path and the
 * paths in the first folder's tarball.
 */
export function installed(t, ...names) {
  const work = mkdtempSync(join(tmpdir(), 'smart-fetch-packaging-'));
  t.after(() => rmSync(work, { recursive: true, force: true }));
  const folders = names.map((name) => join(root, name));
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', work, ...folders, ...closure(folders)];
  const packs = JSON.parse(program('npm', pack));
  const app = join(work, 'app');
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
  const tarballs = packs.map(({ filename }) => join(work, filename));
  program('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', ...tarballs], { cwd: app });
  return { app, packed: packs[0].files.map(({ path }) => path).sort() };
}

/** What a packed README points at that is neither packed nor an absolute address; of pictures, too. */
export function deadLinks(folder, packed) {
  const text = readFileSync(join(folder, 'README.md'), 'utf8');
  const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target);
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) => `#${title.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-')}`);
  return targets.filter((target) => !/^https:\/\//.test(target) && !packed.includes(target) && !headings.includes(target));
}
