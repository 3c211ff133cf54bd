/** Exit statuses: a contract with scripts (DESIGN §6). */
export const EXIT = Object.freeze({
  /** Everything asked for was done. */
  complete: 0,
  /** It failed; the message says whether running it again goes on where it stopped. */
  failed: 1,
  /** The request made no sense; nothing was sent or written. */
  usage: 2,
  /** Finished, but the server reported errors or some files could not be had. */
  partial: 3,
  /** Stopped by Ctrl-C or SIGTERM; the state is kept. */
  interrupted: 130,
});

/** A command line or configuration that makes no sense. */
export class UsageError extends Error {
  exitStatus = EXIT.usage;

  /**
   * @param {string} message one sentence, its full stop left out where it is the only one
   * @param {string} [command] the command whose help explains it
   */
  constructor(message, command) {
    super(message);
    this.command = command;
  }
}

/** A failure that the command line itself found, such as a folder that cannot be written. */
export class CommandError extends Error {
  exitStatus = EXIT.failed;
}
