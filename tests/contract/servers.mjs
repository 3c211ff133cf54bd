// Servers for the HTTP contract: plain ones, raw ones that break the protocol, TLS, and a proxy.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';

const fixture = (name) => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url));

/** A certificate that nobody has signed, for localhost, 127.0.0.1 and ehr.test. */
export const tls = { cert: fixture('cert.pem'), key: fixture('key.pem') };
export const certFile = new URL('../fixtures/tls/cert.pem', import.meta.url).pathname;

async function listen(t, server, scheme) {
  const sockets = new Set();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address();
  return { port, url: `${scheme}://127.0.0.1:${port}`, sockets, server };
}

/** An HTTP server with one handler. */
export const serve = (t, handler) => listen(t, http.createServer(handler), 'http');

/** The same over TLS. */
export const serveTls = (t, handler, options = {}) => listen(t, https.createServer({ ...tls, ...options }, handler), 'https');

/** A server that answers every request on a connection with `answer(socket, request text, number of the request)`. */
export function serveRaw(t, answer) {
  let count = 0;
  const server = net.createServer((socket) => {
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const request = text.slice(0, end + 4);
        text = text.slice(end + 4);
        answer(socket, request, ++count);
      }
    });
  });
  return listen(t, server, 'http');
}

/** A proxy that knows `hosts` (name -> port on loopback), does CONNECT and absolute URLs, and notes what it was asked. */
export async function serveProxy(t, hosts, { auth } = {}) {
  const asked = [];
  const allowed = (request) =>
    !auth || request.headers['proxy-authorization'] === `Basic ${Buffer.from(auth).toString('base64')}`;
  const server = http.createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (!allowed(request)) return response.writeHead(407, { 'proxy-authenticate': 'Basic' }).end();
    const url = new URL(request.url);
    const { method, headers } = request;
    const onward = http.request({ host: '127.0.0.1', port: hosts[url.hostname], method, path: url.pathname + url.search, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  server.on('connect', (request, socket) => {
    asked.push(`CONNECT ${request.url}`);
    socket.on('error', () => {});
    if (!allowed(request)) return socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
    const port = hosts[request.url.split(':')[0]];
    if (!port) return socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    const onward = net.connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      onward.pipe(socket).pipe(onward);
    });
    onward.on('error', () => socket.destroy());
    t.after(() => onward.destroy());
  });
  return { ...(await listen(t, server, 'http')), asked };
}
