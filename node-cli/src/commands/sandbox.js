import { readFile } from 'node:fs/promises';
import { CommandError, EXIT, UsageError } from '../exit-codes.js';
import { onInterrupt } from '../interrupt.js';
import { didYouMean } from '../nearest.js';
import { describeSystemError } from '../output.js';
import { FAULTS, parseFaults, startSandbox } from '../sandbox/index.js';

const OPTIONS = ['port', 'host', 'data', 'patients', 'seed', 'references', 'cors', 'auth'];
/** The id under which the keys of `--jwks` are registered. */
const CLIENT_ID = 'smart-fetch';

/**
 * Runs the embedded FHIR server until it is told to end.
 * @param {import('../run.js').Invocation} invocation
 */
export async function run({ settings, output }) {
  if (settings.fault?.includes('help')) return printFaults(output);
  const options = Object.fromEntries(OPTIONS.filter((name) => name in settings).map((name) => [name, settings[name]]));
  const client = settings.jwks === undefined ? {} : { jwks: await readJwks(settings.jwks), clientId: CLIENT_ID };
  const sandbox = await start({ ...options, ...client, faults: faults(settings.fault ?? []) });
  const told = new Promise((resolve) => {
    onInterrupt(resolve, () => process.exit(EXIT.interrupted));
  });
  // Alone on the first line: scripts read it.
  output.line(sandbox.url);
  if (!settings.quiet) output.error(`${howToExport(sandbox.url, settings, client.jwks)}\nCtrl-C ends the sandbox.`);
  await told;
  await sandbox.close();
  return EXIT.complete;
}

/** The command that exports the sandbox as it is; where that takes a key and none is known, how to come by one. */
function howToExport(url, { auth, jwks: path }, jwks) {
  const command = `Export it with: smart-fetch bulk OUTPUT_DIR --fhir-url ${url}`;
  if (auth !== 'smart') return command;
  if (path === undefined) {
    return `No client can export from it yet. Make a key, and start it again with it:
  smart-fetch keygen key.jwks
  smart-fetch sandbox --auth smart --jwks key.jwks`;
  }
  const isPrivate = jwks.keys?.some((key) => key?.d !== undefined);
  return `${command} --smart-client-id ${CLIENT_ID} --smart-key ${isPrivate ? path : 'KEY'}`;
}

function printFaults(output) {
  for (const [name, { initial, doc }] of Object.entries(FAULTS)) output.line(`${name}=${initial}\n    ${doc}`);
  return EXIT.complete;
}

function faults(texts) {
  for (const text of texts) {
    const name = text.split('=', 1)[0];
    if (!Object.hasOwn(FAULTS, name)) {
      throw new UsageError(`there is no fault '${name}'${didYouMean(name, Object.keys(FAULTS)) || "; '--fault help' lists them"}`);
    }
  }
  try {
    return parseFaults(texts);
  } catch (error) {
    throw new UsageError(error.message);
  }
}

async function readJwks(path) {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    // Without the words of the parser: they quote the file, which may hold a private key.
    throw new UsageError(`--jwks: could not read '${path}': ${error.code ? describeSystemError(error) : 'it is not JSON'}`);
  }
}

async function start(options) {
  try {
    return await startSandbox(options);
  } catch (error) {
    if (error.code === 'EADDRINUSE') throw new CommandError(`Port ${options.port} is in use already; choose another one with --port.`);
    const what = error.path ? `could not read '${error.path}': ` : '';
    throw new CommandError(`The sandbox could not start: ${what}${describeSystemError(error)}`);
  }
}
