// Kills of `crawl`: of a group, with pages, so that every type takes many requests; first while the records of three patients
// cannot be read, then without such faults, so that the same command gets just those.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { Failure } from '../../scripts/lib/run.mjs';
import { ILL, comparable, differing, leftOver, rowsByType, runOurs, tornFiles, wronglyDone } from './run.mjs';

const CLOCK = { since: 0, stamps: new Set() };
const FAULTS = { pending: 1, retryAfter: '0', latency: 3, searchPage: 5 };

export class CrawlKill {
  #partly = 0;
  #undisturbed = new Map(); // whether patients fail -> facts
  #complete = new Map(); // rows by type when all is well

  async open() {
    this.sandbox = await startSandbox({ patients: 20, seed: 5, faults: FAULTS });
    const folder = mkdtempSync(join(tmpdir(), 'smart-fetch-kill-'));
    for await (const { args, exit = 0 } of this.commands(folder)) {
      const { code, errors } = await runOurs(args, null);
      if (code !== exit) throw new Failure(`The undisturbed crawl ended with ${code}: ${errors}`);
      this.#undisturbed.set(this.ill, comparable(folder, CLOCK));
    }
    this.#complete = rowsByType(folder);
    rmSync(folder, { recursive: true });
  }

  close() {
    return this.sandbox.close();
  }

  async* commands(folder) {
    const args = ['crawl', folder, '--group', 'all', '--fhir-url', this.sandbox.url, '--group-nickname', 'kill', '--retry-delays', '5ms'];
    this.ill = true;
    this.sandbox.setFaults({ ...FAULTS, searchFailFor: ILL.ids });
    yield { args, exit: 3, expected: ILL.expected };
    this.ill = false;
    this.sandbox.setFaults(FAULTS);
    yield { args };
  }

  afterKill(folder) {
    const have = rowsByType(folder).size;
    if (have > 0 && have < this.#complete.size) this.#partly += 1;
    return [...tornFiles(folder), ...wronglyDone(folder, this.#complete)];
  }

  afterCommand(folder) {
    return [...differing(this.#undisturbed.get(this.ill), comparable(folder, CLOCK)), ...leftOver(folder)];
  }

  summary() {
    if (this.#partly === 0) throw new Error('No kill ever came between two types: the runs were not long enough to prove anything.');
    return `${this.#partly} of them between two types`;
  }
}
