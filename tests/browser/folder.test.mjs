// What is done with folders in Chromium: choosing a storage, reading back, saving, taking in, removing; and keys.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Client, openFolder } from '../../pkg-template/node.js';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { openPage, startBrowser, startSite } from './support.mjs';
import { unzip } from './unzip.mjs';

const TYPES = ['Patient', 'Condition'];

/** A temporary folder, gone after the test. */
function temporary(t) {
  const path = mkdtempSync(join(tmpdir(), 'smart-fetch-folder-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Every file below a folder of the file system, by path. */
const filesBelow = (path) =>
  new Map(
    readdirSync(path, { recursive: true })
      .filter((name) => statSync(join(path, name)).isFile())
      .map((name) => [name, readFileSync(join(path, name))]),
  );

/** Exports in the page, and resolves to the report. */
const exportInPage = (page, fhirUrl, name = 'export', storage = 'auto') =>
  page.evaluate(
    async ([fhirUrl, name, storage, types]) => {
      const folder = await globalThis.sf.openFolder(name, { storage });
      return new globalThis.sf.Client({ fhirUrl }).bulk(folder, { types }).result;
    },
    [fhirUrl, name, storage, TYPES],
  );

/** The bytes of every file of a folder, by path, as the page sees them. */
async function filesInPage(page, name) {
  const files = await page.evaluate(async (name) => {
    const folder = await globalThis.sf.openFolder(name);
    const paths = [...(await folder.files()).map((file) => file.name), '.metadata', 'log.ndjson'];
    return Promise.all(paths.map(async (path) => [path, [...new Uint8Array(await (await folder.file(path).blob()).arrayBuffer())]]));
  }, name);
  return new Map(files.map(([path, bytes]) => [path, Buffer.from(bytes)]));
}

const sameFiles = (actual, expected) => {
  assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort());
  for (const [path, bytes] of expected) assert.ok(bytes.equals(actual.get(path)), `${path} differs`);
};

async function setUp(t, options) {
  const sandbox = await startSandbox({ patients: 10, ...options });
  t.after(() => sandbox.close());
  const site = await startSite(t);
  const context = await startBrowser(t);
  return { sandbox, site, context, page: await openPage(context, site) };
}

test('a storage is chosen by using it: OPFS, else IndexedDB, else memory with a warning', async (t) => {
  const { site, context } = await setUp(t);
  const chosen = async (breaks) => {
    const page = await context.newPage();
    // What some browsers have, or lack, in private windows.
    await page.route('**/core.worker.js', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: `${breaks}\n${await response.text()}` });
    });
    await page.goto(site);
    await page.waitForFunction(() => globalThis.sf !== undefined);
    const { storage, reason, warning } = await page.evaluate(async () => {
      const { storage, reason, warning } = await globalThis.sf.openFolder('somewhere');
      return { storage, reason, warning };
    });
    await page.close();
    return { storage, reason, warning };
  };
  const noOpfs = "navigator.storage.getDirectory = () => Promise.reject(new DOMException('not in private windows', 'UnknownError'));";
  const noIdb = "IDBFactory.prototype.open = () => { throw new DOMException('not here', 'SecurityError'); };";
  assert.deepEqual(await chosen(''), { storage: 'opfs', reason: "The browser's private file system works here.", warning: undefined });
  const second = await chosen(noOpfs);
  assert.equal(second.storage, 'idb');
  assert.match(second.reason, /IndexedDB works here.*not in private windows/);
  const last = await chosen(noOpfs + noIdb);
  assert.equal(last.storage, 'memory');
  assert.match(last.reason, /not in private windows.*IndexedDB cannot be used/);
  assert.match(last.warning, /lost when this page is closed/);
  // OPFS is there, and each write fails.
  assert.equal((await chosen("FileSystemSyncAccessHandle.prototype.write = () => { throw new DOMException('', 'UnknownError'); };")).storage, 'idb');
});

test('folders: listed, read, and removed; a folder stays in its storage', async (t) => {
  const { sandbox, page } = await setUp(t);
  await exportInPage(page, sandbox.url, 'first', 'opfs');
  await exportInPage(page, sandbox.url, 'second', 'idb');
  const list = () => page.evaluate(async () => (await globalThis.sf.folders()).map(({ name, storage }) => [name, storage]));
  assert.deepEqual((await list()).sort(), [['first', 'opfs'], ['second', 'idb']]);
  assert.equal(await page.evaluate(async () => (await globalThis.sf.openFolder('second')).storage), 'idb');

  for (const name of ['first', 'second']) {
    const seen = await page.evaluate(async (name) => {
      const folder = await globalThis.sf.openFolder(name);
      const { kind, complete, runs } = await folder.status();
      const ids = [];
      for await (const { resourceType, id } of folder.resources('Condition')) ids.push(`${resourceType}/${id}`);
      const [file] = await folder.files();
      const stored = await folder.file(file.name).blob();
      const plain = await new Response(folder.file(file.name).stream({ decode: true })).text();
      const reader = folder.file(file.name).stream().getReader();
      await reader.read();
      await reader.cancel();
      return { kind, complete, runs, ids, types: await folder.types(), file, stored: stored.size, lines: plain.trim().split('\n').length };
    }, name);
    assert.equal(seen.kind, 'output');
    assert.equal(seen.complete, true);
    assert.equal(seen.runs.length, 1);
    assert.equal(seen.runs[0].state, 'finished');
    assert.equal(seen.runs[0].request.fhirUrl, `${sandbox.url}`);
    assert.equal(seen.ids.length, seen.types.Condition.resources);
    assert.ok(seen.ids.every((id) => id.startsWith('Condition/')));
    assert.equal(seen.stored, seen.file.bytes);
    assert.equal(seen.lines, seen.file.resources);
    await page.evaluate(async (name) => (await globalThis.sf.openFolder(name)).remove(), name);
  }
  assert.deepEqual(await list(), []);
  const { usage } = await page.evaluate(() => globalThis.sf.storageUsage());
  assert.ok(usage < 500_000, `${usage} bytes are left`);
});

test('a ZIP file holds every file of the folder, byte for byte', async (t) => {
  const { sandbox, page } = await setUp(t);
  await exportInPage(page, sandbox.url);
  // Where there is a save dialog: nobody is there to choose a place, so this one is chosen.
  const saved = await page.evaluate(async () => {
    globalThis.showSaveFilePicker = async ({ suggestedName }) => (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true });
    await globalThis.sf.saveZip(await globalThis.sf.openFolder('export'));
    const file = await (await globalThis.showSaveFilePicker({ suggestedName: 'export.zip' })).getFile();
    delete globalThis.showSaveFilePicker;
    return [...new Uint8Array(await file.arrayBuffer())];
  });
  sameFiles(unzip(Buffer.from(saved)), await filesInPage(page, 'export'));

  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.evaluate(async () => {
      let last;
      await globalThis.sf.saveZip(await globalThis.sf.openFolder('export'), { onProgress: (progress) => (last = progress) });
      if (!(last.bytes > 0)) throw new Error('no progress');
    }),
  ]);
  assert.equal(download.suggestedFilename(), 'export.zip');
  sameFiles(unzip(readFileSync(await download.path())), await filesInPage(page, 'export'));

  const [single] = await Promise.all([
    page.waitForEvent('download'),
    page.evaluate(async () => globalThis.sf.saveFile(await globalThis.sf.openFolder('export'), 'Patient.001.ndjson.gz', { decode: true })),
  ]);
  assert.equal(single.suggestedFilename(), 'Patient.001.ndjson');
  const lines = readFileSync(await single.path(), 'utf8').trim().split('\n');
  assert.ok(lines.length > 0 && lines.every((line) => JSON.parse(line).resourceType === 'Patient'));
});

test('out to a picked folder and back: the same files, which a job can carry on with', async (t) => {
  const { sandbox, page } = await setUp(t);
  await exportInPage(page, sandbox.url);
  // Nobody is there to pick one; this one has the same interface.
  const copied = await page.evaluate(async () => {
    const { copyFolder, importFolder, openFolder } = globalThis.sf;
    const root = await navigator.storage.getDirectory();
    const picked = await root.getDirectoryHandle('picked', { create: true });
    const out = await copyFolder(await openFolder('export'), picked);
    const back = await openFolder('back', { storage: 'idb' });
    const into = await importFolder(back, picked);
    const again = await globalThis.ended(copyFolder(back, picked));
    return { out, into, again, picked: (await (await openFolder(picked)).status()).complete };
  });
  assert.deepEqual(copied.out, copied.into);
  assert.equal(copied.again.error?.code, 'mismatch');
  assert.equal(copied.picked, true);
  sameFiles(await filesInPage(page, 'back'), await filesInPage(page, 'export'));
  sandbox.clearRequests();
  const report = await exportInPage(page, sandbox.url, 'back');
  assert.equal(report.verdict, 'complete');
  assert.equal(report.fetched, 0);
});

test("an export into a picked folder, and the command line's folder taken in", async (t) => {
  const { sandbox, page } = await setUp(t);
  const verdict = await page.evaluate(
    async ([fhirUrl, types]) => {
      const root = await navigator.storage.getDirectory();
      const folder = await globalThis.sf.openFolder(await root.getDirectoryHandle('picked', { create: true }));
      const report = await new globalThis.sf.Client({ fhirUrl }).bulk(folder, { types }).result;
      return [folder.storage, report.verdict, (await folder.types()).Patient.resources];
    },
    [sandbox.url, TYPES],
  );
  assert.deepEqual(verdict, ['picked', 'complete', 10]);

  // Made in Node, as the command line does.
  const path = join(temporary(t), 'made by node');
  await new Client({ fhirUrl: sandbox.url }).bulk(await openFolder(path), { types: TYPES }).result;
  await page.setContent('<input type="file" webkitdirectory>');
  await page.addScriptTag({ type: 'module', url: '/page.js' });
  await page.waitForFunction(() => globalThis.sf !== undefined);
  await page.locator('input').setInputFiles(path);
  const imported = await page.evaluate(async () => {
    const folder = await globalThis.sf.openFolder('imported');
    const partly = [...document.querySelector('input').files].filter(({ name }) => name !== '.metadata');
    const refused = await globalThis.ended(globalThis.sf.importFolder(folder, partly));
    return { refused, done: await globalThis.ended(globalThis.sf.importFolder(folder, document.querySelector('input').files)) };
  });
  assert.equal(imported.refused.error?.code, 'mismatch');
  assert.equal(imported.done.error, undefined);
  sameFiles(await filesInPage(page, 'imported'), filesBelow(path));
  assert.equal((await exportInPage(page, sandbox.url, 'imported')).fetched, 0);
});

test('what is damaged is not read as if it were whole', async (t) => {
  const { page } = await setUp(t);
  const files = {
    'Patient.001.ndjson.gz': [...gzipSync('{"resourceType":"Patient","id":"a"}\n{"id":\n{"resourceType":"Patient","id":"b"}')],
    'Condition.001.ndjson.gz': [...gzipSync('{"resourceType":"Condition"}\n'.repeat(100)).subarray(0, 40)],
    '.metadata': [...Buffer.from('{"kind":"output"}')],
  };
  const seen = await page.evaluate(async (files) => {
    const folder = await globalThis.sf.openFolder('odd');
    await globalThis.sf.importFolder(folder, Object.entries(files).map(([name, bytes]) => new File([new Uint8Array(bytes)], name)));
    const all = async (type, options) => {
      const ids = [];
      for await (const { id } of folder.resources(type, options)) ids.push(id);
      return ids;
    };
    const bad = [];
    return {
      strict: await globalThis.ended(all('Patient')),
      lenient: await globalThis.ended(all('Patient', { onBadLine: (file, line) => bad.push(`${file}:${line}`) })),
      bad,
      torn: await globalThis.ended(all('Condition')),
      none: await globalThis.ended(folder.file('none').text()),
    };
  }, files);
  assert.equal(seen.strict.error?.code, 'corrupt');
  assert.match(seen.strict.error.message, /Patient\.001\.ndjson\.gz:2/);
  assert.deepEqual(seen.lenient.value, ['a', 'b']);
  assert.deepEqual(seen.bad, ['Patient.001.ndjson.gz:2']);
  assert.equal(seen.torn.error?.code, 'corrupt');
  assert.equal(seen.none.error?.code, 'notFound');
});

test('keys live in the browser, sign after a reload, and cannot be read', async (t) => {
  const { context, site } = await setUp(t);
  let page = await openPage(context, site);
  const made = await page.evaluate(async () => {
    const { createKey } = globalThis.sf;
    const keys = [await createKey('ec'), await createKey('rsa', { alg: 'RS384', kid: 'mine' })];
    const exported = await Promise.all(keys.map(({ key }) => globalThis.ended(crypto.subtle.exportKey('jwk', key))));
    const twice = await globalThis.ended(createKey('ec'));
    return { jwks: keys.map(({ publicJwk }) => publicJwk), exported, twice };
  });
  assert.ok(made.exported.every(({ error }) => error), 'no private key can be exported');
  assert.equal(made.twice.error?.code, 'usage');
  assert.deepEqual(made.jwks.map(({ kty, alg, d }) => [kty, alg, d]), [['EC', 'ES384', undefined], ['RSA', 'RS384', undefined]]);
  await page.close();

  const sandbox = await startSandbox({ patients: 3, auth: 'smart', jwks: { keys: made.jwks }, clientId: 'page' });
  t.after(() => sandbox.close());
  page = await openPage(context, site);
  for (const name of ['ec', 'rsa']) {
    const { value, error } = await page.evaluate(
      async ([fhirUrl, name]) => {
        const keys = (await globalThis.sf.storedKeys()).find((key) => key.name === name);
        const folder = await globalThis.sf.openFolder(`with ${name}`);
        return globalThis.ended(new globalThis.sf.Client({ fhirUrl, auth: { clientId: 'page', keys } }).bulk(folder, { types: ['Patient'] }).result);
      },
      [sandbox.url, name],
    );
    assert.equal(error, undefined);
    assert.equal(value.types.Patient.resources, 3);
  }
  const left = await page.evaluate(async () => {
    await globalThis.sf.removeKey('ec');
    const { privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
    const jwk = await crypto.subtle.exportKey('jwk', privateKey);
    const imported = await globalThis.sf.importKey('given', jwk);
    return { names: (await globalThis.sf.storedKeys()).map(({ name }) => name).sort(), alg: imported.alg, extractable: imported.key.extractable, secret: imported.publicJwk.d };
  });
  assert.deepEqual(left, { names: ['given', 'rsa'], alg: 'ES256', extractable: false, secret: undefined });
});
