/**
 * The worker's side of the pool, the same in Node and browsers: runs transfers in its own instance of the core.
 */
import { PROGRESS_INTERVAL } from './protocol.js';

/**
 * @param {import('../host.d.ts').Core} core
 * @param {import('../host.d.ts').Host} host
 * @param {(reply: import('./protocol.js').Reply, transfer?: ArrayBuffer[]) => void} post
 * @returns {(request: import('./protocol.js').Request) => void} takes a message
 */
export function serve(core, host, post) {
  /** @type {Map<number, () => void>} */
  const running = new Map();
  core.onPanic((message) => post({ type: 'panic', message }));

  /**
   * @param {number} id
   * @param {import('../host.d.ts').TransferTask} task
   */
  async function run(id, task) {
    const cancelled = new Promise((resolve) => running.set(id, () => resolve(undefined)));
    let next = 0;
    try {
      const outcome = await core.transfer(
        host,
        task,
        (received, resources) => {
          const now = performance.now();
          if (now < next) return;
          next = now + PROGRESS_INTERVAL;
          post({ type: 'progress', id, received, resources });
        },
        cancelled,
      );
      post({ type: 'outcome', id, outcome });
    } catch (error) {
      post({ type: 'failed', id, error });
    } finally {
      // Lets the promise go, and with it what waits for it.
      running.get(id)?.();
      running.delete(id);
    }
  }

  /**
   * @param {number} id
   * @param {Uint8Array} text
   */
  function gzip(id, text) {
    try {
      const member = core.gzip(text);
      // The text goes back, so that its memory serves again.
      post({ type: 'member', id, member, text }, [/** @type {ArrayBuffer} */ (member.buffer), /** @type {ArrayBuffer} */ (text.buffer)]);
    } catch (error) {
      post({ type: 'failed', id, error });
    }
  }

  return (request) => {
    if (request.type === 'transfer') run(request.id, request.task);
    else if (request.type === 'gzip') gzip(request.id, request.text);
    else running.get(request.id)?.();
  };
}
