// What `bench.mjs` runs in Chromium. `bare` fetches the files into OPFS with as many workers as we have by default, and does nothing else.
import * as sf from '/pkg/index.js';

globalThis.ours = async (fhirUrl) => {
  const folder = await sf.openFolder('bench', { storage: 'opfs' });
  const job = new sf.Client({ fhirUrl }).bulk(folder, { types: ['Observation'], defaultFilters: false });
  const { verdict, resources } = await job.result;
  return { verdict, resources, storage: folder.storage };
};

globalThis.bare = async (urls) => {
  const left = [...urls];
  const work = async () => {
    const worker = new Worker('/bare-files.js');
    for (let url = left.shift(); url; url = left.shift()) {
      worker.postMessage({ url, name: url.split('/').at(-1) });
      await new Promise((resolve, reject) => {
        worker.onmessage = resolve;
        worker.onerror = (event) => reject(new Error(event.message));
      });
    }
    worker.terminate();
  };
  await Promise.all(Array.from({ length: Math.min(navigator.hardwareConcurrency, 4) }, work));
};

/** Lines and digests of the files, decoded. */
globalThis.content = async () => {
  const folder = await sf.openFolder('bench', { storage: 'opfs' });
  const digests = [];
  let lines = 0;
  for (const { name } of (await folder.files()).filter(({ name }) => /^Observation.*ndjson/.test(name))) {
    const bytes = new Uint8Array(await new Response(folder.file(name).stream({ decode: true })).arrayBuffer());
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines += 1;
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    digests.push([...digest].map((byte) => byte.toString(16).padStart(2, '0')).join(''));
  }
  return { lines, digests: digests.sort() };
};
globalThis.ready = true;
