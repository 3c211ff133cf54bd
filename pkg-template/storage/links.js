/**
 * Links of a folder whose storage has none: an index file beside the data, `{ path: target }`.
 */
import { StorageError } from '../errors.js';
import { MAX_HOPS, resolveLink } from './paths.js';

/** The index file; `list` does not show it. */
export const INDEX = '.links.json';

export class Links {
  /** @type {Promise<unknown>} */
  #turn = Promise.resolve();
  #read;
  #write;

  /**
   * @param {() => Promise<string | undefined>} read the index file's text, if there is one
   * @param {(text: string | undefined) => Promise<void>} write replaces it in one step; without text, removes it
   */
  constructor(read, write) {
    this.#read = read;
    this.#write = write;
  }

  /** @returns {Promise<Map<string, string>>} */
  async all() {
    // Read each time: the job that makes links may run in another tab.
    const text = await this.#read();
    if (text === undefined) return new Map();
    try {
      return new Map(Object.entries(JSON.parse(text)));
    } catch {
      throw new StorageError('other', `the folder's ${INDEX} is damaged; remove it and make the links again`);
    }
  }

  /**
   * Where a path leads after all links.
   * @param {string} path
   */
  async resolve(path) {
    const links = await this.all();
    let at = path;
    for (let hops = 0; hops < MAX_HOPS; hops++) {
      const target = links.get(at);
      if (target === undefined) return at;
      at = resolveLink(at, target);
    }
    throw new StorageError('notFound', 'the links lead in a circle');
  }

  /**
   * Gives a link another name.
   * @param {string} from
   * @param {string} to
   */
  move(from, to) {
    return this.change((links) => {
      const target = links.get(from);
      if (target === undefined) throw new StorageError('notFound', 'no such file');
      links.delete(from);
      links.set(to, target);
    });
  }

  /**
   * Changes the index, one change at a time.
   * @param {(links: Map<string, string>) => void} change
   */
  async change(change) {
    const turn = this.#turn.then(async () => {
      const links = await this.all();
      change(links);
      const text = JSON.stringify(Object.fromEntries(links), undefined, 1);
      await this.#write(links.size === 0 ? undefined : text);
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }
}
