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
  return new TransferPool(size, ({ onReply, onEnd }) => {
    const worker = new Worker(new URL('./transfer.browser.js', import.meta.url), { type: 'module', name: 'smart-fetch transfer' });
    let stopWatching = () => {};
    worker.onmessage = ({ data }) => {
      if (data.type === 'alive') stopWatching = watchLife(data.lock, () => onEnd('the browser ended it'));
      else onReply(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      onEnd(event.message || 'its script could not be loaded');
    };
    compile().then(
      (compiled) => worker.postMessage({ type: 'start', compiled, folder }),
      (error) => onEnd(String(error.message)),
    );
    return {
      post: (request) => worker.postMessage(request),
      terminate: () => {
        stopWatching();
        worker.terminate();
      },
    };
  });
}
