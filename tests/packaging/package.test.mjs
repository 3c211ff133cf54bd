// The npm package as a user gets it: packed from pkg/ and installed into an app elsewhere.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { installed, program, root } from './install.mjs';

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

  await t.test('serves a strict TypeScript program', () => {
    writeFileSync(join(app, 'user.mts'), "import { version } from 'smart-fetch';\nimport { init } from 'smart-fetch/slim';\nawait init({ simd: new URL('https://x/y.wasm') });\nexport const text: string = await version();\n");
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    program(process.execPath, [tsc, '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,dom', 'user.mts'], { cwd: app });
  });
});
