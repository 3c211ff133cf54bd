// What the relay passes on, to whom, and what it does when either side fails.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { request, serve, upstream } from './support.mjs';

const CREDENTIALS = { authorization: 'Bearer canary', 'x-api-key': 'canary' };

/** The address behind the relay for `path` of `origin`, as the client makes it. */
function rewritten({ rewriteUrls }, url) {
  const [from, to] = rewriteUrls.find(([prefix]) => url.startsWith(prefix));
  return to + url.slice(from.length);
}

test('method, path, query, body and credentials reach the server; cookies and what is about the page do not', async (t) => {
  const behind = await upstream(t, (incoming, response) => {
    incoming.on('end', () => response.writeHead(202, { 'content-location': '/fhir/status/1?a=b', 'x-progress': '10%', 'retry-after': '2', 'x-odd': '1' }).end());
  });
  const { url, relays: [relay] } = await serve(t, [`${behind.origin}/fhir/`]);
  assert.equal(relay.server, `${behind.origin}/fhir`);
  const answer = await request(url, {
    method: 'POST', body: '{"a":1}', path: `${new URL(relay.fhirUrl).pathname}/$export?_type=Patient%2CGroup&q='x'`,
    headers: {
      ...relay.headers, ...CREDENTIALS, 'Content-Type': 'application/fhir+json', 'Prefer': 'respond-async', 'Accept-Encoding': 'gzip',
      'cookie': 'session=1', 'origin': url, 'referer': url, 'sec-fetch-site': 'same-origin', 'x-forwarded-for': '1.2.3.4', 'connection': 'close, x-hop', 'x-hop': '1',
    },
  });
  assert.equal(answer.status, 202);
  assert.equal(answer.headers['content-location'], `${behind.origin}/fhir/status/1?a=b`, 'absolute, so that it can be rewritten');
  assert.equal(answer.headers['x-progress'], '10%');
  assert.equal(answer.headers['retry-after'], '2');
  assert.equal(answer.headers['x-odd'], undefined);
  const [seen] = behind.seen;
  assert.equal(seen.method, 'POST');
  assert.equal(seen.url, "/fhir/$export?_type=Patient%2CGroup&q='x'");
  assert.equal(seen.body, '{"a":1}');
  const { connection, host, ...headers } = seen.headers;
  assert.equal(host, new URL(behind.origin).host);
  assert.deepEqual(headers, {
    'content-type': 'application/fhir+json', 'content-length': '7', 'prefer': 'respond-async', 'accept-encoding': 'gzip', 'authorization': 'Bearer canary', 'x-api-key': 'canary',
  });
});

test('gzip passes as it is, HEAD and 204 have no body, statuses are kept', async (t) => {
  const zipped = gzipSync('{"resourceType":"Patient"}\n');
  const behind = await upstream(t, (incoming, response) => {
    if (incoming.method === 'DELETE') return void response.writeHead(202).end();
    if (incoming.url === '/none') return void response.writeHead(204).end();
    if (incoming.url === '/gone') return void response.writeHead(410).end('gone');
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': zipped.length, 'content-type': 'application/fhir+ndjson' });
    return void response.end(zipped);
  });
  const { relays: [relay] } = await serve(t, [behind.origin]);
  const ask = (path, method) => request(`${relay.fhirUrl}${path}`, { method, headers: relay.headers });
  const file = await ask('/file');
  assert.deepEqual(file.bytes, zipped);
  assert.equal(file.headers['content-encoding'], 'gzip');
  assert.equal(gunzipSync(file.bytes).toString(), '{"resourceType":"Patient"}\n');
  const head = await ask('/file', 'HEAD');
  assert.equal(head.headers['content-length'], String(zipped.length));
  assert.equal(head.bytes.length, 0);
  assert.equal((await ask('/none')).status, 204);
  assert.equal((await ask('/gone')).status, 410);
  assert.equal((await ask('/job', 'DELETE')).status, 202);
  assert.equal((await ask('/job', 'PUT')).status, 405);
  assert.deepEqual(behind.seen.map(({ method }) => method), ['GET', 'HEAD', 'GET', 'GET', 'DELETE']);
});

test('credentials go to the server that is meant, not to another one behind the same relay', async (t) => {
  const ok = (incoming, response) => response.end('ok');
  const [fhir, files] = [await upstream(t, ok), await upstream(t, ok)];
  const { relays: [first, second] } = await serve(t, [`${fhir.origin}/fhir`, files.origin]);
  const file = rewritten(first, `${files.origin}/bucket/1.ndjson?sig=s`);
  await request(file, { headers: { ...first.headers, ...CREDENTIALS, accept: 'application/fhir+ndjson' } });
  const { connection, host, ...headers } = files.seen[0].headers;
  assert.deepEqual(headers, { accept: 'application/fhir+ndjson' });
  assert.equal(files.seen[0].url, '/bucket/1.ndjson?sig=s');
  // The same address, asked for by a client of that server.
  await request(file, { headers: { ...second.headers, ...CREDENTIALS } });
  assert.equal(files.seen[1].headers.authorization, 'Bearer canary');
});

test('an origin that may see the token gets it, and is reached for nothing else', async (t) => {
  const files = await upstream(t, (incoming, response) => response.end('file'));
  const fhir = await upstream(t, (incoming, response) => response.writeHead(302, { location: `${files.origin}/c` }).end());
  const { relays } = await serve(t, [`${fhir.origin}/fhir`], [files.origin]);
  assert.equal(relays.length, 1, 'it is no server to choose');
  const [relay] = relays;
  const file = rewritten(relay, `${files.origin}/bucket/1.ndjson`);
  assert.equal((await request(file, { headers: { ...relay.headers, ...CREDENTIALS } })).text, 'file');
  assert.equal(files.seen[0].headers.authorization, 'Bearer canary');
  assert.equal((await request(file, { headers: CREDENTIALS })).status, 403, 'not without the secret');
  const redirect = await request(`${relay.fhirUrl}/a`, { headers: relay.headers });
  assert.equal(redirect.headers.location, new URL(rewritten(relay, `${files.origin}/c`)).pathname);
});

test('servers that were not named are not reached, by address or by redirect', async (t) => {
  const stranger = await upstream(t, (incoming, response) => response.end('stranger'));
  const behind = await upstream(t, (incoming, response) => {
    response.writeHead(307, { location: incoming.url === '/bad' ? 'http://[' : `${stranger.origin}/x` }).end();
  });
  const { url, relays: [relay] } = await serve(t, [behind.origin]);
  const name = stranger.origin.replace('//', '');
  for (const path of [`/relay/${name}/x`, `/relay/${name}`, `/relay/${stranger.origin}/x`, '/relay/', '/relay/0/x', `/relay/${encodeURIComponent(stranger.origin)}/x`]) {
    assert.equal((await request(url, { path, headers: relay.headers })).status, 403, path);
  }
  const redirect = await request(`${relay.fhirUrl}/file`, { headers: { ...relay.headers, ...CREDENTIALS } });
  assert.equal(redirect.status, 403);
  assert.equal(redirect.headers.location, undefined);
  assert.match(JSON.parse(redirect.text).issue[0].diagnostics, /redirects to http:\/\/127\.0\.0\.1:\d+, .*--server http:/);
  assert.equal((await request(`${relay.fhirUrl}/bad`, { headers: relay.headers })).status, 403);
  // What looks like another host in the path is a path.
  await request(url, { path: `/relay/${behind.origin.replace('//', '')}//${new URL(stranger.origin).host}/x`, headers: relay.headers });
  assert.equal(stranger.seen.length, 0);
});

test('redirects between named servers stay behind the relay, without the credentials', async (t) => {
  const files = await upstream(t, (incoming, response) => response.end('file'));
  const behind = await upstream(t, (incoming, response) => {
    const location = incoming.url === '/fhir/a' ? 'b?x=1' : `${files.origin}/c`;
    response.writeHead(302, { location }).end();
  });
  const { relays: [relay] } = await serve(t, [`${behind.origin}/fhir`, files.origin]);
  const first = await request(`${relay.fhirUrl}/a`, { headers: relay.headers });
  assert.equal(new URL(first.headers.location, relay.fhirUrl).href, `${relay.fhirUrl}/b?x=1`);
  // As a browser does: it follows by itself, and keeps headers within what is one origin to it.
  const followed = await fetch(`${relay.fhirUrl}/a`, { headers: { ...relay.headers, ...CREDENTIALS } });
  assert.equal(await followed.text(), 'file');
  assert.equal(behind.seen.at(-1).headers.authorization, 'Bearer canary');
  assert.equal(files.seen[0].headers.authorization, undefined);
  assert.equal(files.seen[0].headers['x-api-key'], undefined);
});

test('a server that breaks off breaks off for the page too; one that is not there is named', async (t) => {
  const behind = await upstream(t, (incoming, response) => {
    response.writeHead(200, incoming.url === '/long' ? { 'content-length': 100 } : {});
    response.write('half');
    setTimeout(() => response.destroy(), 20);
  });
  const dead = http.createServer().listen(0, '127.0.0.1');
  await once(dead, 'listening');
  const nobody = `http://127.0.0.1:${dead.address().port}`;
  dead.close();
  const { relays: [relay, gone] } = await serve(t, [behind.origin, nobody]);
  for (const path of ['/long', '/chunked']) {
    assert.equal((await request(`${relay.fhirUrl}${path}`, { headers: relay.headers })).ended, 'ECONNRESET', path);
  }
  const answer = await request(`${gone.fhirUrl}/metadata`, { headers: gone.headers });
  assert.equal(answer.status, 502);
  assert.match(JSON.parse(answer.text).issue[0].diagnostics, new RegExp(`^${nobody} could not be reached: ECONNREFUSED`));
});

test('the page going away ends the request; a slow page slows the server down', async (t) => {
  let written = 0;
  const behind = await upstream(t, (incoming, response) => {
    const chunk = Buffer.alloc(1 << 16);
    const more = () => {
      while (!response.destroyed && written < 256 << 20) {
        written += chunk.length;
        if (!response.write(chunk)) return void response.once('drain', more);
      }
      return undefined;
    };
    more();
  });
  const { relays: [relay] } = await serve(t, [behind.origin]);
  const asked = http.get(relay.fhirUrl, { headers: relay.headers, agent: false });
  const [response] = await once(asked, 'response');
  response.pause();
  await sleep(300);
  assert.ok(written < 64 << 20, `${written} bytes were taken though nobody reads`);
  asked.destroy();
  for (let waited = 0; waited < 5000 && !behind.seen[0].aborted; waited += 20) await sleep(20);
  assert.ok(behind.seen[0].aborted);
});
