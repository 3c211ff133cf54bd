import { contractOf, run } from './contract.js';

const worker = new Worker('/contract.worker.js', { type: 'module' });
const answer = () => new Promise((resolve, reject) => {
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => reject(new Error(event.message || 'the worker did not start'));
});
await answer();

globalThis.names = (kind) => [...contractOf(kind).keys()];
globalThis.inPage = (kind, name) => run(kind, name).then(() => '', (error) => `${error.name}: ${error.message}`);
globalThis.inWorker = (kind, name) => {
  worker.postMessage({ kind, name });
  return answer();
};
globalThis.sf = {};
