/**
 * What the worker that has the core does for its page; the methods of `worker/page.js`'s `call`.
 */
import { importClients } from '../keys/webcrypto.js';
import { load } from '../load.js';
import { LocalAccess, relink } from '../local.js';
import { runner } from '../run.js';
import { allFolders, choose, forgetMemory, openBackend } from '../storage/choose.js';
import { copyAll } from '../storage/copy.js';
import { FilesFolder } from '../storage/files.js';
import { stage } from './stage.js';
import { createPool } from './browser.js';

/** @typedef {import('../host.d.ts').FolderDescriptor} FolderDescriptor */

const run = runner({
  load,
  // `fetch`, in the core.
  createHttp: () => undefined,
  createPool,
  importClients: (clients) => importClients(clients),
});

/** @param {FolderDescriptor} descriptor */
const access = (descriptor) => new LocalAccess(openBackend(descriptor), descriptor.kind, load);

/** Streams that the page reads. @type {Map<number, AsyncGenerator<Uint8Array, void, void>>} */
const streams = new Map();
let nextStream = 0;

/**
 * Each gets the page's arguments and, last, the control of the call.
 * @type {Record<string, (...args: any[]) => any>}
 */
export const methods = {
  version: async () => (await load()).version(),
  parseIds: async (name, text) => (await load('parseIds')).parseIds(name, text),
  hydrationTasks: async () => (await load('hydrationTasks')).hydrationTasks(),
  resourceTypes: async () => (await load()).resourceTypes(),
  execute: (call, descriptor, source, control) =>
    run(call, descriptor && openBackend(descriptor), control, source && openBackend(source)),
  choose: (name, wanted) => choose(name, wanted),
  folders: () => allFolders(),
  view: (descriptor) => access(descriptor).view(),
  blob: (descriptor, path) => access(descriptor).blob(path),
  async remove(descriptor) {
    await access(descriptor).remove();
    if (descriptor.kind === 'memory') forgetMemory(descriptor.name);
  },
  openStream(descriptor, path, decode) {
    const id = nextStream++;
    streams.set(id, access(descriptor).bytes(path, decode));
    return id;
  },
  async readStream(id) {
    const { value } = (await streams.get(id)?.next()) ?? {};
    return value;
  },
  async closeStream(id) {
    await streams.get(id)?.return();
    streams.delete(id);
  },
  contents: (descriptor) => access(descriptor).contents(),
  ...stage,
  async copy(from, to, control) {
    const copied = await copyAll(openBackend(from), openBackend(to), control);
    if (from.kind === 'picked') await relink(run, access(to));
    return copied;
  },
  async importFiles(files, to, control) {
    const copied = await copyAll(new FilesFolder(files), openBackend(to), control);
    await relink(run, access(to));
    return copied;
  },
};
