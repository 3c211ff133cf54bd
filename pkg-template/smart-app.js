/**
 * A `fhirclient` session as credentials: its server, its token, its refresh.
 */
import { usage } from './errors.js';

/** fhirclient renews a token so long before its end, in seconds; we do not hand out what it would renew. */
const MARGIN = 10;

/**
 * The clients of SMART apps, on top of those of an environment.
 * @param {new (options: import('./index.d.ts').ClientOptions) => import('./client.js').Client} Client
 */
export function smartApp(Client) {
  class SmartAppClient extends Client {
    /** @type {string | null} */
    patient = null;
    /** @type {string | null} */
    user = null;
  }
  /**
   * @param {import('./index.d.ts').SmartSession} session
   * @param {Omit<import('./index.d.ts').ClientOptions, 'fhirUrl' | 'auth' | 'bulkAuth'>} [options]
   */
  const fromSmartClient = (session, options) => {
    const { options: own, context } = ofSession(session);
    return Object.assign(new SmartAppClient({ ...options, ...own }), context);
  };
  return { SmartAppClient, fromSmartClient };
}

/**
 * What a client needs to know of a session.
 * @param {import('./index.d.ts').SmartSession} session
 * @returns {{ options: import('./index.d.ts').ClientOptions, context: { patient: string | null, user: string | null } }}
 */
function ofSession(session) {
  const fhirUrl = session?.state?.serverUrl;
  if (typeof fhirUrl !== 'string' || fhirUrl === '') {
    throw usage('The session names no server.', 'Give what FHIR.oauth2.ready() of fhirclient resolves to.');
  }
  const { username, password } = session.state;
  /** @type {import('./index.d.ts').Auth} */
  let auth = 'none';
  if (tokenOf(session) !== undefined) auth = { token: ({ again }) => current(session, again) };
  else if (username && password) auth = { user: username, password };
  const user = /** @type {string | null} */ (session.user?.fhirUser ?? null);
  return { options: { fhirUrl, auth }, context: { patient: session.patient?.id ?? null, user: relative(user, fhirUrl) } };
}

/** @param {import('./index.d.ts').SmartSession} session */
const tokenOf = (session) => session.state.tokenResponse?.access_token;

/**
 * The session's token; a new one where the core has had it before, and so does not want it any more, or it ends.
 * @param {import('./index.d.ts').SmartSession} session
 * @param {boolean} again
 */
async function current(session, again) {
  const left = () => (session.state.expiresAt ? session.state.expiresAt - Date.now() / 1000 : undefined);
  const isEnding = (left() ?? Infinity) < MARGIN;
  if ((again || isEnding) && session.state.tokenResponse?.refresh_token) {
    await session.refresh().catch((error) => {
      throw new Error(`the session could not be refreshed, launch the app again (${error.message})`);
    });
  } else if ((left() ?? Infinity) <= 0) {
    throw new Error('the session has ended and has no refresh token (scope online_access or offline_access): launch the app again');
  }
  return { token: /** @type {string} */ (tokenOf(session)), expiresIn: left() };
}

/**
 * `Practitioner/1`, as references are, of what an ID token has as a URL.
 * @param {string | null} user
 * @param {string} base
 */
function relative(user, base) {
  const prefix = `${base.replace(/\/+$/, '')}/`;
  return user?.startsWith(prefix) ? user.slice(prefix.length) : user;
}
