// What these tests export from: the embedded sandbox, serving a small folder.
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
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

/** The ids of the fixture's patients. */
export const patientIds = () => fixtureFiles().get('Patient.001').toString().trim().split('\n').map((line) => JSON.parse(line).id).sort();

/** A server before the sandbox that answers some requests itself. @returns its FHIR base */
export async function before(t, url, answer) {
  const { origin, pathname } = new URL(url);
  const proxy = http.createServer((request, response) => {
    const own = answer(request.url, response);
    if (own) return;
    const { host } = request.headers;
    http.get(origin + request.url, { headers: { ...request.headers, host } }, (upstream) => {
      response.writeHead(upstream.statusCode, upstream.headers);
      upstream.pipe(response);
    });
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return `http://127.0.0.1:${proxy.address().port}${pathname}`;
}
