// Kills of `bulk`: beside what all modes check, nothing that was complete is fetched again.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { root } from '../../scripts/lib/run.mjs';
import { leftOver, tornFiles } from './run.mjs';

const DATA = join(root, 'tests/fixtures/synthea-10');

const listData = (folder) => readdirSync(folder).filter((name) => /^[A-Z].*\.ndjson(\.gz)?$/.test(name));

/** One hash for all lines of a folder, byte for byte, whatever file they are in. */
function digest(folder) {
  const lines = listData(folder).flatMap((name) => {
    const bytes = readFileSync(join(folder, name));
    return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1').split('\n').filter(Boolean);
  });
  return `${lines.length} ${createHash('sha256').update(lines.sort().join('\n')).digest('hex')}`;
}

export class BulkKill {
  #kept = 0;

  async open() {
    this.sandbox = await startSandbox({ data: DATA, faults: { page: 25, pending: 1, latency: 5 } });
    this.expected = digest(DATA);
    this.types = [...new Set(listData(DATA).map((name) => name.split('.')[0]))].join(',');
  }

  close() {
    return this.sandbox.close();
  }

  async* commands(folder) {
    this.sandbox.clearRequests();
    this.complete = new Map(); // URL path -> requests seen when the file was complete
    yield { args: ['bulk', folder, '--fhir-url', this.sandbox.url, '--type', this.types, '--no-default-filters'] };
  }

  #asked() {
    const counts = new Map();
    for (const { method, url, status } of this.sandbox.requests) {
      if (method === 'GET' && status === 200) counts.set(url, (counts.get(url) ?? 0) + 1);
    }
    return counts;
  }

  afterKill(folder) {
    const counts = this.#asked();
    let ledger = [];
    try {
      ledger = JSON.parse(readFileSync(join(folder, '.metadata'), 'utf8')).ledger.jobs.at(-1)?.files ?? [];
    } catch { /* not begun yet */ }
    const urls = new Map(ledger.map((file) => [file.name, new URL(file.url).pathname + new URL(file.url).search]));
    for (const name of listData(folder)) {
      const url = urls.get(name);
      if (url && !this.complete.has(url)) this.complete.set(url, counts.get(url) ?? 0);
    }
    return tornFiles(folder);
  }

  afterCommand(folder) {
    this.#kept += this.complete.size;
    const counts = this.#asked();
    const again = [...this.complete].filter(([url, before]) => (counts.get(url) ?? 0) > before);
    const problems = again.map(([url]) => `${url} was complete and was fetched again`);
    const found = digest(folder);
    if (found !== this.expected) problems.push(`the folder holds ${found}, not ${this.expected}`);
    return [...problems, ...leftOver(folder)];
  }

  summary() {
    if (this.#kept === 0) throw new Error('No kill ever found a complete file: the runs were not long enough to prove anything.');
    return `${this.#kept} files found complete after a kill`;
  }
}
