// `smart-fetch sandbox`: the embedded server as a command.
import fs from 'node:fs';
import { parseFaults, startSandbox } from './index.js';

/**
 * Runs until SIGTERM or SIGINT. Prints the base URL alone on the first line of standard output.
 * @param {object} options those of startSandbox, with `fault`: strings `name=value`, and `jwks`: a file
 */
export async function runSandbox({ fault = [], jwks, ...options }) {
  const sandbox = await startSandbox({
    ...options,
    faults: parseFaults(fault),
    ...(jwks && { jwks: JSON.parse(fs.readFileSync(jwks, 'utf8')), clientId: options.clientId ?? 'smart-fetch' }),
  });
  process.stdout.write(`${sandbox.url}\n`);
  await new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  await sandbox.close();
}
