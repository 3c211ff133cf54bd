// What the browser loads: the package as it stands here, and a page that has it (`benches/pages/`).
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { root } from '../../scripts/lib/run.mjs';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/** Says how much memory an instance of the core has; `wasm` is the glue's own variable. */
const WASM_BYTES = '\nglobalThis.benchWasmBytes = () => wasm?.memory?.buffer.byteLength ?? 0;\n';

/** @param {string} script the page's, in `benches/pages/` */
function answer(script, path) {
  if (path === '/') return `<!doctype html><title>bench</title><script type="module" src="/${script}"></script>`;
  if (!path.startsWith('/pkg/')) return readFileSync(join(root, 'benches/pages', normalize(path)));
  const body = readFileSync(join(root, 'pkg-template', normalize(path).replace(/^\/pkg\//, '')));
  return /\/wasm\/smart_fetch_\w+\.js$/.test(path) ? body + WASM_BYTES : body;
}

/**
 * Serves it on loopback.
 * @param {string} script the page's, in `benches/pages/`
 */
export async function startSite(script) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    try {
      const body = answer(script, pathname);
      response.writeHead(200, { 'content-type': TYPES[extname(pathname) || '.html'] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
