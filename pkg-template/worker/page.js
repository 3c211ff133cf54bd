/**
 * The page's side of the worker that has the core: one for the page, started when it is needed. If it dies, what it was doing
 * ends with an error that says so, and the next call starts another one.
 */
import { SmartFetchError } from '../errors.js';
import { watchLife } from '../locks/web-locks.js';
import { internal } from '../run.js';

/** @typedef {import('../folder.js').Access} Access */

/**
 * @typedef {object} Waiting
 * @property {(value: any) => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {(event: any) => void} [onEvent]
 * @property {(source: number) => Promise<import('../host.d.ts').HostToken>} [token]
 */

class CoreWorker {
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #nextId = 0;
  #worker;
  #stopWatching = () => {};
  #ended = false;
  #alive = false;

  constructor() {
    this.#worker = new Worker(new URL('./core.worker.js', import.meta.url), { type: 'module', name: 'smart-fetch' });
    this.#worker.onmessage = ({ data }) => this.#onReply(data);
    this.#worker.onmessageerror = () => this.end('a message could not be read');
    this.#worker.onerror = (event) => {
      event.preventDefault();
      // Without a message: the script could not be loaded.
      this.end(event.message || 'its script cannot be loaded');
    };
  }

  get ended() {
    return this.#ended;
  }

  /** @param {import('./core-protocol.js').Reply} reply */
  #onReply(reply) {
    if (reply.type === 'alive') {
      this.#alive = true;
      this.#stopWatching = watchLife(reply.lock, () => this.end('the browser ended it'));
      return;
    }
    if (reply.type === 'panic') return this.end(reply.message);
    const waiting = this.#waiting.get(reply.id);
    if (!waiting) return;
    if (reply.type === 'event') {
      waiting.onEvent?.(reply.event);
      return;
    }
    if (reply.type === 'askToken') {
      this.#answer(reply, waiting);
      return;
    }
    this.#waiting.delete(reply.id);
    if (reply.type === 'result') waiting.resolve(reply.value);
    else waiting.reject(new SmartFetchError(reply.error));
  }

  /**
   * @param {Extract<import('./core-protocol.js').Reply, { type: 'askToken' }>} question
   * @param {Waiting} waiting
   */
  async #answer({ id, question, source }, { token }) {
    try {
      this.#post({ type: 'token', id, question, token: await token?.(source) });
    } catch (error) {
      this.#post({ type: 'token', id, question, problem: String(/** @type {any} */ (error)?.message ?? error) });
    }
  }

  /** @param {string} reason */
  end(reason) {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopWatching();
    this.#worker.terminate();
    const error = this.#alive ? internal(`The worker of smart-fetch has ended: ${reason}.`) : unable(reason);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  /**
   * @param {string} method
   * @param {any[]} args
   * @param {import('../client.js').Control} control
   */
  call(method, args, { cancelled, onEvent, pause, token }) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, onEvent, token });
      this.#post({ type: 'call', id, method, args });
      cancelled?.then(() => this.#waiting.has(id) && this.#post({ type: 'cancel', id }));
      if (pause) {
        const tell = (/** @type {boolean} */ paused) => this.#waiting.has(id) && this.#post({ type: 'pause', id, paused });
        pause.onChange = tell;
        if (pause.paused) tell(true);
      }
    });
  }

  /** @param {import('./core-protocol.js').Request} request */
  #post(request) {
    this.#worker.postMessage(request);
  }
}

/** @param {string} reason */
const unable = (reason) =>
  new SmartFetchError({
    kind: 'unsupported',
    operation: 'start',
    message: `The worker of smart-fetch cannot be started: ${reason}.`,
    hint: 'Look whether its scripts are served whole, from the origin of the page, and allowed by its content policy (worker-src).',
    retry: false,
    exitStatus: 1,
  });

/** @type {CoreWorker | undefined} */
let current;

/**
 * Calls a method of the worker (`worker/core.js`).
 * @param {string} method
 * @param {any[]} args plain data, handles, keys
 * @param {import('../client.js').Control} [control]
 * @returns {Promise<any>}
 */
export async function call(method, args, control = {}) {
  if (!current || current.ended) current = new CoreWorker();
  return current.call(method, args, control);
}

/** @implements {Access} */
export class RemoteAccess {
  /** @param {{ descriptor: import('../host.d.ts').FolderDescriptor, reason?: string, warning?: string }} opened */
  constructor({ descriptor, reason, warning }) {
    this.descriptor = descriptor;
    this.reason = reason;
    this.warning = warning;
  }

  get name() {
    return this.descriptor.kind === 'picked' ? this.descriptor.handle.name : /** @type {{ name: string }} */ (this.descriptor).name;
  }

  get storage() {
    return this.descriptor.kind;
  }

  view() {
    return call('view', [this.descriptor]);
  }

  /**
   * @param {string} path
   * @param {boolean} decode
   */
  async *bytes(path, decode) {
    const stream = await call('openStream', [this.descriptor, path, decode]);
    try {
      for (;;) {
        const bytes = await call('readStream', [stream]);
        if (bytes === undefined) return;
        yield bytes;
      }
    } finally {
      // A worker that has ended has closed it already.
      call('closeStream', [stream]).catch(() => {});
    }
  }

  /** @param {string} path */
  blob(path) {
    return call('blob', [this.descriptor, path]);
  }

  contents() {
    return call('contents', [this.descriptor]);
  }

  remove() {
    return call('remove', [this.descriptor]);
  }
}
