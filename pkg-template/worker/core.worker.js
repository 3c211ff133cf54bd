/**
 * The worker of a page that has the core and the storage.
 */
import { holdForLife } from '../locks/web-locks.js';
import { Pause } from '../job.js';
import { nameOptions } from '../names.js';
import { methods } from './core.js';
import { plain } from './core-protocol.js';

/** @type {Map<number, { cancel: () => void, pause: Pause, questions: Map<number, (answer: any) => void> }>} */
const running = new Map();

// Names are put in by the page, which may have its own.
nameOptions((_, flag) => flag);

let nextQuestion = 0;

/** @param {import('./core-protocol.js').Reply} reply */
function post(reply) {
  const bytes = reply.type === 'result' ? reply.value : undefined;
  const whole = bytes instanceof Uint8Array && bytes.byteLength === bytes.buffer.byteLength;
  self.postMessage(reply, { transfer: whole ? [bytes.buffer] : [] });
}

/** @param {{ id: number, method: string, args: any[] }} request */
async function run({ id, method, args }) {
  const pause = new Pause();
  /** @type {Map<number, (answer: any) => void>} Tokens that the page was asked for. */
  const questions = new Map();
  const cancelled = /** @type {Promise<void>} */ (new Promise((resolve) => running.set(id, { cancel: resolve, pause, questions })));
  const token = async (/** @type {number} */ source) => {
    const question = nextQuestion++;
    /** @type {{ token?: any, problem?: string }} */
    const answer = await new Promise((resolve) => {
      questions.set(question, resolve);
      post({ type: 'askToken', id, question, source });
    });
    questions.delete(question);
    if (answer.problem !== undefined) throw new Error(answer.problem);
    return answer.token;
  };
  const control = { cancelled, pause, token, onEvent: (/** @type {any} */ event) => post({ type: 'event', id, event }) };
  try {
    post({ type: 'result', id, value: await methods[method](...args, control) });
  } catch (error) {
    const failure = plain(error, method);
    // An instance that has panicked is in no known state: the page starts another worker.
    if (failure.kind === 'internal' && failure.operation === 'core') post({ type: 'panic', message: failure.message });
    else post({ type: 'failed', id, error: failure });
  } finally {
    running.get(id)?.cancel();
    running.delete(id);
  }
}

self.onmessage = ({ data }) => {
  /** @type {import('./core-protocol.js').Request} */
  const request = data;
  if (request.type === 'call') run(request);
  else if (request.type === 'cancel') running.get(request.id)?.cancel();
  else if (request.type === 'token') running.get(request.id)?.questions.get(request.question)?.(request);
  else running.get(request.id)?.pause.set(request.paused);
};

const lock = `smart-fetch:alive:${crypto.randomUUID()}`;
holdForLife(lock).then(() => post({ type: 'alive', lock }));
