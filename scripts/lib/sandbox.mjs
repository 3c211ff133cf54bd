// The embedded sandbox as a process of its own, and an export of it without smart-fetch, to compare with.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, root } from './run.mjs';

export const cli = join(root, 'node-cli/bin/smart-fetch.js');

/** Starts `smart-fetch sandbox` and resolves to its base URL and how to stop it. */
export async function startSandbox(args) {
  const child = spawn(process.execPath, [cli, 'sandbox', '--port', '0', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  };
  // The first line of standard output is the base URL and nothing else.
  const lines = createInterface({ input: child.stdout });
  const url = await Promise.race([once(lines, 'line').then(([line]) => line), once(child, 'exit').then(() => undefined)]);
  if (url === undefined) throw new Failure(`The sandbox ended with ${child.exitCode} before it listened.`);
  return { url, stop };
}

async function get(url, headers) {
  const response = await fetch(url, { headers });
  if (!response.ok) throw new Failure(`The sandbox answered ${response.status} to ${url}: ${await response.text()}`);
  return response;
}

/**
 * Exports once more with plain fetch, as simply as can be: asks, waits, downloads. Resolves to the lines of every type,
 * as the server sends them. `kickOffUrl` is the whole URL with its query.
 */
export async function plainExport(kickOffUrl) {
  const asked = await get(kickOffUrl, { accept: 'application/fhir+json', prefer: 'respond-async' });
  const statusUrl = asked.headers.get('content-location');
  let status = await get(statusUrl, { accept: 'application/json' });
  while (status.status === 202) {
    await sleep(200);
    status = await get(statusUrl, { accept: 'application/json' });
  }
  const lines = new Map();
  for (const { type, url } of (await status.json()).output) {
    const file = await get(url, { accept: 'application/fhir+ndjson' });
    const text = Buffer.from(await file.arrayBuffer()).toString('latin1');
    lines.set(type, [...(lines.get(type) ?? []), ...text.split('\n').filter(Boolean)]);
  }
  return lines;
}
