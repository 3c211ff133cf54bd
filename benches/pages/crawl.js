// What `crawl.mjs` runs in Chromium. `bare` makes the same requests, five at once from one worker, and drops what comes.
import * as sf from '/pkg/index.js';

/** Puts the patients where the crawl takes its cohort from. */
globalThis.prepare = async (count) => {
  const rows = Array.from({ length: count }, (_, n) => JSON.stringify({ resourceType: 'Patient', id: `p${n}` }));
  const files = [new File([`${rows.join('\n')}\n`], 'Patient.ndjson'), new File(['{}'], '.metadata')];
  return sf.importFolder(await sf.openFolder('patients', { storage: 'opfs' }), files);
};

globalThis.ours = async (fhirUrl, compress) => {
  const source = await sf.openFolder('patients', { storage: 'opfs' });
  const folder = await sf.openFolder('bench', { storage: 'opfs' });
  const { verdict, resources } = await new sf.Client({ fhirUrl }).crawl(folder, { types: ['Condition'], source, compress }).result;
  return { verdict, resources, storage: folder.storage };
};

globalThis.bare = (urls) =>
  new Promise((resolve, reject) => {
    const worker = new Worker('/bare-searches.js');
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(urls);
  });

/** Lines of the file, decoded. */
globalThis.content = async () => {
  const folder = await sf.openFolder('bench', { storage: 'opfs' });
  let lines = 0;
  for (const { name } of (await folder.files()).filter(({ type }) => type === 'Condition')) {
    for await (const bytes of folder.file(name).stream({ decode: true })) for (const byte of bytes) if (byte === 10) lines += 1;
  }
  return { lines };
};
globalThis.ready = true;
