/**
 * Workers of Node for the pool.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

import { compile } from '../load-node.js';
import { TransferPool } from './pool.js';

/** What the transfers of a worker may use of the JS heap, in MB: the data itself is in wasm memory and buffers. */
const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 };

/** Workers unless told otherwise. */
export const defaultWorkers = () => Math.min(availableParallelism(), 4);

/**
 * A pool of worker threads that write into `folder`.
 * @param {import('../host.d.ts').FolderDescriptor} folder
 * @param {number} [size]
 */
export function createPool(folder, size = defaultWorkers()) {
  return new TransferPool(size, ({ onReply, onEnd }) => {
    const worker = new Worker(new URL('./transfer.worker.js', import.meta.url), {
      workerData: { compiled: compile(), folder },
      resourceLimits: LIMITS,
      // Not the program's own: some, such as --input-type, a worker refuses.
      execArgv: [],
    });
    worker.on('message', onReply);
    worker.on('error', (error) => onEnd(error.message));
    worker.on('exit', (code) => onEnd(`exit code ${code}`));
    return { post: (request, transfer) => worker.postMessage(request, transfer), terminate: () => void worker.terminate() };
  });
}
