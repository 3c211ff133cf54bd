// What a folder of NDJSON holds: the number of lines, and a digest of each file's plain bytes.
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';

const NEWLINE = 0x0a;

async function fileContent(path) {
  const hash = createHash('sha256');
  let lines = 0;
  const count = async (chunks) => {
    for await (const chunk of chunks) {
      hash.update(chunk);
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) lines += 1;
    }
  };
  const source = createReadStream(path, { highWaterMark: 1 << 20 });
  await pipeline(...(path.endsWith('.gz') ? [source, createGunzip({ chunkSize: 1 << 20 }), count] : [source, count]));
  return { lines, digest: hash.digest('hex') };
}

/** @param {string} folder @param {RegExp} [names] files that count */
export async function contentOf(folder, names = /^[A-Z].*\.ndjson(\.gz)?$/) {
  const linesByFile = new Map();
  const digests = [];
  for (const name of readdirSync(folder).filter((one) => names.test(one)).sort()) {
    const { lines, digest } = await fileContent(join(folder, name));
    linesByFile.set(name, lines);
    digests.push(digest);
  }
  return { lines: [...linesByFile.values()].reduce((sum, one) => sum + one, 0), linesByFile, digests: digests.sort() };
}

/** What is wrong with the content of an output folder, or null. */
export function sameContent(expected, found) {
  if (found.lines !== expected.lines) return `${found.lines} resources instead of ${expected.lines}.`;
  if (found.digests.join() !== expected.digests.join()) return 'the files differ from what the server has.';
  return null;
}
