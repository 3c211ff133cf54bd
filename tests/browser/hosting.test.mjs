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

/** Everything that a page can do to an address, at once; resolves to what it got hold of, in words. */
async function attack({ url, secret }) {
  const within = (start) => Promise.race([new Promise(start), new Promise((resolve) => setTimeout(resolve, 2000))]);
  const fetches = [
    {},
    { credentials: 'include' },
    { mode: 'no-cors' },
    { headers: { 'X-Relay-Secret': secret } },
    { headers: { 'X-Relay-Secret': secret, Authorization: 'Bearer canary' }, method: 'DELETE' },
    { mode: 'no-cors', method: 'POST', body: `x-relay-secret=${secret}` },
    { mode: 'no-cors', method: 'POST', body: new URLSearchParams({ secret }) },
  ].map((options) =>
    within(async (resolve) => resolve(await fetch(url, options).then((answer) => answer.text()).catch(() => ''))).then((text) => text && `fetch ${JSON.stringify(options)}: ${text}`),
  );
  const elements = [
    ['script', 'src', {}], ['script', 'src', { type: 'module' }], ['script', 'src', { crossOrigin: 'anonymous' }],
    ['img', 'src', {}], ['link', 'href', { rel: 'stylesheet' }], ['audio', 'src', {}],
  ].map(([tag, attribute, more]) =>
    within((resolve) => {
      const element = Object.assign(document.createElement(tag), more, { onload: () => resolve(true), onloadeddata: () => resolve(true), onerror: () => resolve(false) });
      element[attribute] = url;
      document.body.append(element);
    }).then((loaded) => loaded && `${tag} ${JSON.stringify(more)}`),
  );
  // What these show is looked at from outside.
  for (const [tag, attribute] of [['iframe', 'src'], ['object', 'data'], ['embed', 'src']]) {
    const element = document.createElement(tag);
    element[attribute] = url;
    document.body.append(element);
  }
  for (const method of ['get', 'post']) {
    const form = Object.assign(document.createElement('form'), { action: url, method, target: `form-${method}` });
    form.append(Object.assign(document.createElement('input'), { name: 'x', value: secret }));
    document.body.append(Object.assign(document.createElement('iframe'), { name: `form-${method}` }), form);
    form.submit();
  }
  navigator.sendBeacon(url, 'x');
  const streams = [new EventSource(url), new WebSocket(url.replace('http', 'ws'))].map((stream) =>
    within((resolve) => Object.assign(stream, { onopen: () => resolve(true), onmessage: () => resolve(true), onerror: () => resolve(false) })).then((open) => {
      stream.close();
      return open && stream.constructor.name;
    }),
  );
  const script = `let ran = true; try { importScripts(${JSON.stringify(url)}); } catch { ran = false; } postMessage(ran);`;
  const imported = within((resolve) => {
    const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })));
    worker.onmessage = ({ data }) => resolve(data);
  }).then((ran) => ran && 'importScripts');
  return (await Promise.all([...fetches, ...elements, ...streams, imported])).filter(Boolean);
}

test('a page of another origin can use neither the page nor its relay', async (t) => {
  const { sandbox, serve } = await startServers(t, { relayed: true });
  const { relays: [relay] } = await (await fetch(`${serve.url}/serve.json`)).json();
  const secret = relay.headers['X-Relay-Secret'];
  const evil = await listening(t, (request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>evil</title><body>'));
  // A name of the attacker's that means loopback: what DNS rebinding comes to.
  const context = await startBrowser(t, { args: ['--host-resolver-rules=MAP evil.example 127.0.0.1'] });
  const page = await context.newPage();
  const rebound = serve.url.replace('127.0.0.1', 'evil.example');

  // What follows would find something if there were something to be found.
  await page.goto(serve.url);
  assert.match(await page.evaluate(() => fetch('/serve.json').then((answer) => answer.text())), new RegExp(secret));
  const direct = await page.goto(rebound);
  assert.equal(direct.status(), 403);
  assert.doesNotMatch(await direct.text(), /<script|relays/);

  for (const site of [evil, evil.replace('127.0.0.1', 'localhost'), evil.replace('127.0.0.1', 'evil.example')]) {
    for (const server of [serve.url, serve.url.replace('127.0.0.1', 'localhost'), rebound]) {
      for (const path of ['/', '/serve.json', `${new URL(relay.fhirUrl).pathname}/metadata`]) {
        await page.goto(site);
        sandbox.clearRequests();
        // As if it had got hold of the secret, too.
        const got = await page.evaluate(attack, { url: server + path, secret });
        assert.deepEqual(got, [], `${site} on ${server}${path}`);
        for (const frame of page.frames().slice(1)) {
          const text = await frame.content().catch(() => '');
          assert.doesNotMatch(text, /Smart|relays|CapabilityStatement/, `a frame of ${site} on ${server}${path}`);
        }
        assert.deepEqual(sandbox.requests, [], 'nothing got through to the server');
      }
    }
  }
});
