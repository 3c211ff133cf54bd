// Where the demo page is hosted, and who else may use what hosts it, in a real browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSandbox } from '../../node-cli/src/sandbox/index.js';
import { chooseServer, openDemo, PAGE, resultsShown, startServers } from './demo.mjs';
import { hostFolder, listening, startBrowser } from './support.mjs';

test('any static host will do, from any folder, with no header but the type', async (t) => {
  const { url } = await hostFolder(t, PAGE, '/tools/fhir/');
  const sandbox = await startSandbox({ patients: 5, seed: 2, faults: { pending: 0 } });
  t.after(() => sandbox.close());
  const { page, wrong } = await openDemo(await startBrowser(t), url);
  await page.getByText('It allows no web page to use it. Run “smart-fetch serve”').waitFor();
  assert.ok(await page.getByRole('radio', { name: /^Public SMART sandbox/ }).isDisabled());
  await chooseServer(page, sandbox.url);
  await page.getByRole('button', { name: 'Start the export' }).click();
  await resultsShown(page);
  assert.match(await page.textContent('#verdict'), /^The export is complete\./);
  assert.deepEqual(wrong, []);
});

test('the policy of the page holds by itself: no script from elsewhere, nothing inline', async (t) => {
  const { serve } = await startServers(t);
  const other = await listening(t, (request, response) => response.writeHead(200, { 'content-type': 'text/javascript' }).end('globalThis.ran = true'));
  const { page } = await openDemo(await startBrowser(t), serve.url);
  const ran = await page.evaluate(async (source) => {
    for (const fill of [(script) => (script.textContent = 'globalThis.ran = true'), (script) => (script.src = source)]) {
      const script = document.createElement('script');
      fill(script);
      document.body.append(script);
    }
    const image = document.createElement('div');
    image.innerHTML = '<img src="x" onerror="globalThis.ran = true">';
    document.body.append(image);
    await new Promise((resolve) => {
      setTimeout(resolve, 500);
    });
    return globalThis.ran;
  }, `${other}/x.js`);
  assert.equal(ran, undefined);
});

test('a page of another origin can use neither the page nor its relay', async (t) => {
  const { sandbox, serve } = await startServers(t, { relayed: true });
  const { relays: [relay] } = await (await fetch(`${serve.url}/serve.json`)).json();
  const evil = await listening(t, (request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>evil</title>'));
  const context = await startBrowser(t);
  const page = await context.newPage();
  // As if it had got hold of the secret, too.
  for (const [site, secret] of [[evil, relay.headers['X-Relay-Secret']], [evil.replace('127.0.0.1', 'localhost'), relay.headers['X-Relay-Secret']]]) {
    await page.goto(site);
    sandbox.clearRequests();
    const got = await page.evaluate(async ({ urls, relayed, headers }) => {
      const found = [];
      for (const url of urls) {
        for (const options of [{}, { mode: 'no-cors' }, { headers: { 'X-Relay-Secret': headers } }, { method: 'POST', mode: 'no-cors', body: 'x' }]) {
          const text = await fetch(url, options).then((answer) => answer.text()).catch(() => '');
          if (text !== '') found.push(`${url} ${JSON.stringify(options)}`);
        }
        for (const tag of ['script', 'img', 'iframe']) {
          const element = document.createElement(tag);
          element.src = url;
          const loaded = new Promise((resolve) => {
            element.onload = () => resolve(true);
            element.onerror = () => resolve(false);
            setTimeout(resolve, 1500, false);
          });
          document.body.append(element);
          // A frame also "loads" what the browser shows in place of a refused page.
          if ((await loaded) && tag !== 'iframe') found.push(`${tag} ${url}`);
        }
      }
      const frame = document.createElement('form');
      Object.assign(frame, { action: relayed, method: 'post', target: 'x' });
      document.body.append(frame);
      frame.submit();
      return found;
    }, { urls: [`${serve.url}/`, `${serve.url}/serve.json`, `${relay.fhirUrl}/metadata`], relayed: `${relay.fhirUrl}/Patient`, headers: secret });
    assert.deepEqual(got, []);
    assert.deepEqual(sandbox.requests, [], 'nothing got through to the server');
  }
});
