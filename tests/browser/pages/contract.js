// The storage contract, in a page or a worker: tests are listed by name and run one by one.
import { storageContract } from '/contract/storage-contract.mjs';
import { openBackend } from '/pkg/storage/choose.js';
import { MemoryFolder } from '/pkg/storage/memory.js';

let folders = 0;

async function descriptor(kind) {
  const name = `contract ${kind} ${Date.now()} ${folders++}`;
  if (kind !== 'picked') return { kind, name };
  // Nobody is there to pick one; this one has the same interface.
  const root = await navigator.storage.getDirectory();
  return { kind, handle: await root.getDirectoryHandle(name, { create: true }) };
}

async function create(kind) {
  if (kind === 'memory') {
    const backend = new MemoryFolder();
    return { backend, again: async () => backend };
  }
  const where = await descriptor(kind);
  return { backend: openBackend(where), again: async () => openBackend(where) };
}

/** The tests of a backend, by name. */
export function contractOf(kind) {
  const tests = new Map();
  storageContract({ test: (name, body) => tests.set(name, body), create: () => create(kind) });
  return tests;
}

export const run = (kind, name) => contractOf(kind).get(name)({ after() {} });
