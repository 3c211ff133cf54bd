// What these tests export from: the embedded sandbox, serving a small folder.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';

export const FIXTURE = fileURLToPath(new URL('../fixtures/synthea-10', import.meta.url));

/** Types that the fixture holds. */
export const DATA_TYPES = [...new Set(readdirSync(FIXTURE).map((name) => name.split('.')[0]))];

/** Flags that keep waits short. */
export const QUICK = ['--retry-delays', '10ms,20ms,40ms', '--max-poll-delay', '100ms'];

/** A sandbox that ends with the test. */
export async function sandbox(t, { faults, ...options } = {}) {
  const server = await startSandbox({ data: FIXTURE, ...options, faults: { pending: 0, ...faults } });
  t.after(() => server.close());
  return server;
}

/** Content of each file of the fixture by name, such as `Observation.001`. */
export function fixtureFiles() {
  const names = readdirSync(FIXTURE).filter((name) => name.endsWith('.ndjson.gz')).sort();
  return new Map(names.map((name) => [name.replace('.ndjson.gz', ''), gunzipSync(readFileSync(join(FIXTURE, name)))]));
}
