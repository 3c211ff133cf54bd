import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { FIXTURE, manifestOf, request } from './helpers.mjs';

/** A temporary folder that os.tmpdir() points at for the test; each test file is a process of its own. */
function ownTemp(t) {
  const before = process.env.TMPDIR;
  const temp = fs.mkdtempSync(path.join(os.tmpdir(), 'sandbox-lifecycle-'));
  process.env.TMPDIR = temp;
  t.after(() => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    fs.rmSync(temp, { recursive: true });
  });
  return temp;
}

test('close removes what was generated or unpacked, while files are on their way', async (t) => {
  const temp = ownTemp(t);
  for (const options of [{ patients: 3 }, { data: FIXTURE }]) {
    const sbx = await startSandbox({ ...options, faults: { pending: 0, byteRate: 5000 } });
    const { output } = await manifestOf(sbx, '', '_type=Observation');
    const running = request(output[0].url).catch(({ code }) => ({ ended: code }));
    while (sbx.stats.routes.files === undefined) await new Promise((resolve) => { setTimeout(resolve, 10); });
    assert.equal(fs.readdirSync(temp).length, 1);
    await sbx.close();
    assert.equal((await running).ended, 'ECONNRESET');
    assert.deepEqual(fs.readdirSync(temp), []);
  }
});

test('close ends the generation of very much data', async (t) => {
  const temp = ownTemp(t);
  const sbx = await startSandbox({ patients: 300_000 });
  const pending = request(`${sbx.url}/Patient`).catch(({ code }) => code);
  for (let n = 0; n < 500 && sbx.requests.length === 0; n++) await new Promise((resolve) => { setTimeout(resolve, 10); });
  const before = Date.now();
  await sbx.close();
  assert.ok(Date.now() - before < 5000);
  assert.equal(await pending, 'ECONNRESET');
  assert.deepEqual(fs.readdirSync(temp), []);
});

test('bad options are named', async (t) => {
  await assert.rejects(startSandbox({ cors: 'some' }), /cors must be one of/);
  await assert.rejects(startSandbox({ auth: 'oauth1' }), /auth must be one of/);
  await assert.rejects(startSandbox({ patients: 1.5 }), /patients must be a whole number/);
  await assert.rejects(startSandbox({ data: ownTemp(t) }), /No NDJSON files/);
  const sbx = await startSandbox({ patients: 1 });
  t.after(() => sbx.close());
  await assert.rejects(startSandbox({ port: Number(new URL(sbx.url).port) }), { code: 'EADDRINUSE' });
});
