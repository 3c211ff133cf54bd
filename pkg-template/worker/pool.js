/**
 * The job's side: spreads transfers over workers, started when they are needed. A worker that dies is replaced, and its
 * transfers end as broken connections do: the job tries them again. What the job writes itself is compressed by a worker, too.
 */
import { StorageError } from '../errors.js';

/** @typedef {import('../host.d.ts').Transfers} Transfers */

/**
 * A worker as the pool sees it; `node.js` (and browsers) adapt theirs.
 * @typedef {object} WorkerPort
 * @property {(request: import('./protocol.js').Request, transfer?: ArrayBuffer[]) => void} post
 * @property {() => void} terminate
 *
 * @typedef {object} Listener
 * @property {(reply: import('./protocol.js').Reply) => void} onReply
 * @property {(reason: string) => void} onEnd the worker is gone
 * @property {(reason: string) => void} onUnable no worker can be started here
 *
 * @typedef {object} Running
 * @property {(received: number, resources: number) => void} onProgress
 * @property {(result: any) => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {(reason: string) => void} onEnd the worker ended
 */

/** Texts are of one length, or little more. */
const ROUND = 64 * 1024;
/** Longer ones are a rare thing, and their memory goes. */
const MAX_SPARE = 1024 * 1024;

class Member {
  /** @type {Map<number, Running>} */
  running = new Map();
  /** @type {WorkerPort | undefined} */
  port;
}

/** @implements {Transfers} */
export class TransferPool {
  #spawn;
  #size;
  #nextId = 0;
  /** @type {Set<Member>} */
  #members = new Set();
  /** @type {ArrayBuffer[]} memory for the next texts: new memory costs more than what is written into it */
  #spare = [];

  /**
   * @param {number} size workers at most
   * @param {(listener: Listener) => WorkerPort} spawn
   */
  constructor(size, spawn) {
    this.#size = size;
    this.#spawn = spawn;
  }

  /**
   * The member with the least to do; a new one while all are busy and there is room.
   * @param {number} size members at most
   */
  #pick(size) {
    /** @type {Member | undefined} */
    let least;
    for (const member of this.#members) {
      if (!least || member.running.size < least.running.size) least = member;
    }
    if (least && (least.running.size === 0 || this.#members.size >= size)) return least;
    const member = new Member();
    member.port = this.#spawn({
      onReply: (reply) => this.#onReply(member, reply),
      onEnd: (reason) => this.#onEnd(member, reason),
      onUnable: (reason) => this.#onUnable(member, reason),
    });
    this.#members.add(member);
    return member;
  }

  /**
   * @param {import('../host.d.ts').TransferTask} task
   * @param {import('../host.d.ts').OnProgress} onProgress
   */
  start(task, onProgress) {
    const member = this.#pick(this.#size);
    const id = this.#nextId++;
    const outcome = /** @type {Promise<import('../host.d.ts').TransferOutcome>} */ (new Promise((resolve, reject) => {
      let soFar = 0;
      member.running.set(id, {
        onProgress(received, resources) {
          soFar = received;
          onProgress(received, resources);
        },
        resolve,
        reject,
        onEnd(reason) {
          const message = `the worker that fetched the file ended: ${reason}`;
          resolve({ broken: { error: { kind: 'interrupted', message }, received: soFar } });
        },
      });
    }));
    member.port?.post({ type: 'transfer', id, task });
    return {
      outcome: () => outcome,
      abort: () => {
        // The reply, when it comes, finds nobody waiting.
        if (member.running.delete(id)) member.port?.post({ type: 'abort', id });
      },
    };
  }

  /**
   * On one worker: the job's thread makes text no faster than that one compresses it.
   * @param {Uint8Array} text valid only until this returns
   */
  gzip(text) {
    const member = this.#pick(1);
    const id = this.#nextId++;
    const made = /** @type {Promise<Uint8Array>} */ (new Promise((resolve, reject) => {
      const onEnd = (/** @type {string} */ reason) => reject(new StorageError('other', `the worker that compressed the rows ended: ${reason}`));
      member.running.set(id, { onProgress() {}, resolve, reject, onEnd });
    }));
    // The job may have ended for another reason.
    made.catch(() => {});
    const spare = this.#spare.pop();
    const buffer = spare && spare.byteLength >= text.length ? spare : new ArrayBuffer(Math.ceil(text.length / ROUND) * ROUND);
    const copy = new Uint8Array(buffer, 0, text.length);
    copy.set(text);
    member.port?.post({ type: 'gzip', id, text: copy }, [buffer]);
    return made;
  }

  /**
   * @param {Member} member
   * @param {import('./protocol.js').Reply} reply
   */
  #onReply(member, reply) {
    if (reply.type === 'panic') {
      // An instance that has panicked is in no known state.
      member.port?.terminate();
      this.#onEnd(member, reply.message);
      return;
    }
    if (reply.type === 'member' && reply.text.length <= MAX_SPARE) this.#spare.push(/** @type {ArrayBuffer} */ (reply.text.buffer));
    const running = member.running.get(reply.id);
    if (!running) return;
    if (reply.type === 'progress') {
      running.onProgress(reply.received, reply.resources);
      return;
    }
    member.running.delete(reply.id);
    if (reply.type === 'outcome') running.resolve(reply.outcome);
    else if (reply.type === 'member') running.resolve(reply.member);
    else running.reject(reply.error);
  }

  /**
   * @param {Member} member
   * @param {string} reason
   */
  #onEnd(member, reason) {
    if (!this.#members.delete(member)) return;
    for (const { onEnd } of member.running.values()) onEnd(reason);
    member.running.clear();
  }

  /**
   * Trying again would not help.
   * @param {Member} member
   * @param {string} reason
   */
  #onUnable(member, reason) {
    if (!this.#members.delete(member)) return;
    const error = {
      kind: 'unsupported',
      operation: 'download',
      message: `The worker that fetches files cannot be started: ${reason}.`,
      hint: 'Look whether the scripts of smart-fetch are served whole, or do without workers (workers: 0).',
      retry: false,
      exitStatus: 1,
    };
    for (const { reject } of member.running.values()) reject(error);
    member.running.clear();
  }

  /** Ends all workers, whatever they do. */
  close() {
    for (const member of this.#members) member.port?.terminate();
    this.#members.clear();
    this.#spare = [];
  }
}
