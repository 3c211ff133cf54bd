// Tokens that a function of the program gives.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { importKeys } from '../../pkg-template/keys/webcrypto.js';
import { Client, openFolder } from '../../pkg-template/node.js';
import { folder, sandbox } from './helpers.mjs';

const FAST = { retryDelays: ['50ms', '50ms'] };

test('auth.token as a function: asked once, again when the token is refused or about to expire; what it throws ends the job', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart', faults: { pending: 3 } });
  const { clientId, keys } = sbx.client;
  let [asked, tokens] = [0, []];
  /** As a page does whose server side has the key. */
  const fetchToken = async () => {
    asked += 1;
    const answer = await grantedToken(sbx, clientId, keys.ES384);
    tokens.push(answer.access_token);
    return answer;
  };
  const run = async (token, types = ['Patient', 'Condition']) => {
    const path = folder(t);
    const job = new Client({ fhirUrl: sbx.url, auth: { token }, ...FAST }).bulk(await openFolder(path), { types });
    const events = [];
    const listen = async () => {
      for await (const event of job) events.push(event);
    };
    await listen().catch(() => {});
    return { path, job, told: JSON.stringify(events) };
  };
  // Good for minutes: one for the whole job.
  const first = await run(async () => (await fetchToken()).access_token);
  assert.equal((await first.job.result).verdict, 'complete');
  assert.equal(asked, 1);
  // Refused half-way.
  let waits = 0;
  const second = new Client({ fhirUrl: sbx.url, auth: { token: async () => (await fetchToken()).access_token }, ...FAST });
  const job = second.bulk(await openFolder(folder(t)), { types: ['Patient'] });
  for await (const { type } of job) if (type === 'waiting' && (waits += 1) === 1) sbx.revokeTokens();
  assert.equal((await job.result).verdict, 'complete');
  assert.equal(asked, 3);
  // About to expire each second.
  asked = 0;
  const third = await run(async () => ({ token: (await fetchToken()).access_token, expiresIn: 1 }));
  assert.equal((await third.job.result).verdict, 'complete');
  assert.ok(asked >= 3, `${asked} times in three seconds`);
  // Not asynchronous, and no token.
  for (const [token, message] of [
    [() => { throw new Error('Please sign in'); }, /failed: Please sign in\./],
    [() => ({ token: undefined }), /failed: it gave no text\./],
    [() => 'two words', /gave none, or one that cannot be sent/],
  ]) {
    const { job, told } = await run(token);
    await assert.rejects(job.result, (error) => error.code === 'auth' && message.test(error.message) && !/two words/.test(told + error.message));
  }
  for (const { path, told } of [first, third]) {
    const kept = readdirSync(path).filter((name) => !name.endsWith('.gz')).map((name) => readFileSync(join(path, name), 'utf8'));
    for (const token of tokens) assert.ok(!`${told}${kept}`.includes(token), 'no token is told or stored');
  }
});

/** A token from the token endpoint, by client credentials. */
async function grantedToken(sbx, clientId, { jwk }) {
  const signer = await importKeys(JSON.stringify(jwk));
  const base64url = (data) => Buffer.from(data).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: clientId, sub: clientId, aud: sbx.client.tokenUrl, jti: `${Math.random()}`, exp: now + 200, iat: now };
  const input = `${base64url(JSON.stringify({ typ: 'JWT', alg: jwk.alg, kid: jwk.kid }))}.${base64url(JSON.stringify(claims))}`;
  const assertion = `${input}.${base64url(await signer.sign(0, Buffer.from(input)))}`;
  const body = new URLSearchParams({
    grant_type: 'client_credentials', scope: 'system/*.rs', client_assertion: assertion,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  });
  return (await fetch(sbx.client.tokenUrl, { method: 'POST', body })).json();
}
