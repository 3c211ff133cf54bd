/**
 * HTTP for Node: raw gzip is kept, redirects are the core's, URLs go out byte for byte. Over sockets; through proxies by undici.
 */
import { TransportError } from '../errors.js';
import { Sockets } from './sockets.js';

/**
 * A transport with connections of its own. Proxies come from `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`; loopback never
 * goes through one. The number of connections is the core's to limit.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<import('../host.d.ts').Transport>}
 */
export async function createHttp(env = process.env) {
  const proxies = { http: proxyUrl(env, 'HTTP_PROXY'), https: proxyUrl(env, 'HTTPS_PROXY'), not: env.no_proxy ?? env.NO_PROXY ?? '' };
  if (proxies.http === '' && proxies.https === '') return new Sockets();
  const { Proxied } = await import('./proxied.js');
  return new Proxied(proxies);
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string} name
 */
function proxyUrl(env, name) {
  const value = (env[name.toLowerCase()] ?? env[name] ?? '').trim();
  if (value === '') return '';
  const url = value.includes('://') ? value : `http://${value}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    // Without the value: it may hold a password.
    throw new TransportError('invalid', `${name} is no URL of a proxy; write for example http://proxy.example:3128`);
  }
  return url;
}
