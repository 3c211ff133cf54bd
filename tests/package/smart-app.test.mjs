// Clients of SMART apps: a session's server, patient, user and token, and its refresh while the core works. The sessions here have
// the shape of fhirclient's; the browser tests use fhirclient itself.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { Client, SmartAppClient, fromSmartClient, memoryFolder } from '../../pkg-template/node.js';
import { sandbox as started } from './helpers.mjs';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const REDIRECT = 'https://app.example/';
const PATIENT = 'pt-000002';

const sandbox = (t, options) => started(t, { data: undefined, patients: 12, ...options });

async function token(sbx, fields) {
  const answer = await fetch(`${sbx.origin}/auth/token`, { method: 'POST', headers: FORM, body: new URLSearchParams(fields) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  return body;
}

/** A launched session, and how often it was refreshed. */
async function launch(sbx, { scope = 'launch/patient openid fhirUser online_access patient/*.rs', patient = PATIENT } = {}) {
  const code_verifier = randomBytes(32).toString('base64url');
  const code_challenge = createHash('sha256').update(code_verifier).digest('base64url');
  const query = new URLSearchParams({ response_type: 'code', client_id: 'app', redirect_uri: REDIRECT, scope, state: 'x', aud: sbx.url, code_challenge, code_challenge_method: 'S256', patient });
  const { headers } = await fetch(`${sbx.origin}/auth/authorize?${query}`, { redirect: 'manual' });
  const code = new URL(headers.get('location')).searchParams.get('code');
  const session = { state: { serverUrl: sbx.url }, patient: {}, user: {}, refreshed: 0 };
  const take = (answer) => {
    session.state.tokenResponse = { ...session.state.tokenResponse, ...answer };
    session.state.expiresAt = Math.floor(Date.now() / 1000) + answer.expires_in;
    session.patient.id = answer.patient ?? null;
    session.user.fhirUser = answer.id_token ? JSON.parse(Buffer.from(answer.id_token.split('.')[1], 'base64url')).fhirUser : null;
  };
  session.refresh = async () => {
    session.refreshed += 1;
    take(await token(sbx, { grant_type: 'refresh_token', refresh_token: session.state.tokenResponse.refresh_token }));
  };
  take(await token(sbx, { grant_type: 'authorization_code', code, client_id: 'app', redirect_uri: REDIRECT, code_verifier }));
  return session;
}

const read = async (client, resource) => JSON.parse(Buffer.from(await client.single(resource)).toString());

test('server, patient in context, user and token come from the session', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const session = await launch(sbx);
  const client = fromSmartClient(session, { maxConnections: 2, retryDelays: ['10ms'] });
  assert.ok(client instanceof Client && client instanceof SmartAppClient);
  assert.deepEqual([client.patient, client.user], [PATIENT, 'Practitioner/prac-1']);
  assert.equal((await read(client, `Patient/${client.patient}`)).id, PATIENT);
  assert.equal(session.refreshed, 0);
  await assert.rejects(client.single('Patient/pt-000003'), { code: 'auth', status: 403 });
});

test('a token that was refused or ends is refreshed through the session, and kept there', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart', faults: { expiresIn: 300 } });
  const session = await launch(sbx);
  const client = fromSmartClient(session, { retryDelays: ['10ms'] });
  sbx.revokeTokens();
  assert.equal((await read(client, `Patient/${PATIENT}`)).id, PATIENT);
  assert.equal(session.refreshed, 1, 'after a 401');
  await read(client, `Patient/${PATIENT}`);
  assert.equal(session.refreshed, 1, 'a job that begins takes the token that the session has');
  session.state.expiresAt = Math.floor(Date.now() / 1000) + 5;
  await read(client, `Patient/${PATIENT}`);
  assert.equal(session.refreshed, 2, 'before it ends');
});

test('a session that cannot be refreshed says so, and what to do', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart' });
  const session = await launch(sbx);
  sbx.revokeTokens(true);
  const refused = fromSmartClient(session, { retryDelays: ['10ms'] }).single(`Patient/${PATIENT}`);
  await assert.rejects(refused, (error) => error.code === 'auth' && /launch the app again \(invalid_grant\)/.test(error.message), 'the refresh token is not good either');
  const online = await launch(sbx, { scope: 'launch/patient patient/*.rs' });
  assert.equal(online.state.tokenResponse.refresh_token, undefined);
  online.state.expiresAt = Math.floor(Date.now() / 1000) - 1;
  const ended = fromSmartClient(online).single(`Patient/${PATIENT}`);
  await assert.rejects(ended, (error) => error.code === 'auth' && /no refresh token .*launch the app again/.test(error.message));
});

test('scopes of the user: the panel, by search, all pages of it', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart', patients: 60, faults: { searchPage: 2 } });
  const session = await launch(sbx, { scope: 'openid fhirUser user/*.rs' });
  const client = fromSmartClient(session);
  assert.equal(client.user, 'Practitioner/prac-1');
  const all = await client.patientIds('');
  const panel = await client.patientIds(`general-practitioner=${client.user}`);
  const expected = [];
  for (const id of all) {
    const { generalPractitioner = [] } = await read(client, `Patient/${id}`);
    if (generalPractitioner.some(({ reference }) => reference === client.user)) expected.push(id);
  }
  assert.ok(expected.length > 2 && expected.length < all.length, `${expected.length} of ${all.length}`);
  assert.deepEqual(panel.sort(), expected.sort());
});

test('an open server needs no token; what is no session is a usage error', async (t) => {
  const sbx = await sandbox(t);
  const client = fromSmartClient({ state: { serverUrl: sbx.url }, patient: { id: null }, refresh: async () => {} });
  assert.deepEqual([client.patient, client.user], [null, null]);
  assert.equal((await read(client, `Patient/${PATIENT}`)).id, PATIENT);
  for (const wrong of [undefined, {}, { state: {} }]) assert.throws(() => fromSmartClient(wrong), { code: 'usage' });
});

test('bulk where the server lets users export, and a crawl of a panel, on tokens that end all the time', async (t) => {
  const sbx = await sandbox(t, { auth: 'smart', faults: { expiresIn: 12, pending: 2 } });
  const session = await launch(sbx, { scope: 'openid fhirUser offline_access user/*.rs' });
  const client = fromSmartClient(session, { retryDelays: ['10ms'], workers: 0 });
  const exported = memoryFolder();
  const job = client.bulk(exported, { level: 'patient', types: ['Patient', 'Condition'] });
  for await (const { type } of job) if (type === 'manifest') sbx.revokeTokens();
  assert.equal((await job.result).types.Patient.resources, 12);
  assert.ok(session.refreshed >= 1);
  const panel = (await client.patientIds('')).slice(0, 3);
  const crawled = memoryFolder();
  const report = await client.crawl(crawled, { ids: panel, types: ['Patient', 'Condition'] }).result;
  assert.deepEqual([report.verdict, report.patients], ['complete', 3]);
  const conditions = async (folder) => {
    const ids = [];
    for await (const { id, subject } of folder.resources('Condition')) if (panel.includes(subject.reference.slice('Patient/'.length))) ids.push(id);
    return ids.sort();
  };
  assert.deepEqual(await conditions(crawled), await conditions(exported));
});
