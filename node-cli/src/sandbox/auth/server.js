// The authorization server: SMART Backend Services (client_credentials with private_key_jwt), checked to the letter, SMART
// App Launch (launch.js), and for tests HTTP Basic and a fixed bearer token.
import { randomUUID, timingSafeEqual } from 'node:crypto';
import { Answered, HttpError, playStep, sendHtml, sendJson } from '../reply.js';
import { decodeJwt, makeKey, publicJwk, verifyJwt } from './jwt.js';
import { AppLaunch } from './launch.js';
import { OAuthError } from './oauth-error.js';
import { covers, grant } from './scopes.js';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const MAX_LIFE = 300; // seconds an assertion may be valid ahead (SMART, client-confidential-asymmetric)

export class AuthServer {
  #clients = new Map(); // client id -> { jwks, jwksUrl }
  #tokens = new Map(); // token -> { client, scopes, patient, expires }
  #jtis = new Map(); // "client jti" -> ms when it may be forgotten
  launch = new AppLaunch();

  /** @param {'none'|'smart'|'basic'|'bearer'} mode @param {{user, password, bearer}} secrets for basic and bearer */
  constructor(mode, secrets = {}) {
    this.mode = mode;
    this.secrets = { user: 'sandbox', password: 'sandbox', bearer: 'sandbox-token', ...secrets };
  }

  /** Registers a client's public keys and returns its id. */
  register(jwks, clientId = randomUUID()) {
    if (!Array.isArray(jwks?.keys) || jwks.keys.length === 0) throw new HttpError(400, 'invalid', 'A JWKS is an object with a list "keys" of at least one key.');
    this.#clients.set(clientId, { keys: jwks.keys.map(publicJwk) });
    return clientId;
  }

  /** A registered client with fresh keys, for tests. */
  async makeClient(tokenUrl) {
    const [rs384, es384] = await Promise.all([makeKey('RS384'), makeKey('ES384')]);
    const clientId = this.register({ keys: [rs384.jwk, es384.jwk] }, 'sandbox-client');
    return {
      clientId, tokenUrl, keys: { RS384: rs384, ES384: es384 }, jwks: { keys: [rs384.jwk, es384.jwk] },
      registerJwks: (jwks) => this.register(jwks),
    };
  }

  /** Forgets all tokens, as a restarted server does: the next request gets 401. Refresh tokens stay unless `refreshToo`. */
  revokeAll(refreshToo = false) {
    this.#tokens.clear();
    if (refreshToo) this.launch.revokeAll();
  }

  /** Registers the JWKS in a string, as `POST /auth/register` brings it (like the public sandbox). */
  registerFrom(text) {
    let jwks;
    try {
      jwks = JSON.parse(text);
    } catch {
      throw new HttpError(400, 'invalid', 'Send the JWKS as JSON, or as form field "jwks".');
    }
    return this.register(jwks);
  }

  /** `POST /auth/token` */
  async handleToken(ctx, tokenUrl) {
    const step = ctx.faults.step('tokenFail');
    if (step) return playStep(ctx, step);
    const headers = { 'Cache-Control': 'no-store', Pragma: 'no-cache' };
    try {
      const isApp = ['authorization_code', 'refresh_token'].includes(ctx.form.get('grant_type'));
      const { access: { scopes, ...access }, extra } = isApp ? await this.launch.exchange(ctx) : { access: this.#checkRequest(ctx, tokenUrl) };
      const { expiresIn, omitExpiresIn, tokenType, grantScope } = ctx.faults;
      const granted = grantScope === '' ? scopes : grantScope.split(' ');
      const token = randomUUID() + randomUUID();
      this.#tokens.set(token, { ...access, scopes: granted, expires: ctx.now() + expiresIn * 1000 });
      const answer = { access_token: token, token_type: tokenType, ...(!omitExpiresIn && { expires_in: expiresIn }), scope: granted.join(' '), ...extra };
      sendJson(ctx, 200, answer, headers, 'application/json');
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error;
      sendJson(ctx, error.status, { error: error.error, error_description: error.message }, headers, 'application/json');
    }
  }

  #checkRequest(ctx, tokenUrl) {
    const { req, form, faults } = ctx;
    const bad = (text) => new OAuthError('invalid_request', text);
    if (req.method !== 'POST') throw new OAuthError('invalid_request', 'The token endpoint takes POST.', 405);
    if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(req.headers['content-type'] ?? '')) throw bad('Content-Type must be application/x-www-form-urlencoded.');
    if (req.headers.authorization) throw bad('No Authorization header here: the client authenticates by its assertion.');
    for (const name of ['scope', 'grant_type', 'client_assertion_type', 'client_assertion']) {
      if (form.getAll(name).length !== 1 || !form.get(name)) throw bad(`Parameter ${name} must be given once.`);
    }
    if (form.get('grant_type') !== 'client_credentials') throw new OAuthError('unsupported_grant_type', 'grant_type must be client_credentials.');
    if (form.get('client_assertion_type') !== ASSERTION_TYPE) throw bad(`client_assertion_type must be ${ASSERTION_TYPE}.`);
    const client = this.#checkAssertion(form.get('client_assertion'), tokenUrl, ctx.now(), faults);
    const { scopes, refused } = grant(form.get('scope'), faults.scopeDialect);
    if (scopes.length === 0) throw new OAuthError('invalid_scope', `No scope that this server knows (${faults.scopeDialect}): ${refused.join(' ')}`);
    return { client, scopes };
  }

  #checkAssertion(assertion, tokenUrl, now, { algs }) {
    const bad = (text) => new OAuthError('invalid_client', `Client assertion refused: ${text}.`, 401);
    let jwt;
    try {
      jwt = decodeJwt(assertion);
    } catch (error) {
      throw bad(error.message);
    }
    const { header, claims } = jwt;
    if (header.typ !== 'JWT') throw bad('header typ must be JWT');
    if (!algs.includes(header.alg)) throw bad(`alg ${header.alg} is not one of ${algs.join(', ')}`);
    if (header.jku !== undefined) throw bad('jku is not registered for this client');
    const client = this.#clients.get(claims.iss);
    if (!client) throw bad(`iss "${claims.iss}" is no registered client`);
    if (claims.sub !== claims.iss) throw bad('sub must equal iss');
    if (claims.aud !== tokenUrl) throw bad(`aud must be ${tokenUrl}`);
    const key = client.keys.find(({ kid }) => kid !== undefined && kid === header.kid);
    if (!key) throw bad(`kid "${header.kid}" is not in the client's JWKS`);
    if (!verifyJwt(jwt, key)) throw bad('the signature does not verify');
    const seconds = now / 1000;
    if (!Number.isInteger(claims.exp)) throw bad('exp must be a whole number of seconds');
    if (claims.exp <= seconds) throw bad('it has expired');
    if (claims.exp > seconds + MAX_LIFE) throw bad(`exp is more than ${MAX_LIFE} s ahead`);
    for (const name of ['iat', 'nbf']) if (claims[name] > seconds) throw bad(`${name} is in the future`);
    if (typeof claims.jti !== 'string' || claims.jti === '') throw bad('jti is missing');
    const jti = `${claims.iss} ${claims.jti}`;
    for (const [known, until] of this.#jtis) if (until < now) this.#jtis.delete(known);
    if (this.#jtis.has(jti)) throw bad('jti was used before');
    this.#jtis.set(jti, claims.exp * 1000);
    return claims.iss;
  }

  /**
   * Checks the Authorization header of a request.
   * @returns {{scopes: string[]|null, patient?: string|null}} scopes null: everything; the patient in context
   * @throws {Answered} where it was refused
   */
  check(ctx) {
    const header = ctx.req.headers.authorization;
    if (this.mode === 'none') return { scopes: null };
    const { user, password, bearer } = this.secrets;
    if (this.mode === 'basic' && same(header, `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`)) return { scopes: null };
    const token = /^Bearer ([^\s]+)$/i.exec(header ?? '')?.[1];
    if (this.mode === 'bearer' && same(token, bearer)) return { scopes: null };
    const known = this.mode === 'smart' ? this.#tokens.get(token) : undefined;
    if (known && known.expires > ctx.now()) return known;
    this.#refuse(ctx, !header ? 'Authorization is missing.' : known ? 'The token has expired.' : 'The credentials are not known here.');
    throw new Answered();
  }

  #refuse(ctx, text) {
    if (ctx.faults.html401) return sendHtml(ctx, 401, text);
    const scheme = this.mode === 'basic' ? 'Basic realm="sandbox"' : 'Bearer';
    sendJson(ctx, 401, { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'login', diagnostics: text }] }, { 'WWW-Authenticate': scheme });
  }

  /**
   * Throws 403 where the scopes do not let the client read (or search) a type.
   * @returns {string|null} the patient whose compartment is all that may be seen; null: no such limit
   */
  requireScope({ scopes, patient = null }, type, action) {
    if (covers(scopes, type, action)) return null;
    if (patient !== null && covers(scopes, type, action, ['patient'])) return patient;
    throw new HttpError(403, 'forbidden', `The scopes granted do not cover ${type} (${action}).`);
  }
}

function same(given, expected) {
  const a = Buffer.from(given ?? '');
  const b = Buffer.from(expected);
  return a.length === b.length && timingSafeEqual(a, b);
}
