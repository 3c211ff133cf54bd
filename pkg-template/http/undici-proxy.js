/**
 * The parts of undici that go through proxies, loaded where there is one. See undici.js for why they are named one by one.
 */
// @ts-ignore single files have no types
import connect from 'undici/lib/api/api-connect.js';
// @ts-ignore
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
// @ts-ignore
import envHttpProxyAgent from 'undici/lib/dispatcher/env-http-proxy-agent.js';
// @ts-ignore
import pool from 'undici/lib/dispatcher/pool.js';

// As undici's index does for all of its API; tunnels through proxies are made with it.
Dispatcher.prototype.connect ??= connect;

export const EnvHttpProxyAgent = /** @type {typeof import('undici').EnvHttpProxyAgent} */ (envHttpProxyAgent);
export const Pool = /** @type {typeof import('undici').Pool} */ (pool);
