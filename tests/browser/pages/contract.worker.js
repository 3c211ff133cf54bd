import { run } from './contract.js';

self.onmessage = async ({ data: { kind, name } }) => {
  try {
    await run(kind, name);
    self.postMessage('');
  } catch (error) {
    self.postMessage(`${error.name}: ${error.message}`);
  }
};
self.postMessage('ready');
