// SMART App Launch (2.0): authorization code with PKCE, for public clients, from an EHR or standalone. There are no users
// to log in: whoever comes is the same practitioner, and all that can be chosen is the patient.
import { createHash, randomUUID } from 'node:crypto';
import { sendBody, sendJson } from '../reply.js';
import { makeKey, publicJwk, signJwt } from './jwt.js';
import { OAuthError } from './oauth-error.js';
import { errorPage, PAGE_HEADERS, patientPage } from './pages.js';
import { CONTEXT_SCOPES, grant } from './scopes.js';

const CODE_LIFE = 60_000;
const LISTED = 100;
const REFRESHING = ['offline_access', 'online_access'];

export class AppLaunch {
  #launches = new Map(); // launch -> patient id
  #codes = new Map(); // code -> what was granted, with redirectUri, challenge, expires
  #refreshTokens = new Map(); // refresh token -> what was granted
  #key = null;

  /** `GET /auth/launch?app=URL[&patient=ID]`: what an EHR does when a user starts an app. */
  async fromEhr(ctx) {
    const query = ctx.url.searchParams;
    const app = webUrl(query.get('app'));
    if (!app) return sendPage(ctx, 400, errorPage('Give the launch URL of the app as ?app=https://….'));
    const patient = query.get('patient') ?? ctx.faults.launchPatient;
    if (patient === '') {
      const patients = await patientsOf(ctx);
      return sendPage(ctx, 200, patientPage({ title: 'Sandbox EHR', intro: `Whose chart is open when ${app.host} is launched?`, patients, again: again(ctx) }));
    }
    if (!(await isPatient(ctx, patient))) return sendPage(ctx, 404, errorPage(`There is no Patient/${patient}.`));
    const launch = randomUUID();
    this.#launches.set(launch, patient);
    app.searchParams.set('iss', ctx.origin + ctx.rootPath);
    app.searchParams.set('launch', launch);
    return redirect(ctx, app);
  }

  /** `GET /auth/authorize` */
  async authorize(ctx) {
    const query = ctx.url.searchParams;
    const app = webUrl(query.get('redirect_uri'));
    // RFC 6749 §4.1.2.1: without a sound redirect_uri nobody is sent anywhere.
    if (!app) return sendPage(ctx, 400, errorPage('The request has no redirect_uri that is an http(s) URL.'));
    if (!query.get('client_id')) return sendPage(ctx, 400, errorPage('The request has no client_id.'));
    const answer = (values) => {
      for (const [name, value] of Object.entries({ ...values, state: query.get('state') ?? '' })) app.searchParams.set(name, value);
      return redirect(ctx, app);
    };
    try {
      const request = checkAuthorize(ctx, query);
      if (query.get('deny')) throw new OAuthError('access_denied', 'The user did not let the app in.');
      const patient = await this.#patientFor(ctx, query, request.scopes);
      if (patient === undefined) {
        const [patients, refuse] = [await patientsOf(ctx), again(ctx)({ deny: '1' })];
        const intro = `${app.host} asks for: ${request.scopes.join(' ')}. Whose data may it see?`;
        return sendPage(ctx, 200, patientPage({ title: 'Choose a patient', intro, patients, again: again(ctx), refuse }));
      }
      const code = randomUUID();
      this.#codes.set(code, { ...request, patient, expires: ctx.now() + CODE_LIFE });
      return answer({ code });
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error;
      return answer({ error: error.error, error_description: error.message });
    }
  }

  /** The patient in context: null for none, undefined where the user has to say. */
  async #patientFor(ctx, query, scopes) {
    const launch = query.get('launch');
    if (launch !== null && !this.#launches.has(launch)) throw new OAuthError('invalid_request', 'The launch parameter is not one of this EHR.');
    const patient = launch !== null ? this.#launches.get(launch) : query.get('patient') ?? ctx.faults.launchPatient;
    if (patient !== '') {
      if (!(await isPatient(ctx, patient))) throw new OAuthError('invalid_request', `There is no Patient/${patient}.`);
      return patient;
    }
    return scopes.some((scope) => scope === 'launch/patient' || scope.startsWith('patient/')) ? undefined : null;
  }

  /**
   * The grants of an app at the token endpoint: what to give, and what the answer holds besides the token.
   * @returns {Promise<{access: {client: string, scopes: string[], patient: string|null}, extra: object}>}
   */
  async exchange(ctx) {
    const { form } = ctx;
    if (ctx.req.headers.authorization) throw new OAuthError('invalid_client', 'Apps are public clients here: send client_id and no Authorization header.', 401);
    const granted = form.get('grant_type') === 'refresh_token' ? this.#takeRefreshToken(form) : this.#takeCode(ctx, form);
    const { client, scopes, patient, base } = granted;
    const extra = { ...(patient !== null && { patient, need_patient_banner: true }) };
    if (scopes.some((scope) => REFRESHING.includes(scope))) {
      extra.refresh_token = randomUUID();
      this.#refreshTokens.set(extra.refresh_token, granted);
    }
    if (scopes.includes('openid')) extra.id_token = await this.#idToken(ctx, client, base, scopes);
    return { access: { client, scopes, patient }, extra };
  }

  #takeCode(ctx, form) {
    const granted = this.#codes.get(form.get('code'));
    this.#codes.delete(form.get('code')); // good once
    const bad = (text) => new OAuthError('invalid_grant', text);
    if (!granted || granted.expires < ctx.now()) throw bad('The code is unknown, was used before, or has expired.');
    if (form.get('client_id') !== granted.client) throw bad('client_id is not that of the authorization request.');
    if (form.get('redirect_uri') !== granted.redirectUri) throw bad('redirect_uri is not that of the authorization request.');
    const challenge = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
    if (challenge !== granted.challenge) throw bad('code_verifier does not fit the code_challenge.');
    return granted;
  }

  /** Each refresh token is good once, as RFC 9700 §4.14.2 wants it for public clients. */
  #takeRefreshToken(form) {
    const granted = this.#refreshTokens.get(form.get('refresh_token'));
    if (!granted || (form.has('client_id') && form.get('client_id') !== granted.client)) throw new OAuthError('invalid_grant', 'The refresh token is not known here, or was used before.');
    this.#refreshTokens.delete(form.get('refresh_token'));
    return granted;
  }

  /** Forgets all refresh tokens: the user has to launch the app again. */
  revokeAll() {
    this.#refreshTokens.clear();
  }

  async keys() {
    this.#key ??= makeKey('RS256');
    return { keys: [publicJwk((await this.#key).jwk)] };
  }

  async #idToken(ctx, client, base, scopes) {
    this.#key ??= makeKey('RS256');
    const seconds = Math.floor(ctx.now() / 1000);
    const user = await userOf(ctx);
    const who = user && scopes.some((scope) => scope === 'fhirUser' || scope === 'profile') ? { fhirUser: `${base}/${user}`, profile: user } : {};
    return signJwt(await this.#key, { iss: base, aud: client, sub: 'sandbox-user', iat: seconds, exp: seconds + 3600, ...who });
  }
}

/** Checks an authorization request, and reads what it grants. */
function checkAuthorize(ctx, query) {
  const bad = (text, error = 'invalid_request') => new OAuthError(error, text);
  if (query.get('response_type') !== 'code') throw bad('response_type must be code.', 'unsupported_response_type');
  if (!query.get('state')) throw bad('state is missing.');
  if (!query.get('code_challenge') || query.get('code_challenge_method') !== 'S256') throw bad('Public clients need PKCE: code_challenge with code_challenge_method S256.');
  const base = (query.get('aud') ?? '').replace(/\/$/, '');
  if (!(base.startsWith(`${ctx.origin}/`) && base.endsWith(ctx.rootPath))) throw bad(`aud must be the FHIR base URL, ${ctx.origin}${ctx.rootPath}.`);
  const { scopes, refused } = grant(query.get('scope') ?? '', ctx.faults.scopeDialect, ['patient', 'user'], CONTEXT_SCOPES);
  if (scopes.length === 0) throw bad(`No scope that this server knows: ${refused.join(' ')}`, 'invalid_scope');
  return { client: query.get('client_id'), redirectUri: query.get('redirect_uri'), challenge: query.get('code_challenge'), scopes, base };
}

function webUrl(text) {
  const url = text !== null && URL.canParse(text) ? new URL(text) : null;
  return url && /^https?:$/.test(url.protocol) ? url : null;
}

/** The request's URL with further parameters. */
function again(ctx) {
  return (values) => {
    const query = new URLSearchParams(ctx.url.searchParams);
    for (const [name, value] of Object.entries(values)) query.set(name, value);
    return `${ctx.url.pathname}?${query}`;
  };
}

function sendPage(ctx, status, html) {
  sendBody(ctx, status, 'text/html; charset=utf-8', html, PAGE_HEADERS);
}

function redirect(ctx, url) {
  ctx.res.writeHead(302, { Location: url.href, 'Cache-Control': 'no-store', 'Content-Length': 0 }).end();
}

async function isPatient(ctx, id) {
  return (await (await ctx.store()).read('Patient', id)) !== null;
}

/** The first patients, as people tell them apart. */
async function patientsOf(ctx) {
  const table = await (await ctx.store()).table('Patient');
  return Array.from({ length: Math.min(LISTED, table?.count ?? 0) }, (_, row) => {
    const { id, name: [name] = [], birthDate, gender } = table.resource(row);
    return { id, name: name?.text ?? ([...(name?.given ?? []), name?.family].filter(Boolean).join(' ') || id), birthDate, gender };
  });
}

/** The one user: the first practitioner there is. */
async function userOf(ctx) {
  const table = await (await ctx.store()).table('Practitioner');
  return table && `Practitioner/${table.resource(0).id}`;
}

/** `GET /auth/jwks` */
export async function sendKeys(ctx, launch) {
  sendJson(ctx, 200, await launch.keys(), {}, 'application/json');
}
