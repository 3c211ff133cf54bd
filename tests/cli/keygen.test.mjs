// `smart-fetch keygen`: from no key to an export of a server that asks for one.
import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXIT } from '../../node-cli/src/exit-codes.js';
import { metadataOf, printed, run, scratch, start } from './support.mjs';

const OWNER_ONLY = 0o600;

test('keys are made, registered and used; nothing private is printed, and nothing overwritten', async (t) => {
  const folder = await scratch(t);
  const file = join(folder, 'key.jwks');
  const { code, stdout, stderr } = await run(['keygen', file]);
  assert.equal(code, EXIT.complete, stderr);
  assert.equal((await stat(file)).mode & 0o777, OWNER_ONLY);
  const [secret, shown] = [JSON.parse(await readFile(file, 'utf8')), JSON.parse(stdout)];
  assert.deepEqual(shown.keys.map(({ alg }) => alg), ['ES384', 'RS384']);
  assert.deepEqual(shown.keys.map(({ kid }) => kid), secret.keys.map(({ kid }) => kid));
  for (const { d } of secret.keys) assert.ok(d && !(stdout + stderr).includes(d));
  assert.match(stderr, /^The private keys are in '.*key\.jwks', which only you can read; keep it secret\. Register what was printed/);

  const again = await run(['keygen', file]);
  assert.deepEqual([again.code, again.stdout], [EXIT.usage, '']);
  assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), secret);

  // The command that the sandbox recommends is the one that works.
  const sandbox = start(['sandbox', '--patients', '2', '--auth', 'smart', '--jwks', file, '--fault', 'pending=0']);
  t.after(() => sandbox.child.kill('SIGTERM'));
  const [, words] = await printed(sandbox, (got) => /Export it with: smart-fetch (.*)\n/.exec(got.stderr));
  const out = join(folder, 'out');
  const exported = await run([...words.replace('OUTPUT_DIR', out).split(' '), '--type', 'Patient', '--no-default-filters']);
  assert.equal(exported.code, EXIT.complete, exported.stderr);
  assert.equal(metadataOf(out).complete, true);
});

test('one kind of key alone, and a place that cannot be written', async (t) => {
  const folder = await scratch(t);
  const { stdout, stderr } = await run(['keygen', join(folder, 'rsa.json'), '--alg', 'RS384']);
  assert.deepEqual(JSON.parse(stdout).keys.map(({ alg, kty }) => [alg, kty]), [['RS384', 'RSA']]);
  assert.match(stderr, /^The private key is in/);
  const nowhere = await run(['keygen', join(folder, 'none', 'key.jwks')]);
  assert.deepEqual([nowhere.code, nowhere.stdout], [EXIT.failed, '']);
  assert.match(nowhere.stderr, /Could not make '.*key\.jwks': there is no such file or folder\.\n$/);
});

test('a sandbox that asks for keys and knows none says how to come by one', async () => {
  const sandbox = start(['sandbox', '--patients', '1', '--auth', 'smart']);
  await printed(sandbox, ({ stderr }) => stderr.includes('Ctrl-C'));
  sandbox.child.kill('SIGTERM');
  const { stderr } = await sandbox.ended;
  assert.match(stderr, /Make a key, and start it again with it:\n {2}smart-fetch keygen key\.jwks\n {2}smart-fetch sandbox --auth smart --jwks key\.jwks\n/);
  assert.doesNotMatch(stderr, /smart-fetch bulk/);
});
