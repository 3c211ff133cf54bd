// What a first load of the demo page costs.
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { test } from 'node:test';
import { startServe } from '../../node-cli/src/serve/index.js';
import { PAGE } from './demo.mjs';
import { startBrowser } from './support.mjs';

/** Bytes over the wire, wasm and headers included: issue 3. */
const FIRST_LOAD = 450_000;

test('first load: at most 450 KB over the wire, wasm included, and usable before the wasm is there', async (t) => {
  const sockets = new Set();
  const note = ({ socket }) => sockets.add(socket);
  subscribe('http.server.request.start', note);
  t.after(() => unsubscribe('http.server.request.start', note));
  const serve = await startServe({ page: PAGE });
  t.after(() => serve.close());
  const context = await startBrowser(t);
  const asked = [];
  let release;
  const released = new Promise((resolve) => { release = resolve; });
  await context.route('**/*.wasm', async (route) => {
    asked.push(route.request().url());
    await released;
    await route.continue();
  });
  const page = await context.newPage();
  await page.goto(serve.url);
  await page.getByRole('radio', { name: /^A group/ }).check();
  await page.getByLabel('Group', { exact: true }).fill('usable');
  await page.getByText('Group usable').waitFor();
  assert.equal(await page.getAttribute('html', 'data-ready'), null);
  release();
  await page.waitForSelector('html[data-ready]');
  assert.equal(asked.length, 1, 'one wasm file, once');
  const sent = [...sockets].reduce((sum, socket) => sum + socket.bytesWritten, 0);
  t.diagnostic(`first load: ${sent} bytes, headers included`);
  assert.ok(sent > 100_000, 'the wasm is among it');
  assert.ok(sent <= FIRST_LOAD, `${sent} bytes`);
});
