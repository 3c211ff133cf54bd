// Node's transport against servers that mean no good, and at moments that are none of the best.
import assert from 'node:assert/strict';
import dns from 'node:dns';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import tls from 'node:tls';

import { createHttp } from '../../pkg-template/http/node.js';
import { fetchAll, start } from './http-contract.mjs';
import { serve, serveRaw, tls as certificate } from './servers.mjs';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

const open = async (t) => {
  const http = await createHttp({});
  t.after(() => http.close());
  return http;
};

/** Asserts that it fails as broken, within a second. */
const breaks = async (work) => {
  const late = wait(1000, 'late', { ref: false });
  assert.equal(await Promise.race([work.then(() => 'answered', (error) => error.kind), late]), 'interrupted');
};

test('bytes that come before the request went out are no answer to it; what was not sent is sent over another connection', async (t) => {
  for (const [method, disturb] of [
    ['GET', (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')],
    ['POST', (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')],
    ['POST', (socket) => socket.end()],
    ['DELETE', (socket) => socket.resetAndDestroy()],
  ]) {
    const sockets = [];
    const seen = [];
    const { url } = await serveRaw(t, (socket, request) => {
      sockets.push(socket);
      seen.push(request.split(' ')[0]);
      socket.write(OK);
    });
    const http = await open(t);
    await fetchAll(http, url);
    // In the timers' phase: sockets are read before what is sent now is written.
    const answer = await new Promise((resolve) => {
      setTimeout(() => {
        disturb(sockets[0]);
        resolve(fetchAll(http, url, { method }));
      }, 1);
    });
    assert.equal(answer.body.toString(), 'ok');
    assert.deepEqual(seen, ['GET', method]);
    assert.notEqual(sockets[1], sockets[0]);
  }
});

test('what a server says unasked, or after its answer, ends the connection', async (t) => {
  for (const more of ['HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil', 'HTTP/1.1 100 Continue\r\n\r\n', '\r\n']) {
    for (const delay of [0, 20]) {
      const sockets = new Set();
      const { url } = await serveRaw(t, (socket, request) => {
        sockets.add(socket);
        if (sockets.size > 1) return socket.write(OK);
        if (delay > 0) setTimeout(() => socket.write(more), delay);
        return socket.write(OK + (delay > 0 ? '' : more));
      });
      const http = await open(t);
      for (let i = 0; i < 3; i += 1) {
        assert.equal((await fetchAll(http, url)).body.toString(), 'ok');
        await wait(delay * 2);
      }
      assert.equal(sockets.size, 2);
    }
  }
});

test('an answer to a request that is still being written is taken, and the connection left', async (t) => {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', (data) => {
      socket.write(OK);
      if (String(data).startsWith('POST')) socket.pause();
    });
  });
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${server.address().port}`;
  const http = await open(t);
  assert.equal((await fetchAll(http, url, { method: 'POST', body: Buffer.alloc(64 << 20) })).body.toString(), 'ok');
  assert.equal((await fetchAll(http, url)).body.toString(), 'ok');
  assert.equal(sockets.size, 2);
  for (const socket of sockets) socket.destroy();
});

test('close() breaks what is under way, on new and on kept connections, and nothing is sent after it', async (t) => {
  let count = 0;
  const { url } = await serveRaw(t, (socket, request) => {
    count += 1;
    if (request.startsWith('GET /body')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody');
    else if (!request.startsWith('GET /never')) socket.write(OK);
  });
  for (const kept of [false, true]) {
    for (const path of ['/never', '/body']) {
      const http = await open(t);
      if (kept) await fetchAll(http, url);
      count = 0;
      const broken = breaks(fetchAll(http, url + path));
      while (count === 0) await wait(1);
      await wait(20);
      http.close();
      await broken;
      await breaks(fetchAll(http, url));
      await wait(50);
      assert.equal(count, 1, `${path}, ${kept ? 'kept' : 'new'}`);
    }
  }
  const http = await open(t);
  const broken = breaks(fetchAll(http, url));
  http.close();
  await broken;
  http.close();
});

test('port 0 is no other port', async (t) => {
  const connect = net.Socket.prototype.connect;
  const ports = [];
  t.mock.method(net.Socket.prototype, 'connect', function (...args) {
    ports.push(args[0][0]?.port ?? args[0].port);
    return connect.apply(this, args);
  });
  await assert.rejects(fetchAll(await open(t), 'http://127.0.0.1:0/'));
  assert.deepEqual(ports, [0]);
});

test('abort at every moment: nothing is left, nothing is thrown, and the transport goes on', async (t) => {
  const { url, sockets } = await serve(t, async (request, response) => {
    if (request.url === '/ok') return response.end('ok');
    response.write(Buffer.alloc(100_000));
    await wait(5);
    response.end(Buffer.alloc(300_000));
  });
  const http = await open(t);
  for (let round = 0; round < 120; round += 1) {
    const exchange = start(http, `${url}/slow`);
    const read = (async () => {
      await exchange.response();
      while ((await exchange.chunk()) !== undefined);
    })().catch((error) => assert.equal(error.kind, 'interrupted'));
    if (round % 12 === 1) await Promise.resolve();
    else if (round % 12 === 2) await turn();
    else if (round % 12 > 2) await wait((round % 12) - 3);
    exchange.abort();
    await read;
    exchange.abort();
    if (round % 10 === 0) assert.equal((await fetchAll(http, `${url}/ok`)).body.toString(), 'ok');
  }
  for (let i = 0; i < 50 && sockets.size > 1; i += 1) await wait(20);
  assert.ok(sockets.size <= 1, `${sockets.size} connections are left`);
});

test('no byte of a body is overwritten, though buffers are lent: all sizes, framings and moments', async (t) => {
  const byte = (seed, i) => (seed * 31 + i * 7 + (i >> 8)) & 255;
  const { url } = await serveRaw(t, async (socket, request) => {
    const [, seed, size, framing, gap] = /\/(\d+)\/(\d+)\/(\w+)\/(\d+)/.exec(request);
    const body = Buffer.alloc(Number(size));
    for (let i = 0; i < body.length; i += 1) body[i] = byte(Number(seed), i);
    const pieces = [];
    if (framing === 'length') pieces.push(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`, body);
    else if (framing === 'end') pieces.push('HTTP/1.1 200 OK\r\n\r\n', body);
    else {
      pieces.push('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      const step = framing === 'small' ? 1 + (Number(seed) % 50) : 20_000;
      for (let at = 0; at < body.length; at += step) {
        const chunk = body.subarray(at, at + step);
        pieces.push(`${chunk.length.toString(16)}\r\n`, chunk, '\r\n');
      }
      pieces.push('0\r\n\r\n');
    }
    const all = Buffer.concat(pieces.map((piece) => Buffer.from(piece)));
    if (gap === '0') socket.write(all);
    else {
      const cut = Math.min(all.length, Number(gap));
      socket.write(all.subarray(0, cut));
      await wait(2);
      socket.write(all.subarray(cut));
    }
    if (framing === 'end') socket.end();
  });
  const http = await open(t);
  let number = 0;
  const sizes = [0, 1, 100, 8000, 65_300, 65_400, 65_480, 65_536, 65_600, 131_072, 200_000, 400_000];
  const one = async () => {
    const seed = (number += 1);
    const size = sizes[seed % sizes.length] + (seed % 3);
    const framing = ['length', 'large', 'small', 'end', 'length', 'large', 'small'][seed % 7];
    const gap = [0, 20, 60, 65_536, 70_000][seed % 5];
    let wake = () => {};
    const exchange = http.send('GET', `${url}/${seed}/${size}/${framing}/${gap}`, '', undefined, 10_000, () => wake(), 1);
    const soon = async (ask) => {
      for (let answer = ask(); ; answer = ask()) {
        if (answer !== undefined) return answer;
        await new Promise((resolve) => (wake = resolve));
      }
    };
    if (seed % 3 === 0) await wait(seed % 20);
    let at = 0;
    const check = async (bytes, lent) => {
      // What is lent is copied at once, as the core does; anything else is ours for as long as we like.
      if (!lent) await wait(seed % 4);
      for (let i = 0; i < bytes.length; i += 1) if (bytes[i] !== byte(seed, at + i)) assert.fail(`${framing} of ${size}: a wrong byte at ${at + i}`);
      at += bytes.length;
    };
    const head = await soon(() => exchange.head());
    if (head.body) {
      const check1 = check(head.body, true);
      exchange.taken();
      return void (await check1, assert.equal(at, size));
    }
    for (let bytes = await soon(() => exchange.chunk()); bytes !== null; bytes = await soon(() => exchange.chunk())) {
      await check(bytes, false);
      if (seed % 11 === 0) return exchange.abort();
    }
    assert.equal(at, size);
  };
  await Promise.all(Array.from({ length: 24 }, async () => {
    for (let i = 0; i < 40; i += 1) await one();
  }));
});

test('a certificate that is not trusted: not a byte of the request goes out', async (t) => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
    const seen = [];
    const server = tls.createServer({ ...certificate, maxVersion }, (socket) => socket.on('data', (data) => seen.push(String(data))).on('error', () => {}));
    server.on('tlsClientError', () => {});
    t.after(() => server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    await assert.rejects(fetchAll(await open(t), `https://127.0.0.1:${server.address().port}`, { headers: ['Authorization', 'Bearer secret'] }), { kind: 'tls' });
    await wait(50);
    assert.deepEqual(seen, []);
  }
});

test('a name with several addresses: the first that answers serves, bodies come whole, and an abort meanwhile is no accident', async (t) => {
  const { port } = await serve(t, (_, response) => response.end(Buffer.alloc(200_000, 'x')));
  t.mock.method(dns, 'lookup', (name, options, found) => {
    assert.equal(name, 'many.test');
    setImmediate(() => found(null, [{ address: '127.0.0.9', family: 4 }, { address: '::1', family: 6 }, { address: '127.0.0.1', family: 4 }]));
  });
  const http = await open(t);
  assert.equal((await fetchAll(http, `http://many.test:${port}/`)).body.length, 200_000);
  for (let i = 0; i < 20; i += 1) {
    const exchange = start(http, `http://many.test:${port}/`);
    if (i % 4 > 0) await turn();
    if (i % 4 > 1) await turn();
    exchange.abort();
  }
  assert.equal((await fetchAll(http, `http://many.test:${port}/`)).body.length, 200_000);
});
