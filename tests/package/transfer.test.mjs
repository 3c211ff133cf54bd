// Transfers through the real core: in place and on workers, over each transport, on each of the two wasm files.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { gunzipSync, gzipSync } from 'node:zlib';

import { createHttp } from '../../pkg-template/http/node.js';
import { compile, glue, load } from '../../pkg-template/load-node.js';
import { MemoryFolder } from '../../pkg-template/storage/memory.js';
import { NodeFolder } from '../../pkg-template/storage/node-fs.js';
import { createPool } from '../../pkg-template/worker/node.js';
import { TransferPool } from '../../pkg-template/worker/pool.js';
import { folder, host, never, patients, serve, task, text } from './helpers.mjs';

const core = await load();
const nothing = () => {};

const answer = (data, coded) => (_, response) => {
  response.setHeader('Content-Type', 'application/fhir+ndjson');
  if (coded) response.setHeader('Content-Encoding', 'gzip');
  response.end(coded ? gzipSync(data) : data);
};

async function openHttp(t) {
  const http = await createHttp();
  t.after(() => http.close());
  return http;
}

describe('in place', () => {
  for (const coded of [true, false]) {
    for (const compress of [true, false]) {
      test(`a body that comes ${coded ? 'as gzip' : 'plain'} is stored ${compress ? 'as gzip' : 'plain'}`, async (t) => {
        const path = folder(t);
        const data = patients(3000);
        const url = await serve(t, answer(data, coded));
        const parts = host({ http: await openHttp(t), storage: new NodeFolder(path) });
        const outcome = await core.transfer(parts, task(url, { compress }), nothing, never);
        assert.ok(outcome.stored, JSON.stringify(outcome));
        assert.equal(outcome.stored.resources, 3000);
        assert.equal(outcome.stored.decoded, Buffer.byteLength(data));
        assert.equal(outcome.stored.stored, statSync(`${path}/Patient.part`).size);
        assert.equal(text(path, 'Patient.part'), data);
      });
    }
  }

  test('what fetch gives, through gloo-net: decoded by the host', async (t) => {
    const data = patients(2000);
    const url = await serve(t, answer(data, true));
    const storage = new MemoryFolder();
    const outcome = await core.transfer(host({ storage }), task(url, { compress: false }), nothing, never);
    assert.ok(outcome.stored, JSON.stringify(outcome));
    assert.equal(Buffer.from(storage.read('Patient.part', 0, 1e9)).toString(), data);
  });

  test('fetch: no connection, silence and a cut body end as broken', async (t) => {
    const url = await serve(t, (request, response) => {
      if (request.url === '/silent') return;
      response.writeHead(200, { 'Content-Length': 1000 }).write(patients(1));
      setTimeout(() => response.destroy(), 50);
    });
    const storage = new MemoryFolder();
    const run = (to, more) => core.transfer(host({ storage }), task(to, more), nothing, never);
    const kinds = [];
    for (const [to, more] of [['http://127.0.0.1:1/', {}], [`${url}/silent`, { timeoutMillis: 300 }], [`${url}/cut`, {}]]) {
      kinds.push((await run(to, more)).broken?.error.kind);
    }
    assert.deepEqual(kinds, ['blocked', 'timeout', 'interrupted']);
    assert.equal(storage.stat('Patient.part'), undefined, 'nothing is left');
  });

  test('cancelled: the request is aborted and the file given up', async (t) => {
    let [asked, closed] = [() => {}, false];
    const url = await serve(t, (_, response) => {
      response.writeHead(200, { 'Content-Type': 'application/fhir+ndjson' }).write(patients(10));
      response.on('close', () => (closed = true));
      asked();
    });
    for (const http of [await openHttp(t), undefined]) {
      closed = false;
      const cancelled = new Promise((resolve) => (asked = resolve)).then(() => wait(200));
      await assert.rejects(core.transfer(host({ http, storage: new MemoryFolder() }), task(url), nothing, cancelled), (thrown) => {
        assert.equal(thrown.kind, 'cancelled');
        assert.equal(thrown.exitStatus, 130);
        return true;
      });
      for (let i = 0; i < 500 && !closed; i++) await wait(20);
      assert.ok(closed);
    }
  });

  test('storage that fails: full, and whatever an adapter may throw', async (t) => {
    const url = await serve(t, answer(patients(5000), false));
    const http = await openHttp(t);
    const full = core.transfer(host({ http, storage: new MemoryFolder({ capacity: 100 }) }), task(url, { compress: false }), nothing, never);
    await assert.rejects(full, { kind: 'quota', operation: 'storage', retry: true, exitStatus: 1 });
    for (const thrown of [new Error('boom'), 'a text', 42, undefined, null, { odd: true }]) {
      const storage = new MemoryFolder();
      storage.open = () => {
        throw thrown;
      };
      await assert.rejects(core.transfer(host({ http, storage }), task(url), nothing, never), { kind: 'storage' });
    }
  });

  test('a listener that throws harms nobody', async (t) => {
    const url = await serve(t, answer(patients(10), true));
    let calls = 0;
    const listener = () => {
      calls += 1;
      throw new Error('listener');
    };
    const outcome = await core.transfer(host({ http: await openHttp(t), storage: new MemoryFolder() }), task(url), listener, never);
    assert.ok(outcome.stored);
    assert.ok(calls > 0);
  });
});

describe('on workers', () => {
  const openPool = (t, path, size) => {
    const pool = createPool(new NodeFolder(path).descriptor, size);
    t.after(() => pool.close());
    return pool;
  };

  for (const flavour of ['simd', 'base']) {
    test(`many files, with progress (${flavour})`, async (t) => {
      // Compiled once per process, so each of the two files needs a process of its own.
      const path = folder(t);
      const url = await serve(t, (request, response) => {
        const data = patients(500, Number(request.url.slice(1)) * 1000);
        answer(data, Number(request.url.slice(1)) % 2 === 0)(request, response);
      });
      const code = `
        import { createPool } from ${JSON.stringify(new URL('../../pkg-template/worker/node.js', import.meta.url).href)};
        const pool = createPool({ kind: 'node-fs', path: process.argv[1] }, 3);
        let progress = 0;
        const tasks = JSON.parse(process.argv[2]);
        const outcomes = await Promise.all(tasks.map((task) => pool.start(task, () => (progress += 1)).outcome()));
        pool.close();
        console.log(JSON.stringify({ outcomes, progress }));`;
      const tasks = Array.from({ length: 20 }, (_, file) => task(`${url}/${file}`, { file, path: `${file}.part` }));
      const args = ['--input-type=module', '-e', code, path, JSON.stringify(tasks)];
      const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, SMART_FETCH_WASM: flavour } });
      const { outcomes, progress } = JSON.parse(stdout);
      assert.ok(outcomes.every(({ stored }) => stored?.resources === 500), JSON.stringify(outcomes[0]));
      assert.ok(progress > 0);
      for (let i = 0; i < 20; i++) assert.equal(text(path, `${i}.part`), patients(500, i * 1000));
    });
  }

  test('text comes back as a gzip member; a worker that dies with it is told, and the next one goes on', async (t) => {
    const pool = openPool(t, folder(t), 2);
    const texts = Array.from({ length: 5 }, (_, n) => Buffer.from(patients(2000, n * 10_000)));
    const made = await Promise.all(texts.map((one) => pool.gzip(new Uint8Array(one))));
    texts.forEach((one, n) => assert.ok(gunzipSync(made[n]).equals(one)));
    const ports = [];
    const dying = new TransferPool(2, (listener) => {
      ports.push(listener);
      return { post: () => listener.onEnd('it was killed'), terminate: nothing };
    });
    await assert.rejects(dying.gzip(new Uint8Array(3)), { kind: 'other', message: /it was killed/ });
    await assert.rejects(dying.gzip(new Uint8Array(3)), { kind: 'other' });
    assert.equal(ports.length, 2);
  });

  test('errors come back as the core threw them', async (t) => {
    const path = folder(t);
    const url = await serve(t, answer(patients(1), false));
    const pool = openPool(t, `${path}/a/b`, 1);
    await assert.rejects(pool.start(task(url, { path: '../out' }), nothing).outcome(), { kind: 'storage', exitStatus: 1 });
    const refused = await pool.start(task(url.replace(/\d+$/, '1')), nothing).outcome();
    assert.ok(refused.broken, JSON.stringify(refused));
    assert.equal(refused.broken.error.kind, 'connect');
  });

  test('abort ends one transfer and not its neighbours', async (t) => {
    const path = folder(t);
    const [asked, closed] = [new Map(), []];
    const url = await serve(t, (request, response) => {
      response.on('close', () => closed.push(request.url));
      response.writeHead(200, { 'Content-Type': 'application/fhir+ndjson' }).write(patients(10));
      asked.set(request.url, response);
    });
    const pool = openPool(t, path, 1);
    const slow = pool.start(task(`${url}/slow`, { path: 'slow.part' }), nothing);
    const stuck = pool.start(task(`${url}/stuck`, { path: 'stuck.part' }), nothing);
    for (let i = 0; i < 500 && asked.size < 2; i++) await wait(20);
    stuck.abort();
    for (let i = 0; i < 500 && !closed.includes('/stuck'); i++) await wait(20);
    assert.deepEqual(closed, ['/stuck']);
    asked.get('/slow').end(patients(10, 10));
    assert.equal((await slow.outcome()).stored.resources, 20);
  });

  test('a worker that dies: its transfers are broken, the next ones run on a new worker', async (t) => {
    const path = folder(t);
    let count = 0;
    const url = await serve(t, (request, response) => {
      count += 1;
      if (count > 1) return answer(patients(5), false)(request, response);
      response.writeHead(200, { 'Content-Type': 'application/fhir+ndjson' }).write(patients(10));
    });
    const workers = [];
    // The same pool, with the port kept, so that the test can end the worker as a crash would.
    const pool = new TransferPool(1, ({ onReply, onEnd }) => {
      const worker = new Worker(new URL('../../pkg-template/worker/transfer.worker.js', import.meta.url), {
        workerData: { compiled: compile(), folder: { kind: 'node-fs', path } },
      });
      workers.push(worker);
      worker.on('message', onReply).on('error', (error) => onEnd(error.message)).on('exit', (code) => onEnd(`exit code ${code}`));
      return { post: (request) => worker.postMessage(request), terminate: () => void worker.terminate() };
    });
    t.after(() => pool.close());
    const first = pool.start(task(url), nothing);
    for (let i = 0; i < 1500 && count === 0; i++) await wait(20);
    await workers[0].terminate();
    const { error } = (await first.outcome()).broken;
    assert.equal(error.kind, 'interrupted');
    assert.match(error.message, /worker/);
    assert.ok((await pool.start(task(url), nothing).outcome()).stored);
    assert.equal(workers.length, 2);
  });

  test('workers are started when they are needed, and least-loaded ones are chosen', async () => {
    const posted = [];
    const listeners = [];
    const pool = new TransferPool(2, (listener) => {
      const index = listeners.push(listener) - 1;
      posted.push([]);
      return { post: (request) => posted[index].push(request), terminate: () => {} };
    });
    const running = [0, 1, 2, 3].map((file) => pool.start({ file }, nothing));
    assert.deepEqual(posted.map((requests) => requests.map(({ task: { file } }) => file)), [[0, 2], [1, 3]]);
    listeners[1].onReply({ type: 'outcome', id: posted[1][0].id, outcome: { stored: {} } });
    assert.deepEqual(await running[1].outcome(), { stored: {} });
    pool.start({ file: 4 }, nothing);
    assert.equal(posted[1].at(-1).task.file, 4);
    // A panic ends the worker at once: its instance is in no known state.
    listeners[0].onReply({ type: 'panic', message: 'index out of bounds' });
    assert.match((await running[0].outcome()).broken.error.message, /index out of bounds/);
    pool.start({ file: 5 }, nothing);
    assert.equal(listeners.length, 3);
  });
});

test('f12_flat_memory: wasm memory stays flat over large files', async (t) => {
  const exports = (await glue(compile().name)).initSync({ module: compile().module });
  const block = patients(20_000);
  const times = 40;
  const url = await serve(t, async (_, response) => {
    response.setHeader('Content-Type', 'application/fhir+ndjson');
    for (let i = 0; i < times; i++) if (!response.write(block)) await new Promise((resolve) => response.once('drain', resolve));
    response.end();
  });
  const path = folder(t);
  const run = async () => core.transfer(host({ http: await openHttp(t), storage: new NodeFolder(path, { sync: true }) }), task(url), nothing, never);
  const outcome = await run();
  assert.equal(outcome.stored.resources, 20_000 * times);
  const before = exports.memory.buffer.byteLength;
  await run();
  assert.equal(exports.memory.buffer.byteLength, before, 'a second file needs no more');
  assert.ok(before < 16 * 1024 * 1024, `${before} bytes`);
  assert.deepEqual(readdirSync(path), ['Patient.part']);
});
