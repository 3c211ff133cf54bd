/**
 * A folder that jobs work in.
 */
export class Folder {
  /** @param {import('./host.d.ts').Backend} backend */
  constructor(backend) {
    this.backend = backend;
  }

  /** Where it is, for people. */
  get name() {
    return this.backend.name;
  }
}
