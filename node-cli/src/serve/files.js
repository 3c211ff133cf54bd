// The files of the built page.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { extname, join, normalize, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.wasm': 'application/wasm',
  '.json': 'application/json', '.svg': 'image/svg+xml', '.png': 'image/png', '.ico': 'image/x-icon', '.txt': 'text/plain; charset=utf-8',
};

/**
 * @param {string} root folder of the page
 * @returns {(request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse) => Promise<unknown>}
 */
export function createFiles(root) {
  const folder = resolve(root);
  return async function sendFile(request, response) {
    const refuse = (status) => response.writeHead(status, { 'content-type': 'text/plain' }).end(`${status}\n`);
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405);
    const path = decodedPath(request.url);
    if (path === undefined) return refuse(400);
    const file = normalize(join(folder, path.endsWith('/') ? `${path}index.html` : path));
    const found = file.startsWith(folder + sep) ? await stat(file).catch(() => undefined) : undefined;
    if (!found?.isFile()) return refuse(404);
    const accepted = request.headers['accept-encoding'] ?? '';
    // The build leaves a brotli form beside each file.
    const packed = /\bbr\b/.test(accepted) ? await stat(`${file}.br`).catch(() => undefined) : undefined;
    const zip = !packed && /\bgzip\b/.test(accepted);
    response.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      // Vite puts a hash of the content into the names of what it builds.
      'cache-control': path.startsWith('/assets/') ? 'max-age=31536000, immutable' : 'no-cache',
      'vary': 'accept-encoding',
      ...(packed && { 'content-encoding': 'br' }),
      ...(zip ? { 'content-encoding': 'gzip' } : { 'content-length': (packed ?? found).size }),
    });
    if (request.method === 'HEAD') return response.end();
    return pipeline([createReadStream(packed ? `${file}.br` : file), ...(zip ? [createGzip()] : []), response]).catch(() => response.destroy());
  };
}

function decodedPath(target) {
  try {
    const path = decodeURIComponent(target.split(/[?#]/, 1)[0]);
    return path.startsWith('/') && !path.includes('\0') ? path : undefined;
  } catch {
    return undefined;
  }
}
