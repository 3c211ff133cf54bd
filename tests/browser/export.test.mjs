// An export in Chromium: cross-origin, through the workers, into each storage, compared with what the server serves.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { plainExport } from '../../scripts/lib/sandbox.mjs';
import { openPage, startBrowser, startSite } from './support.mjs';

/** All files of a folder, as the page sees them: name, kind, type, and the bytes in base64. */
const readFolder = (page, name) =>
  page.evaluate(async (name) => {
    const folder = await globalThis.sf.openFolder(name);
    const files = [];
    for (const file of await folder.files()) {
      const bytes = new Uint8Array(await (await folder.file(file.name).blob()).arrayBuffer());
      let binary = '';
      for (const byte of bytes) binary += String.fromCharCode(byte);
      files.push({ ...file, content: btoa(binary) });
    }
    return files;
  }, name);

/** The lines of each type, as they are stored. */
function linesByType(files) {
  const lines = new Map();
  for (const { kind, type, name, content } of files) {
    if (kind !== 'output') continue;
    const bytes = Buffer.from(content, 'base64');
    const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1');
    lines.set(type, [...(lines.get(type) ?? []), ...text.split('\n').filter(Boolean)]);
  }
  return lines;
}

/** A hash per type: lists of thousands of lines make no readable message. */
const digests = (lines) => {
  const hash = (list) => `${list.length} lines, ${createHash('sha256').update([...list].sort().join('\n')).digest('hex')}`;
  return Object.fromEntries([...lines].map(([type, list]) => [type, hash(list)]));
};

const TYPES = ['Patient', 'Condition', 'Observation', 'Encounter', 'DocumentReference', 'Binary', 'Device'];

for (const storage of ['opfs', 'idb', 'memory']) {
  test(`an export into ${storage} holds what the server serves, byte for byte`, async (t) => {
    const sandbox = await startSandbox({ patients: 30 });
    t.after(() => sandbox.close());
    const page = await openPage(await startBrowser(t), await startSite(t));
    const ended = await page.evaluate(
      async ([fhirUrl, storage, types]) => {
        const { Client, openFolder } = globalThis.sf;
        const folder = await openFolder('export', { storage });
        const job = new Client({ fhirUrl }).bulk(folder, { types, defaultFilters: false });
        const events = [];
        for await (const { type } of job) events.push(type);
        return { report: await job.result, events, storage: folder.storage, types: await folder.types(), warning: folder.warning };
      },
      [sandbox.url, storage, TYPES],
    );
    assert.equal(ended.report.verdict, 'complete');
    assert.equal(ended.storage, storage);
    assert.equal(ended.warning !== undefined, storage === 'memory');
    for (const type of ['phase', 'kickedOff', 'manifest', 'fileFinished', 'totals']) assert.ok(ended.events.includes(type), type);

    const files = storage === 'memory' ? await readMemory(page) : await readFolder(page, 'export');
    const expected = await plainExport(`${sandbox.url}/$export?_type=${TYPES}`);
    assert.deepEqual(digests(linesByType(files)), digests(expected));
    for (const [type, lines] of expected) assert.equal(ended.types[type].resources, lines.length, type);

    // Parsed, one by one, through the same folder.
    const patients = await page.evaluate(
      async (storage) => {
        const folder = await globalThis.sf.openFolder('export', { storage });
        const ids = [];
        for await (const { id } of folder.resources('Patient')) ids.push(id);
        return ids;
      },
      storage,
    );
    assert.deepEqual(patients.sort(), expected.get('Patient').map((line) => JSON.parse(line).id).sort());
  });
}

/** As readFolder: a folder in memory is reached by its storage too. */
const readMemory = (page) =>
  page.evaluate(async () => {
    const folder = await globalThis.sf.openFolder('export', { storage: 'memory' });
    const files = [];
    for (const file of await folder.files()) {
      const text = await folder.file(file.name).text();
      files.push({ ...file, name: 'plain', content: btoa(unescape(encodeURIComponent(text))) });
    }
    return files;
  });

test('a function of the page gives the token, and is asked again when the server refuses it', async (t) => {
  const sandbox = await startSandbox({ patients: 3, auth: 'bearer', faults: { pending: 0 } });
  t.after(() => sandbox.close());
  const page = await openPage(await startBrowser(t), await startSite(t));
  const ended = await page.evaluate(
    async ([fhirUrl, right]) => {
      const { Client, openFolder } = globalThis.sf;
      let asked = 0;
      const auth = { token: async () => (++asked === 1 ? 'outdated' : right) };
      const { verdict } = await new Client({ fhirUrl, auth }).bulk(await openFolder('export'), { types: ['Patient'] }).result;
      const fails = () => {
        throw new Error('Please sign in');
      };
      const refused = await globalThis.ended(new Client({ fhirUrl, auth: { token: fails } }).bulk(await openFolder('none')).result);
      return { verdict, asked, refused };
    },
    [sandbox.url, sandbox.secrets.bearer],
  );
  assert.deepEqual([ended.verdict, ended.asked, ended.refused.error.code], ['complete', 2, 'auth']);
  assert.match(ended.refused.error.message, /Please sign in/);
});
