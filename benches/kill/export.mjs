// Kills of managed exports: a full one, then one with `--since=auto` after the data has changed, then a full one again; by bulk
// (with --reconcile), by crawl, and by crawl while the records of some patients cannot be read, in turn; with hydration, links,
// new patients and deletions. The server's clock moves from a fixed day to a fixed day, so that every round must leave the same.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { Failure } from '../../scripts/lib/run.mjs';
import { ILL, comparable, differing, leftOver, rowsByType, runOurs, subfolders, tornFiles, wrongLinks, wronglyDone } from './run.mjs';

const STEPS = [
  { nickname: 'first', now: '2026-01-01T00:00:00Z', data: { revision: 0 }, args: [] },
  { nickname: 'update', now: '2026-03-01T00:00:00Z', data: { revision: 1, stamp: '2026-02-01T00:00:00.000+00:00' }, args: ['--since', 'auto'] },
  { nickname: 'again', now: '2026-05-01T00:00:00Z', data: { revision: 2, stamp: '2026-04-01T00:00:00.000+00:00' }, args: [] },
];
const KINDS = [
  { name: 'bulk', mode: 'bulk', args: ['--reconcile'] },
  { name: 'crawl', mode: 'crawl', args: [] },
  { name: 'crawl with faults', mode: 'crawl', args: [], faulty: true },
];
const FAULTS = { pending: 1, retryAfter: '0', latency: 2, page: 40 };
// The server's clock is set in whole seconds, so that the first day may begin a moment early.
const CLOCK = { since: Date.parse('2025-12-31T00:00:00Z'), stamps: new Set(STEPS.flatMap(({ data }) => (data.stamp ? [Date.parse(data.stamp)] : []))) };

export class ExportKill {
  #expected = new Map(); // kind, step and whether patients fail -> facts
  #rows = new Map(); // kind and step -> rows by type when all is well
  #seen = { linked: 0, deleted: 0, faulty: 0 };

  async open() {
    this.sandbox = await startSandbox({ patients: 8, seed: 3, faults: FAULTS });
    for (const round of KINDS.keys()) {
      const folder = mkdtempSync(join(tmpdir(), 'smart-fetch-kill-'));
      for await (const { args, exit = 0 } of this.commands(folder, round)) {
        const { code, errors } = await runOurs(args, null);
        if (code !== exit) throw new Failure(`The undisturbed export '${this.key}' ended with ${code}: ${errors}`);
        this.#expected.set(this.key, comparable(folder, CLOCK));
        this.#rows.set(`${this.kind(round)} ${this.step.nickname}`, rowsByType(join(folder, subfolders(folder).at(-1))));
      }
      rmSync(folder, { recursive: true });
    }
  }

  close() {
    return this.sandbox.close();
  }

  kind(round) {
    return KINDS[round % KINDS.length].name;
  }

  get key() {
    return `${this.name} ${this.step.nickname}${this.ill ? ' ill' : ''}`;
  }

  async* commands(folder, round) {
    const { name, mode, args, faulty } = KINDS[round % KINDS.length];
    this.name = name;
    for (const step of STEPS) {
      this.step = step;
      await this.sandbox.setData(step.data);
      const command = ['export', folder, '--export-mode', mode, '--group', 'all', '--nickname', step.nickname, '--fhir-url', this.sandbox.url,
        '--retry-delays', '5ms', ...args, ...step.args];
      for (this.ill of faulty ? [true, false] : [false]) {
        const clockSkew = Math.round((Date.parse(step.now) - Date.now()) / 1000);
        this.sandbox.setFaults({ ...FAULTS, clockSkew, searchFailFor: this.ill ? ILL.ids : [] });
        yield this.ill ? { args: command, exit: 3, expected: ILL.expected } : { args: command };
      }
    }
  }

  afterKill(folder) {
    const here = subfolders(folder);
    const current = here.find((name) => name.endsWith(`.${this.step.nickname}`));
    const links = wrongLinks(folder);
    if (links.length === 0 && here.length > 1) this.#seen.linked += 1;
    if (this.ill) this.#seen.faulty += 1;
    if (this.step.nickname === 'again') this.#seen.deleted += 1;
    return [...tornFiles(folder), ...links, ...(current ? wronglyDone(join(folder, current), this.#rows.get(`${this.name} ${this.step.nickname}`)) : [])];
  }

  afterCommand(folder) {
    return [...differing(this.#expected.get(this.key), comparable(folder, CLOCK)), ...wrongLinks(folder), ...leftOver(folder)];
  }

  summary() {
    const { linked, deleted, faulty } = this.#seen;
    return `${linked} of them in a folder of several runs with right links, ${deleted} in a run that works out deletions, ${faulty} while patients fail`;
  }
}
