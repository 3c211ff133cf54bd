// What every transport must do: the clauses of the Http trait (src/platform/http.rs), as tests.
//
// `test` is a test function whose callback gets a context with `after`; `createHttp(env)` resolves to a transport.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { serve, serveProxy, serveRaw, serveTls } from './servers.mjs';

const SECONDS = 1000;

/** Starts a request; what is still to come is waited for. */
export function start(http, url, { method = 'GET', headers = [], body, timeout = 10 * SECONDS } = {}) {
  let wake = () => {};
  const exchange = http.send(method, url, headers.join('\n'), body, timeout, (number) => {
    assert.equal(number, 7);
    wake();
  }, 7);
  const soon = async (ask) => {
    for (;;) {
      const answer = ask();
      if (answer !== undefined) return answer ?? undefined;
      await new Promise((resolve) => (wake = resolve));
    }
  };
  // Whoever waits for an answer that was broken off is told, here; the core is gone then.
  const abort = () => {
    exchange.abort();
    wake();
  };
  return { response: () => soon(() => exchange.head()), chunk: () => soon(() => exchange.chunk()), abort };
}

/** The whole of a response. */
export async function fetchAll(http, url, options) {
  const exchange = start(http, url, options);
  const { body, ...head } = await exchange.response();
  const chunks = body?.length > 0 ? [body] : [];
  while (body === undefined) {
    const chunk = await exchange.chunk();
    if (chunk === undefined) break;
    assert.ok(chunk.length > 0, 'a chunk is never empty');
    chunks.push(Uint8Array.from(chunk));
  }
  return { ...head, headers: head.headers === '' ? [] : head.headers.split('\n'), chunks, body: Buffer.concat(chunks) };
}

/** Asserts that something throws an error of `kind`; returns it. */
async function fails(kind, work) {
  let error;
  try {
    await work();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error, `no error where ${kind} was expected`);
  assert.equal(error.kind, kind, `${error.kind}: ${error.message}`);
  assert.ok(error.message.length > 10, 'an error says what happened');
  return error;
}

const values = ({ headers }, wanted) => headers.filter((_, i) => i % 2 === 1 && headers[i - 1].toLowerCase() === wanted);

export function httpContract({ test, createHttp }) {
  const open = async (t, env = {}) => {
    const http = await createHttp(env);
    t.after(() => http.close());
    return http;
  };

  test('sends the method, the headers in their case and the body, and shows status and headers', async (t) => {
    let seen;
    const { url } = await serve(t, async (request, response) => {
      const body = Buffer.concat(await request.toArray());
      seen = { method: request.method, raw: request.rawHeaders, body };
      response.writeHead(418, { 'X-One': '1' }).end('tea');
    });
    const bytes = Buffer.from([0, 1, 254, 255]);
    const answer = await fetchAll(await open(t), `${url}/a`, { method: 'POST', headers: ['X-CamelCase', 'yes', 'Accept', 'a/b'], body: bytes });
    assert.equal(seen.method, 'POST');
    assert.ok(seen.raw.includes('X-CamelCase'));
    assert.deepEqual(seen.body, bytes);
    assert.equal(answer.status, 418);
    assert.deepEqual(values(answer, 'x-one'), ['1']);
    assert.equal(answer.body.toString(), 'tea');
    assert.equal(answer.gzip, false);
  });

  test('DELETE, and a response without a body', async (t) => {
    const { url } = await serve(t, (request, response) => response.writeHead(request.method === 'DELETE' ? 202 : 500).end());
    const answer = await fetchAll(await open(t), url, { method: 'DELETE' });
    assert.equal(answer.status, 202);
    assert.equal(answer.body.length, 0);
  });

  test('repeated response headers stay apart', async (t) => {
    const { url } = await serve(t, (_, response) => response.writeHead(200, { Link: ['<a>; rel="x"', '<b>; rel="next"'] }).end());
    assert.deepEqual(values(await fetchAll(await open(t), url), 'link'), ['<a>; rel="x"', '<b>; rel="next"']);
  });

  test('f12_url_bytes_exact: URLs go out byte for byte', async (t) => {
    const seen = [];
    const { url } = await serve(t, (request, response) => {
      seen.push(request.url);
      response.end();
    });
    const paths = [
      '/a%2Fb?sig=a%2Bb%2F%3D&x=%7e', "/$export?_type=A,B&_typeFilter=Observation%3Fcode%3Dhttp://x|y", '/a//b/../c/./d', '/q?a=%20+b&&=',
      "/p;v=1,2'(3)*!~?[]{}`^", '/?', '?only=query', '',
    ];
    const http = await open(t);
    for (const path of paths) await fetchAll(http, url + path);
    assert.deepEqual(seen, [...paths.slice(0, 6), '/?only=query', '/']);
  });

  test('URLs that cannot be sent are refused, and say why', async (t) => {
    const http = await open(t);
    for (const url of ['file:///etc/passwd', 'ftp://h/', 'nonsense', 'http://', 'http://user:geheim@127.0.0.1/', 'http://127.0.0.1:1/a b', 'http://127.0.0.1:1/é', 'http://a b/']) {
      const error = await fails('invalid', () => fetchAll(http, url));
      assert.ok(!error.message.includes('geheim'));
    }
  });

  test('headers that cannot be sent are refused without showing their value', async (t) => {
    const { url } = await serve(t, (_, response) => response.end());
    const error = await fails('invalid', async () => fetchAll(await open(t), url, { headers: ['Authorization', 'Bearer geheim\r\nX: y'] }));
    assert.ok(!error.message.includes('geheim'));
  });

  test('redirects are not followed', async (t) => {
    let count = 0;
    const { url } = await serve(t, (_, response) => {
      count += 1;
      response.writeHead(307, { Location: '/elsewhere' }).end();
    });
    const answer = await fetchAll(await open(t), url);
    assert.equal(answer.status, 307);
    assert.deepEqual(values(answer, 'location'), ['/elsewhere']);
    assert.equal(count, 1);
  });

  test('gzip is given as received', async (t) => {
    const packed = gzipSync(Buffer.alloc(100_000, 'x'));
    const { url } = await serve(t, (_, response) => response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(packed));
    const answer = await fetchAll(await open(t), url);
    assert.equal(answer.gzip, true);
    assert.deepEqual(answer.body, packed);
  });

  test('a large body comes whole, in large pieces, and waits while nobody reads', async (t) => {
    const piece = Buffer.alloc(16 * 1024, 'abcdefgh');
    const pieces = 2048;
    let sent = 0;
    const { url } = await serve(t, async (_, response) => {
      for (; sent < pieces; sent++) if (!response.write(piece)) await once(response, 'drain');
      response.end();
    });
    const exchange = start(await open(t), url);
    await exchange.response();
    await wait(500);
    assert.ok(sent * piece.length < 16 * 1024 * 1024, `${sent} pieces were sent while nobody read`);
    let size = 0;
    let chunks = 0;
    for (let chunk = await exchange.chunk(); chunk !== undefined; chunk = await exchange.chunk()) {
      assert.ok(Buffer.from(chunk).every((byte, i) => byte === piece[(size + i) % piece.length]), `wrong byte after ${size}`);
      size += chunk.length;
      chunks += 1;
    }
    assert.equal(size, pieces * piece.length);
    assert.ok(size / chunks > 48 * 1024, `pieces of ${Math.round(size / chunks)} bytes on average`);
  });

  test('f08_cut_bodies: an early end is never taken for the end', async (t) => {
    const data = 'x'.repeat(1000);
    const packed = gzipSync(data.repeat(100));
    const framings = {
      length: `HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n${data}`,
      chunked: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n${data}\r\n`,
      'chunked, inside a chunk': `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n${data}`,
      'length of a coded body': `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${packed.length}\r\n\r\n`,
    };
    for (const [name, text] of Object.entries(framings)) {
      for (const end of ['end', 'resetAndDestroy']) {
        let stop = () => {};
        const { url } = await serveRaw(t, (socket) => {
          socket.write(text, 'latin1');
          if (name.includes('coded')) socket.write(packed.subarray(0, packed.length >> 1));
          stop = () => socket[end]();
        });
        const exchange = start(await open(t), url);
        // A reset may take with it what was not read yet.
        assert.equal((await exchange.response()).status, 200);
        stop();
        await fails('interrupted', async () => {
          while ((await exchange.chunk()) !== undefined);
        }).catch((error) => assert.fail(`${name}, ${end}: ${error.message}`));
      }
    }
  });

  test('f08_cut_bodies: without length or chunks, the end of the connection is the end, a reset is none', async (t) => {
    const { url } = await serveRaw(t, (socket, request) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\nall there is');
      setTimeout(() => (request.startsWith('GET /reset') ? socket.resetAndDestroy() : socket.end()), 50);
    });
    const http = await open(t);
    assert.equal((await fetchAll(http, `${url}/end`)).body.toString(), 'all there is');
    await fails('interrupted', () => fetchAll(http, `${url}/reset`));
  });

  test('f08_cut_bodies: nor is a reset the end that comes while data still wait to be read', async (t) => {
    const { url } = await serveRaw(t, cut);
    for (let round = 0; round < 3; round += 1) {
      const exchange = start(await open(t), url);
      await exchange.response();
      await wait(400);
      await fails('interrupted', async () => {
        while ((await exchange.chunk()) !== undefined);
      });
    }
    function cut(socket) {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.write(Buffer.alloc(4 << 20));
      setTimeout(() => socket.resetAndDestroy(), 200);
    }
  });

  test('what breaks the protocol is an error', async (t) => {
    for (const text of ['garbage\r\n\r\n', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`]) {
      const { url } = await serveRaw(t, (socket) => socket.write(text));
      await fails('interrupted', async () => fetchAll(await open(t), url));
    }
  });

  test('timeouts: silence before the headers, and in the body; slow but steady is fine', async (t) => {
    const { url } = await serve(t, async (request, response) => {
      if (request.url === '/never') return;
      response.writeHead(200).write('start');
      if (request.url === '/stalls') return;
      for (let i = 0; i < 8; i++) {
        await wait(350);
        response.write('.');
      }
      response.end();
    });
    const http = await open(t);
    await fails('timeout', () => fetchAll(http, `${url}/never`, { timeout: 700 }));
    await fails('timeout', () => fetchAll(http, `${url}/stalls`, { timeout: 700 }));
    assert.equal((await fetchAll(http, `${url}/slow`, { timeout: 2000 })).body.toString(), 'start........');
  });

  test('a body that nobody reads for longer than the timeout does not time out', async (t) => {
    const { url } = await serve(t, (_, response) => response.end(Buffer.alloc(4 * 1024 * 1024)));
    const exchange = start(await open(t), url, { timeout: 1000 });
    await exchange.response();
    await wait(2000);
    let size = 0;
    for (let chunk = await exchange.chunk(); chunk !== undefined; chunk = await exchange.chunk()) size += chunk.length;
    assert.equal(size, 4 * 1024 * 1024);
  });

  test('no connection: refused, and a name that does not exist', async (t) => {
    const http = await open(t);
    const { url, server } = await serve(t, () => {});
    server.close();
    await fails('connect', () => fetchAll(http, url));
    await fails('connect', () => fetchAll(http, 'http://no-such-host.invalid/'));
  });

  test('a server that hangs up before it answers', async (t) => {
    let count = 0;
    const { url } = await serveRaw(t, (socket) => {
      count += 1;
      socket.end();
    });
    await fails('interrupted', async () => fetchAll(await open(t), url));
    assert.equal(count, 1, 'the core decides on tries');
  });

  test('connections are kept; one that the server closed meanwhile costs no error', async (t) => {
    const used = [];
    const { url } = await serveRaw(t, (socket, _, count) => {
      used.push(socket);
      // The second request finds its connection closed, as by a server whose keep-alive has run out just then.
      if (count === 2) return socket.end();
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
    const http = await open(t);
    for (let i = 0; i < 3; i++) {
      assert.equal((await fetchAll(http, url)).body.toString(), 'ok');
      await wait(20);
    }
    assert.equal(used[1], used[0], 'the connection was kept');
    assert.equal(used.length, 4, 'the second request was sent once more');
    // Not so a POST: the server may have acted on it.
    const other = await serveRaw(t, (socket, _, count) => (count === 2 ? socket.end() : socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')));
    await fetchAll(http, other.url, { method: 'POST' });
    await wait(20);
    await fails('interrupted', () => fetchAll(http, other.url, { method: 'POST' }));
  });

  test('abort: before the headers, in the body, after the end', async (t) => {
    const closed = [];
    const { url } = await serve(t, (request, response) => {
      response.on('close', () => closed.push(request.url));
      if (request.url === '/never') return;
      response.write(Buffer.alloc(1000));
      if (request.url === '/end') response.end();
    });
    const http = await open(t);
    const never = start(http, `${url}/never`);
    await wait(200);
    never.abort();
    await fails('interrupted', () => never.response());
    const body = start(http, `${url}/body`);
    await body.response();
    await body.chunk();
    const waiting = body.chunk();
    body.abort();
    await fails('interrupted', () => waiting);
    const whole = start(http, `${url}/end`);
    await whole.response();
    while ((await whole.chunk()) !== undefined);
    whole.abort();
    const atOnce = start(http, `${url}/never`);
    atOnce.abort();
    await fails('interrupted', () => atOnce.response());
    for (let i = 0; i < 50 && closed.length < 3; i++) await wait(20);
    assert.deepEqual([...new Set(closed)].sort(), ['/body', '/end', '/never']);
    assert.equal((await fetchAll(http, `${url}/end`)).body.length, 1000, 'the transport goes on');
  });

  test('many at once', async (t) => {
    let count = 0;
    let release;
    const all = new Promise((resolve) => (release = resolve));
    const { url } = await serve(t, async (_, response) => {
      if (++count === 40) release('all');
      // However slow the machine is: nobody is answered before the last one is here.
      await Promise.race([all, wait(20_000, undefined, { ref: false })]);
      response.end('x');
    });
    const http = await open(t);
    const answers = Array.from({ length: 40 }, () => fetchAll(http, url));
    assert.equal(await Promise.race([all, wait(10_000, undefined, { ref: false })]), 'all', 'the core limits connections, not the transport');
    await Promise.all(answers);
  });

  test('a01_self_signed: refused, and says how to trust it', async (t) => {
    const { url } = await serveTls(t, (_, response) => response.end('secret'));
    const error = await fails('tls', async () => fetchAll(await open(t), url));
    assert.match(error.message, /NODE_EXTRA_CA_CERTS/);
  });

  test('https goes through a proxy by CONNECT, with the certificate still checked', async (t) => {
    const target = await serveTls(t, (_, response) => response.end('secret'));
    const proxy = await serveProxy(t, { 'ehr.test': target.port });
    const http = await open(t, { HTTPS_PROXY: proxy.url });
    await fails('tls', () => fetchAll(http, 'https://ehr.test/fhir'));
    assert.deepEqual([...new Set(proxy.asked)], ['CONNECT ehr.test:443']);
  });

  test('http goes through a proxy as it is, URL bytes included', async (t) => {
    let seen;
    const target = await serve(t, (request, response) => {
      seen = request.headers.host;
      response.end('through');
    });
    const proxy = await serveProxy(t, { 'ehr.test': target.port });
    const http = await open(t, { http_proxy: proxy.url.replace('http://', '') });
    assert.equal((await fetchAll(http, 'http://ehr.test/a?x=%2B')).body.toString(), 'through');
    assert.equal(seen, 'ehr.test');
    assert.deepEqual(proxy.asked, ['GET http://ehr.test/a?x=%2B']);
  });

  test('NO_PROXY and loopback go without a proxy', async (t) => {
    const { url } = await serve(t, (_, response) => response.end('direct'));
    const proxy = await serveProxy(t, {});
    assert.equal((await fetchAll(await open(t, { HTTP_PROXY: proxy.url }), url)).body.toString(), 'direct');
    const http = await open(t, { HTTP_PROXY: proxy.url, NO_PROXY: '.invalid, other.example' });
    await fails('connect', () => fetchAll(http, 'http://no-such-host.invalid/'));
    assert.deepEqual(proxy.asked, []);
  });

  test('proxies with a password; what is wrong with a proxy is said without it', async (t) => {
    const target = await serve(t, (_, response) => response.end('through'));
    const tlsTarget = await serveTls(t, (_, response) => response.end());
    const proxy = await serveProxy(t, { 'ehr.test': target.port, 'tls.test': tlsTarget.port }, { auth: 'me:geheim' });
    const withPassword = proxy.url.replace('//', '//me:geheim@');
    assert.equal((await fetchAll(await open(t, { HTTP_PROXY: withPassword }), 'http://ehr.test/')).body.toString(), 'through');
    for (const [env, url, kind] of [
      [{ HTTPS_PROXY: proxy.url }, 'https://tls.test/', 'invalid'],
      [{ HTTP_PROXY: proxy.url }, 'http://ehr.test/', 'invalid'],
      [{ HTTPS_PROXY: withPassword }, 'https://unknown.test/', 'connect'],
      [{ HTTPS_PROXY: 'http://me:geheim@127.0.0.1:1' }, 'https://ehr.test/', 'connect'],
    ]) {
      const error = await fails(kind, async () => fetchAll(await open(t, env), url));
      assert.ok(!error.message.includes('geheim'));
    }
    for (const bad of ['ftp://me:geheim@proxy:1', 'http://me:geheim@:::']) {
      const error = await fails('invalid', async () => fetchAll(await open(t, { HTTPS_PROXY: bad }), 'https://ehr.test/'));
      assert.ok(!error.message.includes('geheim'));
      assert.match(error.message, /HTTPS_PROXY/);
    }
  });
}
