import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import test from 'node:test';
import { kickoff, manifestOf, request, sandbox } from './helpers.mjs';

const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const now = () => Math.floor(Date.now() / 1000);
const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A client assertion; `header` and `claims` replace parts of a right one. */
function assertion(sbx, alg = 'ES384', { header = {}, claims = {}, dsaEncoding = 'ieee-p1363', key } = {}) {
  const { clientId, tokenUrl, keys } = sbx.client;
  const used = key ?? keys[alg];
  const signing = [
    { alg, kid: used.jwk.kid, typ: 'JWT', ...header },
    { iss: clientId, sub: clientId, aud: tokenUrl, exp: now() + 200, jti: randomUUID(), ...claims },
  ].map(b64).join('.');
  const hash = `sha${alg.slice(2)}`;
  const privateKey = createPrivateKey(used.pem);
  return `${signing}.${sign(hash, Buffer.from(signing), alg.startsWith('ES') ? { key: privateKey, dsaEncoding } : privateKey).toString('base64url')}`;
}

function form(sbx, fields = {}) {
  return { scope: 'system/*.rs', grant_type: 'client_credentials', client_assertion_type: TYPE, client_assertion: assertion(sbx), ...fields };
}

function tokenRequest(sbx, fields, headers = {}) {
  return request(sbx.client.tokenUrl, {
    method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }, body: String(new URLSearchParams(fields)),
  });
}

async function bearer(sbx, fields) {
  const answer = await tokenRequest(sbx, form(sbx, fields));
  assert.equal(answer.status, 200, answer.text);
  return { authorization: `Bearer ${answer.json.access_token}` };
}

test('a token for RS384 and for ES384, from the discovered endpoint', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const configuration = (await request(`${sbx.url}/.well-known/smart-configuration`)).json;
  assert.equal(configuration.token_endpoint, sbx.client.tokenUrl);
  assert.deepEqual(configuration.token_endpoint_auth_signing_alg_values_supported, ['RS384', 'ES384']);
  const { security } = (await request(`${sbx.url}/metadata`)).json.rest[0];
  assert.equal(security.extension[0].extension[0].valueUri, sbx.client.tokenUrl);
  for (const alg of ['RS384', 'ES384']) {
    const { status, json, headers } = await tokenRequest(sbx, form(sbx, { client_assertion: assertion(sbx, alg) }));
    assert.equal(status, 200);
    assert.deepEqual([json.token_type, json.expires_in, json.scope], ['bearer', 300, 'system/*.rs']);
    assert.equal(headers['cache-control'], 'no-store');
  }
});

test('every other algorithm that is listed works, with a registered client', async (t) => {
  const algs = ['RS256', 'RS512', 'ES256', 'ES512'];
  const sbx = await sandbox(t, { auth: 'smart', faults: { algs } });
  for (const alg of algs) {
    const { privateKey, publicKey } = alg.startsWith('RS')
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: { ES256: 'P-256', ES512: 'P-521' }[alg] });
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid: alg, alg };
    const registered = await request(`${sbx.origin}/auth/register`, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: String(new URLSearchParams({ jwks: JSON.stringify({ keys: [jwk] }) })) });
    const claims = { iss: registered.text, sub: registered.text };
    const key = { jwk, pem: privateKey.export({ format: 'pem', type: 'pkcs8' }) };
    const answer = await tokenRequest(sbx, form(sbx, { client_assertion: assertion(sbx, alg, { claims, key }) }));
    assert.equal(answer.status, 200, `${alg}: ${answer.text}`);
  }
});

test('each wrong assertion is refused as invalid_client', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const cases = {
    'no typ': { header: { typ: undefined } },
    'unknown kid': { header: { kid: 'other' } },
    'alg not listed': { header: { alg: 'ES256' } },
    'alg none': { header: { alg: 'none' } },
    'foreign jku': { header: { jku: 'https://example.org/jwks' } },
    'aud is the base': { claims: { aud: sbx.url } },
    'sub is another': { claims: { sub: 'somebody' } },
    'unknown client': { claims: { iss: 'nobody', sub: 'nobody' } },
    'expired': { claims: { exp: now() - 1 } },
    'exp too far': { claims: { exp: now() + 400 } },
    'exp no whole number': { claims: { exp: now() + 100.5 } },
    'exp missing': { claims: { exp: undefined } },
    'iat in the future': { claims: { iat: now() + 60 } },
    'jti missing': { claims: { jti: undefined } },
    'DER signature': { dsaEncoding: 'der' },
  };
  for (const [name, parts] of Object.entries(cases)) {
    const { status, json } = await tokenRequest(sbx, form(sbx, { client_assertion: assertion(sbx, 'ES384', parts) }));
    assert.deepEqual([status, json.error], [401, 'invalid_client'], name);
  }
  const tampered = assertion(sbx).replace(/.{4}$/, 'AAAA');
  assert.equal((await tokenRequest(sbx, form(sbx, { client_assertion: tampered }))).json.error, 'invalid_client');
  assert.equal((await tokenRequest(sbx, form(sbx, { client_assertion: 'not.a jwt' }))).json.error, 'invalid_client');
  const once = assertion(sbx);
  assert.equal((await tokenRequest(sbx, form(sbx, { client_assertion: once }))).status, 200);
  assert.match((await tokenRequest(sbx, form(sbx, { client_assertion: once }))).json.error_description, /jti/);
});

test('each deviation from the form is refused', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const error = async (fields, headers) => (await tokenRequest(sbx, fields, headers)).json.error;
  assert.equal(await error(form(sbx, { grant_type: 'password' })), 'unsupported_grant_type');
  assert.equal(await error(form(sbx, { client_assertion_type: 'jwt-bearer' })), 'invalid_request');
  const { scope, ...withoutScope } = form(sbx);
  assert.ok(scope);
  assert.equal(await error(withoutScope), 'invalid_request');
  assert.equal(await error([...Object.entries(form(sbx)), ['scope', 'system/*.rs']]), 'invalid_request');
  assert.equal(await error(form(sbx), { authorization: 'Basic eDp5' }), 'invalid_request');
  assert.equal(await error(form(sbx), { 'content-type': 'application/json' }), 'invalid_request');
  assert.equal(await error(form(sbx, { scope: 'patient/*.rs launch' })), 'invalid_scope');
});

test('scope dialects', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart', faults: { scopeDialect: 'v1' } });
  assert.equal((await tokenRequest(sbx, form(sbx))).json.error, 'invalid_scope');
  assert.equal((await tokenRequest(sbx, form(sbx, { scope: 'system/*.rs system/Patient.read' }))).json.scope, 'system/Patient.read');
  sbx.setFaults({ scopeDialect: 'v2', pending: 0 });
  assert.equal((await tokenRequest(sbx, form(sbx, { scope: 'system/Patient.read' }))).json.error, 'invalid_scope');
  const { capabilities } = (await request(`${sbx.url}/.well-known/smart-configuration`)).json;
  assert.deepEqual(capabilities.filter((word) => word.startsWith('permission-v')), ['permission-v2']);
});

test('kick-off, status, files, DELETE, reads and searches ask for the token; metadata does not', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const refused = await kickoff(sbx);
  assert.deepEqual([refused.status, refused.headers['www-authenticate']], [401, 'Bearer']);
  assert.equal((await kickoff(sbx, '', '', { headers: { authorization: 'Bearer made-up' } })).status, 401);
  const headers = await bearer(sbx);
  const status = (await kickoff(sbx, '', '', { headers })).headers['content-location'];
  assert.equal((await request(status)).status, 401);
  const manifest = (await request(status, { headers })).json;
  assert.equal(manifest.requiresAccessToken, true);
  const [{ url }] = manifest.output;
  assert.equal((await request(url)).status, 401);
  assert.equal((await request(url, { headers })).status, 200);
  assert.equal((await request(status, { method: 'DELETE' })).status, 401);
  assert.equal((await request(status, { method: 'DELETE', headers })).status, 202);
  for (const path of ['/Patient', '/Patient/x', '/Group']) assert.equal((await request(sbx.url + path)).status, 401, path);
  assert.equal((await request(`${sbx.url}/Patient?_count=1`, { headers })).status, 200);
  assert.equal((await request(`${sbx.url}/metadata`)).status, 200);
  sbx.revokeTokens();
  assert.equal((await kickoff(sbx, '', '', { headers })).status, 401);
});

test('a token ends after expires_in; 401 may be html without WWW-Authenticate', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart', faults: { expiresIn: 60 } });
  const headers = await bearer(sbx);
  assert.equal((await request(`${sbx.url}/Group`, { headers })).status, 200);
  sbx.setFaults({ clockSkew: 61, html401: true }); // a minute later, without waiting for it
  const late = await request(`${sbx.url}/Group`, { headers });
  assert.deepEqual([late.status, late.headers['content-type'], late.headers['www-authenticate']], [401, 'text/html; charset=utf-8', undefined]);
});

test('what the scopes do not cover is 403; a narrower grant drops types silently', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const patientOnly = await bearer(sbx, { scope: 'system/Patient.rs' });
  assert.equal((await kickoff(sbx, '', '_type=Patient,Condition', { headers: patientOnly })).status, 403);
  assert.equal((await request(`${sbx.url}/Condition`, { headers: patientOnly })).status, 403);
  assert.deepEqual((await manifestOf(sbx, '', '', { headers: patientOnly })).output.map(({ type }) => type), ['Patient']);
  sbx.setFaults({ pending: 0, grantScope: 'system/Patient.rs' });
  const { json } = await tokenRequest(sbx, form(sbx));
  assert.equal(json.scope, 'system/Patient.rs');
  const headers = { authorization: `Bearer ${json.access_token}` };
  assert.deepEqual((await manifestOf(sbx, '', '_type=Patient,Condition', { headers })).output.map(({ type }) => type), ['Patient']);
});

test('token endpoint faults, clock skew, token_type', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart', faults: { tokenFail: '503,400:invalid_scope', tokenType: 'BEARER', omitExpiresIn: true } });
  const first = await tokenRequest(sbx, form(sbx));
  assert.deepEqual([first.status, first.headers['retry-after']], [503, '1']);
  const second = await tokenRequest(sbx, form(sbx));
  assert.deepEqual([second.status, second.json.error], [400, 'invalid_scope']);
  const third = (await tokenRequest(sbx, form(sbx))).json;
  assert.deepEqual([third.token_type, third.expires_in], ['BEARER', undefined]);
  sbx.setFaults({ clockSkew: -60 });
  const behind = await tokenRequest(sbx, form(sbx, { client_assertion: assertion(sbx, 'ES384', { claims: { exp: now() + 299 } }) }));
  assert.equal(behind.json.error, 'invalid_client');
  assert.ok(Math.abs(Date.parse(behind.headers.date) - (Date.now() - 60_000)) < 5000);
  assert.equal((await tokenRequest(sbx, form(sbx, { client_assertion: assertion(sbx, 'ES384', { claims: { exp: now() + 230 } }) }))).status, 200);
});

test('basic and bearer modes', async (t) => {
  const basic = await sandbox(t, { auth: 'basic', secrets: { user: 'ann', password: 'a:b' } });
  assert.match((await request(`${basic.url}/Group`)).headers['www-authenticate'], /^Basic/);
  assert.equal((await request(`${basic.url}/Group`, { headers: { authorization: `Basic ${Buffer.from('ann:a:b').toString('base64')}` } })).status, 200);
  const bearerMode = await sandbox(t, { auth: 'bearer', secrets: { bearer: 'canary' } });
  assert.equal((await request(`${bearerMode.url}/Group`, { headers: { authorization: 'Bearer other' } })).status, 401);
  assert.equal((await request(`${bearerMode.url}/Group`, { headers: { authorization: 'Bearer canary' } })).status, 200);
});
