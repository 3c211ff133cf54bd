import { EXIT, UsageError } from '../exit-codes.js';
import { openClient } from '../server.js';

/**
 * Prints one resource.
 * @param {import('../run.js').Invocation} invocation
 * @returns {Promise<number>} exit status
 */
export async function run({ operand, settings, output }) {
  if (operand === undefined) throw new UsageError('TYPE/ID is missing');
  const client = await openClient(settings, 'rest');
  output.write(await client.single(operand, { binary: settings.binary, compact: settings.compact }));
  return EXIT.complete;
}
