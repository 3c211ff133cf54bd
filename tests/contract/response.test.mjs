// The reader of responses: what it takes and what it refuses, in pieces of any size, and beside Node's own parser (llhttp).
import assert from 'node:assert/strict';
import http from 'node:http';
import { Duplex } from 'node:stream';
import { test } from 'node:test';

import { ResponseReader } from '../../pkg-template/http/response.js';

/** What comes of `pieces`, after which the connection ends in good order. */
function read(pieces) {
  let head;
  const body = [];
  const reader = new ResponseReader({ head: (it) => (head = it), data: (bytes) => body.push(Buffer.from(bytes)) });
  let taken = 0;
  try {
    for (const piece of pieces) {
      if (reader.done) break;
      taken += reader.push(piece);
    }
    if (!reader.done) reader.end();
  } catch (error) {
    assert.equal(error.kind, 'interrupted', error.stack);
    return { error: error.message };
  }
  const headers = head.headers === '' ? [] : head.headers.split('\n');
  return { status: head.status, headers, gzip: head.gzip, body: Buffer.concat(body).toString('latin1'), reusable: reader.reusable, keptFor: reader.keptFor, taken };
}

/** `text` whole, byte by byte, and in two at each place. */
function* cuts(text) {
  const bytes = Buffer.from(text, 'latin1');
  yield [bytes];
  yield [...bytes].map((byte) => Buffer.from([byte]));
  for (let i = 1; i < bytes.length; i += 1) yield [bytes.subarray(0, i), bytes.subarray(i)];
}

/** What comes of `text`, the same however it is cut. */
function readAll(text) {
  let first;
  for (const pieces of cuts(text)) {
    const found = read(pieces);
    first ??= found;
    assert.deepEqual(found, first, `cut into ${pieces.map(({ length }) => length).slice(0, 3)} …`);
  }
  return first;
}

test('bodies end where they should, however the bytes come', () => {
  const table = {
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello': { body: 'hello', reusable: true },
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloMORE': { body: 'hello', reusable: true },
    'HTTP/1.1 200\r\ncontent-length:0\r\n\r\nMORE': { body: '', reusable: true },
    'HTTP/1.1 200 OK\r\n\r\nto the end': { body: 'to the end', reusable: false },
    'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok': { body: 'ok', reusable: false },
    'HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 2\r\n\r\nok': { body: 'ok', reusable: false },
    'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok': { body: 'ok', reusable: false },
    'HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok': { body: 'ok', reusable: true },
    'HTTP/1.1 204 No Content\r\n\r\nMORE': { body: '', status: 204, reusable: true },
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nMORE': { body: '', status: 304, reusable: true },
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b;c;d="e f"\r\nhello\r\n0A\r\n, you the!\r\n0\r\n\r\nMORE': { body: 'hello, you the!', reusable: true },
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n000\r\nTrailer: yes\r\nOther: no\r\n\r\nMORE': { body: 'x', reusable: true },
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n': { body: '', reusable: true },
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\nContent-Length: 9\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx': { body: 'x', status: 201 },
    'HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=7\r\nContent-Length: 0\r\n\r\n': { keptFor: 7000 },
    'HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\nContent-Length: 0\r\n\r\n': { gzip: true },
    'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: br\r\nContent-Length: 0\r\n\r\n': { gzip: false },
  };
  for (const [text, wanted] of Object.entries(table)) {
    const found = readAll(text);
    for (const [key, value] of Object.entries(wanted)) assert.deepEqual(found[key], value, `${key} of ${JSON.stringify(text)}: ${JSON.stringify(found)}`);
    assert.equal(found.taken, text.endsWith('MORE') ? text.length - 4 : text.length, JSON.stringify(text));
  }
});

test('headers come as they were sent', () => {
  const text = 'HTTP/1.1 200 OK\r\nX-One: 1\r\nx-one:\t 2 \t\r\nEmpty:\r\nHigh: caf\xe9\r\nContent-Length: 0\r\n\r\n';
  assert.deepEqual(readAll(text).headers, ['X-One', '1', 'x-one', '2', 'Empty', '', 'High', 'caf\xe9', 'Content-Length', '0']);
});

test('what is not clear is an error', () => {
  const head = 'HTTP/1.1 200 OK\r\n';
  for (const text of [
    '', 'H', 'garbage\r\n\r\n', 'HTTP/2 200 OK\r\n\r\n', 'HTTP/1.1 20 OK\r\n\r\n', 'HTTP/1.1 2000 OK\r\n\r\n', 'http/1.1 200 OK\r\n\r\n', 'HTTP/1.1  200 OK\r\n\r\n',
    'HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(30),
    `${head}No colon\r\n\r\n`, `${head}: nameless\r\n\r\n`, `${head}Space : x\r\n\r\n`, `${head} Folded: first\r\n\r\n`, `${head}Folded: a\r\n b\r\n\r\n`, `${head}Nul: a\0b\r\n\r\n`, `${head}Bare: a\nb: c\r\n\r\n`, `${head}Bare: a\rb\r\n\r\n`,
    `${head}Content-Length: 5\r\n\r\nhell`, `${head}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, `${head}Content-Length: 5, 5\r\n\r\nhello`, `${head}Content-Length: +5\r\n\r\nhello`,
    `${head}Content-Length: -1\r\n\r\n`, `${head}Content-Length: 0x5\r\n\r\nhello`, `${head}Content-Length:\r\n\r\n`, `${head}Content-Length: 9999999999999999\r\n\r\n`,
    `${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, `${head}Transfer-Encoding: identity\r\n\r\nx`,
    `${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ...['5\r\nhell', '5\r\nhelloo\r\n0\r\n\r\n', '5\r\nhello\r\n', '5\r\nhello\r\n0\r\n', '5\r\nhello\n0\r\n\r\n', '\r\n', 'zz\r\n', '-1\r\n', '5\nhello\r\n0\r\n\r\n', ' 5\r\nhello\r\n0\r\n\r\n', `${'0'.repeat(14)}5\r\nhello\r\n0\r\n\r\n`, `5;${'x'.repeat(2000)}\r\nhello\r\n0\r\n\r\n`, '5;\0\r\nhello\r\n0\r\n\r\n', '5 \r\nhello\r\n0\r\n\r\n']
      .map((body) => `${head}Transfer-Encoding: chunked\r\n\r\n${body}`),
  ]) {
    assert.ok(readAll(text).error, JSON.stringify(text));
  }
  assert.match(read([Buffer.from(`${head}X: ${'y'.repeat(70_000)}`)]).error, /64 KB/);
  assert.match(read([Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n0\r\n${'T: x\r\n'.repeat(20_000)}`)]).error, /64 KB/);
});

test('spaces without end take no time', () => {
  const spaces = ' '.repeat(60_000);
  const began = performance.now();
  for (const head of [`X: a${spaces}\0`, `X:${spaces}b`, `X: a${spaces}b${spaces}`, `X: a\r\n${spaces}b\r\n${spaces}`, `X${spaces}: a`]) {
    read([Buffer.from(`HTTP/1.1 200 OK\r\n${head}\r\nContent-Length: 0\r\n\r\n`)]);
  }
  // A square of 60,000 steps takes seconds.
  assert.ok(performance.now() - began < 1000);
});

/** What Node makes of the same bytes: `undefined` if it is none that ends in good order. */
function readByNode(bytes) {
  return new Promise((resolve) => {
    const socket = new Duplex({
      read() {},
      write(_chunk, _encoding, done) {
        this.push(bytes);
        this.push(null);
        done();
      },
    });
    const request = http.request({ createConnection: () => socket }, (response) => {
      const body = [];
      response.on('data', (chunk) => body.push(chunk));
      response.on('error', () => resolve(undefined));
      response.on('end', () => resolve(response.complete ? { status: response.statusCode, headers: response.rawHeaders, body: Buffer.concat(body).toString('latin1') } : undefined));
    });
    request.on('error', () => resolve(undefined));
    request.on('upgrade', () => resolve(undefined));
    request.end();
  });
}

test('whatever it takes, Node takes for the same', async () => {
  let state = 88_172_645;
  const draw = (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const pick = (list) => list[draw(list.length)];
  const body = () => Array.from({ length: draw(40) }, () => pick(['a', '\r\n', '0', '\0', '{', '\xff', ' '])).join('');
  const chunked = (text) => {
    let out = '';
    for (let rest = text; rest.length > 0; ) {
      const size = 1 + draw(rest.length);
      out += `${pick(['', '0'])}${size.toString(16)}${pick(['', '', ';x', ';a=b'])}\r\n${rest.slice(0, size)}\r\n`;
      rest = rest.slice(size);
    }
    return `${out}0\r\n${pick(['', 'T: x\r\n'])}\r\n`;
  };
  const response = () => {
    const text = body();
    const fields = Array.from({ length: draw(4) }, () => pick(['X: y', 'Accept-Ranges:bytes', 'Empty:', 'A: b c', 'Connection: close', 'Connection: keep-alive', 'Date: today\t']));
    const kind = draw(4);
    if (kind === 0) fields.push(`Content-Length: ${text.length}`);
    if (kind === 1) fields.push(`${pick(['Transfer-Encoding', 'transfer-encoding'])}: ${pick(['chunked', 'Chunked'])}`);
    fields.sort(() => draw(3) - 1);
    const interim = pick(['', '', '', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n']);
    const status = kind > 1 ? pick(['200 OK', '404', '500 Oh no', '204 No', '304 Not']) : pick(['200 OK', '404 Not Found', '429 ', '503']);
    return `${interim}HTTP/1.${kind === 1 ? 1 : pick([0, 1, 1, 1])} ${status}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${kind === 1 ? chunked(text) : text}`;
  };
  const broken = (text) => {
    const at = draw(text.length);
    const piece = pick(['', '\r', '\n', '\r\n', ' ', ':', '0', 'a', '\0', '\t', 'Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n', text.slice(draw(text.length)).slice(0, 9)]);
    return text.slice(0, at) + piece + text.slice(at + draw(3));
  };
  let [taken, refused] = [0, 0];
  for (let round = 0; round < 6000; round += 1) {
    let text = response();
    const isWhole = round % 3 === 0;
    if (!isWhole) text = broken(text);
    if (round % 3 === 2) text = broken(text);
    const bytes = Buffer.from(text, 'latin1');
    const ours = readPieces(bytes, draw);
    if (ours.error) {
      refused += 1;
      assert.ok(!isWhole, `${JSON.stringify(text)}: ${ours.error}`);
      continue;
    }
    taken += 1;
    const theirs = await readByNode(bytes.subarray(0, ours.taken));
    assert.ok(theirs, `Node refuses ${JSON.stringify(text)}, we read ${JSON.stringify(ours)}`);
    const { status, headers, body: found } = ours;
    assert.deepEqual({ status, headers, body: found }, theirs, JSON.stringify(text));
  }
  assert.ok(taken > 2500 && refused > 800, `${taken} taken, ${refused} refused`);
});

/** The same, cut at random. */
function readPieces(bytes, draw) {
  const pieces = [];
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + draw(bytes.length - at);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return read(pieces);
}
