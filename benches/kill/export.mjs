// Kills of managed exports: a full one, then one with `--since=auto` after the data has changed, then a full one again, by bulk
// and by crawl in turn, with hydration, links and deletions. The server's clock moves from a fixed day to a fixed day, so that
// every round must leave the same.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { Failure } from '../../scripts/lib/run.mjs';
import { factsOf } from '../parity/snapshot.mjs';
import { differing, leftOver, rowsByType, runOurs, subfolders, tornFiles, wrongLinks, wronglyDone } from './run.mjs';

const STEPS = [
  { nickname: 'first', now: '2026-01-01T00:00:00Z', data: { revision: 0 }, args: [] },
  { nickname: 'update', now: '2026-03-01T00:00:00Z', data: { revision: 1, stamp: '2026-02-01T00:00:00.000+00:00' }, args: ['--since', 'auto'] },
  { nickname: 'again', now: '2026-05-01T00:00:00Z', data: { revision: 2, stamp: '2026-04-01T00:00:00.000+00:00' }, args: [] },
];
const FAULTS = { pending: 1, retryAfter: '0', latency: 2, page: 40 };
// The server's clock is set in whole seconds, so that the first day may begin a moment early.
const CLOCK = { since: Date.parse('2025-12-31T00:00:00Z'), stamps: new Set(STEPS.flatMap(({ data }) => (data.stamp ? [Date.parse(data.stamp)] : []))) };
const comparable = (folder) => factsOf(folder, CLOCK).filter((fact) => !fact.includes('log.ndjson'));

export class ExportKill {
  #expected = new Map(); // mode and step -> facts and rows
  #linked = 0;

  async open() {
    this.sandbox = await startSandbox({ patients: 8, seed: 3, faults: FAULTS });
    for (const round of [1, 2]) {
      const folder = mkdtempSync(join(tmpdir(), 'smart-fetch-kill-'));
      for await (const args of this.commands(folder, round)) {
        const { code, errors } = await runOurs(args, null);
        if (code !== 0) throw new Failure(`The undisturbed ${this.kind(round)} export '${this.step.nickname}' ended with ${code}: ${errors}`);
        this.#expected.set(this.key, { facts: comparable(folder), rows: rowsByType(join(folder, subfolders(folder).at(-1))) });
      }
      rmSync(folder, { recursive: true });
    }
  }

  close() {
    return this.sandbox.close();
  }

  kind(round) {
    return round % 2 === 1 ? 'bulk' : 'crawl';
  }

  get key() {
    return `${this.mode} ${this.step.nickname}`;
  }

  async* commands(folder, round) {
    this.mode = this.kind(round);
    for (const step of STEPS) {
      this.step = step;
      this.sandbox.setFaults({ ...FAULTS, clockSkew: Math.round((Date.parse(step.now) - Date.now()) / 1000) });
      await this.sandbox.setData(step.data);
      yield ['export', folder, '--export-mode', this.mode, '--group', 'all', '--nickname', step.nickname, '--fhir-url', this.sandbox.url, ...step.args];
    }
  }

  afterKill(folder) {
    const current = subfolders(folder).find((name) => name.endsWith(`.${this.step.nickname}`));
    const links = wrongLinks(folder);
    if (links.length === 0 && subfolders(folder).length > 1) this.#linked += 1;
    return [...tornFiles(folder), ...links, ...(current ? wronglyDone(join(folder, current), this.#expected.get(this.key).rows) : [])];
  }

  afterCommand(folder) {
    return [...differing(this.#expected.get(this.key).facts, comparable(folder)), ...wrongLinks(folder), ...leftOver(folder)];
  }

  summary() {
    return `${this.#linked} of them in a folder of several runs with right links`;
  }
}
