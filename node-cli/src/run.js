import { parseCommandLine } from './args.js';
import { readSettings } from './config.js';
import { CommandError, EXIT, UsageError } from './exit-codes.js';
import { Output } from './output.js';

/** Loaded when asked for, so that `--help` need not load the core, nor `bulk` the sandbox. */
const COMMANDS = {
  export: () => import('./commands/export.js'),
  bulk: () => import('./commands/bulk.js'),
  crawl: () => import('./commands/crawl.js'),
  hydrate: () => import('./commands/hydrate.js'),
  single: () => import('./commands/single.js'),
  status: () => import('./commands/status.js'),
  verify: () => import('./commands/verify.js'),
  merge: () => import('./commands/merge.js'),
  bundle: () => import('./commands/bundle.js'),
  doctor: () => import('./commands/doctor.js'),
  keygen: () => import('./commands/keygen.js'),
  'reset-symlinks': () => import('./commands/reset-symlinks.js'),
  sandbox: () => import('./commands/sandbox.js'),
  serve: () => import('./commands/serve.js'),
};

/** Commands that are servers: they do without the core. */
const SERVERS = new Set(['sandbox', 'serve']);

/**
 * @typedef {object} Invocation What a command is given.
 * @property {string} [operand]
 * @property {Record<string, any>} settings by flag name, checked
 * @property {string[]} argv the command line as it was, for showing how to repeat it
 * @property {Output} output
 */

/**
 * Runs one command line.
 * @param {string[]} argv without the program's name
 * @returns {Promise<number>} the exit status
 */
export async function main(argv) {
  const output = new Output();
  let line;
  try {
    line = parseCommandLine(argv, (text) => output.write(text), output.stdout.columns);
    if (!line) return await finish(EXIT.complete, output);
    const settings = await readSettings(line);
    if (!SERVERS.has(line.command)) {
      const { nameOptions } = await import('smart-fetch');
      nameOptions((option, flag) => flag);
    }
    const { run } = await COMMANDS[line.command]();
    return await finish(await run({ operand: line.operand, settings, argv, output }), output);
  } catch (error) {
    if (error instanceof UsageError) error.command ??= line?.command;
    output.error(describeError(error));
    return error.exitStatus ?? EXIT.failed;
  }
}

/** Output that was asked for and could not be written is a failure, unless it was the reader who went away. */
async function finish(status, output) {
  await output.flush();
  if (!output.failure) return status;
  output.error(output.failure);
  return status === EXIT.complete ? EXIT.failed : status;
}

/** An error as the last words of a command: what happened, to what, what to do next. */
function describeError(error) {
  if (error instanceof UsageError) {
    const program = error.command ? `smart-fetch ${error.command}` : 'smart-fetch';
    return `${program}: ${sentence(error.message)} See '${program} --help'.`;
  }
  if (error instanceof CommandError || error.code !== undefined) {
    const message = sentence(error.message.trim());
    // What follows a list stands on a line of its own.
    return [message, error.hint].filter(Boolean).join(message.includes('\n') ? '\n' : ' ');
  }
  return `Internal error: ${error.stack ?? error}`;
}

function sentence(text) {
  return /[.?!)…]$/.test(text) || text.includes('\n') ? text : `${text}.`;
}
