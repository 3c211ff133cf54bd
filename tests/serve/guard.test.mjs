// Who may use the page and its relay: the page itself, and nobody else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request, serve, upstream } from './support.mjs';

const hello = (incoming, response) => response.end('{"resourceType":"Patient"}');

test('another origin is refused, whatever it asks for, and the request does not reach the server', async (t) => {
  const behind = await upstream(t, hello);
  const { url, port, relays: [relay] } = await serve(t, [`${behind.origin}/fhir`]);
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: `http://127.0.0.1:${Number(port) + 1}` },
    { origin: `http://localhost:${port}` },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' },
  ]) {
    for (const at of [`${url}/`, `${url}/assets/a-1.js`, `${url}/serve.json`, `${relay.fhirUrl}/metadata`]) {
      const answer = await request(at, { headers: { ...relay.headers, ...headers } });
      assert.equal(answer.status, 403, `${at} ${JSON.stringify(headers)}`);
      assert.equal(answer.headers['access-control-allow-origin'], undefined);
      assert.doesNotMatch(answer.text, /relays|Patient|doctype/);
    }
  }
  const preflight = await request(`${relay.fhirUrl}/metadata`, {
    method: 'OPTIONS', headers: { 'origin': 'https://evil.example', 'access-control-request-method': 'GET', 'access-control-request-headers': 'x-relay-secret' },
  });
  assert.equal(preflight.status, 403);
  assert.equal(behind.seen.length, 0);
});

test('its own page gets everything', async (t) => {
  const behind = await upstream(t, hello);
  const { url, relays: [relay] } = await serve(t, [`${behind.origin}/fhir`]);
  const own = { 'origin': url, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' };
  assert.equal((await request(`${url}/`, { headers: { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' } })).status, 200);
  assert.equal((await request(`${url}/serve.json`, { headers: own })).status, 200);
  assert.equal((await request(`${relay.fhirUrl}/Patient/1`, { headers: { ...own, ...relay.headers } })).status, 200);
  assert.equal(behind.seen.length, 1);
});

test('a wrong Host is refused: DNS rebinding', async (t) => {
  const behind = await upstream(t, hello);
  const { url, port, relays: [relay] } = await serve(t, [`${behind.origin}/fhir`]);
  for (const host of [`evil.example:${port}`, 'evil.example', '127.0.0.1', `127.0.0.1:${Number(port) + 1}`, `127.0.0.1.evil.example:${port}`]) {
    for (const at of [`${url}/`, `${url}/serve.json`, `${relay.fhirUrl}/metadata`]) {
      assert.equal((await request(at, { headers: { ...relay.headers, host } })).status, 403, `${at} ${host}`);
    }
  }
  assert.equal(behind.seen.length, 0);
});

test('the relay wants its secret, which is new at each start and never in an address', async (t) => {
  const behind = await upstream(t, hello);
  const servers = [`${behind.origin}/fhir`];
  const { relays: [relay] } = await serve(t, servers);
  const { relays: [other] } = await serve(t, servers);
  const secret = relay.headers['X-Relay-Secret'];
  assert.ok(secret.length >= 43, '256 bits');
  assert.notEqual(secret, other.headers['X-Relay-Secret']);
  assert.ok(!JSON.stringify([relay.fhirUrl, relay.rewriteUrls]).includes(secret));
  for (const headers of [{}, { 'x-relay-secret': '' }, { 'x-relay-secret': `${secret}x` }, { 'x-relay-secret': secret.slice(1) }, other.headers]) {
    const answer = await request(`${relay.fhirUrl}/metadata?x-relay-secret=${secret}`, { headers });
    assert.equal(answer.status, 403);
    assert.equal(JSON.parse(answer.text).resourceType, 'OperationOutcome');
  }
  assert.equal(behind.seen.length, 0);
});

test('it listens on loopback only, and a typed address does not show the secrets', async (t) => {
  const { url } = await serve(t, ['http://127.0.0.1:9/fhir']);
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  const typed = await request(`${url}/serve.json`, { headers: { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' } });
  assert.equal(typed.status, 404);
});

test('nothing outside the folder of the page can be had', async (t) => {
  const { url } = await serve(t, ['http://127.0.0.1:9/fhir']);
  for (const path of [
    '/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/assets/../../secret.txt', '/assets/..%2f..%2fsecret.txt', '//secret.txt',
    '/..\\secret.txt', '/%00', '/%', '/assets', 'secret.txt', 'http://127.0.0.1/../secret.txt', '/../page/../secret.txt',
  ]) {
    const answer = await request(url, { path });
    assert.ok([400, 404].includes(answer.status), `${path}: ${answer.status}`);
    assert.doesNotMatch(answer.text, /outside/);
  }
  assert.equal((await request(`${url}/`, { method: 'POST' })).status, 405);
});

test('the page has a strict policy; what is relayed cannot run, be framed, stored or acted on', async (t) => {
  const behind = await upstream(t, (incoming, response) => {
    response.writeHead(200, {
      'content-type': 'text/html', 'content-security-policy': "script-src 'unsafe-inline'", 'set-cookie': 'a=b', 'clear-site-data': '"*"',
      'refresh': '0;url=https://evil.example', 'service-worker-allowed': '/', 'access-control-allow-origin': '*', 'cache-control': 'public',
      'x-frame-options': 'ALLOWALL', 'www-authenticate': 'Basic', 'link': '</x>; rel=preload',
    });
    response.end('<script>parent.pwned = true</script>');
  });
  const { url, relays: [relay] } = await serve(t, [`${behind.origin}/fhir`]);
  const { headers } = await request(`${relay.fhirUrl}/page.html`, { headers: relay.headers });
  assert.equal(headers['content-security-policy'], "sandbox; default-src 'none'");
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
  assert.equal(headers['x-frame-options'], 'DENY');
  assert.equal(headers['cache-control'], 'no-store');
  for (const name of ['set-cookie', 'clear-site-data', 'refresh', 'service-worker-allowed', 'access-control-allow-origin', 'www-authenticate', 'link']) {
    assert.equal(headers[name], undefined, name);
  }
  const policy = (await request(`${url}/`)).headers['content-security-policy'];
  assert.match(policy, /default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /'unsafe-/);
});
