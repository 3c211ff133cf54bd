// Closed tabs of crawls and managed exports: the same steps, and the same look at the folder, as where the command line is killed
// (`kill/`). What an undisturbed command line leaves is what the page must leave.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { toDisk } from '../../tests/browser/disk.mjs';
import { CrawlKill } from '../kill/crawl.mjs';
import { ExportKill } from '../kill/export.mjs';
import { verifyProblems } from '../kill/run.mjs';

/** Names of temporary files that are left in OPFS; they are not copied out. */
const leftOver = (page, { name, storage }) =>
  page.evaluate(async ([name, storage]) => {
    if (storage !== 'opfs') return [];
    const found = [];
    const walk = async (folder) => {
      for await (const [child, handle] of folder.entries()) {
        if (handle.kind === 'directory') await walk(handle);
        else if (/\.(part|tmp|bundle|link|hydration)\b/.test(child)) found.push(`${child} is left over`);
      }
    };
    const home = await (await navigator.storage.getDirectory()).getDirectoryHandle('smart-fetch');
    await walk(await home.getDirectoryHandle(name));
    return found;
  }, [name, storage]);

/** What flags of the command line are in the package. */
const FLAGS = {
  'fhir-url': () => ({}),
  'retry-delays': () => ({}),
  'group': (group) => ({ level: { group } }),
  'group-nickname': (cohortName) => ({ cohortName }),
  'export-mode': (mode) => ({ mode }),
  'nickname': (nickname) => ({ nickname }),
  'since': (since) => ({ since }),
  'reconcile': (reconcile) => ({ reconcile }),
};

/** The job of a command. */
function jobOf([method, , ...args]) {
  const { values } = parseArgs({ args, options: Object.fromEntries(Object.keys(FLAGS).map((name) => [name, { type: name === 'reconcile' ? 'boolean' : 'string' }])) });
  return { method, options: Object.assign({}, ...Object.entries(values).map(([name, value]) => FLAGS[name](value))), retryDelays: [values['retry-delays']] };
}

class AsKill {
  #kill;
  #step;

  constructor(kill) {
    this.#kill = kill;
  }

  open() {
    return this.#kill.open();
  }

  close() {
    return this.#kill.close();
  }

  get sandbox() {
    return this.#kill.sandbox;
  }

  async* steps(round) {
    let n = 0;
    for await (const { args, exit, expected } of this.#kill.commands('', round)) {
      n += 1;
      this.#step = { key: `${this.#kill.kind?.(round) ?? args[0]} ${n}`, exit, expected, ...jobOf(args) };
      yield this.#step;
    }
  }

  /** Looks at a copy of the page's folder. */
  async #look(page, { name, storage }, look) {
    const folder = mkdtempSync(join(tmpdir(), 'smart-fetch-close-'));
    try {
      await toDisk(page, name, folder, storage);
      return await look(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  /** Problems that a closed tab left. */
  opened(page, where, closes) {
    return closes === 0 ? [] : this.#look(page, where, (folder) => this.#kill.afterKill(folder));
  }

  ended() {
    return [];
  }

  async done(page, where) {
    const look = async (folder) => [...this.#kill.afterCommand(folder), ...(await verifyProblems(folder, this.#step.expected))];
    return [...await this.#look(page, where, look), ...await leftOver(page, where)];
  }

  summary() {
    return this.#kill.summary();
  }
}

export class CrawlClose extends AsKill {
  constructor() {
    super(new CrawlKill());
  }
}

export class ExportClose extends AsKill {
  constructor() {
    super(new ExportKill());
  }
}
