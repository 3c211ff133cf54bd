// What the tests of the demo page share.
import { fileURLToPath } from 'node:url';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { Gate } from '../gate.mjs';
import { startServe } from '../../node-cli/src/serve/index.js';

/** The built page, as `serve` has it. */
export const PAGE = fileURLToPath(new URL('../../node-cli/page', import.meta.url));

/**
 * A sandbox and a page; with `relayed`, the page's relay may reach the sandbox. Both end with the test. `files`: how many
 * files the sandbox gives out before the test opens `gate`.
 */
export async function startServers(t, { relayed = false, files = Infinity, ...options } = {}) {
  const gate = new Gate(files);
  const sandbox = await startSandbox({ patients: 30, seed: 5, hold: gate.hold, ...options, faults: { pending: 1, ...options.faults } });
  const serve = await startServe({ page: PAGE, servers: relayed ? [sandbox.url] : undefined });
  t.after(() => Promise.all([sandbox.close(), serve.close()]));
  return { sandbox, serve, gate };
}

/** Opens the page. `wrong` gathers what it breaks: its policy, and errors that nobody caught. */
export async function openDemo(context, url) {
  const wrong = [];
  await context.addInitScript(() => {
    // Nobody is there to answer its dialog; other browsers do not have it, and download.
    delete globalThis.showSaveFilePicker;
    addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('console', (message) => /^policy:|Content Security Policy/.test(message.text()) && wrong.push(message.text()));
  await page.goto(url);
  await page.waitForSelector('html[data-ready]');
  return { page, wrong };
}

/** Fills in the address of a server that is none of the known ones. */
export async function chooseServer(page, url) {
  await page.getByLabel('Another server').check();
  await page.getByLabel('FHIR base URL').fill(url);
}

/** Waits until the results of a run are there. */
export const resultsShown = (page) => page.waitForSelector('#view-results:not([hidden]) #stored tbody tr');

/** Resources by type, as the page shows them. */
export const shownTypes = (page) =>
  page.$$eval('#by-type tbody tr', (rows) => Object.fromEntries(rows.map((row) => [row.cells[0].textContent, Number(row.cells[2].textContent.replaceAll(',', ''))])));

/** Chooses just these types. */
export async function onlyTypes(page, types) {
  await page.getByRole('button', { name: 'None' }).click();
  for (const type of types) await page.getByLabel(type, { exact: true }).check();
}
