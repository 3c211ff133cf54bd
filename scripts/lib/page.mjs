// The demo page: www/ built by Vite into node-cli/page/, where `smart-fetch serve` finds it and from where any static host
// can take it.
import { join } from 'node:path';
import { must, root, say } from './run.mjs';

/** Builds the page around the package, whose WebAssembly files must be there. */
export async function buildPage() {
  say('demo page');
  const vite = join(root, 'node_modules/vite/bin/vite.js');
  await must(process.execPath, [vite, 'build', '--logLevel', 'warn'], { cwd: join(root, 'www') });
}
