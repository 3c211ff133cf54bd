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

/** How many rows a data file has, by reading it: for files that no ledger counts. */
export async function rowsOf(file, signal) {
  let rows = 0;
  let last;
  const reader = file.stream({ decode: true }).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (signal.aborted) {
      await reader.cancel();
      return undefined;
    }
    for (let at = value.indexOf(10); at >= 0; at = value.indexOf(10, at + 1)) rows += 1;
    last = value.at(-1) ?? last;
  }
  return last === undefined || last === 10 ? rows : rows + 1;
}
