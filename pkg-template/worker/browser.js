/**
 * Workers of browsers for the pool.
 */
import { watchLife } from '../locks/web-locks.js';
import { compile } from '../load.js';
import { TransferPool } from './pool.js';

/** Workers unless told otherwise. */
const defaultWorkers = () => Math.min(navigator.hardwareConcurrency || 2, 4);

/**
 * A pool of dedicated workers that write into `folder`.
 * @param {import('../host.d.ts').FolderDescriptor} folder
 * @param {number} [size]
 */
export function createPool(folder, size = defaultWorkers()) {
  return new TransferPool(size, ({ onReply, onEnd, onUnable }) => {
    const worker = new Worker(new URL('./transfer.browser.js', import.meta.url), { type: 'module', name: 'smart-fetch-transfer' });
    let stopWatching = () => {};
    let isAlive = false;
    worker.onmessage = ({ data }) => {
      if (data.type !== 'alive') return onReply(data);
      isAlive = true;
      stopWatching = watchLife(data.lock, () => onEnd('the browser ended it'));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      if (isAlive) onEnd(event.message);
      else onUnable(event.message || 'its script cannot be loaded');
    };
    compile().then(
      (compiled) => worker.postMessage({ type: 'start', compiled, folder }),
      (error) => onUnable(String(error.message)),
    );
    return {
      post: (request, transfer) => worker.postMessage(request, { transfer }),
      terminate: () => {
        stopWatching();
        worker.terminate();
      },
    };
  });
}
