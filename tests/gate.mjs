// Keeps clients of the sandbox waiting.

/** Gives out so many files; who asks for more waits until the test goes on. `startSandbox({ hold: gate.hold })` */
export class Gate {
  #left;
  #waiting = [];

  constructor(files) {
    this.#left = files;
  }

  hold = (route) => {
    if (route !== 'files' || this.#left-- > 0) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  };

  /** Gives out so many more, those first that wait. */
  allow(files) {
    this.#left = Math.max(0, this.#left) + files;
    for (const resolve of this.#waiting.splice(0, this.#left)) {
      this.#left--;
      resolve();
    }
  }

  open() {
    this.allow(Infinity);
  }
}
