// The relay: passes requests of our own page on to the FHIR servers that were named, because those may not allow a page of
// another origin (CORS). Nobody else may use it: see `guard.js`.
//
// The address `/relay/https:ehr.example/fhir/…` means `https://ehr.example/fhir/…`. To the browser all servers behind the relay
// are one origin, so it is the relay that keeps them apart: each server has a secret of its own, which names the server that a
// client means, and credentials go to that server's origin only, and to those that the user names for it.
import { randomBytes } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { EnvHttpProxyAgent } from 'undici';
import { sameSecret } from './guard.js';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'DELETE']);

/** Not passed on: what ends at each hop (RFC 9110 §7.6.1), cookies, and what is about the page rather than the request. */
const DROPPED = new Set([
  'connection', 'keep-alive', 'proxy-connection', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect', 'host',
  'cookie', 'origin', 'referer', 'x-relay-secret', 'forwarded', 'dnt', 'priority', 'upgrade-insecure-requests', 'save-data',
]);
const DROPPED_BEGINNING = /^(sec-|access-control-|x-forwarded-)/;

/** All that passes to another server than the one meant: no credentials, and no header that might be one. */
const FOREIGN = new Set(['accept', 'accept-encoding', 'accept-language', 'content-type', 'content-length', 'prefer', 'range', 'if-range', 'user-agent']);

/**
 * All that comes back. What would act on our own origin (`Set-Cookie`, `Clear-Site-Data`, `Refresh`, policies) does not.
 */
const RETURNED = new Set([
  'content-type', 'content-length', 'content-encoding', 'content-language', 'content-location', 'content-range', 'content-disposition',
  'accept-ranges', 'date', 'etag', 'expires', 'last-modified', 'location', 'retry-after', 'server', 'vary', 'warning',
]);
const RETURNED_BEGINNING = /^x-(progress|export-|request-id|correlation-id|ratelimit|rate-limit)/;

/** Longest silence of a server, in milliseconds. */
const TIMEOUT = 300_000;

/**
 * @param {URL[]} servers FHIR base URLs; only their origins are reached, and `tokenOrigins`
 * @param {string[]} [tokenOrigins] origins that may see the credentials for any of the servers, such as their file servers
 */
export function createRelay(servers, tokenOrigins = []) {
  // As the transport of the package: loopback never goes through a proxy.
  const noProxy = `${process.env.no_proxy ?? process.env.NO_PROXY ?? ''},localhost,127.0.0.1,[::1]`;
  const agent = new EnvHttpProxyAgent({ headersTimeout: TIMEOUT, bodyTimeout: TIMEOUT, noProxy });
  /** Secret by origin. @type {Map<string, string>} */
  const secrets = new Map(servers.map(({ origin }) => [origin, randomBytes(32).toString('base64url')]));
  const nameOf = (origin) => origin.replace('//', '');
  const byName = new Map([...secrets.keys(), ...tokenOrigins].map((origin) => [nameOf(origin), origin]));

  /** Where the page finds `url`; undefined if that is on no origin of ours. */
  const pathOf = (url) => (byName.has(nameOf(url.origin)) ? `/relay/${nameOf(url.origin)}${url.pathname}${url.search}` : undefined);

  /** The origin of the server that the client means, by the secret that it has. */
  function homeOf(request) {
    const given = String(request.headers['x-relay-secret'] ?? '');
    let home;
    for (const [origin, secret] of secrets) if (sameSecret(given, secret)) home = origin;
    return home;
  }

  /** The headers of the answer, or what is wrong with it. */
  function returned(answer, from) {
    const headers = {};
    for (const [name, value] of Object.entries(answer.headers)) {
      if (RETURNED.has(name) || RETURNED_BEGINNING.test(name)) headers[name] = value;
    }
    // Relative to the server's address, not to ours.
    if (headers['content-location'] !== undefined) headers['content-location'] = resolved(headers['content-location'], from)?.href;
    if (headers['content-location'] === undefined) delete headers['content-location'];
    if (headers.location === undefined) return { headers };
    const target = resolved(headers.location, from);
    if (answer.statusCode < 300 || answer.statusCode >= 400) return { headers: { ...headers, location: target?.href ?? headers.location } };
    // The browser follows redirects by itself: only where the relay may go, and never away from TLS.
    if (target === undefined) return { problem: `${from.origin} redirects to an address that is none.` };
    if (from.protocol === 'https:' && target.protocol !== 'https:') return { problem: `${from.origin} redirects to plain http (${target.origin}).` };
    const path = pathOf(target);
    if (path === undefined) {
      return { problem: `${from.origin} redirects to ${target.origin}, which this relay may not reach. Start it with --server ${target.origin} too.` };
    }
    return { headers: { ...headers, location: path } };
  }

  return {
    /** For the page: where each server is behind the relay (`fhirUrl`), and what the option `relay` of the package's `Client` needs. */
    describe: (base) =>
      servers.map((server) => ({
        server: server.href.replace(/\/$/, ''),
        fhirUrl: `${base}${pathOf(server)}`.replace(/\/$/, ''),
        rewriteUrls: [...byName].map(([name, origin]) => [`${origin}/`, `${base}/relay/${name}/`]),
        headers: { 'X-Relay-Secret': secrets.get(server.origin) },
        tokenOrigins,
      })),

    /**
     * @param {import('node:http').IncomingMessage} request its URL begins with `/relay/`
     * @param {import('node:http').ServerResponse} response
     */
    async handle(request, response) {
      const home = homeOf(request);
      if (home === undefined) return refuse(response, 403, 'The relay is for its own page, which knows its secret.');
      if (!METHODS.has(request.method)) return refuse(response, 405, `The relay does not pass on ${request.method}.`);
      const [, name, rest = ''] = /^\/relay\/([^/?]+)(.*)$/s.exec(request.url) ?? [];
      const path = rest.startsWith('/') ? rest : `/${rest}`;
      const origin = byName.get(name);
      if (origin === undefined) return refuse(response, 403, 'The relay may not reach this server. Start it with --server and its URL.');

      const stop = new AbortController();
      response.once('close', () => stop.abort());
      let answer;
      try {
        const headers = passedOn(request.headers, origin === home || tokenOrigins.includes(origin));
        const body = request.headers['content-length'] > 0 || request.headers['transfer-encoding'] !== undefined ? request : undefined;
        answer = await agent.request({ origin, path, method: request.method, headers, body, signal: stop.signal });
      } catch (error) {
        if (stop.signal.aborted) return undefined;
        return refuse(response, 502, `${origin} could not be reached: ${error.code ?? error.name}.`);
      }
      const { headers, problem } = returned(answer, new URL(origin + path));
      if (problem !== undefined) {
        answer.body.destroy().on('error', () => {});
        return refuse(response, 403, problem);
      }
      response.writeHead(answer.statusCode, headers);
      // An answer that breaks off breaks off here too, so that nobody takes half a body for a whole one.
      return pipeline(answer.body, response).catch(() => response.destroy());
    },

    close: () => agent.destroy(),
  };
}

/** The request headers that pass; to another server than the one meant, only harmless ones. */
function passedOn(headers, isHome) {
  const hop = new Set(String(headers.connection ?? '').toLowerCase().split(/\s*,\s*/));
  const passes = (name) => (isHome ? !DROPPED.has(name) && !DROPPED_BEGINNING.test(name) && !hop.has(name) : FOREIGN.has(name));
  return Object.fromEntries(Object.entries(headers).filter(([name]) => passes(name)));
}

function resolved(reference, base) {
  return URL.canParse(reference, base) ? new URL(reference, base) : undefined;
}

/** An OperationOutcome, since that is what a FHIR client reads. */
function refuse(response, status, diagnostics) {
  const issue = [{ severity: 'error', code: status === 502 ? 'transient' : 'forbidden', diagnostics }];
  response.writeHead(status, { 'content-type': 'application/fhir+json' });
  response.end(JSON.stringify({ resourceType: 'OperationOutcome', issue }));
}
