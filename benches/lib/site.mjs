// What the browser loads: the package as it stands here, a page that has it, and the bare limit.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { root } from '../../scripts/lib/run.mjs';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

const PAGE = '<!doctype html><title>bench</title><script type="module" src="/page.js"></script>';

/** `bare` fetches the files into OPFS with as many workers as we have by default, and does nothing else. */
const SCRIPT = `
import * as sf from '/pkg/index.js';
globalThis.sf = sf;

globalThis.ours = async (fhirUrl) => {
  const folder = await sf.openFolder('bench', { storage: 'opfs' });
  const job = new sf.Client({ fhirUrl }).bulk(folder, { types: ['Observation'], defaultFilters: false });
  const { verdict, resources } = await job.result;
  return { verdict, resources, storage: folder.storage };
};

globalThis.bare = async (urls) => {
  const left = [...urls];
  const work = async () => {
    const worker = new Worker('/bare.js');
    for (let url = left.shift(); url; url = left.shift()) {
      worker.postMessage({ url, name: url.split('/').at(-1) });
      await new Promise((resolve, reject) => {
        worker.onmessage = resolve;
        worker.onerror = (event) => reject(new Error(event.message));
      });
    }
    worker.terminate();
  };
  await Promise.all(Array.from({ length: Math.min(navigator.hardwareConcurrency, 4) }, work));
};

/** Lines and digests of the files, decoded. */
globalThis.content = async () => {
  const folder = await sf.openFolder('bench', { storage: 'opfs' });
  const digests = [];
  let lines = 0;
  for (const { name } of (await folder.files()).filter(({ name }) => /^Observation.*ndjson/.test(name))) {
    const bytes = new Uint8Array(await new Response(folder.file(name).stream({ decode: true })).arrayBuffer());
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines += 1;
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    digests.push([...digest].map((byte) => byte.toString(16).padStart(2, '0')).join(''));
  }
  return { lines, digests: digests.sort() };
};
globalThis.ready = true;
`;

const BARE = `
onmessage = async ({ data: { url, name } }) => {
  const folder = await navigator.storage.getDirectory();
  const file = await (await folder.getFileHandle(name, { create: true })).createSyncAccessHandle();
  const reader = (await fetch(url)).body.getReader();
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    at += file.write(value, { at });
  }
  file.flush();
  file.close();
  postMessage(at);
};
`;

/** Says how much memory an instance of the core has; `wasm` is the glue's own variable. */
const WASM_BYTES = '\nglobalThis.benchWasmBytes = () => wasm?.memory?.buffer.byteLength ?? 0;\n';

function answer(path) {
  if (path === '/') return PAGE;
  if (path === '/page.js') return SCRIPT;
  if (path === '/bare.js') return BARE;
  const body = readFileSync(join(root, 'pkg-template', normalize(path).replace(/^\/pkg\//, '')));
  return /\/wasm\/smart_fetch_\w+\.js$/.test(path) ? body + WASM_BYTES : body;
}

/** Serves it on loopback. */
export async function startSite() {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    try {
      const body = answer(pathname);
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
