import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CommandError, EXIT, UsageError } from '../exit-codes.js';
import { onInterrupt } from '../interrupt.js';
import { describeSystemError } from '../output.js';
import { PUBLIC_SANDBOX, startServe } from '../serve/index.js';

/** Always the same, because a browser keeps what the page stores by address, port included. */
const PORT = 8484;
const PAGE = fileURLToPath(new URL('../../page', import.meta.url));

/**
 * Runs the demo page and its relay until it is told to end.
 * @param {import('../run.js').Invocation} invocation
 */
export async function run({ settings, output }) {
  const { port = PORT, server: servers = [PUBLIC_SANDBOX] } = settings;
  const tokenOrigins = settings['token-origin'];
  if (!settings['allow-insecure']) {
    for (const server of servers) checkPrivate('--server', server);
    for (const origin of tokenOrigins ?? []) checkPrivate('--token-origin', origin);
  }
  if (!existsSync(join(PAGE, 'index.html'))) throw new CommandError('The page is not built. Build it with: npm run build');
  const serve = await start({ page: PAGE, port, servers, tokenOrigins });
  const told = new Promise((resolve) => {
    onInterrupt(resolve, () => process.exit(EXIT.interrupted));
  });
  // Alone on the first line: scripts read it.
  output.line(serve.url);
  if (!settings.quiet) output.error(`Open it in a browser. Servers that it can reach through the relay: ${servers.join(', ')}\nCtrl-C ends it.`);
  await told;
  await serve.close();
  return EXIT.complete;
}

/** The page takes the relay for loopback, where plain http is fine; what lies behind it may be another machine. */
function checkPrivate(flag, text) {
  const { protocol, hostname } = new URL(text);
  const isLoopback = /^(.*\.)?localhost$|^127(\.\d+){3}$|^\[::1\]$/.test(hostname);
  if (protocol === 'https:' || isLoopback) return;
  throw new UsageError(`${flag}: ${text} is plain http, where others can read credentials and data; on a network that you trust, add --allow-insecure`);
}

async function start(options) {
  try {
    return await startServe(options);
  } catch (error) {
    if (error.code === 'EADDRINUSE') {
      const hint = 'choose another one with --port. The browser keeps the runs of each address apart';
      throw new CommandError(`Port ${options.port} is in use already; ${hint}.`);
    }
    throw new CommandError(`The page could not be served: ${describeSystemError(error)}`);
  }
}
