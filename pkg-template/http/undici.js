/**
 * The parts of undici that are used, one by one: all of it (fetch, WebSocket, mocks …) takes 50 ms more to load, and 4 MB
 * more in each worker. `package.json` names the exact version, since these paths are not undici's public ones.
 */
// @ts-ignore single files have no types
import connect from 'undici/lib/api/api-connect.js';
// @ts-ignore
import buildConnectorOf from 'undici/lib/core/connect.js';
// @ts-ignore
import agent from 'undici/lib/dispatcher/agent.js';
// @ts-ignore
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
// @ts-ignore
import envHttpProxyAgent from 'undici/lib/dispatcher/env-http-proxy-agent.js';
// @ts-ignore
import pool from 'undici/lib/dispatcher/pool.js';

// As undici's index does for all of its API; tunnels through proxies are made with it.
Dispatcher.prototype.connect ??= connect;

export const Agent = /** @type {typeof import('undici').Agent} */ (agent);
export const EnvHttpProxyAgent = /** @type {typeof import('undici').EnvHttpProxyAgent} */ (envHttpProxyAgent);
export const Pool = /** @type {typeof import('undici').Pool} */ (pool);
export const buildConnector = /** @type {typeof import('undici').buildConnector} */ (buildConnectorOf);
