/**
 * The one error class of the package, and the plain errors that adapters throw to the core.
 */
import { worded } from './names.js';

/**
 * What a job or a call rejects with. `code` says what the caller can do about it; see `ErrorCode` in `index.d.ts`.
 */
export class SmartFetchError extends Error {
  /**
   * @param {import('./host.d.ts').PlainError} plain
   * @param {unknown} [cause]
   */
  constructor(plain, cause) {
    super(worded(plain.message), cause === undefined ? undefined : { cause });
    this.name = 'SmartFetchError';
    this.code = plain.kind;
    this.operation = plain.operation;
    this.hint = plain.hint && worded(plain.hint);
    this.retry = plain.retry;
    this.status = plain.status;
    this.exitStatus = plain.exitStatus;
  }

  /**
   * Whatever was thrown, as a `SmartFetchError`. The core throws plain objects, since only plain data crosses threads.
   * @param {any} thrown
   * @param {string} operation what was being done, for errors that do not say it
   * @returns {SmartFetchError}
   */
  static from(thrown, operation) {
    if (thrown instanceof SmartFetchError) return thrown;
    if (typeof thrown?.kind === 'string' && typeof thrown.operation === 'string') return new SmartFetchError(thrown);
    if (thrown instanceof StorageError || thrown instanceof TransportError) return adapterError(thrown, operation);
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new SmartFetchError({ kind: 'internal', operation, message, retry: false, exitStatus: 1 }, thrown);
  }
}

/**
 * A usage error: found before anything was sent.
 * @param {string} message
 * @param {string} [hint]
 */
export function usage(message, hint) {
  return new SmartFetchError({ kind: 'usage', operation: 'options', message, hint, retry: false, exitStatus: 2 });
}

/**
 * What a transport throws; the core reads `kind` and `message`.
 */
export class TransportError extends Error {
  /**
   * @param {import('./host.d.ts').HttpErrorKind} kind
   * @param {string} message without header values and URL queries
   */
  constructor(kind, message) {
    super(message);
    this.name = 'TransportError';
    this.kind = kind;
  }
}

/**
 * What a storage backend throws; the core reads `kind` and `message` and adds the path.
 */
export class StorageError extends Error {
  /**
   * @param {import('./host.d.ts').StorageErrorKind} kind
   * @param {string} message
   */
  constructor(kind, message) {
    super(message);
    this.name = 'StorageError';
    this.kind = kind;
  }
}

/** As `src/platform/storage.rs` has it, for what is done with storage besides jobs. */
const CODES = /** @type {Record<string, import('./index.d.ts').ErrorCode>} */ ({
  notFound: 'notFound',
  full: 'quota',
  denied: 'storage',
  locked: 'locked',
  unsupported: 'unsupported',
  other: 'storage',
});

const HINTS = /** @type {Record<string, string>} */ ({
  full: 'Free some space, then do the same again.',
  locked: 'Wait until it has ended, or choose another folder.',
});

/**
 * @param {StorageError | TransportError} error
 * @param {string} operation
 */
function adapterError(error, operation) {
  const isNetwork = error instanceof TransportError;
  const retry = isNetwork || error.kind === 'full' || error.kind === 'locked';
  const kind = isNetwork ? 'network' : CODES[error.kind];
  return new SmartFetchError({ kind, operation, message: error.message, hint: HINTS[error.kind], retry, exitStatus: 1 }, error);
}
