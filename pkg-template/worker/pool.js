/**
 * The job's side: spreads transfers over workers, started when they are needed. A worker that dies is replaced, and its
 * transfers end as broken connections do: the job tries them again.
 */

/** @typedef {import('../host.d.ts').Transfers} Transfers */

/**
 * A worker as the pool sees it; `node.js` (and browsers) adapt theirs.
 * @typedef {object} WorkerPort
 * @property {(request: import('./protocol.js').Request) => void} post
 * @property {() => void} terminate
 *
 * @typedef {object} Listener
 * @property {(reply: import('./protocol.js').Reply) => void} onReply
 * @property {(reason: string) => void} onEnd the worker is gone
 * @property {(reason: string) => void} onUnable no worker can be started here
 *
 * @typedef {object} Running
 * @property {import('../host.d.ts').OnProgress} onProgress
 * @property {number} received
 * @property {(outcome: import('../host.d.ts').TransferOutcome) => void} resolve
 * @property {(error: unknown) => void} reject
 */

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

  /**
   * @param {number} size workers at most
   * @param {(listener: Listener) => WorkerPort} spawn
   */
  constructor(size, spawn) {
    this.#size = size;
    this.#spawn = spawn;
  }

  /** The member with the least to do; a new one while all are busy and there is room. */
  #pick() {
    /** @type {Member | undefined} */
    let least;
    for (const member of this.#members) {
      if (!least || member.running.size < least.running.size) least = member;
    }
    if (least && (least.running.size === 0 || this.#members.size >= this.#size)) return least;
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
    const member = this.#pick();
    const id = this.#nextId++;
    const outcome = /** @type {Promise<import('../host.d.ts').TransferOutcome>} */ (new Promise((resolve, reject) => {
      member.running.set(id, { onProgress, received: 0, resolve, reject });
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
    const running = member.running.get(reply.id);
    if (!running) return;
    if (reply.type === 'progress') {
      running.received = reply.received;
      running.onProgress(reply.received, reply.resources);
      return;
    }
    member.running.delete(reply.id);
    if (reply.type === 'outcome') running.resolve(reply.outcome);
    else running.reject(reply.error);
  }

  /**
   * @param {Member} member
   * @param {string} reason
   */
  #onEnd(member, reason) {
    if (!this.#members.delete(member)) return;
    for (const { resolve, received } of member.running.values()) {
      const message = `the worker that fetched the file ended: ${reason}`;
      resolve({ broken: { error: { kind: 'interrupted', message }, received } });
    }
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
  }
}
