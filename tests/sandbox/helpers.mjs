// What the sandbox tests share: a bare bulk client that shows everything it gets.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';

export const FIXTURE = fileURLToPath(new URL('../fixtures/synthea-10', import.meta.url));
export const KICKOFF = { accept: 'application/fhir+json', prefer: 'respond-async' };

/** Starts a sandbox that ends with the test. Jobs are done at the first poll unless the faults say otherwise. */
export async function sandbox(t, { faults, ...options } = {}) {
  const sbx = await startSandbox({ data: FIXTURE, ...options, faults: { pending: 0, ...faults } });
  t.after(() => sbx.close());
  return sbx;
}

/** One request over node:http: status, headers, raw body bytes, and how the connection ended. */
export function request(url, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request(url, { method, headers, agent: false }, (res) => {
      const chunks = [];
      let ended = 'whole';
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('error', (error) => { ended = error.code ?? error.message; });
      res.on('close', () => resolve({
        status: res.statusCode, headers: res.headers, bytes: Buffer.concat(chunks), ended,
        get text() { return this.bytes.toString('utf8'); },
        get json() { return JSON.parse(this.text); },
      }));
    });
    req.on('error', reject);
    req.end(body);
  });
}

/** Kick-off by GET at `path` ('' for system, '/Patient', '/Group/x'). */
export function kickoff(sbx, path = '', query = '', { headers = {}, base = sbx.url } = {}) {
  return request(`${base}${path}/$export${query && `?${query}`}`, { headers: { ...KICKOFF, ...headers } });
}

/** Kick-off by POST of Parameters. */
export function postKickoff(sbx, path, parameter, { headers = {} } = {}) {
  return request(`${sbx.url}${path}/$export`, {
    method: 'POST', headers: { ...KICKOFF, 'content-type': 'application/fhir+json', ...headers }, body: JSON.stringify({ resourceType: 'Parameters', parameter }),
  });
}

/** Kick-off and status up to the manifest. */
export async function manifestOf(sbx, path, query, options) {
  const started = await kickoff(sbx, path, query, options);
  if (started.status !== 202) throw new Error(`kick-off: ${started.status} ${started.text}`);
  const answer = await request(started.headers['content-location'], options);
  if (answer.status !== 200) throw new Error(`status: ${answer.status} ${answer.text}`);
  return answer.json;
}

/** The lines of a file entry, as sent. */
export async function linesOf(entry, options) {
  const answer = await request(entry.url, options);
  if (answer.status !== 200) throw new Error(`${entry.url}: ${answer.status} ${answer.text}`);
  return answer.text.split('\n').filter(Boolean);
}

/** Content of each file of the fixture folder by name, e.g. `Observation.001`. */
export function fixtureFiles(folder = FIXTURE) {
  return new Map(fs.readdirSync(folder).filter((name) => name.endsWith('.gz')).sort()
    .map((name) => [name.replace('.ndjson.gz', ''), gunzipSync(fs.readFileSync(path.join(folder, name)))]));
}

export const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Resources of a fixture type. */
export const resources = (type) => [...fixtureFiles()].filter(([name]) => name.startsWith(`${type}.`))
  .flatMap(([, bytes]) => bytes.toString('utf8').split('\n').filter(Boolean)).map((line) => JSON.parse(line));
