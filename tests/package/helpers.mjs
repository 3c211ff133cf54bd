// What the package's tests share.
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { clock, random } from '../../pkg-template/clock.js';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';

export const FIXTURE = new URL('../fixtures/synthea-10', import.meta.url).pathname;

/** A folder that goes with the test. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'smart-fetch-package-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A sandbox that goes with the test. */
export async function sandbox(t, { faults, ...options } = {}) {
  const sbx = await startSandbox({ data: FIXTURE, ...options, faults: { pending: 0, ...faults } });
  t.after(() => sbx.close());
  return sbx;
}

/** A server with one handler that goes with the test; resolves to its URL. */
export async function serve(t, handler) {
  const server = http.createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** NDJSON of patients. */
export const patients = (count, from = 0) =>
  Array.from({ length: count }, (_, i) => `{"resourceType":"Patient","id":"p${from + i}","name":[{"family":"Zoë ${from + i}"}]}\n`).join('');

/** A transfer task as the core makes it. */
export const task = (url, more = {}) => ({
  file: 0, url, headers: [['Accept', 'application/fhir+ndjson'], ['Accept-Encoding', 'gzip']], credentials: [], credentialOrigins: [],
  allowInsecure: false, path: 'Patient.part', compress: true, content: 'resources', resourceType: 'Patient', elements: false,
  timeoutMillis: 10_000, ...more,
});

/** A host of the parts given. */
export const host = (parts) => ({ clock, random, ...parts });

/** The text of a file, unpacked if it is packed. */
export function text(...path) {
  const bytes = readFileSync(join(...path));
  return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString();
}

export const never = new Promise(() => {});
