// The package as npm users get it, in a page without a bundler and in pages that Vite and webpack built without any configuration.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { installed, program, root } from '../packaging/install.mjs';
import { hostFolder, startBrowser } from './support.mjs';

const script = (from) => `
  import { Client, openFolder } from '${from}';
  window.exported = async (fhirUrl) => (await new Client({ fhirUrl }).bulk(await openFolder('app'), { types: ['Patient'] }).result).types;`;

test('the package in a page', async (t) => {
  const { app } = installed(t, 'pkg');
  const sandbox = await startSandbox({ patients: 5 });
  t.after(() => sandbox.close());
  const context = await startBrowser(t);

  const exports = async (t, folder) => {
    const { url, asked } = await hostFolder(t, folder);
    const page = await context.newPage();
    await page.goto(url);
    await page.waitForFunction(() => 'exported' in window);
    const types = await page.evaluate((fhirUrl) => window.exported(fhirUrl), sandbox.url);
    assert.deepEqual(types, { Patient: { files: 1, resources: 5 } });
    await page.close();
    const files = asked.filter((path) => path.endsWith('.wasm'));
    assert.equal(files.length, 1, 'one wasm file is loaded, once');
    return files[0];
  };
  const own = join(app, 'node_modules/smart-fetch/wasm');
  const bytesOf = (folder) => readdirSync(folder).filter((name) => name.endsWith('.wasm')).map((name) => [name, readFileSync(join(folder, name))]);
  /** The wasm files in a folder, by what they are called in the package. */
  const emitted = (folder) => bytesOf(folder).map(([, bytes]) => bytesOf(own).find(([, one]) => one.equals(bytes))?.[0]).sort();
  const ALL = ['smart_fetch_base_bg.wasm', 'smart_fetch_full_base_bg.wasm', 'smart_fetch_full_simd_bg.wasm', 'smart_fetch_simd_bg.wasm'];
  const vite = () => {
    rmSync(join(app, 'dist'), { recursive: true, force: true });
    writeFileSync(join(app, 'index.html'), '<!doctype html><script type="module" src="./main.js"></script>');
    program(process.execPath, [join(root, 'node_modules/vite/bin/vite.js'), 'build'], { cwd: app });
    return join(app, 'dist/assets');
  };

  await t.test('without a bundler', async (t) => {
    writeFileSync(join(app, 'index.html'), `<!doctype html><script type="module">${script('./node_modules/smart-fetch/index.js')}</script>`);
    assert.match(await exports(t, app), /simd/);
  });

  await t.test('built by Vite, with just the wasm files of the package', async (t) => {
    writeFileSync(join(app, 'main.js'), script('smart-fetch'));
    assert.deepEqual(emitted(vite()), ALL);
    assert.match(await exports(t, join(app, 'dist')), /simd/);
  });

  await t.test('slim, built by Vite: just the wasm file that the caller loads', async (t) => {
    const url = "import simd from 'smart-fetch/wasm/smart_fetch_full_simd_bg.wasm?url';\n";
    const load = `import { init } from 'smart-fetch/slim';\nawait init({ simd: () => fetch(simd) });\n`;
    writeFileSync(join(app, 'main.js'), url + load + script('smart-fetch/slim'));
    const assets = vite();
    assert.deepEqual(emitted(assets), ['smart_fetch_full_simd_bg.wasm']);
    assert.equal(readdirSync(assets).filter((name) => name.endsWith('.js')).length, 1, 'no worker');
    await exports(t, join(app, 'dist'));
  });

  await t.test('built by webpack, with just the wasm files of the package', async (t) => {
    const out = join(app, 'packed');
    writeFileSync(join(app, 'main.js'), script('smart-fetch'));
    // As `webpack --mode production` does it.
    const { default: webpack } = await import('webpack');
    const compiler = webpack({ mode: 'production', context: app, entry: './main.js', output: { path: out } });
    const stats = await new Promise((resolve, reject) => {
      compiler.run((error, result) => compiler.close(() => (error ? reject(error) : resolve(result))));
    });
    const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
    // It says so of any file of more than 244 KiB.
    const odd = [...errors, ...warnings].map(({ message }) => message).filter((message) => !message.startsWith('asset size limit'));
    assert.deepEqual(odd, []);
    assert.deepEqual(emitted(out), ALL);
    writeFileSync(join(out, 'index.html'), '<!doctype html><script src="main.js"></script>');
    await exports(t, out);
  });
});
