// The embedded FHIR server: for developing and testing bulk clients against. See README.md beside this file.
import { SandboxServer } from './server.js';
import { Store } from './data/store.js';
import { selfSigned } from './tls.js';

export { encodeSegment, FaultError, FAULTS, parseFaults } from './faults.js';

const CORS = ['full', 'no-expose', 'none'];
// OpenSSL 3 speaks the old versions only at security level 0.
const OLD_TLS = { minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' };
const AUTH = ['none', 'smart', 'basic', 'bearer'];

/**
 * Starts the server.
 * @param {object} [options]
 * @param {number} [options.port] 0: any free one
 * @param {string} [options.host]
 * @param {string} [options.basePath] path of the FHIR base
 * @param {string} [options.data] folder of `Type.*.ndjson[.gz]`; without it, data is generated
 * @param {number} [options.patients] patients to generate
 * @param {number} [options.seed] the same seed gives the same data
 * @param {boolean} [options.references] generate something for each hydration task as well (data/references.js)
 * @param {number} [options.revision] how often the EHR has changed since (data/revision.js)
 * @param {'full'|'no-expose'|'none'} [options.cors]
 * @param {'none'|'smart'|'basic'|'bearer'} [options.auth]
 * @param {{user?: string, password?: string, bearer?: string}} [options.secrets] for auth basic and bearer
 * @param {object} [options.jwks] public keys of a client, registered as `options.clientId`
 * @param {string} [options.clientId]
 * @param {object} [options.faults] by name, see README.md
 * @param {boolean} [options.secondOrigin] open the second listener now; else when a fault first needs it
 * @param {boolean} [options.quiet] taken for symmetry with the command; the module itself never prints
 * @param {number} [options.keepRequests] how many requests are remembered
 * @param {boolean} [options.tls] https with a self-signed certificate for localhost and 127.0.0.1
 * @param {string} [options.tlsMaxVersion] such as 'TLSv1.1', to be refused
 * @param {(route: string) => Promise<void> | undefined} [options.hold] called before each answer, which waits for what it
 *   returns; `route` is `files`, `status`, `kickoff`, … For tests that decide when the server goes on
 * @param {boolean} [options.otherTls] false: with tls, the second listener stays plain http (redirects from https to http)
 */
export async function startSandbox({
  port = 0, host = '127.0.0.1', basePath = '/fhir', data, patients = 20, seed = 1, references = false, revision = 0, cors = 'full', auth = 'none', secrets, jwks, clientId,
  faults = {}, secondOrigin = false, keepRequests = 20_000, tls = false, tlsMaxVersion, otherTls = true, hold,
} = {}) {
  if (!CORS.includes(cors)) throw new Error(`cors must be one of ${CORS.join(', ')}, not "${cors}".`);
  if (!AUTH.includes(auth)) throw new Error(`auth must be one of ${AUTH.join(', ')}, not "${auth}".`);
  if (!Number.isInteger(patients) || patients < 0) throw new Error(`patients must be a whole number, not "${patients}".`);
  const certificate = tls ? selfSigned() : null;
  const opener = async (source) => {
    const folder = source.data === undefined ? null : await Store.openFolder(source.data);
    const stamp = source.stamp ?? new Date().toISOString();
    if (folder) folder.deletions = { references: source.deleted ?? [], time: Date.parse(stamp) };
    return async ({ origin, otherOriginUrl, signal }) => folder ?? Store.openGenerated({ ...source, stamp, signal, base: origin + basePath, otherOrigin: otherOriginUrl });
  };
  const source = { data, patients, seed, references, revision };
  const server = new SandboxServer({
    host, port, basePath, cors, auth, secrets, faults, secondOrigin, keepRequests, otherTls, hold, tls: certificate && { ...certificate, ...(tlsMaxVersion && OLD_TLS), maxVersion: tlsMaxVersion },
    openStore: await opener(source),
  });
  await server.start();
  server.store().catch(() => {}); // begun now so that it is ready sooner; whoever asks for data gets the error
  const tokenUrl = `${server.origin}/auth/token`;
  const client = auth === 'smart' ? await server.auth.makeClient(tokenUrl) : null;
  if (auth === 'smart' && jwks) server.auth.register(jwks, clientId);
  return {
    /** FHIR base URL */
    url: server.origin + basePath,
    origin: server.origin,
    get otherOrigin() { return server.otherOriginUrl; },
    /** Requests seen: {time, method, url, headers, body, status, origin} */
    get requests() { return server.log.list(); },
    clearRequests: () => server.log.clear(),
    stats: server.stats,
    /** Replaces all faults; jobs keep those of their kick-off. */
    setFaults: (values) => server.setFaults(values),
    /**
     * Serves other data: `{ revision: 1 }` is generated data after some time has passed in the EHR (data/revision.js),
     * changed things stamped now, or with the instant `stamp`. `{ data: folder, deleted: ['Patient/4'] }` serves another
     * folder, and says to bulk exports with `_since` what has been deleted (at `stamp`).
     */
    setData: async (changes) => { await server.setStore(await opener({ ...source, ...changes })); },
    client,
    /** With tls: the certificate as PEM, to be trusted by clients */
    ca: certificate?.cert ?? null,
    /** For auth 'basic' and 'bearer' */
    secrets: server.auth.secrets,
    /** Makes all tokens invalid; with `true` the refresh tokens of apps too. */
    revokeTokens: (refreshToo) => server.auth.revokeAll(refreshToo),
    close: () => server.close(),
  };
}
