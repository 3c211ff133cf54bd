// Closed tabs of bulk exports: what was complete when a tab was opened again must not be asked for again.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { Failure, root } from '../../scripts/lib/run.mjs';

const DATA = join(root, 'tests/fixtures/synthea-10');

/** One hash for all lines, whatever file they are in. */
const digest = (lines) => `${lines.length} lines, ${createHash('sha256').update(lines.sort().join('\n')).digest('hex')}`;

const linesOf = (text) => text.split('\n').filter(Boolean);

const pathOf = (url) => new URL(url, 'http://x').pathname;

/** Paths of the URLs of the files that have their final name. */
const complete = async (page, where) => {
  const urls = await page.evaluate(async ({ name, storage }) => {
    const folder = await globalThis.sf.openFolder(name, { storage });
    const names = new Set((await folder.files()).map((file) => file.name));
    if (names.size === 0) return [];
    const { ledger } = JSON.parse(await folder.file('.metadata').text());
    return ledger.jobs.at(-1).files.filter((file) => names.has(file.name)).map(({ url }) => url);
  }, where);
  return urls.map(pathOf);
};

/** The lines of all data files, read back. */
const content = (page, where) =>
  page.evaluate(async ({ name, storage }) => {
    const folder = await globalThis.sf.openFolder(name, { storage });
    const data = (await folder.files()).filter((file) => /^[A-Z].*\.ndjson/.test(file.name));
    return Promise.all(data.map((file) => folder.file(file.name).text()));
  }, where);

export class BulkClose {
  #here = new Set();
  #kept = 0;

  async open() {
    const names = readdirSync(DATA).filter((name) => name.endsWith('.ndjson.gz'));
    this.expected = digest(names.flatMap((name) => linesOf(gunzipSync(readFileSync(join(DATA, name))).toString())));
    this.types = [...new Set(names.map((name) => name.split('.')[0]))];
    this.sandbox = await startSandbox({ data: DATA, faults: { page: 25, pending: 1, latency: 5, retryAfter: '1' } });
  }

  close() {
    return this.sandbox.close();
  }

  async* steps() {
    yield { key: 'bulk', method: 'bulk', options: { types: this.types, defaultFilters: false }, retryDelays: ['0.2s', '0.5s', '1s'] };
  }

  async opened(page, where) {
    this.#here = new Set(await complete(page, where));
    this.#kept += this.#here.size;
    this.sandbox.clearRequests();
    return [];
  }

  /** Problems of the requests of a job that has ended, or was ended. */
  ended() {
    const again = this.sandbox.requests.map(({ url }) => pathOf(url)).filter((path) => this.#here.has(path));
    return again.map((path) => `${path} was complete and was asked for again`);
  }

  async done(page, where) {
    const found = digest((await content(page, where)).flatMap(linesOf));
    return found === this.expected ? [] : [`it holds ${found}, not ${this.expected}`];
  }

  summary() {
    if (this.#kept === 0) throw new Failure('No close ever left a complete file: the runs were not long enough to prove anything.');
    return `${this.#kept} files found complete when a tab was opened again`;
  }
}
