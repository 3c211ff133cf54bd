// The package as the command line knows it; but what works in a folder does so in a page of Chromium, in OPFS.
import { Client as NodeClient, SmartFetchError, loadKeys as checkKeys } from '../../pkg-template/node.js';
import { Job } from '../../pkg-template/job.js';
import { openPage, startBrowser, startSite } from '../../tests/browser/support.mjs';
import { readFolder, writeFolder } from './folder.mjs';

export * from '../../pkg-template/node.js';

/** Keys go to the page as they are given: it makes its own of them. */
export async function loadKeys(keys) {
  await checkKeys(keys);
  return keys;
}

/** A folder on disk. */
export const openFolder = async (path) => ({ path });

/** In the page: runs the job, tells of its events, and resolves to how it ended. */
async function inPage({ method, client, folders, options }) {
  const { sf } = globalThis;
  const open = async (name) => name && sf.openFolder(name, { storage: 'opfs' });
  const [folder, other] = [await open(folders[0]), await open(folders[1])];
  const start = {
    bundle: () => sf.bundle(folder, options),
    merge: () => sf.merge(folder, other, options),
    resetLinks: () => sf.resetLinks(folder, options),
    verify: () => sf.verify(folder, { ...options, temporary: other }),
    cancelBulk: () => ({ result: new sf.Client(client).cancelBulk(folder), [Symbol.asyncIterator]: async function* none() {} }),
  };
  try {
    globalThis.job = start[method]?.() ?? new sf.Client(client)[method](folder, other ? { ...options, source: other } : options);
    for await (const event of globalThis.job) await globalThis.tell(event);
    return { report: await globalThis.job.result };
  } catch ({ code, operation, message, hint, retry, status, exitStatus }) {
    return { error: { kind: code, operation, message, hint, retry, status, exitStatus } };
  }
}

/** Does a job in a browser of its own. */
async function run({ method, client, folders, options }, { cancelled, onEvent }) {
  const cleanUps = [];
  const life = { after: (clean) => cleanUps.unshift(clean) };
  try {
    const site = await startSite(life);
    const page = await openPage(await startBrowser(life), site);
    await page.exposeFunction('tell', onEvent);
    const names = [];
    for (const [n, folder] of folders.entries()) {
      names.push(folder && `folder ${n}`);
      if (folder) await writeFolder(page, folder.path, names[n]);
    }
    const done = page.evaluate(inPage, { method, client, folders: names, options });
    cancelled.then(() => page.evaluate(() => globalThis.job?.cancel())).catch(() => {});
    const { report, error } = await done;
    for (const [n, folder] of folders.entries()) if (folder) await readFolder(page, names[n], folder.path);
    if (error) throw new SmartFetchError(error);
    return report;
  } finally {
    for (const clean of cleanUps) await clean();
  }
}

const job = (method, folders, options, client) => new Job(method, (control) => run({ method, client, folders, options }, control));

export const bundle = (folder, options) => job('bundle', [folder], options);
export const merge = (folder, out, options) => job('merge', [folder, out], options);
export const resetLinks = (folder, options) => job('resetLinks', [folder], options);
export const verify = (folder, { temporary, ...options } = {}) => job('verify', [folder, temporary], options);

/** What needs no folder stays in Node. */
export class Client extends NodeClient {
  #options;

  constructor(options) {
    super(options);
    this.#options = options;
  }

  #start(method, folder, { source, ...options } = {}) {
    return job(method, [folder, source], options, this.#options);
  }

  bulk(folder, options) {
    return this.#start('bulk', folder, options);
  }

  crawl(folder, options) {
    return this.#start('crawl', folder, options);
  }

  export(folder, options) {
    return this.#start('export', folder, options);
  }

  hydrate(folder, options) {
    return this.#start('hydrate', folder, options);
  }

  cancelBulk(folder) {
    return this.#start('cancelBulk', folder).result;
  }
}
