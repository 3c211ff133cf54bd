/**
 * The parts of undici that are used, one by one: all of it (fetch, WebSocket, mocks …) takes 50 ms more to load, and 4 MB
 * more in each worker. `package.json` takes no other minor version, since these paths are not undici's public ones.
 */
// @ts-ignore single files have no types
import buildConnectorOf from 'undici/lib/core/connect.js';
// @ts-ignore
import client from 'undici/lib/dispatcher/client.js';

export const Client = /** @type {typeof import('undici').Client} */ (client);
/** @typedef {import('undici').Client} Client */
export const buildConnector = /** @type {typeof import('undici').buildConnector} */ (buildConnectorOf);
