/**
 * A transfer worker in browsers: an instance of the core of its own, the folder of the job.
 */
import { clock, random } from '../clock.js';
import { instantiate } from '../load.js';
import { holdForLife } from '../locks/web-locks.js';
import { openBackend } from '../storage/choose.js';
import { serve } from './serve.js';

/** @type {(message: any) => void} */
let start = () => {};
/** @type {Promise<(request: any) => void>} */
const handler = new Promise((resolve) => (start = resolve)).then(async (message) => {
  const { compiled, folder } = /** @type {any} */ (message);
  // `fetch`, in the core.
  const host = { storage: openBackend(folder), clock, random };
  return serve(await instantiate(compiled), host, (reply, transfer) => self.postMessage(reply, { transfer }));
});

self.onmessage = ({ data }) => {
  if (data.type === 'start') start(data);
  else handler.then((handle) => handle(data));
};

// Thrown where the worker's `error` event tells the pool.
handler.catch((error) => setTimeout(() => { throw error; }));

const lock = `smart-fetch:alive:${crypto.randomUUID()}`;
holdForLife(lock).then(() => self.postMessage({ type: 'alive', lock }));
