/**
 * A transfer worker in Node (`worker_threads`).
 */
import { parentPort, workerData } from 'node:worker_threads';

import { clock, random } from '../clock.js';
import { createHttp } from '../http/node.js';
import { instantiate } from '../load-node.js';
import { NodeFolder } from '../storage/node-fs.js';
import { serve } from './serve.js';
import { keepTidy } from './tidy-node.js';

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
/** @type {{ compiled: import('../load-node.js').Compiled, folder: { path: string } }} */
const { compiled, folder } = workerData;

keepTidy();
const core = await instantiate(compiled);
const host = { http: await createHttp(), storage: new NodeFolder(folder.path), clock, random };
port.on('message', serve(core, host, (reply, transfer) => port.postMessage(reply, transfer)));
