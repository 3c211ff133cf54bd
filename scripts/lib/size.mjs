// The size budget: what a browser has to load before an export can start. size-budget.json holds the limits.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { root } from './run.mjs';

/** Prints raw, gzip (level 9) and brotli sizes and returns one message for each file above its limit. */
export function checkSizes(folder = join(root, 'pkg-template/wasm')) {
  const { maxGzipBytes } = JSON.parse(readFileSync(join(root, 'size-budget.json'), 'utf8'));
  const kb = (bytes) => `${(bytes / 1000).toFixed(1)} KB`.padStart(10);
  const over = [];
  process.stdout.write(`${'file'.padEnd(28)}${['raw', 'gzip -9', 'brotli', 'gzip limit'].map((h) => h.padStart(11)).join('')}\n`);
  for (const [name, limit] of Object.entries(maxGzipBytes)) {
    const bytes = readFileSync(join(folder, name));
    const gzip = gzipSync(bytes, { level: 9 }).length;
    const row = [bytes.length, gzip, brotliCompressSync(bytes).length, limit].map(kb).join(' ');
    process.stdout.write(`${name.padEnd(28)} ${row}\n`);
    if (gzip > limit) over.push(`${name} is ${gzip} bytes gzipped; size-budget.json allows ${limit}.`);
  }
  return over;
}
