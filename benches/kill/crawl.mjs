// Kills of `crawl`: of a group, with pages, so that every type takes many requests.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { Failure } from '../../scripts/lib/run.mjs';
import { factsOf } from '../parity/snapshot.mjs';
import { differing, leftOver, rowsByType, runOurs, tornFiles, wronglyDone } from './run.mjs';

const CLOCK = { since: 0, stamps: new Set() };
/** The log has more events the oftener a run begins; what it says is parity's business. */
const comparable = (folder) => factsOf(folder, CLOCK).filter((fact) => !fact.includes('log.ndjson'));

export class CrawlKill {
  #partly = 0;

  async open() {
    this.sandbox = await startSandbox({ patients: 12, seed: 5, faults: { pending: 1, retryAfter: '0', latency: 3, searchPage: 5 } });
    const folder = mkdtempSync(join(tmpdir(), 'smart-fetch-kill-'));
    const { code, errors } = await runOurs(this.#command(folder), null);
    if (code !== 0) throw new Failure(`The undisturbed crawl ended with ${code}: ${errors}`);
    this.expected = comparable(folder);
    this.rows = rowsByType(folder);
    rmSync(folder, { recursive: true });
  }

  close() {
    return this.sandbox.close();
  }

  #command(folder) {
    return ['crawl', folder, '--group', 'all', '--fhir-url', this.sandbox.url, '--group-nickname', 'kill'];
  }

  async* commands(folder) {
    yield this.#command(folder);
  }

  afterKill(folder) {
    const have = rowsByType(folder).size;
    if (have > 0 && have < this.rows.size) this.#partly += 1;
    return [...tornFiles(folder), ...wronglyDone(folder, this.rows)];
  }

  afterCommand(folder) {
    return [...differing(this.expected, comparable(folder)), ...leftOver(folder)];
  }

  summary() {
    if (this.#partly === 0) throw new Error('No kill ever came between two types: the runs were not long enough to prove anything.');
    return `${this.#partly} of them between two types`;
  }
}
