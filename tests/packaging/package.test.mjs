// The npm package as a user gets it: packed from pkg/, installed into an app elsewhere, without the network.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'pkg/package.json'), 'utf8'));

let work;
let app;
/** Paths in the tarball. */
let packed;

const program = (command, args, options) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });

/** Packs a folder and resolves to the tarball's path and contents. */
function pack(folder) {
  const [{ filename, files }] = JSON.parse(program('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work, folder]));
  return { tarball: join(work, filename), files: files.map(({ path }) => path).sort() };
}

/** Runs a module of the app and returns what it prints. */
const inApp = (source, env) =>
  program(process.execPath, ['--input-type=module', '--eval', source], { cwd: app, env: { ...process.env, ...env } }).trim();

before(() => {
  work = mkdtempSync(join(tmpdir(), 'smart-fetch-packaging-'));
  app = mkdtempSync(join(work, 'app-'));
  const ours = pack(join(root, 'pkg'));
  packed = ours.files;
  const dependencies = Object.keys(manifest.dependencies).map((name) => pack(join(root, 'node_modules', name)).tarball);
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
  program('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', ours.tarball, ...dependencies], { cwd: app });
});

after(() => rmSync(work, { recursive: true, force: true }));

test('the tarball holds the hand-written files, the built ones and the licence, and nothing else', () => {
  const listed = program('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'pkg-template'], { cwd: root });
  const written = listed.trim().split('\n').map((path) => path.replace('pkg-template/', ''));
  const built = ['simd', 'base'].flatMap((name) =>
    ['.js', '.d.ts', '_bg.wasm', '_bg.wasm.d.ts'].map((end) => `wasm/smart_fetch_${name}${end}`),
  );
  const papers = ['LICENSE', 'README.md', 'CHANGELOG.md'].filter((name) => readdirSync(root).includes(name));
  assert.deepEqual(packed, [...written, ...built, ...papers].sort());
});

test('everything that package.json exports is in the tarball', () => {
  const targets = (entry) => (typeof entry === 'string' ? [entry] : Object.values(entry).flatMap(targets));
  for (const target of targets(manifest.exports)) {
    const pattern = new RegExp(`^${target.replace('./', '').replaceAll('.', '\\.').replace('*', '.+')}$`);
    assert.ok(packed.some((path) => pattern.test(path)), `${target} is exported, but not packed`);
  }
});

for (const flavour of ['simd', 'base']) {
  test(`an installed package starts in Node with the ${flavour} file`, () => {
    const source = "import { version } from 'smart-fetch'; console.log(await version());";
    assert.equal(inApp(source, { SMART_FETCH_WASM: flavour }), manifest.version);
  });
}

test('what is published names no folder of the machine that built it', () => {
  for (const path of packed) {
    const text = readFileSync(join(app, 'node_modules/smart-fetch', path), 'latin1');
    for (const place of [root, `${homedir()}/`]) assert.ok(!text.includes(place), `${path} holds ${place}`);
  }
});

test('the types serve a strict TypeScript program', () => {
  writeFileSync(join(app, 'user.mts'), "import { version } from 'smart-fetch';\nexport const text: string = await version();\n");
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,dom'];
  program(process.execPath, [tsc, ...options, 'user.mts'], { cwd: app });
});
