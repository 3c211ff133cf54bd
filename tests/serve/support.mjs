// What the tests of `serve` share: a page, a server behind the relay that notes what it gets, and bare requests.
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServe } from '../../node-cli/src/serve/index.js';

/** One request as it is written: no cookie jar, no redirects, no decoding, any header. */
export function request(url, { method = 'GET', headers = {}, body, path } = {}) {
  return new Promise((resolve, reject) => {
    const sent = http.request(url, { method, headers, agent: false, ...(path !== undefined && { path }) }, (response) => {
      const chunks = [];
      let ended = 'whole';
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', (error) => { ended = error.code; });
      response.on('close', () => {
        const bytes = Buffer.concat(chunks);
        resolve({ status: response.statusCode, headers: response.headers, bytes, text: bytes.toString('utf8'), ended });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** A server that answers by `answer` and keeps what it was asked. */
export async function upstream(t, answer) {
  const seen = [];
  const server = http.createServer((incoming, response) => {
    const entry = { method: incoming.method, url: incoming.url, headers: incoming.headers, body: '', aborted: false };
    seen.push(entry);
    incoming.setEncoding('utf8').on('data', (text) => { entry.body += text; });
    response.on('close', () => { entry.aborted = !response.writableFinished; });
    answer(incoming, response);
  });
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.after(() => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  }));
  return { origin: `http://127.0.0.1:${server.address().port}`, seen };
}

/** A server of a small page, with its relays by server URL as the page itself is told. */
export async function serve(t, servers, tokenOrigins) {
  const folder = await mkdtemp(join(tmpdir(), 'smart-fetch-serve-'));
  const page = join(folder, 'page');
  await mkdir(join(page, 'assets'), { recursive: true });
  await writeFile(join(page, 'index.html'), '<!doctype html><title>page</title>');
  await writeFile(join(page, 'assets/a-1.js'), 'export {};');
  await writeFile(join(folder, 'secret.txt'), 'outside');
  const started = await startServe({ page, servers, tokenOrigins });
  t.after(async () => {
    await started.close();
    await rm(folder, { recursive: true, force: true });
  });
  const { relays } = JSON.parse((await request(`${started.url}/serve.json`)).text);
  return { url: started.url, port: new URL(started.url).port, relays };
}
