// The package as npm users get it, in a page without a bundler and in one that Vite built without any configuration.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { installed, root } from '../packaging/install.mjs';
import { startBrowser } from './support.mjs';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/** Serves a folder as any static host does; `asked` holds what was asked for. */
async function host(t, folder) {
  const asked = [];
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://x').pathname);
    asked.push(path);
    try {
      const body = readFileSync(join(folder, path === '/' ? 'index.html' : path));
      response.writeHead(200, { 'content-type': TYPES[extname(path) || '.html'] }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/`, asked };
}

const script = (from) => `
  import { Client, openFolder } from '${from}';
  window.exported = async (fhirUrl) => (await new Client({ fhirUrl }).bulk(await openFolder('app'), { types: ['Patient'] }).result).types;`;

test('the package in a page', async (t) => {
  const { app } = installed(t, 'pkg');
  const sandbox = await startSandbox({ patients: 5 });
  t.after(() => sandbox.close());
  const context = await startBrowser(t);

  const exports = async (t, folder) => {
    const { url, asked } = await host(t, folder);
    const page = await context.newPage();
    await page.goto(url);
    await page.waitForFunction(() => 'exported' in window);
    const types = await page.evaluate((fhirUrl) => window.exported(fhirUrl), sandbox.url);
    assert.deepEqual(types, { Patient: { files: 1, resources: 5 } });
    await page.close();
    const files = asked.filter((path) => path.endsWith('.wasm'));
    assert.equal(files.length, 1, 'one wasm file is loaded, once');
    assert.match(files[0], /simd/);
  };

  await t.test('without a bundler', async (t) => {
    writeFileSync(join(app, 'index.html'), `<!doctype html><script type="module">${script('./node_modules/smart-fetch/index.js')}</script>`);
    await exports(t, app);
  });

  await t.test('built by Vite, with just the two wasm files', async (t) => {
    writeFileSync(join(app, 'index.html'), '<!doctype html><script type="module" src="./main.js"></script>');
    writeFileSync(join(app, 'main.js'), script('smart-fetch'));
    execFileSync(process.execPath, [join(root, 'node_modules/vite/bin/vite.js'), 'build'], { cwd: app, stdio: 'pipe' });
    const built = readdirSync(join(app, 'dist/assets')).filter((name) => name.endsWith('.wasm')).sort();
    assert.deepEqual(built.map((name) => name.replace(/-[\w-]{8}\.wasm$/, '')), ['smart_fetch_base_bg', 'smart_fetch_simd_bg']);
    await exports(t, join(app, 'dist'));
  });
});
