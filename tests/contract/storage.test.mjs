// The storage contract for the backends of Node, and what concerns only the file system: kills, modes, links, full disks.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { MemoryFolder } from '../../pkg-template/storage/memory.js';
import { NodeFolder, storageError } from '../../pkg-template/storage/node-fs.js';
import { fails, get, put, storageContract } from './storage-contract.mjs';

const MODULE = new URL('../../pkg-template/storage/node-fs.js', import.meta.url).href;

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'smart-fetch-storage-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

for (const sync of [false, true]) {
  describe(`node-fs, ${sync ? 'as in workers' : 'as on the main thread'}`, () =>
    storageContract({
      test,
      create: async (t) => {
        const path = join(folder(t), 'made', 'by first use');
        return { backend: new NodeFolder(path, { sync }), again: async () => new NodeFolder(path, { sync }) };
      },
    }));
}

describe('node-fs, where there are no symbolic links (FAT, some network shares, Windows for most users)', () => {
  const symlink = promises.symlink;
  const refuse = async () => {
    throw Object.assign(new Error('EPERM: operation not permitted, symlink'), { code: 'EPERM' });
  };
  before(() => {
    promises.symlink = refuse;
    syncBuiltinESMExports();
  });
  after(() => {
    promises.symlink = symlink;
    syncBuiltinESMExports();
  });
  storageContract({
    test,
    create: async (t) => {
      const path = folder(t);
      return { backend: new NodeFolder(path), again: async () => new NodeFolder(path) };
    },
  });

  test('links made there give way to real ones', async (t) => {
    const path = folder(t);
    const backend = new NodeFolder(path);
    await put(backend, 'a', 'one');
    await put(backend, 'b', 'two');
    await backend.link('a', 'link');
    await backend.link('a', 'other');
    promises.symlink = symlink;
    syncBuiltinESMExports();
    await backend.link('b', 'link');
    promises.symlink = refuse;
    syncBuiltinESMExports();
    assert.equal(await get(backend, 'link'), 'two');
    assert.equal(readFileSync(join(path, 'link'), 'utf8'), 'two');
    assert.deepEqual((await backend.list('')).map(({ name, target }) => `${name} ${target ?? ''}`).sort(), ['a ', 'b ', 'link b', 'other a']);
    await backend.remove('other');
    await backend.remove('link');
    assert.deepEqual(readdirSync(path).sort(), ['a', 'b']);
  });
});

describe('memory', () =>
  storageContract({
    test,
    create: async () => {
      const backend = new MemoryFolder();
      return { backend, again: async () => backend };
    },
  }));

test('memory: a capacity that is reached', async () => {
  const backend = new MemoryFolder({ capacity: 10 });
  await put(backend, 'a', '12345678');
  await fails('full', () => put(backend, 'b', '123'));
  assert.equal((await backend.usage()).available, 2);
  backend.remove('a');
  await put(backend, 'b', '1234567890');
});

/** Runs code in a process of its own, `backend` being the folder; `limit` is put before it in the shell. */
function run(path, code, { limit = '', stdin = 'ignore' } = {}) {
  const script = `import { NodeFolder } from ${JSON.stringify(MODULE)}; const backend = new NodeFolder(${JSON.stringify(path)}, { sync: true });
    const say = (text) => process.stdout.write(text + '\\n'); ${code}`;
  const args = ['-c', `${limit} exec "$0" --input-type=module -e "$1"`, process.execPath, script];
  return spawn('sh', args, { stdio: [stdin, 'pipe', 'inherit'] });
}

const output = async (child) => (await child.stdout.toArray()).join('').trim();

const HOLD = "await backend.lock(); say('held'); setInterval(() => {}, 1000);";

test('lock: of a running process, and of one that was killed', async (t) => {
  const path = folder(t);
  const backend = new NodeFolder(path);
  const child = run(path, HOLD);
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const error = await fails('locked', () => backend.lock());
  assert.match(error.message, new RegExp(`process ${child.pid}`));
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(existsSync(join(path, '.lock')), 'the killed process left its lock');
  const lock = await backend.lock();
  await fails('locked', () => new NodeFolder(path).lock());
  lock.release();
  assert.deepEqual(readdirSync(path), []);
});

test('lock: of many processes that find one left behind, one gets it', async (t) => {
  const path = folder(t);
  const dead = run(path, HOLD);
  await once(dead.stdout, 'data');
  dead.kill('SIGKILL');
  await once(dead, 'exit');
  // All try at the same moment; who gets it holds it until all have tried.
  const code = `const told = () => new Promise((done) => process.stdin.once('data', done)); const go = told(); say('ready'); await go; const end = told();
    try { await backend.lock(); say('got'); } catch (e) { say(e.kind); } await end; process.exit();`;
  const children = Array.from({ length: 4 }, () => run(path, code, { stdin: 'pipe' }));
  const answers = () => Promise.all(children.map(async (child) => `${(await once(child.stdout, 'data'))[0]}`.trim()));
  await answers();
  const tried = answers();
  for (const { stdin } of children) stdin.write('go');
  assert.deepEqual((await tried).sort(), ['got', 'locked', 'locked', 'locked']);
  for (const { stdin } of children) stdin.end('end');
});

test('lock: a process number that means another process by now', async (t) => {
  const path = folder(t);
  const holder = { id: 'x', pid: process.pid, started: 'some other time', host: hostname() };
  writeFileSync(join(path, '.lock'), JSON.stringify(holder));
  (await new NodeFolder(path).lock()).release();
});

test('lock: of another computer is respected, and the message says what to do', async (t) => {
  const path = folder(t);
  writeFileSync(join(path, '.lock'), JSON.stringify({ id: 'x', pid: 1, started: '', host: 'elsewhere' }));
  const error = await fails('locked', () => new NodeFolder(path).lock());
  assert.match(error.message, /elsewhere.*delete .*\.lock/);
});

test('lock: a takeover that was killed does not lock the folder for good', async (t) => {
  const path = folder(t);
  writeFileSync(join(path, '.lock'), JSON.stringify({ id: 'x', pid: 2 ** 22 + 1, started: '', host: hostname() }));
  writeFileSync(join(path, '.lock.takeover'), '{}');
  const backend = new NodeFolder(path);
  await fails('locked', () => backend.lock());
  utimesSync(join(path, '.lock.takeover'), new Date(Date.now() - 60_000), new Date(Date.now() - 60_000));
  (await backend.lock()).release();
});

test('lock: what processes left that were killed while they took it is waited for, and removed', async (t) => {
  const path = folder(t);
  const dead = JSON.stringify({ id: 'x', pid: 2 ** 22 + 1, started: '', host: hostname() });
  const fresh = ['.lock.00000000-0000-4000-8000-000000000001', '.lock.00000000-0000-4000-8000-000000000002'];
  for (const name of ['.lock', '.lock.takeover', fresh[0]]) writeFileSync(join(path, name), dead);
  const alive = JSON.stringify({ id: 'y', pid: process.pid, started: '', host: hostname() });
  writeFileSync(join(path, fresh[1]), alive);
  symlinkSync('001.a/Patient.001.ndjson', join(path, '.link.77.abc'));
  const before = new Date(Date.now() - 9500);
  utimesSync(join(path, '.lock.takeover'), before, before);
  const lock = await new NodeFolder(path).lock();
  assert.deepEqual(readdirSync(path).sort(), ['.lock', fresh[1]], 'what another process is about to use stays');
  lock.release();
});

test('lock: files of processes that were killed before they had said who they are go, too', async (t) => {
  const path = folder(t);
  const id = '00000000-0000-4000-8000-00000000000';
  const [dead, alive, unknown] = [`.lock.${2 ** 22 + 1}.${id}1`, `.lock.${process.pid}.${id}2`, `.lock.${id}3`];
  for (const name of [dead, alive, unknown, '.lock.takeover']) writeFileSync(join(path, name), '');
  const before = new Date(Date.now() - 60_000);
  for (const name of [unknown, '.lock.takeover']) utimesSync(join(path, name), before, before);
  const lock = await new NodeFolder(path).lock();
  assert.deepEqual(readdirSync(path).sort(), ['.lock', alive], 'what another process may just be writing stays');
  lock.release();
});

test('lock: a process that is killed at any moment while it takes the lock leaves nothing that stays', async (t) => {
  const path = folder(t);
  for (let round = 0; round < 12; round += 1) {
    // A lock that was left behind, so that half of the rounds come to the takeover.
    if (round % 2 === 0) writeFileSync(join(path, '.lock'), JSON.stringify({ id: 'x', pid: 2 ** 22 + 1, started: '', host: hostname() }));
    const child = run(path, "say('go'); for (;;) (await backend.lock()).release();");
    await once(child.stdout, 'data');
    await new Promise((resolve) => { setTimeout(resolve, round); });
    child.kill('SIGKILL');
    await once(child, 'exit');
    if (existsSync(join(path, '.lock.takeover'))) utimesSync(join(path, '.lock.takeover'), 0, 0);
    const lock = await new NodeFolder(path).lock();
    assert.deepEqual(readdirSync(path), ['.lock']);
    lock.release();
    assert.deepEqual(readdirSync(path), []);
  }
});

test('rename: after kill -9 at any moment the file is the old one or the new one, whole', async (t) => {
  const path = folder(t);
  const size = 300_000;
  const code = `for (let i = 0; ; i++) { const file = await backend.open('.data.part', false); const block = Buffer.alloc(${size / 3}, 97 + (i % 26));
    for (let j = 0; j < 3; j++) await file.write(block); await file.flush(); await file.close(); await backend.rename('.data.part', 'data'); if (i === 0) say('go'); }`;
  const seen = new Set();
  for (let round = 0; round < 15; round++) {
    const child = run(path, code);
    await once(child.stdout, 'data');
    await new Promise((resolve) => setTimeout(resolve, 20 + round * 7));
    child.kill('SIGKILL');
    await once(child, 'exit');
    if (!existsSync(join(path, 'data'))) continue;
    const data = readFileSync(join(path, 'data'));
    assert.equal(data.length, size);
    assert.ok(data.every((byte) => byte === data[0]), 'a mixture of two versions');
    seen.add(data[0]);
  }
  assert.ok(seen.size > 0, 'nothing was ever renamed');
});

test('what was written before a kill is there', async (t) => {
  const path = folder(t);
  const child = run(path, "const file = await backend.open('a', false); await file.write(Buffer.from('written')); say('now'); setInterval(() => {}, 1000);");
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const backend = new NodeFolder(path);
  await put(backend, 'a', ' and more', true);
  assert.equal(await get(backend, 'a'), 'written and more');
});

test('state is private to the user, data is as the umask says', async (t) => {
  const path = join(folder(t), 'root');
  const backend = new NodeFolder(path);
  const before = process.umask(0o027);
  t.after(() => process.umask(before));
  await put(backend, 'sub/a', 'x');
  await put(backend, '.metadata.tmp', 'x');
  const mode = (name) => statSync(join(path, name)).mode & 0o777;
  assert.deepEqual([mode(''), mode('sub'), mode('sub/a'), mode('.metadata.tmp')], [0o750, 0o750, 0o640, 0o600]);
});

test('links planted in the folder do not lead writes out of it', async (t) => {
  const base = folder(t);
  const [path, outside] = [join(base, 'in'), join(base, 'out')];
  mkdirSync(path);
  mkdirSync(outside);
  writeFileSync(join(outside, 'file'), 'kept');
  symlinkSync(outside, join(path, 'dir'));
  symlinkSync(join(outside, 'file'), join(path, 'file'));
  symlinkSync(join(outside, 'nothing'), join(path, 'dangling'));
  const backend = new NodeFolder(path);
  for (const target of ['dir/a', 'dir/deep/a', 'file', 'dangling', 'dangling/a']) {
    await assert.rejects(() => put(backend, target, 'bad'), ({ kind }) => ['denied', 'notFound', 'other'].includes(kind), target);
  }
  await put(backend, 'ok', 'x');
  await fails('denied', () => backend.rename('ok', 'dir/ok'));
  await fails('denied', () => backend.remove('dir/file'));
  await fails('denied', () => backend.link('../ok', 'dir/link'));
  assert.deepEqual(readdirSync(outside), ['file']);
  assert.equal(readFileSync(join(outside, 'file'), 'utf8'), 'kept');
  // A link in place of the folder itself is the user's own choice, and one that stays inside is fine.
  symlinkSync(path, join(base, 'alias'));
  mkdirSync(join(path, 'real'));
  symlinkSync('real', join(path, 'inside'));
  await put(new NodeFolder(join(base, 'alias')), 'inside/a', 'x');
  assert.equal(await get(backend, 'real/a'), 'x');
});

test('a disk that is full, and a file that is as large as it may be', async (t) => {
  const path = folder(t);
  const code = `const file = await backend.open('a', false); try { for (let i = 0; i < 99; i++) await file.write(Buffer.alloc(65536)); say('no error'); } catch (e) { say(e.kind); }`;
  assert.equal(await output(run(path, code, { limit: 'ulimit -f 1000;' })), 'full');
  for (const sync of process.platform === 'linux' ? [true, false] : []) {
    const file = await new NodeFolder('/dev', { sync }).open('full', true);
    const error = await fails('full', async () => file.write(Buffer.from('x')));
    assert.match(error.message, /no space left on device \(ENOSPC\)/);
    await file.close();
  }
  for (const code of ['ENOSPC', 'EDQUOT', 'EFBIG']) assert.equal(storageError({ code, message: `${code}: x, write` }).kind, 'full');
});

test('a folder that must not be written to', async (t) => {
  const path = folder(t);
  const backend = new NodeFolder(path);
  await put(backend, 'a', 'kept');
  chmodSync(path, 0o555);
  // Root may write anywhere: then be somebody else for a while.
  const root = process.geteuid() === 0;
  if (root) process.seteuid(65534);
  try {
    const error = await fails('denied', () => put(backend, 'b', 'x'));
    assert.ok(error.message.includes(path), error.message);
    await fails('denied', () => backend.lock());
    await fails('denied', () => backend.rename('a', 'b'));
    await fails('denied', () => new NodeFolder(join(path, 'deeper')).lock());
  } finally {
    if (root) process.seteuid(0);
    chmodSync(path, 0o755);
  }
  assert.deepEqual(readdirSync(path), ['a']);
});

test('a folder whose path is a file', async (t) => {
  const path = folder(t);
  writeFileSync(join(path, 'file'), '');
  for (const bad of [join(path, 'file'), join(path, 'file', 'sub')]) {
    const error = await fails('other', () => put(new NodeFolder(bad), 'a', 'x'));
    assert.ok(error.message.includes(bad), error.message);
  }
});
