// SMART App Launch: apps that are started from an EHR or by themselves, and what their tokens let them see.
import assert from 'node:assert/strict';
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import test from 'node:test';
import { kickoff, request, resources, sandbox } from './helpers.mjs';

const APP = 'https://app.example/index.html';
const [FIRST, SECOND] = resources('Patient').map(({ id }) => id);

/** What an app keeps between its two pages. */
function session(sbx, query = {}) {
  const verifier = randomBytes(48).toString('base64url');
  const code_challenge = createHash('sha256').update(verifier).digest('base64url');
  const parameters = {
    response_type: 'code', client_id: 'my-app', redirect_uri: APP, scope: 'launch/patient openid fhirUser offline_access patient/*.rs', state: 'xyz', aud: sbx.url,
    code_challenge, code_challenge_method: 'S256', ...query,
  };
  return { verifier, url: `${sbx.origin}/auth/authorize?${new URLSearchParams(parameters)}` };
}

/** Where the browser is sent with what. */
async function authorize(url) {
  const { status, headers, text } = await request(url);
  assert.equal(status, 302, text);
  const target = new URL(headers.location);
  return { target: `${target.origin}${target.pathname}`, ...Object.fromEntries(target.searchParams) };
}

function token(sbx, fields, headers = {}) {
  return request(`${sbx.origin}/auth/token`, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }, body: String(new URLSearchParams(fields)) });
}

const codeGrant = (code, verifier, more = {}) => ({ grant_type: 'authorization_code', code, client_id: 'my-app', redirect_uri: APP, code_verifier: verifier, ...more });

/** A token answer, all the way. */
async function launched(sbx, query = {}) {
  const { url, verifier } = session(sbx, { patient: FIRST, ...query });
  const { code } = await authorize(url);
  const answer = await token(sbx, codeGrant(code, verifier));
  assert.equal(answer.status, 200, answer.text);
  return { ...answer.json, headers: { authorization: `Bearer ${answer.json.access_token}` } };
}

test('standalone: a page to choose the patient, then code, token with context, id token', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const configuration = (await request(`${sbx.url}/.well-known/smart-configuration`)).json;
  assert.equal(configuration.authorization_endpoint, `${sbx.origin}/auth/authorize`);
  assert.deepEqual(configuration.code_challenge_methods_supported, ['S256']);
  assert.ok(['launch-ehr', 'launch-standalone', 'client-public'].every((word) => configuration.capabilities.includes(word)));

  const { url, verifier } = session(sbx);
  const page = await request(url);
  assert.match(page.headers['content-type'], /^text\/html/);
  assert.equal(page.text.match(/data-patient=/g).length, resources('Patient').length);
  const [, link] = new RegExp(`href="([^"]*patient=${SECOND})"`).exec(page.text);
  const { target, code, state } = await authorize(sbx.origin + link.replaceAll('&amp;', '&'));
  assert.deepEqual([target, state], [APP, 'xyz']);
  const answer = (await token(sbx, codeGrant(code, verifier))).json;
  assert.deepEqual([answer.patient, answer.scope], [SECOND, 'launch/patient openid fhirUser offline_access patient/*.rs']);
  const [head, body, signature] = answer.id_token.split('.');
  const { keys: [key] } = (await request(configuration.jwks_uri)).json;
  assert.ok(verify('sha256', Buffer.from(`${head}.${body}`), createPublicKey({ key, format: 'jwk' }), Buffer.from(signature, 'base64url')));
  const claims = JSON.parse(Buffer.from(body, 'base64url'));
  assert.deepEqual([claims.iss, claims.aud], [sbx.url, 'my-app']);
  assert.match(claims.fhirUser, new RegExp(`^${sbx.url}/Practitioner/`));
});

test('EHR launch: the EHR knows the patient; launchPatient asks nobody', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const chart = await request(`${sbx.origin}/auth/launch?app=${encodeURIComponent('https://app.example/launch.html')}`);
  assert.equal(chart.text.match(/data-patient=/g).length, resources('Patient').length);
  const { target, iss, launch } = await authorize(`${sbx.origin}/auth/launch?app=${encodeURIComponent('https://app.example/launch.html')}&patient=${SECOND}`);
  assert.deepEqual([target, iss], ['https://app.example/launch.html', sbx.url]);
  const { url, verifier } = session(sbx, { launch, scope: 'launch patient/*.rs' });
  const answer = (await token(sbx, codeGrant((await authorize(url)).code, verifier))).json;
  assert.deepEqual([answer.patient, answer.refresh_token, answer.id_token], [SECOND, undefined, undefined]);
  assert.equal((await authorize(session(sbx, { launch: 'made-up' }).url)).error, 'invalid_request');

  sbx.setFaults({ launchPatient: FIRST });
  assert.equal((await authorize(`${sbx.origin}/auth/launch?app=${encodeURIComponent(APP)}`)).iss, sbx.url);
  assert.ok((await authorize(session(sbx).url)).code);
});

test('a request that is not sound is refused: to the app where that is safe, else on a page', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const refused = async (query) => (await authorize(session(sbx, { patient: FIRST, ...query }).url)).error;
  assert.equal(await refused({ response_type: 'token' }), 'unsupported_response_type');
  assert.equal(await refused({ code_challenge_method: 'plain' }), 'invalid_request');
  assert.equal(await refused({ aud: 'https://elsewhere.example/fhir' }), 'invalid_request');
  assert.equal(await refused({ scope: 'system/*.rs' }), 'invalid_scope');
  assert.equal(await refused({ patient: 'nobody' }), 'invalid_request');
  assert.equal(await refused({ deny: '1' }), 'access_denied');
  assert.equal((await request(session(sbx, { redirect_uri: 'javascript:alert(1)' }).url)).status, 400);
  const open = await sandbox(t);
  assert.equal((await request(session(open).url)).status, 404);
});

test('a code is good once, for its app, its redirect and its verifier', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  for (const change of [{ client_id: 'other' }, { redirect_uri: 'https://app.example/' }, { code_verifier: 'wrong' }]) {
    const { url, verifier } = session(sbx, { patient: FIRST });
    const { code } = await authorize(url);
    const answer = await token(sbx, codeGrant(code, verifier, change));
    assert.deepEqual([answer.status, answer.json.error], [400, 'invalid_grant']);
    assert.equal((await token(sbx, codeGrant(code, verifier))).json.error, 'invalid_grant');
  }
  assert.equal((await token(sbx, codeGrant('x', 'y'), { authorization: 'Basic YTpi' })).json.error, 'invalid_client');
});

test('refresh: a new token for each refresh token, which is good once', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart', faults: { expiresIn: 1 } });
  const first = await launched(sbx);
  const refresh = (refresh_token) => token(sbx, { grant_type: 'refresh_token', refresh_token });
  await new Promise((resolve) => { setTimeout(resolve, 1100); });
  assert.equal((await request(`${sbx.url}/Patient/${FIRST}`, { headers: first.headers })).status, 401);
  sbx.setFaults({});
  const second = await refresh(first.refresh_token);
  assert.deepEqual([second.status, second.json.patient], [200, FIRST]);
  assert.notEqual(second.json.refresh_token, first.refresh_token);
  assert.equal((await request(`${sbx.url}/Patient/${FIRST}`, { headers: { authorization: `Bearer ${second.json.access_token}` } })).status, 200);
  assert.equal((await refresh(first.refresh_token)).json.error, 'invalid_grant');
  sbx.revokeTokens(true);
  assert.equal((await refresh(second.json.refresh_token)).json.error, 'invalid_grant');
});

test('a token for a patient shows that patient, and nobody else', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const { headers } = await launched(sbx);
  const status = async (path) => (await request(`${sbx.url}/${path}`, { headers })).status;
  const total = async (path) => (await request(`${sbx.url}/${path}`, { headers })).json.total;
  const conditions = resources('Condition');
  const of = (id) => conditions.filter(({ subject }) => subject.reference === `Patient/${id}`);
  assert.ok(of(FIRST).length > 0 && of(SECOND).length > 0);
  assert.equal(await total('Condition'), of(FIRST).length);
  assert.equal(await total(`Condition?patient=${FIRST}`), of(FIRST).length);
  assert.equal(await total(`Condition?patient=${SECOND}`), 0);
  assert.equal(await total('Patient'), 1);
  assert.deepEqual(
    [await status(`Condition/${of(FIRST)[0].id}`), await status(`Condition/${of(SECOND)[0].id}`), await status(`Patient/${SECOND}`), await status('Group'), await status('Group/all')],
    [200, 403, 403, 403, 403],
  );
  assert.equal(await status(`Practitioner/${resources('Practitioner')[0].id}`), 200);
  assert.equal((await kickoff(sbx, '', '', { headers })).status, 403);
  assert.equal((await kickoff(sbx, '/Patient', '', { headers })).status, 403);
});

test('notes of the patient can be read, those of others cannot', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart', data: undefined, patients: 12 });
  const open = await sandbox(t, { data: undefined, patients: 12 });
  const notes = (await request(`${open.url}/DocumentReference?_count=1000`)).json.entry.map(({ resource }) => resource);
  const withBinary = notes.filter(({ content }) => content[0].attachment.url?.startsWith('Binary/'));
  const mine = withBinary[0];
  const other = withBinary.find(({ subject }) => subject.reference !== mine.subject.reference);
  const { headers } = await launched(sbx, { patient: mine.subject.reference.split('/')[1] });
  const read = async (note) => (await request(`${sbx.url}/${note.content[0].attachment.url}`, { headers })).status;
  assert.deepEqual([await read(mine), await read(other)], [200, 403]);
});

test('scopes say which types; those of a user show all patients and may export', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const narrow = await launched(sbx, { scope: 'launch/patient patient/Patient.r patient/Condition.rs' });
  const status = async (path, headers) => (await request(`${sbx.url}/${path}`, { headers })).status;
  assert.deepEqual([await status(`Patient/${FIRST}`, narrow.headers), await status('Patient', narrow.headers), await status('Condition', narrow.headers), await status('Observation', narrow.headers)], [200, 403, 200, 403]);
  const user = await launched(sbx, { scope: 'openid fhirUser user/*.rs', patient: FIRST });
  assert.equal((await request(`${sbx.url}/Patient`, { headers: user.headers })).json.total, resources('Patient').length);
  assert.equal((await kickoff(sbx, '/Patient', '_type=Patient', { headers: user.headers })).status, 202);
  const { url } = session(sbx, { scope: 'user/*.rs' });
  assert.ok((await authorize(url)).code, 'no patient is asked for where no scope needs one');
});
