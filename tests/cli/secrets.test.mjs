// Credentials: SMART, Basic and bearer work, and appear in nothing that is written or printed.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { filesBelow, run, scratch } from './support.mjs';
import { QUICK, sandbox } from './server.mjs';

/** All that a run left behind: what it printed and every byte of its folder. */
async function traces(result, out) {
  const files = await Promise.all((await filesBelow(out)).map((name) => readFile(join(out, name), 'latin1')));
  return [result.stdout, result.stderr, ...files].join('\n');
}

/** The bearer tokens and assertions that the server has seen. */
function secretsSeen(server) {
  return server.requests.flatMap(({ headers, body }) => [
    ...(headers.authorization ? [headers.authorization.replace(/^\w+ /, '')] : []),
    ...(body.includes('client_assertion=') ? [new URLSearchParams(body).get('client_assertion')] : []),
  ]);
}

for (const [alg, form] of [
  ['ES384', 'jwks'],
  ['RS384', 'jwks'],
  ['ES384', 'pem'],
  ['RS384', 'inline'],
]) {
  test(`SMART Backend Services with ${alg} (${form}): a complete export; no token, assertion or key is left anywhere`, async (t) => {
    const server = await sandbox(t, { auth: 'smart' });
    const folder = await scratch(t);
    const { jwk, pem } = server.client.keys[alg];
    const jwks = JSON.stringify({ keys: [jwk] });
    const key = form === 'inline' ? jwks : join(folder, `key.${form}`);
    if (form !== 'inline') await writeFile(key, form === 'pem' ? pem : jwks);
    // A PEM file has no kid: its thumbprint stands for it, as in the reference.
    const clientId = form === 'pem' ? server.client.registerJwks({ keys: [{ ...jwk, kid: thumbprint(jwk) }] }) : server.client.clientId;
    const out = join(folder, 'out');
    const result = await run([
      ...['bulk', out, '--fhir-url', server.url, '--type', 'Patient,Condition', ...QUICK, '-v', '--progress', 'plain'],
      ...['--smart-client-id', clientId, '--smart-key', key],
    ]);
    assert.equal(result.code, 0, result.stderr);
    assert.ok((await filesBelow(out)).includes('Patient.001.ndjson.gz'));
    const secrets = [...secretsSeen(server), jwk.d, ...pem.trim().split('\n').slice(1, -1)];
    assert.ok(secrets.length > 3, 'there was something to leak');
    const left = await traces(result, out);
    for (const secret of secrets) assert.ok(!left.includes(secret), 'a secret was left behind');
  });
}

/** RFC 7638, for an EC key. */
function thumbprint({ crv, kty, x, y }) {
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}

test('Basic and bearer, from files and as values, with canaries in an export that fails and one that is verbose', async (t) => {
  const folder = await scratch(t);
  const file = join(folder, 'secret.txt');
  await writeFile(file, 'canary-secret\n');
  for (const [auth, flags, secrets] of [
    ['bearer', ['--bearer-token', file], { bearer: 'canary-secret' }],
    ['bearer', ['--bearer-token', 'canary-secret'], { bearer: 'canary-secret' }],
    ['basic', ['--basic-user', 'me', '--basic-passwd', file], { user: 'me', password: 'canary-secret' }],
  ]) {
    const server = await sandbox(t, { auth, secrets, faults: { fileFail: '404*', onlyFiles: '1' } });
    const out = join(folder, `${auth}-${flags[1] === file ? 'file' : 'value'}`);
    const result = await run([
      ...['bulk', out, '--fhir-url', server.url, '--type', 'Patient,Condition', ...QUICK, '-v', '--progress', 'json'],
      ...[...flags, '--header', 'X-Api-Key: canary-header'],
    ]);
    assert.equal(result.code, 3, result.stderr);
    assert.ok(server.requests.some(({ headers }) => headers.authorization && headers['x-api-key'] === 'canary-header'));
    const left = await traces(result, out);
    assert.doesNotMatch(left, /canary/);
    assert.ok(!left.includes(Buffer.from('me:canary-secret').toString('base64')));
  }
});

test('a wrong token, refused by the server, is not repeated in the message', async (t) => {
  const server = await sandbox(t, { auth: 'bearer', secrets: { bearer: 'right' } });
  const out = join(await scratch(t), 'out');
  const result = await run(['bulk', out, '--fhir-url', server.url, '--type', 'Patient', ...QUICK, '--bearer-token', 'canary', '-v']);
  assert.equal(result.code, 1);
  assert.match(result.stderr, /401/);
  assert.doesNotMatch(await traces(result, out), /canary/);
});
