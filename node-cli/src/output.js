import { writeSync } from 'node:fs';

/**
 * Standard output and standard error. A reader that goes away (EPIPE) or a full device never stops an export; whoever
 * prints what the user asked for looks at {@link Output.failure} and fails.
 */
export class Output {
  /** Why standard output can no longer be written: a sentence, or undefined. */
  failure;
  #stdout;
  #stderr;
  #closed = false;

  constructor(stdout = process.stdout, stderr = process.stderr) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    stdout.on('error', (error) => this.#lost(error));
    // Nobody is left to tell.
    stderr.on('error', () => {});
  }

  get stdout() {
    return this.#stdout;
  }

  get stderr() {
    return this.#stderr;
  }

  /** Whether standard output takes more at the moment; lines that may be dropped are dropped when it does not. */
  get ready() {
    return !this.#stdout.writableNeedDrain;
  }

  /** Writes a line to standard output. */
  line(text = '') {
    this.write(`${text}\n`);
  }

  /** Writes text or bytes to standard output as they are. */
  write(data) {
    if (!this.#closed) this.#stdout.write(data);
  }

  /** Writes a line to standard error. */
  error(text) {
    this.#stderr.write(`${text}\n`);
  }

  /** Resolves when standard output has taken everything written so far. */
  async flush() {
    if (this.#closed) return;
    await new Promise((resolve) => {
      this.#stdout.write('', resolve);
    });
  }

  /** The last words before the process is ended: past all buffers. */
  static lastWords(text) {
    try {
      writeSync(2, `${text}\n`);
    } catch {
      // Nobody is left to tell.
    }
  }

  #lost(error) {
    this.#closed = true;
    if (error.code !== 'EPIPE') this.failure ??= `Could not write to standard output: ${describeSystemError(error)}.`;
  }
}

const SYSTEM_ERRORS = {
  EACCES: 'permission denied',
  EDQUOT: 'the disk quota is used up',
  EISDIR: 'it is a folder',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'there is no such file or folder',
  ENOSPC: 'no space left on the device',
  ENOTDIR: 'a part of the path is not a folder',
  EPERM: 'the operation is not permitted',
  EROFS: 'the file system is read-only',
};

/** The words for an error of the operating system, without its code where there are better ones. */
export function describeSystemError(error) {
  return SYSTEM_ERRORS[error.code] ?? error.message;
}

/** `0.1KB`, `1.5MB`, `2GB`: one decimal at most, units of 1024, no smaller unit than KB. */
export function formatBytes(bytes) {
  let amount = bytes / 1024;
  let unit = 0;
  const units = ['KB', 'MB', 'GB', 'TB', 'PB'];
  while (amount >= 1023.95 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${oneDecimal(amount)}${units[unit]}`;
}

/** `49s`, `1.5m`, `5h`: one decimal at most. */
export function formatDuration(millis) {
  const seconds = Math.max(0, millis) / 1000;
  if (seconds < 9.95) return `${oneDecimal(seconds)}s`;
  if (seconds < 59.5) return `${Math.round(seconds)}s`;
  if (seconds < 3600) return `${oneDecimal(seconds / 60)}m`;
  if (seconds < 172_800) return `${oneDecimal(seconds / 3600)}h`;
  return `${oneDecimal(seconds / 86_400)}d`;
}

/** `1,234,567` */
export function formatCount(number) {
  // By hand: loading the locales takes longer than many a command.
  return String(number).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `1 file`, `2 files` */
export function plural(number, noun) {
  return `${formatCount(number)} ${noun}${number === 1 ? '' : 's'}`;
}

function oneDecimal(amount) {
  return amount.toFixed(1).replace(/\.0$/, '');
}

/**
 * Rows of text as aligned columns; the first column is set left, the others right. The header row is underlined.
 * @param {string[]} header
 * @param {string[][]} rows
 */
export function formatTable(header, rows) {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)));
  const line = (cells) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd();
  return [line(header), line(widths.map((width) => '─'.repeat(width))), ...rows.map(line)].join('\n');
}
