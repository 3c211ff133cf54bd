// Reading many resources without freezing the page.

/** Longest stretch of work between two pauses, in milliseconds. */
const STRETCH = 30;

/**
 * The first `limit` resources of a type, with pauses for the page. Lines that are no JSON are left out; the report counts them.
 * @param {import('smart-fetch').Folder} folder
 * @param {string} type
 * @param {{ limit: number, kind?: 'output' | 'error' | 'deleted', signal?: AbortSignal }} options
 */
export async function* readSome(folder, type, { limit, kind, signal }) {
  let left = limit;
  let since = performance.now();
  for await (const resource of folder.resources(type, { kind, onBadLine: () => {} })) {
    if (signal?.aborted || left === 0) return;
    left -= 1;
    yield resource;
    if (performance.now() - since > STRETCH) {
      await new Promise((resolve) => {
        setTimeout(resolve);
      });
      since = performance.now();
    }
  }
}
