// A headless Chromium with a profile of its own, spoken to over its debugging protocol, because that shows the memory of every
// worker, also of those that workers start.
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { WebSocket } from 'undici';
import { Failure } from '../../scripts/lib/run.mjs';
import { peakOf } from './measure.mjs';

const FLAGS = [
  '--headless=new', '--remote-debugging-port=0', '--no-first-run', '--no-sandbox', '--disable-gpu', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--disable-background-timer-throttling',
];

/** How often memory is looked at, in ms. */
const EVERY = 100;

/** Where the pages put how much memory their instance of the core has, if they have one (`site.mjs`). */
const WASM_BYTES = 'globalThis.benchWasmBytes?.() ?? 0';

/** One connection for all targets: `session` says which. */
class Protocol {
  #socket;
  #next = 1;
  #waiting = new Map();
  /** The sessions of pages and workers that there are now. */
  sessions = new Set();
  onConsole = () => {};

  async open(url) {
    this.#socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      this.#socket.onopen = resolve;
      this.#socket.onerror = () => reject(new Failure('Chromium cannot be spoken to.'));
    });
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    this.#socket.onclose = () => {
      for (const { reject } of this.#waiting.values()) reject(new Failure('Chromium is gone.'));
      this.#waiting.clear();
    };
  }

  #take({ id, result, error, method, params }) {
    if (id !== undefined) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result);
    } else if (method === 'Target.attachedToTarget') {
      this.sessions.add(params.sessionId);
      this.attach(params.sessionId).catch(() => {}); // it may be gone already
    } else if (method === 'Target.detachedFromTarget') this.#forget(params.sessionId);
    else if (method === 'Inspector.targetCrashed') this.onConsole('The page crashed.');
  }

  /** What was asked of a target that is gone is never answered. */
  #forget(sessionId) {
    this.sessions.delete(sessionId);
    for (const [id, { reject, sessionId: asked }] of this.#waiting) {
      if (asked !== sessionId) continue;
      this.#waiting.delete(id);
      reject(new Failure('The target is gone.'));
    }
  }

  send(method, params = {}, sessionId = undefined) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject, sessionId });
      this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }

  /** Lets what a target starts be attached too. */
  attach(sessionId) {
    return this.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: true }, sessionId);
  }

  async evaluate(expression, sessionId) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId);
    if (exceptionDetails) throw new Failure(`In the page: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  /** Bytes of a target: its JS heap, what its buffers hold, and the memory of its wasm instance. */
  async memoryOf(sessionId) {
    const [heap, wasm] = await Promise.all([this.send('Runtime.getHeapUsage', {}, sessionId), this.evaluate(WASM_BYTES, sessionId)]);
    return { heap: heap.usedSize, buffers: heap.backingStorageSize ?? 0, wasm };
  }
}

/** The renderer processes below a process. */
function renderers(pid) {
  const read = (path) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return ''; // it has ended
    }
  };
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean);
  return children.flatMap((child) => [...(read(`/proc/${child}/cmdline`).includes('--type=renderer') ? [child] : []), ...renderers(child)]);
}

/**
 * @param {object} options
 * @param {string} options.program @param {string} options.profile a folder, removed before and after
 */
export async function startChromium({ program, profile }) {
  rmSync(profile, { recursive: true, force: true });
  const child = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const address = await new Promise((resolve, reject) => {
    createInterface(child.stderr).on('line', (line) => {
      const [, url] = line.match(/^DevTools listening on (ws:.*)$/) ?? [];
      if (url) resolve(url);
    });
    child.on('error', reject);
    child.on('exit', (code) => reject(new Failure(`Chromium did not start (${code}).`)));
  });
  const protocol = new Protocol();
  await protocol.open(address);

  /** A page in a tab of its own. */
  async function open(url) {
    const { targetId } = await protocol.send('Target.createTarget', { url });
    const { sessionId } = await protocol.send('Target.attachToTarget', { targetId, flatten: true });
    const evaluate = (expression) => protocol.evaluate(expression, sessionId);
    while (!(await evaluate('globalThis.ready === true').catch(() => false))) await new Promise((resolve) => { setTimeout(resolve, 20); });
    return { evaluate, close: () => protocol.send('Target.closeTarget', { targetId }) };
  }

  /** Looks at memory until `stop` is called, which gives the peak of each kind and of their sum. */
  function watch() {
    const peak = { sum: 0, heap: 0, buffers: 0, wasm: 0, targets: 0, resident: 0 };
    let going = true;
    const look = async () => {
      while (going) {
        const all = await Promise.all([...protocol.sessions].map((session) => protocol.memoryOf(session).catch(() => undefined)));
        const sum = { heap: 0, buffers: 0, wasm: 0 };
        for (const one of all) for (const kind of Object.keys(sum)) sum[kind] += one?.[kind] ?? 0;
        for (const kind of Object.keys(sum)) peak[kind] = Math.max(peak[kind], sum[kind]);
        peak.sum = Math.max(peak.sum, sum.heap + sum.buffers + sum.wasm);
        peak.targets = Math.max(peak.targets, all.filter(Boolean).length);
        peak.resident = Math.max(peak.resident, ...renderers(child.pid).map((pid) => peakOf(pid)));
        await new Promise((resolve) => { setTimeout(resolve, EVERY); });
      }
    };
    const looked = look();
    return async () => {
      going = false;
      await looked;
      return peak;
    };
  }

  const close = async () => {
    const ended = new Promise((resolve) => { child.once('exit', resolve); });
    await protocol.send('Browser.close').catch(() => child.kill());
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  return { open, watch, close };
}
