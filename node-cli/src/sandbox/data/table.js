// All resources of one type: the NDJSON files they live in and, once somebody needs it, where each line starts and
// whose it is. Lines stay on disk; in memory there are offsets, ids and row numbers only, so the size of the data
// folder does not matter much.
import fs from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { pathValues } from '../search/paths.js';
import { patientOf, updatedOf } from './compartment.js';

const NEWLINE = 10;
const CHUNK = 1 << 20;
const MAX_KEPT_ROWS = 200_000;

/** A growing array of numbers, 8 bytes each. */
class Numbers {
  #items = new Float64Array(1024);
  length = 0;

  push(value) {
    if (this.length === this.#items.length) {
      const larger = new Float64Array(this.length * 2);
      larger.set(this.#items);
      this.#items = larger;
    }
    this.#items[this.length++] = value;
  }

  at(index) {
    return this.#items[index];
  }
}

/**
 * One NDJSON file of a type. `path` is the plain file (for a folder of `.ndjson.gz` alone: a decompressed copy in
 * the temporary folder, made on first use), `gzPath` the compressed sibling, if there is one.
 */
export class DataFile {
  constructor({ name, path, gzPath, tempPath }) {
    this.name = name;
    this.gzPath = gzPath ?? null;
    this.path = path ?? tempPath;
    this.mustUnpack = !path;
    this.firstRow = 0;
    this.rows = 0;
    this.bytes = 0;
    this.fd = null;
    this.modified = fs.statSync(path ?? gzPath).mtimeMs;
  }

  async open() {
    if (this.mustUnpack) {
      await pipeline(fs.createReadStream(this.gzPath), createGunzip(), fs.createWriteStream(this.path));
      this.mustUnpack = false;
    }
    this.fd = fs.openSync(this.path, 'r');
    this.bytes = fs.fstatSync(this.fd).size;
  }

  close() {
    if (this.fd !== null) fs.closeSync(this.fd);
    this.fd = null;
  }
}

/** The resources of one type, over all its files, numbered from 0 in file order (rows). */
export class Table {
  #starts = new Numbers();
  #ends = new Numbers();
  #updated = new Numbers();
  #scan = null;
  #index = null;
  #columns = new Map();

  /** @param {string} type resource type; @param {DataFile[]} files in name order */
  constructor(type, files) {
    this.type = type;
    this.files = files;
    this.count = 0;
    /** Resource id by row, filled by {@link indexed}. */
    this.ids = [];
    /** Row by resource id, filled by {@link indexed}. */
    this.rowById = new Map();
    /** Rows by patient id (patient compartment), filled by {@link indexed}. */
    this.rowsByPatient = new Map();
  }

  /** Finds the lines of each file (once). Blank lines are no resources. */
  scanned() {
    this.#scan ??= this.#findLines();
    return this.#scan;
  }

  async #findLines() {
    for (const file of this.files) {
      await file.open();
      file.firstRow = this.count;
      let position = 0;
      let lineStart = 0;
      let lineFrom = 0; // first byte of the line within the chunk, or 0 when it began in an earlier one
      for await (const chunk of fs.createReadStream(file.path, { highWaterMark: CHUNK })) {
        lineFrom = 0;
        for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, lineFrom)) {
          this.#addLine(lineStart, position + at);
          lineFrom = at + 1;
          lineStart = position + lineFrom;
        }
        position += chunk.length;
      }
      this.#addLine(lineStart, position);
      file.rows = this.count - file.firstRow;
    }
    return this;
  }

  #addLine(start, end) {
    if (end - start < 2) return; // blank, or a lone \r
    this.#starts.push(start);
    this.#ends.push(end);
    this.count++;
  }

  /** Reads id, patient and last change of every row (once). */
  indexed() {
    this.#index ??= this.#readKeys();
    return this.#index;
  }

  async #readKeys() {
    await this.scanned();
    for (let row = 0; row < this.count; row++) {
      if (row % 2000 === 1999) await new Promise(setImmediate); // other requests go on meanwhile
      const resource = this.resource(row);
      const file = this.fileOf(row);
      this.#updated.push(updatedOf(resource) ?? file.modified);
      this.ids.push(resource.id);
      if (!this.rowById.has(resource.id)) this.rowById.set(resource.id, row);
      const patient = patientOf(resource);
      if (patient === null) continue;
      const rows = this.rowsByPatient.get(patient);
      if (rows) rows.push(row);
      else this.rowsByPatient.set(patient, [row]);
    }
    return this;
  }

  fileOf(row) {
    let file = this.files[0];
    for (const next of this.files) {
      if (next.firstRow > row || next.fd === null) break;
      file = next;
    }
    return file;
  }

  /** When the row last changed, in ms since 1970: `meta.lastUpdated`, else when its file was written. */
  updated(row) {
    return this.#updated.at(row);
  }

  /** Bytes of the row without its line end. */
  length(row) {
    return this.#ends.at(row) - this.#starts.at(row);
  }

  start(row) {
    return this.#starts.at(row);
  }

  end(row) {
    return this.#ends.at(row);
  }

  /** The row's bytes, without line end, exactly as in the folder. */
  line(row) {
    const line = Buffer.allocUnsafe(this.length(row));
    fs.readSync(this.fileOf(row).fd, line, 0, line.length, this.start(row));
    return line;
  }

  resource(row) {
    return JSON.parse(this.line(row).toString('utf8'));
  }

  /**
   * Values at a path of the row's resource (see pathValues). Those of tables of ordinary size are kept, so that a
   * crawl, which asks the same of every patient, does not parse each line again and again.
   */
  values(row, path) {
    if (this.count > MAX_KEPT_ROWS) return pathValues(this.resource(row), path);
    let column = this.#columns.get(path);
    if (!column) this.#columns.set(path, column = new Array(this.count));
    column[row] ??= pathValues(this.resource(row), path);
    return column[row];
  }

  /** The line of a resource by id, or null. */
  async read(id) {
    await this.indexed();
    const row = this.rowById.get(id);
    return row === undefined ? null : this.line(row);
  }

  close() {
    for (const file of this.files) file.close();
  }
}
