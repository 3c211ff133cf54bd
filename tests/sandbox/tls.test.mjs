import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import https from 'node:https';
import test from 'node:test';
import { KICKOFF, request, sandbox } from './helpers.mjs';

function get(url, options) {
  return new Promise((resolve, reject) => {
    https.get(url, { agent: false, ...options }, (res) => {
      res.resume();
      res.on('close', () => resolve({ status: res.statusCode, headers: res.headers, protocol: res.socket?.getProtocol?.() }));
    }).on('error', reject);
  });
}

test('TLS: self-signed, trusted by its own certificate only', async (t) => {
  const sbx = await sandbox(t, { tls: true });
  assert.match(sbx.url, /^https:/);
  const certificate = new X509Certificate(sbx.ca);
  assert.ok(certificate.verify(certificate.publicKey));
  await assert.rejects(get(`${sbx.url}/metadata`), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  assert.equal((await get(`${sbx.url}/metadata`, { ca: sbx.ca })).status, 200);
  assert.equal((await get(`${sbx.url}/metadata`.replace('127.0.0.1', 'localhost'), { ca: sbx.ca })).status, 200);
});

test('TLS: an old version; a redirect from https to http', async (t) => {
  const old = await sandbox(t, { tls: true, tlsMaxVersion: 'TLSv1.1' });
  await assert.rejects(get(`${old.url}/metadata`, { ca: old.ca }), /protocol version/i);
  assert.equal((await get(`${old.url}/metadata`, { ca: old.ca, minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' })).status, 200);
  const sbx = await sandbox(t, { tls: true, otherTls: false, faults: { fileRedirect: 307 } });
  const { headers: { 'content-location': status } } = await get(`${sbx.url}/$export?_type=Patient`, { ca: sbx.ca, headers: KICKOFF });
  const manifest = await new Promise((resolve) => {
    https.get(status, { ca: sbx.ca, agent: false }, async (res) => resolve(JSON.parse((await res.toArray()).join(''))));
  });
  assert.match(manifest.output[0].url, /^https:/);
  const { headers: { location } } = await get(manifest.output[0].url, { ca: sbx.ca });
  assert.match(location, /^http:/);
  assert.equal((await request(location)).status, 200);
});
