// Faults of files: each does what it says, and the other files stay as they are.
import assert from 'node:assert/strict';
import http from 'node:http';
import test from 'node:test';
import { gunzipSync } from 'node:zlib';
import { SIGNATURE } from '../../node-cli/src/sandbox/export/manifest.js';
import { fixtureFiles, kickoff, linesOf, manifestOf, request, sandbox } from './helpers.mjs';

const GZIP = { headers: { 'accept-encoding': 'gzip' } };
const patients = fixtureFiles().get('Patient.001');

/** URL of a Patient file of a job with these faults (the first of two files; the second is Device). */
async function patientFile(sbx, faults, options) {
  sbx.setFaults({ pending: 0, ...faults });
  const { output } = await manifestOf(sbx, '', '_type=Patient,Device', options);
  return output[0].url;
}

/** The server hears of the end of an answer a little after the client. */
async function allEnded(sbx) {
  for (let n = 0; n < 500 && sbx.stats.routes.files.inFlight > 0; n++) await new Promise((resolve) => { setTimeout(resolve, 20); });
  assert.equal(sbx.stats.routes.files.inFlight, 0);
}

test('fileFail: per file, in turn; onlyFiles names the files concerned', async (t) => {
  const sbx = await sandbox(t, { faults: { fileFail: '502,reset,429,401,410', onlyFiles: '2' } });
  const { output: [first, second] } = await manifestOf(sbx, '', '_type=Patient,Device');
  assert.equal((await request(first.url)).status, 200);
  const seen = [];
  for (let n = 0; n < 6; n++) seen.push((await request(second.url).catch(({ code }) => ({ status: code }))).status);
  assert.deepEqual(seen, [502, 'ECONNRESET', 429, 401, 410, 200]);
  sbx.setFaults({ pending: 0, fileFail: '503' });
  const { output } = await manifestOf(sbx, '', '_type=Patient,Device');
  for (const { url } of output) assert.deepEqual([(await request(url)).status, (await request(url)).status], [503, 200]);
});

test('fileFail for ever', async (t) => {
  const sbx = await sandbox(t);
  const url = await patientFile(sbx, { fileFail: '410*' });
  for (let n = 0; n < 5; n++) assert.equal((await request(url)).status, 410);
});

test('fileRedirect: each code, to the other or the same origin; redirectLoop', async (t) => {
  const sbx = await sandbox(t);
  for (const code of [301, 302, 303, 307, 308]) {
    const answer = await request(await patientFile(sbx, { fileRedirect: code }));
    assert.equal(answer.status, code);
    assert.ok(answer.headers.location.startsWith(sbx.otherOrigin));
    assert.deepEqual((await request(answer.headers.location)).bytes, patients);
  }
  const same = await request(await patientFile(sbx, { fileRedirect: 302, redirectTo: 'same-origin' }));
  assert.ok(same.headers.location.startsWith(sbx.origin));
  assert.deepEqual((await request(same.headers.location)).bytes, patients);
  const url = await patientFile(sbx, { redirectLoop: true });
  assert.equal((await request(url)).headers.location, url);
});

test('crossOrigin and otherOriginToken', async (t) => {
  const sbx = await sandbox(t);
  const open = await patientFile(sbx, { crossOrigin: true });
  assert.ok(open.startsWith(sbx.otherOrigin));
  assert.deepEqual((await request(open)).bytes, patients);
  assert.equal(sbx.requests.at(-1).origin, sbx.otherOrigin);
  const closed = await patientFile(sbx, { otherOriginToken: true });
  assert.ok(closed.startsWith(sbx.otherOrigin));
  assert.equal((await request(closed)).status, 401);
  assert.equal((await request(closed, { headers: { authorization: 'Bearer x' } })).status, 200);
});

test('presigned: any Authorization is 400, and the query has to come back byte for byte', async (t) => {
  const sbx = await sandbox(t);
  const url = await patientFile(sbx, { presigned: true, requiresAccessToken: 'false', crossOrigin: true });
  assert.ok(url.endsWith(SIGNATURE));
  assert.deepEqual((await request(url)).bytes, patients);
  assert.equal((await request(url, { headers: { authorization: 'Bearer x' } })).status, 400);
  assert.equal((await request(url.replace('%2B', '+'))).status, 403);
});

test('requiresAccessToken false: files of a secure job are open', async (t) => {
  const sbx = await sandbox(t, { auth: 'bearer', secrets: { bearer: 'canary' } });
  const headers = { authorization: 'Bearer canary' };
  assert.equal((await request(await patientFile(sbx, {}, { headers }))).status, 401);
  assert.equal((await request(await patientFile(sbx, { requiresAccessToken: 'false' }, { headers }))).status, 200);
});

test('expireLinks: the first URL is dead, the manifest read again has a live one', async (t) => {
  const sbx = await sandbox(t);
  for (const code of [403, 404, 410]) {
    sbx.setFaults({ pending: 0, expireLinks: code });
    const status = (await kickoff(sbx, '', '_type=Patient')).headers['content-location'];
    const first = (await request(status)).json.output[0].url;
    assert.deepEqual([(await request(first)).status, (await request(first)).status], [code, code]);
    const second = (await request(status)).json.output[0].url;
    assert.notEqual(second, first);
    assert.deepEqual((await request(second)).bytes, patients);
  }
});

test('maxInFlight: 1,500 tiny files, 429 above the limit', async (t) => {
  const sbx = await sandbox(t, { data: undefined, patients: 80, faults: { page: 1, maxInFlight: 3, failRetryAfter: '2' } });
  const { output } = await manifestOf(sbx, '', '_type=Observation');
  assert.ok(output.length >= 1500, `${output.length} files`);
  const waiting = output.slice(0, 1500).map(({ url }) => url);
  const lines = [];
  const worker = async () => {
    while (waiting.length > 0) lines.push((await request(waiting.pop())).status);
  };
  await Promise.all([worker(), worker(), worker()]);
  assert.equal(lines.filter((status) => status === 200).length, 1500, 'three at a time are fine');
  assert.ok(sbx.stats.routes.files.maxInFlight <= 3);
  sbx.setFaults({ pending: 0, maxInFlight: 2, latency: 500, failRetryAfter: '2' });
  const { output: [{ url }] } = await manifestOf(sbx, '', '_type=Patient');
  const four = await Promise.all([1, 2, 3, 4].map(() => request(url)));
  assert.deepEqual(four.map(({ status }) => status).sort(), [200, 200, 429, 429]);
  assert.ok(four.filter(({ status }) => status === 429).every(({ headers }) => headers['retry-after'] === '2'));
  await allEnded(sbx);
});

test('cut: four framings, so many times', async (t) => {
  const sbx = await sandbox(t);
  const half = patients.subarray(0, Math.floor(patients.length / 2));

  const length = await patientFile(sbx, { cut: 50, cutFraming: 'length', cutTimes: 2 });
  for (let n = 0; n < 2; n++) {
    const answer = await request(length);
    assert.deepEqual([Number(answer.headers['content-length']), answer.bytes, answer.ended], [patients.length, half, 'ECONNRESET']);
  }
  assert.deepEqual((await request(length)).bytes, patients);

  const chunked = await patientFile(sbx, { cut: 50, cutFraming: 'chunked' });
  const torn = await request(chunked);
  assert.deepEqual([torn.headers['transfer-encoding'], torn.bytes, torn.ended], ['chunked', half, 'ECONNRESET']);
  assert.deepEqual((await request(chunked)).bytes, patients);

  const closing = await request(await patientFile(sbx, { cut: 50, cutFraming: 'close' }));
  assert.deepEqual([closing.headers['content-length'], closing.headers['transfer-encoding'], closing.headers.connection], [undefined, undefined, 'close']);
  assert.deepEqual([closing.bytes, closing.ended], [half, 'whole']);

  const packed = await request(await patientFile(sbx, { cut: 50, cutFraming: 'gzip' }), GZIP);
  assert.deepEqual([packed.headers['content-encoding'], Number(packed.headers['content-length']), packed.ended], ['gzip', packed.bytes.length, 'whole']);
  assert.throws(() => gunzipSync(packed.bytes), /unexpected end of file/);
  const short = await request(await patientFile(sbx, { cut: 50, cutFraming: 'short' }));
  assert.deepEqual([Number(short.headers['content-length']), short.bytes, short.ended], [half.length, half, 'whole']);
  const nothing = await request(await patientFile(sbx, { cut: 0, cutFraming: 'length' }));
  assert.deepEqual([nothing.bytes.length, nothing.ended], [0, 'ECONNRESET']);
});

test('cut with stall, and fileFail with hang: nothing comes, and the connection stays', async (t) => {
  const sbx = await sandbox(t);
  for (const [faults, expected] of [[{ cut: 50, cutFraming: 'stall' }, Math.floor(patients.length / 2)], [{ fileFail: 'hang' }, 0]]) {
    const url = await patientFile(sbx, faults);
    const got = await new Promise((resolve, reject) => {
      let bytes = 0;
      const req = http.get(url, { agent: false }, (res) => {
        res.on('data', (chunk) => { bytes += chunk.length; });
        res.on('close', () => reject(new Error('it ended')));
      });
      req.on('error', reject);
      const look = () => {
        if (bytes < expected || !sbx.stats.routes.files?.inFlight) return setTimeout(look, 20);
        return setTimeout(() => {
          resolve(bytes);
          req.destroy();
        }, 200);
      };
      setTimeout(look, 20);
    });
    assert.equal(got, expected);
    assert.deepEqual((await request(url)).bytes, patients);
  }
});

test('coding: identity, gzip unasked, stored .gz, several members', async (t) => {
  const sbx = await sandbox(t);
  const get = async (coding, options) => request(await patientFile(sbx, { coding }), options);
  assert.deepEqual((await get('identity', GZIP)).bytes, patients);
  const cases = [['gzip', 'gzip', 1], ['stored-gz', undefined, 1], ['multi-member-gzip', 'gzip', 2], ['stored-multi-member-gzip', undefined, 2]];
  for (const [coding, header, members] of cases) {
    const answer = await get(coding);
    assert.equal(answer.headers['content-encoding'], header, coding);
    assert.deepEqual(gunzipSync(answer.bytes), patients, coding);
    assert.equal(answer.bytes.toString('latin1').split('\x1f\x8b\x08').length - 1, members, coding);
  }
});

test('contentType, an HTML login page, an empty body, a Binary wrapper', async (t) => {
  const sbx = await sandbox(t);
  const octets = await request(await patientFile(sbx, { contentType: 'binary/octet-stream' }));
  assert.deepEqual([octets.headers['content-type'], octets.bytes], ['binary/octet-stream', patients]);
  const login = await request(await patientFile(sbx, { contentType: 'html' }));
  assert.deepEqual([login.status, login.headers['content-type'], login.text[0]], [200, 'text/html; charset=utf-8', '<']);
  const empty = await request(await patientFile(sbx, { fileFail: '200:empty*' }));
  assert.deepEqual([empty.status, empty.bytes.length], [200, 0]);
  const wrapped = await request(await patientFile(sbx, { binaryWrapper: true }));
  assert.equal(wrapped.headers['content-type'], 'application/fhir+json');
  assert.deepEqual(Buffer.from(wrapped.json.data, 'base64'), patients);
});

test('ranges and unasked206', async (t) => {
  const sbx = await sandbox(t);
  const url = await patientFile(sbx, { ranges: true });
  const whole = await request(url);
  assert.equal(whole.headers['accept-ranges'], 'bytes');
  const part = await request(url, { headers: { range: 'bytes=100-199', 'if-range': whole.headers.etag } });
  assert.deepEqual([part.status, part.headers['content-range'], part.bytes], [206, `bytes 100-199/${patients.length}`, patients.subarray(100, 200)]);
  assert.deepEqual((await request(url, { headers: { range: 'bytes=1000-' } })).bytes, patients.subarray(1000));
  assert.equal((await request(url, { headers: { range: 'bytes=100-', 'if-range': '"other"' } })).status, 200);
  assert.equal((await request(url, { headers: { range: `bytes=${patients.length}-` } })).status, 416);
  sbx.setFaults({ pending: 0, ranges: true, page: 3 });
  const { output: [piece] } = await manifestOf(sbx, '', '_type=Patient');
  const all = (await request(piece.url)).bytes;
  assert.deepEqual((await request(piece.url, { headers: { range: 'bytes=500-' } })).bytes, all.subarray(500));
  const off = await request(await patientFile(sbx, {}), { headers: { range: 'bytes=100-' } });
  assert.deepEqual([off.status, off.headers['accept-ranges'], off.bytes], [200, undefined, patients]);
  const unasked = await request(await patientFile(sbx, { unasked206: true }));
  assert.deepEqual([unasked.status, unasked.bytes], [206, patients.subarray(0, Math.floor(patients.length / 2))]);
});

test('lines: each damage', async (t) => {
  const sbx = await sandbox(t);
  const original = patients.toString('utf8').trimEnd().split('\n');
  const get = async (lines) => (await request(await patientFile(sbx, { lines, onlyFiles: '1' }))).bytes;
  const text = async (lines) => (await get(lines)).toString('utf8');
  assert.deepEqual(await get('bom'), Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), patients]));
  const blank = await text('blank-lines');
  assert.ok(blank.startsWith('\n') && blank.includes('\n\n'));
  assert.deepEqual(blank.split('\n').filter(Boolean), original);
  assert.deepEqual(await get('no-final-newline'), patients.subarray(0, -1));
  assert.equal(await text('crlf'), patients.toString('utf8').replaceAll('\n', '\r\n'));
  const separators = (await text('u2028')).trimEnd().split('\n');
  assert.equal(separators.length, original.length);
  assert.match(JSON.parse(separators[0])._implicitRules.extension[0].valueString, /\u2028.*\u2029.*\u0085/);
  const bad = (await text('bad-json:2')).trimEnd().split('\n');
  assert.throws(() => JSON.parse(bad[1]), SyntaxError);
  assert.deepEqual([bad[0], ...bad.slice(2)], [original[0], ...original.slice(2)]);
  const long = (await text('long-line:20000000')).split('\n');
  assert.ok(long[0].length > 20_000_000 && JSON.parse(long[0]).id === JSON.parse(original[0]).id);
  assert.deepEqual(long.slice(1, -1), original.slice(1));
  const stray = (await text('stray:Basic')).split('\n');
  assert.deepEqual([JSON.parse(stray[1]), stray.length], [{ resourceType: 'Basic', id: 'stray-1' }, original.length + 2]);
  const twice = (await text('duplicates')).trimEnd().split('\n');
  assert.deepEqual(twice, original.flatMap((line) => [line, line]));
  const invalid = await get('invalid-utf8');
  assert.throws(() => new TextDecoder('utf-8', { fatal: true }).decode(invalid));
  assert.equal(JSON.parse(invalid.toString('latin1').split('\n')[0]).resourceType, 'Patient');
  const untyped = (await text('untyped')).split('\n');
  assert.deepEqual([JSON.parse(untyped[0]).resourceType, JSON.parse(untyped[0]).id, untyped[1]], [undefined, JSON.parse(original[0]).id, original[1]]);
  const outcome = (await text('outcome')).trimEnd().split('\n');
  assert.equal(JSON.parse(outcome.at(-1)).resourceType, 'OperationOutcome');
  assert.match((await text('decimals')).split('\n')[0], /"valueDecimal":1\.10\b.*12345678901234567890\.1230/);
  const several = await get('bom,crlf,no-final-newline,outcome');
  assert.ok(several[0] === 0xef && several.includes('\r\n') && several.at(-1) === 0x7d);
  const packed = await request(await patientFile(sbx, { lines: 'crlf' }), GZIP);
  assert.equal(gunzipSync(packed.bytes).toString('utf8'), patients.toString('utf8').replaceAll('\n', '\r\n'));
});

test('byteRate: slow bytes', async (t) => {
  const sbx = await sandbox(t);
  const url = await patientFile(sbx, { byteRate: 50_000, coding: 'identity' });
  const before = Date.now();
  assert.deepEqual((await request(url)).bytes, patients);
  const took = Date.now() - before;
  assert.ok(took > (patients.length / 50_000) * 800, `${took} ms for ${patients.length} bytes`);
});

test('a client that goes away does no harm', async (t) => {
  const sbx = await sandbox(t, { faults: { byteRate: 20_000 } });
  const { output } = await manifestOf(sbx, '', '_type=ExplanationOfBenefit');
  await new Promise((resolve, reject) => {
    const req = http.get(output[0].url, (res) => {
      res.once('data', () => {
        res.destroy();
        resolve();
      });
    });
    req.on('error', reject);
  });
  await allEnded(sbx);
  sbx.setFaults({ pending: 0 });
  assert.equal((await linesOf((await manifestOf(sbx, '', '_type=Patient')).output[0])).length, 10);
});
