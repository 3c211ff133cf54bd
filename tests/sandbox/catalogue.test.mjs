// The catalogue of faults stays whole: each is documented, and some test sets it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { FAULTS } from '../../node-cli/src/sandbox/index.js';

const read = (relative) => fs.readFileSync(fileURLToPath(new URL(relative, import.meta.url)), 'utf8');

test('every fault is in README.md, and nothing else is', () => {
  const documented = [...read('../../node-cli/src/sandbox/README.md').split('### All faults')[1].matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(documented, Object.keys(FAULTS));
});

test('every fault is set by a test', () => {
  const tests = ['auth', 'launch', 'export', 'rest', 'faults-job', 'faults-files'].map((name) => read(`./${name}.test.mjs`)).join('\n');
  const unset = Object.keys(FAULTS).filter((name) => !new RegExp(`\\b${name}\\b\\s*[:},]`).test(tests));
  assert.deepEqual(unset, []);
});
