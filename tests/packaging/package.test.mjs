// The npm package as a user gets it: packed from pkg/ and installed into an app elsewhere.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { deadLinks, installed, program, root } from './install.mjs';

test('the npm package', async (t) => {
  const manifest = JSON.parse(readFileSync(join(root, 'pkg/package.json'), 'utf8'));
  const { app, packed } = installed(t, 'pkg');

  await t.test('holds the hand-written files, the built ones and the licence, and nothing else', () => {
    const listed = program('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'pkg-template'], { cwd: root });
    const written = listed.split('\n').map((path) => path.replace('pkg-template/', ''));
    const built = ['simd', 'base', 'full_simd', 'full_base'].flatMap((name) =>
      ['.js', '.d.ts', '_bg.wasm', '_bg.wasm.d.ts'].map((end) => `wasm/smart_fetch_${name}${end}`),
    );
    const papers = ['LICENSE', 'README.md', 'CHANGELOG.md'].filter((name) => readdirSync(root).includes(name));
    assert.deepEqual(packed, [...written, ...built, ...papers].sort());
  });

  await t.test('holds everything that package.json exports', () => {
    const targets = (entry) => (typeof entry === 'string' ? [entry] : Object.values(entry).flatMap(targets));
    for (const target of targets(manifest.exports)) {
      const pattern = new RegExp(`^${target.replace('./', '').replaceAll('.', '\\.').replace('*', '.+')}$`);
      assert.ok(packed.some((path) => pattern.test(path)), `${target} is exported, but not packed`);
    }
  });

  for (const flavour of ['simd', 'base']) {
    await t.test(`starts in Node with the ${flavour} file`, () => {
      const source = "import { version } from 'smart-fetch'; console.log(await version());";
      const env = { ...process.env, SMART_FETCH_WASM: flavour };
      assert.equal(program(process.execPath, ['--input-type=module', '--eval', source], { cwd: app, env }), manifest.version);
    });
  }

  await t.test('names no folder of the machine that built it', () => {
    for (const path of packed) {
      const text = readFileSync(join(app, 'node_modules/smart-fetch', path), 'latin1');
      for (const place of [root, `${homedir()}/`]) assert.ok(!text.includes(place), `${path} holds ${place}`);
    }
  });

  await t.test('its README says how to install it, and points at nothing that is not there', () => {
    const folder = join(app, 'node_modules/smart-fetch');
    assert.deepEqual(deadLinks(folder, packed), []);
    const text = readFileSync(join(folder, 'README.md'), 'utf8');
    const [start] = text.split('\n## ');
    for (const place of [folder, join(root, 'node-cli')]) {
      const { name } = JSON.parse(readFileSync(join(place, 'package.json'), 'utf8'));
      assert.match(start, new RegExp(`^npm install (--global )?${name} `, 'm'));
    }
    assert.doesNotMatch(text, /<!--|npm run demo|npm test/);
  });

  /** The complaints of the TypeScript compiler, as strict as it is, on files of the app. */
  const compile = (files, lib, types) => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const more = types === undefined ? [] : ['--typeRoots', join(root, 'node_modules/@types'), '--types', types];
    const args = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', lib, ...more, ...files];
    return spawnSync(process.execPath, [tsc, ...args], { cwd: app, encoding: 'utf8' }).stdout;
  };

  await t.test('serves a strict TypeScript program, with the types of browsers and in Node without them', () => {
    writeFileSync(join(app, 'user.mts'), `import { generateKeys, loadKeys, openFolder, version, type SigningCryptoKey } from 'smart-fetch';
import { init } from 'smart-fetch/slim';
await init({ simd: new URL('https://x/y.wasm') });
export const text: string = await version();
interface Patient { id: string; birthDate?: string }
for await (const { birthDate } of (await openFolder('x')).resources<Patient>('Patient')) birthDate?.toUpperCase();
for await (const anything of (await openFolder('x')).resources('Patient')) anything.name.given;
export const keys: SigningCryptoKey[] = await loadKeys((await generateKeys(['ES384'])).privateJwks);
`);
    writeFileSync(join(app, 'page.mts'), `import { copyFolder, createKey, loadKeys, openFolder, type Folder } from 'smart-fetch';
export async function copy(picked: FileSystemDirectoryHandle, jwk: JsonWebKey, key: CryptoKey) {
  const folder: Folder = await openFolder(picked);
  await copyFolder(folder, picked);
  await loadKeys({ keys: [jwk] });
  await loadKeys({ key, alg: 'ES384' });
  const made = await createKey('x');
  return [await crypto.subtle.sign('ECDSA', made.key, new Uint8Array()), await crypto.subtle.importKey('jwk', made.publicJwk, 'x', true, [])];
}
`);
    assert.equal(compile(['user.mts', 'page.mts'], 'es2022,dom,dom.iterable'), '');
    assert.equal(compile(['user.mts'], 'es2022', 'node'), '');
  });

  await t.test('its examples are strict TypeScript', () => {
    const text = readFileSync(join(app, 'node_modules/smart-fetch/README.md'), 'utf8');
    const comments = ['index.d.ts', 'session.d.ts'].map((name) => readFileSync(join(root, 'pkg-template', name), 'utf8').replace(/^ \* ?/gm, ''));
    const examples = [text, ...comments].flatMap((one) => [...one.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code));
    assert.ok(examples.length >= 6, 'they are found');
    const files = examples.map((code, at) => {
      writeFileSync(join(app, `example${at}.mts`), `${code.includes('readFile') ? "import { readFile } from 'node:fs/promises';\n" : ''}${code}`);
      return `example${at}.mts`;
    });
    // What the examples leave to the reader.
    writeFileSync(join(app, 'reader.d.ts'), `declare const token: string, fhirUrl: string;
declare function show(what: unknown): void;
declare function count(what: unknown): void;
declare const FHIR: { oauth2: { ready(): Promise<import('smart-fetch').SmartSession> } };
declare function showDirectoryPicker(options: { mode: 'readwrite' }): Promise<FileSystemDirectoryHandle>;
`);
    assert.equal(compile([...files, 'reader.d.ts'], 'es2022,dom,dom.iterable', 'node'), '');
  });
});
