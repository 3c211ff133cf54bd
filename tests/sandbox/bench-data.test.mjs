import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { gunzipSync } from 'node:zlib';
import { makeBenchData } from '../../node-cli/src/sandbox/bench-data.js';
import { manifestOf, request, sandbox, sha } from './helpers.mjs';

test('bench data: deterministic, about 7:1, kept when there, served in both codings from disk', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-data-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const [one, two] = [path.join(folder, 'one'), path.join(folder, 'two')];
  const options = { files: 2, bytes: 3e6 };
  const sizes = await makeBenchData({ out: one, ...options });
  assert.ok(sizes.plain >= 3e6 && sizes.plain < 3.01e6);
  const ratio = sizes.plain / sizes.packed;
  assert.ok(ratio > 6 && ratio < 8.5, `${ratio}`);
  await makeBenchData({ out: two, ...options });
  for (const name of fs.readdirSync(one)) assert.equal(sha(fs.readFileSync(path.join(one, name))), sha(fs.readFileSync(path.join(two, name))), name);
  const written = fs.statSync(path.join(one, 'Observation.001.ndjson')).mtimeMs;
  assert.deepEqual(await makeBenchData({ out: one, ...options }), sizes);
  assert.equal(fs.statSync(path.join(one, 'Observation.001.ndjson')).mtimeMs, written);

  const sbx = await sandbox(t, { data: one });
  const { output } = await manifestOf(sbx);
  assert.equal(output.length, 2);
  for (const entry of output) {
    const plain = fs.readFileSync(path.join(one, path.basename(entry.url)));
    const packed = await request(entry.url, { headers: { 'accept-encoding': 'gzip' } });
    assert.deepEqual(packed.bytes, fs.readFileSync(path.join(one, `${path.basename(entry.url)}.gz`)), 'not compressed again');
    assert.deepEqual(gunzipSync(packed.bytes), plain);
    assert.deepEqual((await request(entry.url)).bytes, plain);
    const lines = plain.toString().trimEnd().split('\n').map((line) => JSON.parse(line));
    assert.equal(lines.length, entry.count);
    assert.ok(lines.every(({ resourceType }) => resourceType === 'Observation'));
    assert.equal(new Set(lines.map(({ id }) => id)).size, lines.length);
  }
});
