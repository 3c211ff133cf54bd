// The demo page: www/ built by Vite into node-cli/page/, where `smart-fetch serve` finds it and from where any static host
// can take it.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { must, root, say } from './run.mjs';

/** Where it goes. */
const page = join(root, 'node-cli/page');

/** Builds the page around the package, whose WebAssembly files must be there. */
export async function buildPage() {
  say('demo page');
  const vite = join(root, 'node_modules/vite/bin/vite.js');
  await must(process.execPath, [vite, 'build', '--logLevel', 'warn'], { cwd: join(root, 'www') });
  // Beside each file its brotli form, for `serve` and for static hosts that know the convention: a fifth less to load than gzip.
  for (const name of readdirSync(page, { recursive: true }).filter((path) => /\.(html|js|css|wasm|svg)$/.test(path))) {
    // Tables of numbers suit WebAssembly better than what suits text.
    const params = name.endsWith('.wasm') ? { [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_FONT } : {};
    writeFileSync(join(page, `${name}.br`), brotliCompressSync(readFileSync(join(page, name)), { params }));
  }
}
