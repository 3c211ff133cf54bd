// The data behind the server: a folder of NDJSON files, one table a type.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { patientId } from './compartment.js';
import { DataFile, Table } from './table.js';
import { generate } from './generate.js';

const DATA_NAME = /^(.+?)\.ndjson(\.gz)?$/;
const TYPE_PREFIX = /^([A-Z][A-Za-z]+)(?=\.|$)/;

export class Store {
  #temp = null;
  #groups = null;
  /** What has been deleted, and when (ms). */
  deletions = { references: [], time: 0 };
  /** @type {Map<string, Table>} */
  tables = new Map();

  /** Opens a folder of `Type.*.ndjson[.gz]`. Where a file exists in both forms they count as one. */
  static async openFolder(folder) {
    const store = new Store();
    const files = new Map();
    for (const entry of fs.readdirSync(folder).sort()) {
      const match = DATA_NAME.exec(entry);
      if (!match) continue;
      const known = files.get(match[1]) ?? {};
      known[match[2] ? 'gzPath' : 'path'] = path.join(folder, entry);
      files.set(match[1], known);
    }
    const byType = new Map();
    for (const [name, paths] of files) {
      const type = TYPE_PREFIX.exec(name)?.[1] ?? firstType(paths);
      if (!type) continue;
      const tempPath = paths.path ? null : path.join(store.#tempFolder(), `${name}.ndjson`);
      const file = new DataFile({ name, tempPath, ...paths });
      if (!byType.has(type)) byType.set(type, []);
      byType.get(type).push(file);
    }
    if (byType.size === 0) throw new Error(`No NDJSON files (*.ndjson, *.ndjson.gz) in ${folder}.`);
    for (const [type, list] of [...byType].sort()) store.tables.set(type, new Table(type, list));
    return store;
  }

  /** Generates data (see generate.js) into a temporary folder and opens it. */
  static async openGenerated(options) {
    const temp = fs.mkdtempSync(path.join(os.tmpdir(), 'smart-fetch-sandbox-'));
    try {
      const deleted = await generate({ ...options, folder: temp });
      const store = await Store.openFolder(temp);
      store.#temp ??= temp;
      store.deletions = { references: deleted, time: Date.parse(options.stamp) };
      return store;
    } catch (error) {
      fs.rmSync(temp, { recursive: true, force: true });
      throw error;
    }
  }

  #tempFolder() {
    this.#temp ??= fs.mkdtempSync(path.join(os.tmpdir(), 'smart-fetch-sandbox-'));
    return this.#temp;
  }

  types() {
    return [...this.tables.keys()];
  }

  /** The table of a type with its lines found, or null where there are no such resources. */
  async table(type) {
    const table = this.tables.get(type);
    if (!table) return null;
    await table.scanned();
    return table.count > 0 ? table : null;
  }

  async read(type, id) {
    return (await this.tables.get(type)?.read(id)) ?? null;
  }

  /**
   * The groups: those of the folder, else four made up over its patients (`all`, `first-half`, `second-half`,
   * `nobody`), which are searchable and exportable but no part of the exported data.
   * @returns {Promise<Map<string, {resource: object, members: Set<string>}>>} by id
   */
  groups() {
    this.#groups ??= this.#findGroups();
    return this.#groups;
  }

  async #findGroups() {
    const groups = new Map();
    const add = (resource) => {
      const members = new Set();
      for (const member of resource.member ?? []) {
        const id = member.inactive ? null : patientId(member.entity?.reference);
        if (id !== null) members.add(id);
      }
      groups.set(resource.id, { resource, members });
    };
    const table = await this.table('Group');
    if (table) {
      for (let row = 0; row < table.count; row++) add(table.resource(row));
      return groups;
    }
    const patients = await this.table('Patient');
    const ids = patients ? [...(await patients.indexed()).rowById.keys()] : [];
    const half = Math.ceil(ids.length / 2);
    const made = { all: ids, 'first-half': ids.slice(0, half), 'second-half': ids.slice(half), nobody: [] };
    for (const [id, members] of Object.entries(made)) {
      add({
        resourceType: 'Group', id, type: 'person', actual: true, name: `Sandbox group ${id}`, quantity: members.length,
        member: members.map((member) => ({ entity: { reference: `Patient/${member}` } })),
      });
    }
    return groups;
  }

  close() {
    for (const table of this.tables.values()) table.close();
    if (this.#temp) fs.rmSync(this.#temp, { recursive: true, force: true });
    this.#temp = null;
  }
}

/** The resourceType of a file's first line, for files whose name does not start with their type. */
function firstType({ path: plain, gzPath }) {
  const bytes = plain ? readHead(plain) : gunzipSync(readHead(gzPath), { finishFlush: 2 /* Z_SYNC_FLUSH: a cut input is fine */ });
  return /"resourceType"\s*:\s*"([A-Za-z]+)"/.exec(bytes.toString('utf8'))?.[1] ?? null;
}

function readHead(file) {
  const fd = fs.openSync(file, 'r');
  try {
    const head = Buffer.alloc(65536);
    return head.subarray(0, fs.readSync(fd, head, 0, head.length, 0));
  } finally {
    fs.closeSync(fd);
  }
}
