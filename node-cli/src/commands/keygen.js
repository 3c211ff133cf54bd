import { open, rm } from 'node:fs/promises';
import { extname } from 'node:path';
import { CommandError, EXIT, UsageError } from '../exit-codes.js';
import { describeSystemError } from '../output.js';

/** What `--smart-key` takes for a JWKS. */
const ENDINGS = ['.jwks', '.json'];

/**
 * Makes a file of private keys, and prints the public ones.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand: path, settings, output }) {
  if (path === undefined) throw new UsageError('FILE is missing');
  if (!ENDINGS.includes(extname(path).toLowerCase())) {
    throw new UsageError(`'${path}' must end in ${ENDINGS.join(' or ')}, so that --smart-key takes it`);
  }
  const { generateKeys } = await import('smart-fetch');
  const { privateJwks, publicJwks } = await generateKeys(settings.alg);
  await store(path, `${JSON.stringify(privateJwks, null, 2)}\n`);
  output.line(JSON.stringify(publicJwks, null, 2));
  if (!settings.quiet) {
    output.error(`The private ${privateJwks.keys.length === 1 ? 'key is' : 'keys are'} in '${path}', which only you can read; keep it secret. Register what was printed on standard output with the server.`);
  }
  return EXIT.complete;
}

/** Writes a file that is not there yet, for its owner alone. A key that servers know must not be overwritten. */
async function store(path, text) {
  let file;
  try {
    file = await open(path, 'wx', 0o600);
  } catch (error) {
    if (error.code === 'EEXIST') throw new UsageError(`'${path}' is there already, and might hold a key that is in use. Choose another file`);
    throw new CommandError(`Could not make '${path}': ${describeSystemError(error)}.`);
  }
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw new CommandError(`Could not write '${path}': ${describeSystemError(error)}.`);
  } finally {
    await file.close();
  }
}
