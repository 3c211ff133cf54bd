// Kills of `hydrate`: of all tasks, inlining too, which replaces input files. The inputs must stay what they are, or be what
// inlining makes of them, at any moment.
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { Failure } from '../../scripts/lib/run.mjs';
import { canonical } from '../parity/snapshot.mjs';
import { comparable, dataFiles, differing, leftOver, readRows, runOurs, tornFiles } from './run.mjs';

const CLOCK = { since: 0, stamps: new Set() };

export class HydrateKill {
  #partly = 0;

  async open() {
    this.sandbox = await startSandbox({ patients: 30, seed: 9, faults: { pending: 0, latency: 3 } });
    this.source = mkdtempSync(join(tmpdir(), 'smart-fetch-kill-source-'));
    await this.#must(['bulk', this.source, '--fhir-url', this.sandbox.url]);
    const folder = mkdtempSync(join(tmpdir(), 'smart-fetch-kill-'));
    cpSync(this.source, folder, { recursive: true });
    await this.#must(this.#command(folder));
    this.expected = comparable(folder, CLOCK);
    this.outputs = dataFiles(folder).length;
    // Each row of an input by its id, as it was and as it will be.
    this.inputs = new Map(dataFiles(this.source).map((name) => {
      const before = readRows(join(this.source, name));
      const after = new Map(readRows(join(folder, name)).map((row) => [row.id, canonical(row)]));
      return [name, new Map(before.map((row) => [row.id, [canonical(row), after.get(row.id)]]))];
    }));
    rmSync(folder, { recursive: true });
  }

  async #must(args) {
    const { code, errors } = await runOurs(args, null);
    if (code !== 0) throw new Failure(`The undisturbed '${args[0]}' ended with ${code}: ${errors}`);
  }

  async close() {
    rmSync(this.source, { recursive: true, force: true });
    await this.sandbox.close();
  }

  #command(folder) {
    return ['hydrate', folder, '--fhir-url', this.sandbox.url];
  }

  async* commands(folder) {
    cpSync(this.source, folder, { recursive: true });
    yield { args: this.#command(folder) };
  }

  afterKill(folder) {
    const outputs = dataFiles(folder).length;
    if (outputs > this.inputs.size && outputs < this.outputs) this.#partly += 1;
    const problems = tornFiles(folder);
    return problems.length > 0 ? problems : this.#damagedInputs(folder);
  }

  #damagedInputs(folder) {
    const problems = [];
    const here = new Set(dataFiles(folder));
    for (const [name, wanted] of this.inputs) {
      if (!here.has(name)) {
        problems.push(`${name} is gone`);
        continue;
      }
      const rows = readRows(join(folder, name));
      if (rows.length !== wanted.size) problems.push(`${name} has ${rows.length} rows, not ${wanted.size}`);
      const wrong = rows.filter((row) => !wanted.get(row.id)?.includes(canonical(row)));
      if (wrong.length > 0) problems.push(`${name}: ${wrong.length} rows are neither as they were nor as they should be`);
    }
    return problems;
  }

  afterCommand(folder) {
    return [...differing(this.expected, comparable(folder, CLOCK)), ...leftOver(folder)];
  }

  summary() {
    if (this.#partly === 0) throw new Error('No kill ever came between two tasks: the runs were not long enough to prove anything.');
    return `${this.#partly} of them between two tasks`;
  }
}
