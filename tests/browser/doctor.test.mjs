// `client.doctor` in Chromium: judged by what the browser lets through and shows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { openPage, startBrowser, startSite } from './support.mjs';

const examine = (page, fhirUrl, options = {}) =>
  page.evaluate(([fhirUrl, options]) => new globalThis.sf.Client({ fhirUrl, retryDelays: [] }).doctor(options), [fhirUrl, options]);

const check = (report, name) => report.checks.find((one) => one.name === name);

test('the sandbox in its CORS modes, as a page of another origin sees it', async (t) => {
  const page = await openPage(await startBrowser(t), await startSite(t));
  const sandbox = async (options) => {
    const server = await startSandbox({ patients: 5, faults: { pending: 3 }, ...options });
    t.after(() => server.close());
    return server;
  };
  const accepted = (server) => server.requests.filter(({ status, url }) => status === 202 && url.includes('$export')).length;

  const open = await sandbox({});
  const plain = await examine(page, open.url);
  assert.deepEqual([plain.usable, plain.exitStatus, plain.facts.patients], ['yes', 0, 5], JSON.stringify(plain, null, 1));
  assert.equal(plain.facts.browser, null, 'only a kick-off shows whether Content-Location is visible');
  assert.equal(accepted(open), 0);
  const tried = await examine(page, open.url, { kickoff: true });
  assert.deepEqual([tried.usable, tried.facts.browser, tried.facts.escapedCommas], ['yes', true, true], JSON.stringify(tried, null, 1));
  assert.ok(accepted(open) > 0);
  assert.equal(open.requests.filter(({ method, status }) => method === 'DELETE' && status === 202).length, accepted(open));

  const shy = await sandbox({ cors: 'no-expose' });
  const hidden = await examine(page, shy.url, { kickoff: true });
  assert.deepEqual([hidden.usable, hidden.facts.browser], ['withProblems', false], JSON.stringify(hidden, null, 1));
  assert.ok(hidden.facts.hiddenHeaders.includes('Content-Location'));
  assert.equal(accepted(shy), 0, 'an export that nobody could cancel is not begun');

  const closed = await sandbox({ cors: 'none' });
  const blocked = await examine(page, closed.url);
  assert.deepEqual([blocked.usable, blocked.exitStatus, blocked.facts.browser], ['no', 1, false]);
  assert.match(check(blocked, 'server').meaning, /CORS/);
});

test('with SMART credentials in the browser; a signal breaks it off', async (t) => {
  const server = await startSandbox({ patients: 5, auth: 'smart' });
  t.after(() => server.close());
  const page = await openPage(await startBrowser(t), await startSite(t));
  const { clientId, jwks } = server.client;
  const report = await page.evaluate(
    async ([fhirUrl, clientId, keys]) => new globalThis.sf.Client({ fhirUrl, auth: { clientId, keys } }).doctor({ level: { group: 'all' } }),
    [server.url, clientId, jwks],
  );
  assert.deepEqual([report.usable, report.facts.scopes, report.flags], ['yes', 'system/*.rs', ['--group', 'all']], JSON.stringify(report, null, 1));
  server.setFaults({ metadataFail: 'hang*' });
  const ended = await page.evaluate((fhirUrl) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 200);
    return globalThis.ended(new globalThis.sf.Client({ fhirUrl }).doctor({ signal: controller.signal }));
  }, server.url);
  assert.equal(ended.error.code, 'cancelled');
});
