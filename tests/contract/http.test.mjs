// The HTTP contract for Node's transport, and what concerns only Node.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { connect } from 'node:tls';

import { createHttp } from '../../pkg-template/http/node.js';
import { httpContract } from './http-contract.mjs';
import { certFile, serveProxy, serveTls } from './servers.mjs';

describe('node', () => httpContract({ test, createHttp }));
// Where there is a proxy, undici speaks to whom it is not for, too.
describe('node, with a proxy', () => httpContract({ test, createHttp: (env) => createHttp({ HTTP_PROXY: 'http://127.0.0.1:1', HTTPS_PROXY: 'http://127.0.0.1:1', NO_PROXY: '.invalid', ...env }) }));

/** Fetches a URL in a new process that trusts the test certificate; resolves to what it prints. */
async function fetchTrusting(url, env = {}) {
  const code = `
    import { createHttp } from ${JSON.stringify(new URL('../../pkg-template/http/node.js', import.meta.url).href)};
    import { fetchAll } from ${JSON.stringify(new URL('./http-contract.mjs', import.meta.url).href)};
    try { console.log((await fetchAll(await createHttp(), process.argv[1])).body.toString()); process.exit(); }
    catch (error) { console.log(error.kind + ': ' + error.message); }`;
  return run(code, [url], env);
}

/** Runs a program that trusts the test certificate; resolves to what it prints. */
async function run(code, values = [], env = {}) {
  const args = ['--input-type=module', '-e', code, ...values];
  const child = spawn(process.execPath, args, { env: { ...process.env, NODE_EXTRA_CA_CERTS: certFile, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  const output = (await child.stdout.toArray()).join('');
  if (child.exitCode === null) await once(child, 'exit');
  return output.trim();
}

test('a01_extra_ca: NODE_EXTRA_CA_CERTS makes a server trusted, directly and through a proxy', async (t) => {
  const { url, port } = await serveTls(t, (_, response) => response.end('secret'));
  assert.equal(await fetchTrusting(url), 'secret');
  const proxy = await serveProxy(t, { 'ehr.test': port });
  assert.equal(await fetchTrusting('https://ehr.test/', { HTTPS_PROXY: proxy.url }), 'secret');
  assert.deepEqual(proxy.asked, ['CONNECT ehr.test:443']);
});

test('a01_tls11: older TLS is refused, whatever Node is told', async (t) => {
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
  const { url, port } = await serveTls(t, (_, response) => response.end('secret'), old);
  // The server does speak TLS 1.1.
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...old });
  await once(socket, 'secureConnect');
  assert.equal(socket.getProtocol(), 'TLSv1.1');
  socket.destroy();
  assert.match(await fetchTrusting(url, { NODE_OPTIONS: '--tls-min-v1.0 --tls-cipher-list=DEFAULT@SECLEVEL=0' }), /^tls: .*TLS 1\.2/);
});

test('a01_no_override: NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing', async (t) => {
  const { url } = await serveTls(t, (_, response) => response.end('secret'));
  assert.match(await fetchTrusting(url, { NODE_EXTRA_CA_CERTS: '', NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' }), /^tls: /);
});

test('a TLS session is resumed for its origin alone; another name is checked, and a first address that refuses costs nothing', async (t) => {
  const resumed = [];
  const { port } = await serveTls(t, (request, response) => {
    resumed.push(request.socket.isSessionReused());
    response.writeHead(200, { Connection: 'close' }).end('x'.repeat(100_000));
  });
  const code = `
    import dns from 'node:dns';
    import { createHttp } from ${JSON.stringify(new URL('../../pkg-template/http/node.js', import.meta.url).href)};
    import { fetchAll } from ${JSON.stringify(new URL('./http-contract.mjs', import.meta.url).href)};
    const addresses = { localhost: ['127.0.0.9', '127.0.0.1'] };
    dns.lookup = (name, options, found) => setImmediate(() => found(null, (addresses[name] ?? ['127.0.0.1']).map((address) => ({ address, family: 4 }))));
    const http = await createHttp({});
    for (const host of ['ehr.test', 'ehr.test', 'evil.test', 'localhost', '127.0.0.1', '127.0.0.1']) {
      console.log(await fetchAll(http, 'https://' + host + ':${port}/').then(({ body }) => body.length, ({ kind }) => kind));
    }`;
  assert.equal(await run(code), '100000\n100000\ntls\n100000\n100000\n100000');
  assert.deepEqual(resumed, [false, true, false, false, true]);
});

test('kept connections do not keep the process alive, requests do', async (t) => {
  const connections = new Set();
  const { url } = await serveTls(t, async (request, response) => {
    connections.add(request.socket);
    setTimeout(() => response.end('done'), 300);
  });
  const code = `
    import { createHttp } from ${JSON.stringify(new URL('../../pkg-template/http/node.js', import.meta.url).href)};
    import { fetchAll } from ${JSON.stringify(new URL('./http-contract.mjs', import.meta.url).href)};
    const http = await createHttp({});
    for (let i = 0; i < 2; i += 1) console.log((await fetchAll(http, '${url}')).body.toString());
    const ended = performance.now();
    process.on('exit', () => console.log(performance.now() - ended < 2000));`;
  assert.equal(await run(code), 'done\ndone\ntrue');
  assert.equal(connections.size, 1);
});
