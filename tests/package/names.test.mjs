// What messages call the options: the core writes flags, the package the names of its options, a page what its form says.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, memoryFolder, nameOptions } from 'smart-fetch';
import { optionOf, worded } from '../../pkg-template/names.js';

const src = fileURLToPath(new URL('../../src', import.meta.url));

/** Flags of commands that a message quotes as a whole: `smart-fetch serve --server URL`. */
const QUOTED = ['--server'];

test('every flag in a text of the core stands for an option', () => {
  const unknown = new Set();
  for (const path of readdirSync(src, { recursive: true }).filter((name) => name.endsWith('.rs'))) {
    for (const line of readFileSync(join(src, path), 'utf8').split('\n')) {
      if (/^\s*\/\//.test(line)) continue;
      for (const [flag] of line.matchAll(/(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])/g)) {
        if (optionOf(flag) === undefined && !QUOTED.includes(flag)) unknown.add(`${path}: ${flag}`);
      }
    }
  }
  assert.deepEqual([...unknown], []);
});

test('flags become options, and nothing else changes', () => {
  assert.equal(worded('Give credentials: --smart-client-id with --smart-key, --bearer-token, or --basic-user.'), 'Give credentials: auth.clientId with auth.keys, auth.token, or auth.user.');
  assert.equal(worded('Give them with --id-list or --id-file.'), 'Give them with ids.');
  assert.equal(worded('say whom you want with --id-list, --id-file or --source-dir.'), 'say whom you want with ids or source.');
  assert.equal(worded('--source-dir, --id-list, or --id-file, or export patients'), 'source or ids, or export patients');
  assert.equal(worded('--type help lists the default types'), 'resourceTypes() lists the default types');
  for (const text of ['smart-fetch serve --server http://x', 'a--since', '--sincere', 'x -- y', 'https://x/a--type']) assert.equal(worded(text), text);
});

test('errors, warnings and reports name options; a page may name them itself', async () => {
  const client = new Client({ fhirUrl: 'http://127.0.0.1:9/fhir', retryDelays: [] });
  const wrong = () => client.checkBulk({ level: 'system', patients: ['1'] }).catch(({ message, hint }) => `${message} ${hint}`);
  assert.equal(await wrong(), 'patients cannot be used in an export of the whole system. Add level patient, or level.group ID.');
  const typed = await client.bulk(memoryFolder(), { types: ['Nonsense'] }).result.catch((error) => error);
  assert.match(typed.hint, /resourceTypes\(\)/);
  nameOptions((option) => `“${option}”`);
  try {
    assert.match(await wrong(), /^“patients” cannot be used/);
  } finally {
    nameOptions((option) => option);
  }
});
