// Serves the example and the package of this clone. Run by itself it starts the sandbox too, and says where to begin.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, normalize, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const APP = fileURLToPath(new URL('.', import.meta.url));
const PACKAGE = fileURLToPath(new URL('../../pkg-template/', import.meta.url));
// As published, for pages without a bundler.
const FHIRCLIENT = fileURLToPath(new URL('../../node_modules/fhirclient/build/fhir-client.pure.min.js', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm' };

/** What a host of this app has to send: smart-fetch needs WebAssembly, workers, and the FHIR server. */
const headers = (servers) => ({
  'Content-Security-Policy': `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ${servers}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
});

/** @param {string} path */
function fileOf(path) {
  if (path === 'fhirclient.js') return FHIRCLIENT;
  if (path.startsWith(`smart-fetch${sep}`)) return PACKAGE + path.slice('smart-fetch/'.length);
  return APP + (path === '' ? 'launch.html' : path);
}

/**
 * @param {{ port?: number, servers?: string }} [options] `servers`: where the app may connect to, as a content policy has it
 * @returns {Promise<{ url: string, close: () => void }>}
 */
export async function serveApp({ port = 0, servers = 'http://127.0.0.1:* https:' } = {}) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname)).replace(/^[/\\]+/, '');
    const file = fileOf(path);
    const bytes = await readFile(file).catch(() => undefined);
    const type = TYPES[extname(file)];
    if (bytes === undefined || type === undefined || path.includes('..')) return response.writeHead(404).end();
    return response.writeHead(200, { 'Content-Type': type, ...headers(servers) }).end(bytes);
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { startSandbox } = await import('../../node-cli/src/sandbox/index.js');
  const sandbox = await startSandbox({ auth: 'smart', patients: 20 });
  const app = await serveApp();
  console.log(`From the EHR:  ${sandbox.origin}/auth/launch?app=${encodeURIComponent(`${app.url}/launch.html`)}
By itself:     ${app.url}/launch.html?iss=${encodeURIComponent(sandbox.url)}
Ctrl-C ends both.`);
}
